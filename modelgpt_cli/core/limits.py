"""The limits a requirement may carry: the part of it that is measured on the exported file, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgpt_cli.core.block import Block
from modelgpt_cli.core.units import BYTES, COUNTS, FLOPS, MILLISECONDS, measure, short, whole

_SIZES = {"GB": 10**9, "MB": 10**6, "kB": 10**3}


def parse_size(value: object, key: str = "size") -> int:
    """Read a size in bytes: ``1000000``, ``"1MB"``, ``"500 kB"`` or ``"1 MiB"``."""
    return whole(f"limits: {key}", value, BYTES, "1MB, 500 kB or 250000 (bytes)")


def parse_parameters(value: object) -> int:
    """Read a number of parameters: ``2000000``, ``"2M"`` or ``"500k"``."""
    return whole("limits: parameters", value, COUNTS, "2M, 500k or 250000")


@dataclass(frozen=True)
class Limits(Block):
    """What the exported model must keep to. Values with units are read on the way in: ``Limits(size="1MB")``.

    Raises
    ------
    UsageError
        If a value makes no sense; names the limit.
    """

    name: ClassVar[str] = "limits"
    readers: ClassVar[Mapping[str, Callable[[object], Any]]] = {
        "size": parse_size,
        "parameters": parse_parameters,
        "flops": lambda value: whole("limits: flops", value, FLOPS, "50 MFLOPs, 2G or 1000000"),
        "latency_ms": lambda value: measure("limits: latency_ms", value, MILLISECONDS, "5, 5 ms or 0.5 s"),
        "batch_size": lambda value: whole("limits: batch_size", value, {"": 1}, "1"),
        "threads": lambda value: whole("limits: threads", value, {"": 1}, "1"),
        "memory": lambda value: parse_size(value, "memory"),
    }
    moved: ClassVar[Mapping[str, str]] = {"accuracy": "quality", "opset": "deploy", "quantize": "deploy"}

    size: int | None = None
    """Bytes of the exported file, at most. Also "1MB", "500 kB"."""
    parameters: int | None = None
    """Number of parameters, at most. Also "2M"."""
    flops: int | None = None
    """Floating-point operations of one row, at most. Also "50 MFLOPs"."""
    latency_ms: float | None = None
    """Milliseconds a batch takes, at most (at `batch_size` and `threads`). Also "0.5 s"."""
    batch_size: int = 1
    """Rows per batch when latency and memory are measured."""
    threads: int = 1
    """CPU threads when latency and memory are measured."""
    memory: int | None = None
    """Peak resident bytes of a process that predicts a batch, at most. Also "200 MB"."""

    def to_mapping(self) -> dict[str, Any]:
        """Give the limits that differ from their defaults, as the requirement file has them."""
        values = super().to_mapping()
        for key, units, gap in (
            ("size", _SIZES, " "),
            ("memory", _SIZES, " "),
            ("parameters", {"B": 10**9, "M": 10**6, "k": 10**3}, ""),
            ("flops", {"GFLOPs": 10**9, "MFLOPs": 10**6, "kFLOPs": 10**3}, " "),
        ):
            if key in values:
                values[key] = short(values[key], units, gap)
        return values
