"""LLM servers known by name: those that come with the package, and the user's own. What `LLM.from_settings` reads."""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.paths import config_folder, expand, read_yaml
from modelgpt_cli.llm.keys import refuse_secret
from modelgpt_cli.llm.usage import Prices

SchemaMode = Literal["json_schema", "json_object", "none"]
SCHEMA_MODES: tuple[str, ...] = get_args(SchemaMode)
TIMEOUT, RETRIES = 60.0, 3
ANY_MODEL = "default"
"""What a server is asked for that has one model, and serves it under any name."""
_PRICE = "a number of US dollars per million tokens"


@dataclass(frozen=True)
class Provider:
    """A server and how to talk with it; `providers.yaml` says what each key is for."""

    name: str
    base_url: str
    model: str | None = None
    api_key_env: str | None = None
    schema: SchemaMode = "json_schema"
    vision: bool = True
    price_in: float | None = None
    price_out: float | None = None
    timeout: float = TIMEOUT
    retries: int = RETRIES

    @property
    def prices(self) -> Prices | None:
        """Of `model`, if they are known."""
        if self.price_in is None or self.price_out is None:
            return None
        return Prices(self.price_in, self.price_out)


_KEYS = tuple(field.name for field in fields(Provider) if field.name != "name")


def user_file() -> Path:
    """Where the user's own providers stand: ``MODELGPT_PROVIDERS``, else in the configuration folder."""
    own = os.environ.get("MODELGPT_PROVIDERS")
    return expand(own) if own else config_folder() / "providers.yaml"


def load_providers() -> dict[str, Provider]:
    """Read the shipped providers and the user's own, which replace shipped ones of the same name.

    Raises
    ------
    UsageError
        If the user's file can't be read, or holds what is no provider, or a key.
    """
    found = _read(asset("llm", "providers.yaml"))
    own = user_file()
    if own.exists() or os.environ.get("MODELGPT_PROVIDERS"):
        found |= _read(own)
    return found


def find_provider(name: str) -> Provider:
    """Give the provider of a name.

    Raises
    ------
    UsageError
        If there is none, or as `load_providers` does.
    """
    known = load_providers()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"There is no provider '{name}'.",
        f"Known are: {', '.join(known)}.",
        f"Did you mean '{near[0]}'?" if near else f"Describe it in {user_file()} (docs/llm.md).",
    )


def _read(path: Path) -> dict[str, Provider]:
    content = read_yaml(path, "file of providers")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold providers by name.", hint="For instance: {mine: {base_url: 'http://…/v1'}}")
    return {str(name): _provider(str(path), str(name), values) for name, values in content.items()}


def _provider(path: str, name: str, values: Any) -> Provider:
    """Check one provider."""
    refuse_secret(path, name, values)
    if not isinstance(values, dict):
        raise UsageError(f"{path}: '{name}' must hold 'key: value' lines.", f"Known keys: {', '.join(_KEYS)}.")
    for key, value in values.items():
        refuse_secret(path, str(key), value, section=name)
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise UsageError(
                f"{path}: unknown key '{name}: {key}'.",
                f"Known are: {', '.join(_KEYS)}.",
                f"Did you mean '{near[0]}'?" if near else "",
            )
        wanted = _wanted(key, value)
        if wanted:
            raise UsageError(f"{path}: '{name}: {key}' must be {wanted}.")
    if "base_url" not in values:
        raise UsageError(f"{path}: '{name}' has no base_url.", hint="For instance: base_url: http://localhost:8000/v1")
    if ("price_in" in values) != ("price_out" in values):
        raise UsageError(f"{path}: '{name}' has one price of two.", "A cost needs both price_in and price_out.")
    return Provider(name, **values)


def _wanted(key: str, value: Any) -> str:
    """What the value of a key must be, if it is not; never quotes it, as it may be a key in the wrong place."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fits, wanted = {
        "base_url": (_is_address(value), "a web address without a password, such as http://localhost:8000/v1"),
        "model": (isinstance(value, str) and value.strip() != "", "the name of a model, in quotes if it is a number"),
        "api_key_env": (
            isinstance(value, str) and re.fullmatch(r"[A-Z_][A-Z0-9_]*", value),
            "the name of an environment variable, in capitals, never the key itself",
        ),
        "schema": (value in SCHEMA_MODES, " or ".join(SCHEMA_MODES)),
        "vision": (isinstance(value, bool), "true or false"),
        "price_in": (is_number and value >= 0, _PRICE),
        "price_out": (is_number and value >= 0, _PRICE),
        "timeout": (is_number and value > 0, "a number of seconds above 0"),
        "retries": (is_number and isinstance(value, int) and value >= 0, "a whole number, 0 or more"),
    }[key]
    return "" if fits else wanted


def _is_address(value: Any) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.username or parts.password)
    except (ValueError, AttributeError, TypeError):
        return False
