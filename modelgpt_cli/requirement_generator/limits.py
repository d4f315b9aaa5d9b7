"""The limits a requirement may carry: the part of it that is measured on the exported file, never assumed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from modelgpt_cli.errors import UsageError

Quantize = Literal["none", "fp16", "int8"]

QUANTIZE: tuple[str, ...] = get_args(Quantize)
MAX_OPSET = 20

_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+]?[0-9]+)?|\.[0-9]+)"
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_TIMES = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001}


def _measure(key: str, value: object, units: Mapping[str, float], example: str) -> float:
    """Read a positive number with a unit."""
    match = re.fullmatch(_NUMBER + r"\s*([A-Za-z]*)", str(value).strip()) if not isinstance(value, bool) else None
    number = float(match[1]) * units.get(match[2].lower(), math.nan) if match else math.nan
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"limits: {key} can't be {value!r}.", f"It is a positive number, such as {example}.")
    return number


def _whole(key: str, value: object, units: Mapping[str, float], example: str) -> int:
    """Read a positive whole number with a unit; a fraction of a byte is cut off, half a thread is an error."""
    number = _measure(key, value, units, example)
    if number < 1 or (len(units) == 1 and number != int(number)):
        raise UsageError(f"limits: {key} can't be {value!r}.", f"It is a whole number, such as {example}.")
    return int(number)


def parse_size(value: object) -> int:
    """Read a size in bytes: ``1000000``, ``"1MB"``, ``"500 kB"`` or ``"1 MiB"``."""
    return _whole("size", value, _BYTES, "1MB, 500 kB or 250000 (bytes)")


def parse_parameters(value: object) -> int:
    """Read a number of parameters: ``2000000``, ``"2M"`` or ``"500k"``."""
    return _whole("parameters", value, _COUNTS, "2M, 500k or 250000")


def _accuracy(value: object) -> float:
    text = str(value).strip()
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not 0 < number <= 1:
        raise UsageError(f"limits: accuracy can't be {value!r}.", "It is a share of the rows, such as 0.9 or 90%.")
    return number


def _opset(value: object) -> int:
    number = _whole("opset", value, {"": 1}, "17")
    if number > MAX_OPSET:
        raise UsageError(
            f"limits: opset can't be {number}.", f"It is at most {MAX_OPSET}, so that the servers in the field load it."
        )
    return number


def _quantize(value: object) -> str:
    if value not in QUANTIZE:
        raise UsageError(f"limits: quantize can't be {value!r}.", f"It is one of {', '.join(QUANTIZE)}.")
    return str(value)


_READERS: dict[str, Any] = {
    "size": parse_size,
    "parameters": parse_parameters,
    "latency_ms": lambda value: _measure("latency_ms", value, _TIMES, "5 or 5 ms"),
    "batch_size": lambda value: _whole("batch_size", value, {"": 1}, "1"),
    "threads": lambda value: _whole("threads", value, {"": 1}, "1"),
    "accuracy": _accuracy,
    "opset": _opset,
    "quantize": _quantize,
}


@dataclass(frozen=True)
class Limits:
    """What the exported model must keep to. Values with units are read on the way in: ``Limits(size="1MB")``.

    Raises
    ------
    UsageError
        If a value makes no sense; names the limit.
    """

    size: int | None = None
    """Bytes of the exported file, at most. Also "1MB", "500 kB"."""
    parameters: int | None = None
    """Number of parameters, at most. Also "2M"."""
    latency_ms: float | None = None
    """Milliseconds a batch takes, at most (at `batch_size` and `threads`)."""
    batch_size: int = 1
    """Rows per batch when the latency is measured."""
    threads: int = 1
    """CPU threads when the latency is measured."""
    accuracy: float | None = None
    """Share of rows predicted right, at least. Also "90%"."""
    opset: int | None = None
    """ONNX operator set to export for."""
    quantize: Quantize | None = None
    """How the exported weights are stored."""

    def __post_init__(self) -> None:
        for name, reader in _READERS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, reader(value))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Limits:
        """Read limits as the requirement file has them; unknown keys are a `UsageError` listing the known ones."""
        unknown = [str(key) for key in values if key not in _READERS]
        if unknown:
            raise UsageError(
                f"limits: there is no limit called {unknown[0]!r}.", f"The limits are {', '.join(_READERS)}."
            )
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Give the limits that differ from their defaults, as the requirement file has them."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if "size" in values:
            values["size"] = _short(values["size"], {"GB": 10**9, "MB": 10**6, "kB": 10**3}, " ")
        if "parameters" in values:
            values["parameters"] = _short(values["parameters"], {"B": 10**9, "M": 10**6, "k": 10**3}, "")
        return values


def _short(number: int, units: Mapping[str, int], gap: str) -> int | str:
    """Write a whole number with the largest unit that keeps it exact."""
    for unit, factor in units.items():
        if number % factor == 0:
            return f"{number // factor}{gap}{unit}"
    return number
