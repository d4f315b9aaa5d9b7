"""What the configurations of all training runs share: their values' types, and how they are read from YAML."""

from __future__ import annotations

import math
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from modelgpt_cli.errors import UsageError

T = TypeVar("T")

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a word"),
    "tuple": ((list, tuple), "a list of names"),
    "bool": ((bool,), "true or false"),
    "dict": ((dict,), "a mapping"),
}
UPDATES = ("backprop", "delta")


def check_types(config: Any) -> None:
    """Make sure that each value is of its field's type: YAML gives any.

    Raises
    ------
    UsageError
        It names the field.
    """
    for f in fields(config):
        value: Any = getattr(config, f.name)
        kind = _kind(f)
        if value is None and f.default is None:
            continue
        allowed, words = _KINDS[kind]
        if isinstance(value, bool) != (kind == "bool") or not isinstance(value, allowed):
            raise UsageError(f"{f.name} must be {words}, not {value!r}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{f.name} must be finite, not {value}.")


def check_run_fields(config: Any, least: dict[str, int], shares: tuple[str, ...]) -> None:
    """Check what every run has: a length, a rate, an update; whole numbers of at least `least`; shares in [0, 1].

    Raises
    ------
    UsageError
        It names the flag or the field.
    """
    if config.update not in UPDATES:
        raise UsageError(f"--update {config.update!r} is not known.", f"Known: {', '.join(UPDATES)}.")
    if config.steps is None and config.minutes is None:
        raise UsageError("How long to train?", hint="Give --steps N or --minutes M.")
    for name, low in {"steps": 1, **least}.items():
        value = getattr(config, name)
        if value is not None and value < low:
            raise UsageError(f"{name} must be {low} or more, not {value}.")
    for name in ("minutes", "lr"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise UsageError(f"{name} must be above 0, not {value}.")
    for name in shares:
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"{name} must be between 0 and 1, not {getattr(config, name)}.")


def read_settings(kind: type[T], path: str | Path | None, **overrides: Any) -> T:
    """A configuration from a YAML file and the command line, which wins.

    Raises
    ------
    UsageError
        For an unreadable file or an unknown key (the known ones are listed).
    """
    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UsageError(f"The configuration {path} can't be read.", error.strerror or str(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"The configuration {path} is not valid YAML.", str(error)) from error
        if not isinstance(values, dict):
            raise UsageError(f"The configuration {path} must hold 'key: value' lines.")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    unknown = sorted(map(str, set(values) - known))
    if unknown:
        raise UsageError(f"Unknown key {unknown[0]!r} in {path}.", f"Known: {', '.join(sorted(known))}.")
    values = values | {k: v for k, v in overrides.items() if v is not None}
    decimals = {f.name for f in fields(kind) if _kind(f) == "float"}  # type: ignore[arg-type]
    return kind(**{k: _number(v) if k in decimals else v for k, v in values.items()})


def _kind(f: Field[Any]) -> str:
    """A field's type as `_KINDS` names it; annotations are text in the modules of configurations."""
    return str(f.type).split(" |")[0].split("[")[0]


def _number(value: Any) -> Any:
    """YAML takes ``1e-4`` for a word, where a person means a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
