"""What the configurations of all training runs share: their values' types, and how they are read from YAML."""

from __future__ import annotations

import math
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.yaml_text import parse_yaml

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


@dataclass(frozen=True)
class RunSettings:
    """What every run's configuration holds; the domains' own ones add theirs, and their defaults.

    Raises
    ------
    UsageError
        For a value out of range; the message names the flag or the configuration key.
    """

    tasks: str | None = None
    """Folder of tasks with cards (flag --tasks); kept so that a resume reads the same ones."""
    steps: int | None = None
    """Stop after this many optimiser steps (flag --steps)."""
    minutes: float | None = None
    """Stop after this many minutes of training, resumes added up (flag --minutes)."""
    seed: int = 0
    """Seed of all that is drawn and of the initial weights (flag --seed)."""
    update: str = "backprop"
    """``backprop`` or ``delta`` (Algorithm 1) (flag --update)."""
    batch: int = 4
    """Tasks per step."""
    query: int = 32
    """Query rows of a task."""
    lr: float = 5e-4
    """AdamW learning rate of the generator after the warm-up."""
    weight_decay: float = 1e-2
    """AdamW weight decay."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay_from: float = 0.4
    """Share of the run after which the learning rate falls to zero along a cosine."""
    clip: float = 1.0
    """Gradient norm clip; ``delta`` clips at 0.25 as the paper does."""
    target_lr: float = 2e-2
    """Learning rate of θ_t's own Adam (``delta``)."""
    temperature: float = 0.5
    """Real tasks are drawn in proportion to training rows ** temperature: small ones are soon learned by heart."""
    validate_every: int = 500
    """Steps between validations; each also writes a checkpoint."""
    width: int = 128
    """Token width of the generator."""
    blocks: int = 2
    """Rounds of exchange."""
    average: float = 0.0
    """Decay of the running average of the weights (less at first), which is what is validated and kept; 0 keeps the
    weights themselves."""

    least: ClassVar[dict[str, int]] = {"steps": 1, "batch": 1, "query": 1, "validate_every": 1, "blocks": 1}
    """The least value of whole numbers."""
    shares: ClassVar[tuple[str, ...]] = ("decay_from", "average")
    """What must be between 0 and 1."""
    heads: ClassVar[int] = 1
    """Attention heads, of which `width` is a multiple."""
    compact: ClassVar[bool] = False
    """Whether a run can go on from a compact state; see `training.compact`."""
    distributed: ClassVar[bool] = False
    """Whether several processes can share a run."""

    def __post_init__(self) -> None:
        self._check_types()
        if self.update not in UPDATES:
            raise UsageError(f"--update {self.update!r} is not known.", f"Known: {', '.join(UPDATES)}.")
        if self.steps is None and self.minutes is None:
            raise UsageError("How long to train?", hint="Give --steps N or --minutes M.")
        for name, low in self.least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise UsageError(f"{name} must be {low} or more, not {value}.")
        for name in ("minutes", "lr"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} must be above 0, not {value}.")
        for name in self.shares:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")
        if self.width < self.heads or self.width % self.heads:
            raise UsageError(f"width must be a multiple of {self.heads}, the attention heads, not {self.width}.")

    def _check_types(self) -> None:
        """Make sure that each value is of its field's type: YAML gives any."""
        for f in fields(self):
            value: Any = getattr(self, f.name)
            kind = _kind(f)
            if value is None and f.default is None:
                continue
            allowed, words = _KINDS[kind]
            if isinstance(value, bool) != (kind == "bool") or not isinstance(value, allowed):
                raise UsageError(f"{f.name} must be {words}, not {value!r}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{f.name} must be finite, not {value}.")

    def to_dict(self) -> dict[str, Any]:
        """All fields, for YAML and JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def read_settings(kind: type[T], path: str | Path | None, base: dict[str, Any] | None = None, **overrides: Any) -> T:
    """A configuration from a YAML file and the command line, which wins; what neither says is as `base` has it.

    Raises
    ------
    UsageError
        For an unreadable file or an unknown key (the known ones are listed).
    """
    values: Any = {}
    if path is not None:
        try:
            values = parse_yaml(Path(path).read_text(encoding="utf-8")) or {}
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
    values = (base or {}) | values | {k: v for k, v in overrides.items() if v is not None}
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
