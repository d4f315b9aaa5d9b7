"""The verified contract: a requirement's limits, measured on the exported file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.text_rows import TEXT_WORDS
from modelgpt_cli.errors import VerificationError
from modelgpt_cli.parameter_generator.shipped_encoder import PARAMETERS as ENCODER_PARAMETERS
from modelgpt_cli.requirement_generator.limits import Limits

RUNS = 50


def check_limits(
    limits: Limits, model: TabularModel, path: Path | None, metrics: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Measure what the requirement limits.

    Parameters
    ----------
    path : Path or None
        The exported file; None leaves size and latency unmeasured (``model.safetensors``).
    metrics : dict
        Cross-validated metrics of the model.

    Returns
    -------
    dict
        Limit → what was measured, for the limits that are set.

    Raises
    ------
    VerificationError
        If one isn't met; names them all with what was measured.
    """
    measured: dict[str, Any] = {}
    if limits.parameters is not None:
        measured["parameters"] = sum(p.numel() for p in model.parameters())
        measured["parameters"] += ENCODER_PARAMETERS if model.codec.textual else 0
    if limits.accuracy is not None:
        measured["accuracy"] = metrics.get("model", {}).get("accuracy")
    if path is not None and limits.size is not None:
        measured["size"] = path.stat().st_size
    if path is not None and limits.latency_ms is not None:
        measured["latency_ms"] = measure_latency(path, limits.batch_size, limits.threads)
    missed = []
    for name, value in measured.items():
        limit = getattr(limits, name)
        ok = value is not None and (value >= limit if name == "accuracy" else value <= limit)
        if not ok:
            shown = "unknown" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
            missed.append(f"{name}: {shown}, the limit is {limit:,}")
    if missed:
        raise VerificationError(
            "The model does not meet the requirement's limits; nothing was written.",
            "\n".join(missed),
            "Try fewer --members (smaller and faster), limits: quantize: int8, "
            + ("--text-columns drop, " if model.codec.textual else "")
            + "or a looser limit.",
        )
    return measured


def measure_latency(path: Path, batch_size: int, threads: int) -> float:
    """Median milliseconds of one batch of neutral rows (texts of `TEXT_WORDS` words), after a warm-up."""
    from modelgpt_cli.runtime.session import Model

    session = Model(path, threads=threads)
    cells: dict[str, Any] = {"categorical": "", "boolean": "", "text": "word " * TEXT_WORDS}
    columns = {
        entry["name"]: np.full(batch_size, cells[entry["type"]], dtype=object)
        if entry["type"] in cells
        else np.full(batch_size, np.nan, dtype=np.float32)
        for entry in session.metadata["inputs"]
    }
    times = []
    for _ in range(RUNS + 5):
        start = time.perf_counter()
        session.run(columns)
        times.append(time.perf_counter() - start)
    return float(np.median(times[5:]) * 1000)
