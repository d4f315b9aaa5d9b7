"""The verified contract: a requirement's limits, measured on the exported file, and its quality, cross-validated."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from modelgpt_cli.artifact.measure import Rows, measure_flops, measure_latency, measure_memory
from modelgpt_cli.artifact.target_model import TargetModel, is_table
from modelgpt_cli.errors import VerificationError
from modelgpt_cli.parameter_generator.shipped_encoder import PARAMETERS as ENCODER_PARAMETERS
from modelgpt_cli.requirement_generator.limits import Limits
from modelgpt_cli.requirement_generator.quality import ERRORS, Quality

log = logging.getLogger("modelgpt")
ON_FILE = ("size", "flops", "latency_ms", "memory")
"""Limits that only a ``model.onnx`` can be held to."""


def check_limits(
    limits: Limits,
    quality: Quality,
    model: TargetModel,
    path: Path | None,
    metrics: dict[str, dict[str, float]],
    rows: Rows = None,
) -> dict[str, Any]:
    """Measure what the requirement limits.

    Parameters
    ----------
    path : Path or None
        The exported file; None leaves `ON_FILE` unmeasured, with a warning (``model.safetensors``).
    metrics : dict
        Cross-validated metrics of the model.
    rows : DataFrame or sequence of uint8 (H, W, 3), optional
        Typed rows of the real data, or pictures: a text or image model's latency is measured on the first of them, as
        how long a text, or large a picture, is makes much of it.

    Returns
    -------
    dict
        Limit or metric → what was measured, for those that are set.

    Raises
    ------
    VerificationError
        If one isn't met; names them all with what was measured.
    """
    measured = _measure(limits, model, path, rows)
    missed = [_missed(f"limits: {key}", value, getattr(limits, key), least=False) for key, value in measured.items()]
    reached = metrics.get("model", {})
    for key, asked in quality.to_mapping().items():
        measured[key] = reached.get(key)
        missed.append(_missed(f"quality: {key}", measured[key], asked, least=key not in ERRORS))
    if any(missed):
        raise VerificationError(
            "The model does not meet the requirement's limits; nothing was written.",
            "\n".join(line for line in missed if line),
            _advice(model),
        )
    return measured


def _measure(limits: Limits, model: TargetModel, path: Path | None, rows: Rows) -> dict[str, Any]:
    """What is limited → what it is."""
    measured: dict[str, Any] = {}
    if limits.parameters is not None:
        measured["parameters"] = sum(p.numel() for p in model.parameters())
        measured["parameters"] += ENCODER_PARAMETERS if _embeds_text(model) else 0
    if path is None:
        left = [key for key in ON_FILE if getattr(limits, key) is not None]
        if left:
            log.warning("limits: %s can be measured on a model.onnx only: not checked here.", ", ".join(left))
        return measured
    if limits.size is not None:
        measured["size"] = path.stat().st_size
    if limits.flops is not None:
        measured["flops"] = measure_flops(path, rows)
    if limits.latency_ms is not None:
        measured["latency_ms"] = measure_latency(path, limits.batch_size, limits.threads, rows)
    if limits.memory is not None:
        measured["memory"] = measure_memory(path, limits.batch_size, limits.threads, rows)
    return measured


def _missed(name: str, value: float | None, asked: float, *, least: bool) -> str:
    """What was measured and asked, where the one doesn't meet the other; else ""."""
    if value is not None and (value >= asked if least else value <= asked):
        return ""
    shown = (
        "unknown (no rows to measure it on)"
        if value is None
        else f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
    )
    return f"{name}: {shown}, the limit is {asked:,}"


def _embeds_text(model: TargetModel) -> bool:
    """Whether a table's model holds the text encoder."""
    return is_table(model) and bool(model.codec.textual)


def _advice(model: TargetModel) -> str:
    if not is_table(model):
        return "Try deploy: quantize: int8 (smaller and faster), a smaller --backbone, or a looser limit."
    dropped = "--text-columns drop, " if _embeds_text(model) else ""
    return f"Try fewer --members (smaller and faster), deploy: quantize: int8, {dropped}or a looser limit."
