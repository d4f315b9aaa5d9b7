"""The verified contract: a requirement's limits, measured on the exported file, and its quality, cross-validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.metrics import ERRORS
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.model_generator.measure import Rows, measure_flops, measure_latency, measure_memory, measured

LIMITED = ("parameters", "size", "flops", "latency_ms", "memory")
"""Limits, each of which a model may reach at most; metrics of quality that are no errors it has to reach at least."""
ON_FILE = LIMITED[1:]
"""Limits that only a ``model.onnx`` can be held to."""
LATENCY_P95 = "latency_p95_ms"
"""Measured beside the latency, and limited by nothing."""


def measure_limits(
    limits: Limits,
    quality: Quality,
    model: TargetModel,
    path: Path | None,
    metrics: dict[str, float],
    rows: Rows = None,
) -> dict[str, Any]:
    """Measure what the requirement limits.

    Parameters
    ----------
    path : Path or None
        The exported file; None leaves `ON_FILE` unmeasured (``model.safetensors``).
    metrics : dict
        What the model reaches on rows that it has not seen.
    rows : DataFrame or sequence of uint8 (H, W, 3), optional
        Typed rows of the real data, or images: latency is measured on the first of them where what they hold makes
        much of it.

    Returns
    -------
    dict
        Limit or metric → what was measured, for those that are set; None for a metric that there are no rows for.
    """
    return _measure(limits, model, path, rows) | {key: metrics.get(key) for key in quality.to_mapping()}


def asked_for(limits: Limits, quality: Quality) -> dict[str, float]:
    """Every limit and metric that is set → what it is to keep to."""
    found = {key: getattr(limits, key) for key in LIMITED if getattr(limits, key) is not None}
    return found | quality.to_mapping()


def find_missed(asked: Mapping[str, float], measured: Mapping[str, Any]) -> dict[str, float]:
    """The limits and metrics that are not met → by which factor; infinity where nothing is known."""
    factors = {}
    for key in (key for key in asked if key in measured):
        value = measured[key]
        least = key not in LIMITED and key not in ERRORS
        if value is not None and (value >= asked[key] if least else value <= asked[key]):
            continue
        over, under = (asked[key], value) if least else (value, asked[key])
        factors[key] = math.inf if value is None or under <= 0 else over / under
    return factors


def _measure(limits: Limits, model: TargetModel, path: Path | None, rows: Rows) -> dict[str, Any]:
    """What is limited → what it is. The order is that of `LIMITED`."""
    found: dict[str, Any] = {}
    if limits.parameters is not None:
        found["parameters"] = measured(model.blueprint.domain).parameters(model)
    if path is None:
        return found
    if limits.size is not None:
        found["size"] = path.stat().st_size
    if limits.flops is not None:
        found["flops"] = measure_flops(path, rows)
    if limits.latency_ms is not None:
        median, high = measure_latency(path, limits.batch_size, limits.threads, rows)
        found |= {"latency_ms": median, LATENCY_P95: high}
    if limits.memory is not None:
        found["memory"] = measure_memory(path, limits.batch_size, limits.threads, rows)
    return found
