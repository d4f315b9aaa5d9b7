"""The verified contract: a requirement's limits, measured on the exported file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from modelgpt_cli.artifact.target_model import TargetModel, is_table
from modelgpt_cli.domains.tabular.text_rows import TEXT_WORDS
from modelgpt_cli.errors import VerificationError
from modelgpt_cli.parameter_generator.shipped_encoder import PARAMETERS as ENCODER_PARAMETERS
from modelgpt_cli.requirement_generator.limits import Limits
from modelgpt_cli.runtime.session import IMAGE

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

Rows: TypeAlias = "pd.DataFrame | Sequence[np.ndarray] | None"
"""Typed rows of the real data; of the image domain pictures, uint8 (H, W, 3) each."""
RUNS = 50
_WARM_UP = 5
_ENOUGH_SECONDS = 10.0
TYPICAL_TEXT = "The parcel came a week late, but the people at the counter were kind and gave me the money back."
TYPICAL_SIDE = 256
"""What a text and an image model's latency are measured on where there are no rows of the user's."""


def check_limits(
    limits: Limits,
    model: TargetModel,
    path: Path | None,
    metrics: dict[str, dict[str, float]],
    rows: Rows = None,
) -> dict[str, Any]:
    """Measure what the requirement limits.

    Parameters
    ----------
    path : Path or None
        The exported file; None leaves size and latency unmeasured (``model.safetensors``).
    metrics : dict
        Cross-validated metrics of the model.
    rows : DataFrame or sequence of uint8 (H, W, 3), optional
        Typed rows of the real data, or pictures: a text or image model's latency is measured on the first of them, as
        how long a text, or large a picture, is makes much of it.

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
        measured["parameters"] += ENCODER_PARAMETERS if _embeds_text(model) else 0
    if limits.accuracy is not None:
        measured["accuracy"] = metrics.get("model", {}).get("accuracy")
    if path is not None and limits.size is not None:
        measured["size"] = path.stat().st_size
    if path is not None and limits.latency_ms is not None:
        measured["latency_ms"] = measure_latency(path, limits.batch_size, limits.threads, rows)
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
            _advice(model),
        )
    return measured


def _embeds_text(model: TargetModel) -> bool:
    """Whether a table's model holds the text encoder."""
    return is_table(model) and bool(model.codec.textual)


def _advice(model: TargetModel) -> str:
    if not is_table(model):
        return "Try limits: quantize: int8 (smaller and faster), a smaller --backbone, or a looser limit."
    dropped = "--text-columns drop, " if _embeds_text(model) else ""
    return f"Try fewer --members (smaller and faster), limits: quantize: int8, {dropped}or a looser limit."


def measure_latency(path: Path, batch_size: int, threads: int, rows: Rows = None) -> float:
    """Median milliseconds of one batch, after a warm-up.

    A table's rows are neutral ones, with texts of `TEXT_WORDS` words; texts and pictures are `rows`, or `TYPICAL_TEXT`
    and pictures of `TYPICAL_SIDE` pixels.
    """
    from modelgpt_cli.runtime.session import Model

    session = Model(path, threads=threads)
    if session.reads_images:
        columns = _pictures(batch_size, rows)
    else:
        columns = _texts(session, batch_size, rows) if session.reads_texts else _neutral(session, batch_size)
    times: list[float] = []
    while len(times) < RUNS + _WARM_UP and (sum(times) < _ENOUGH_SECONDS or len(times) < 2 * _WARM_UP):
        start = time.perf_counter()
        session.run(columns)
        times.append(time.perf_counter() - start)
    return float(np.median(times[_WARM_UP:]) * 1000)


def _pictures(batch_size: int, rows: Rows) -> dict[str, Any]:
    """A batch of the given pictures, over and over if they are few."""
    given: Sequence[np.ndarray] = () if rows is None or isinstance(rows, pd.DataFrame) else rows
    found = given[:batch_size] if len(given) else [np.full((TYPICAL_SIDE, TYPICAL_SIDE, 3), 127, dtype=np.uint8)]
    return {IMAGE: [found[i % len(found)] for i in range(batch_size)]}


def _texts(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """A batch of the given texts, over and over if they are few."""
    columns = {}
    for i in session.inputs:
        given = (
            []
            if not isinstance(rows, pd.DataFrame) or i.column not in rows
            else rows[i.column].iloc[:batch_size].tolist()
        )
        columns[i.column] = np.resize(np.array(given or [TYPICAL_TEXT], dtype=object), batch_size)
    return columns


def _neutral(session: Model, batch_size: int) -> dict[str, Any]:
    cells: dict[str, Any] = {"categorical": "", "boolean": "", "text": "word " * TEXT_WORDS}
    return {
        entry["name"]: np.full(batch_size, cells[entry["type"]], dtype=object)
        if entry["type"] in cells
        else np.full(batch_size, np.nan, dtype=np.float32)
        for entry in session.metadata["inputs"]
    }
