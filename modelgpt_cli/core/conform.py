"""Whether plain JSON values have the types that annotations name: the one check of what a file says of itself."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, hint: Any, where: str = "") -> Iterator[str]:
    """Yield what in a value, as `json` reads it, is not of a type.

    Parameters
    ----------
    value : Any
    hint : Any
        Of str, int, float, bool, None, ``list[...]``, ``tuple[..., ...]``, ``dict[str, ...]``, ``Literal``, unions,
        Any, dataclasses and TypedDicts. Keys may be absent unless required; ``Annotated[int, range(...)]`` has bounds.
    where : str
        What the value is called.

    Examples
    --------
    >>> list(misfits({"a": ["x", 3]}, dict[str, list[str]], "card"))
    ["card['a'][1] is 3, not str"]
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin is Annotated:
        kind, allowed = parts
        found = list(misfits(value, kind, where))
        yield from found
        if not found and value not in allowed:
            yield f"{where} is {_short(value)}, not {allowed.start} to {allowed.stop - 1}"
    elif origin in (Union, types.UnionType):
        others = [part for part in parts if part is not type(None)]
        if value is not None and len(others) == 1:
            yield from misfits(value, others[0], where)
        elif all(any(misfits(value, part)) for part in parts):
            yield f"{where} is {_short(value)}, not {' or '.join(_name(part) for part in parts)}"
    elif origin is Literal:
        if value not in parts:
            yield f"{where} is {_short(value)}, not {' or '.join(map(repr, parts))}"
    elif origin in (list, tuple) and isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from misfits(part, parts[0], f"{where}[{i}]")
    elif origin is dict and isinstance(value, dict):
        for key, part in value.items():
            yield from misfits(part, parts[1], f"{where}[{_short(key)}]")
    elif (is_typeddict(hint) or is_dataclass(hint)) and isinstance(value, dict):
        yield from _members(value, hint, where)
    elif not _is_one(value, hint):
        yield f"{where} is {_short(value)}, not {_name(hint)}"


def _members(value: dict[str, Any], hint: Any, where: str) -> Iterator[str]:
    hints = get_type_hints(hint, include_extras=True)
    required: frozenset[str] = getattr(hint, "__required_keys__", frozenset())
    for key in sorted(required - set(value)):
        yield f"{where}['{key}'] is missing"
    known = {f.name for f in fields(hint)} if is_dataclass(hint) else set(hints)
    for key in known & set(value):
        yield from misfits(value[key], hints[key], f"{where}['{key}']")


def _is_one(value: Any, hint: Any) -> bool:
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return isinstance(value, float) or (_is_one(value, int) and abs(value) <= sys.float_info.max)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and not is_typeddict(hint) and isinstance(value, hint)


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
