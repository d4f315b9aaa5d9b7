"""The proof before a table's file appears: missing, unseen, huge and odd cells, each level, and the user's own rows.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.artifacts.verify import BATCHES, TOLERANCE, check_difference, difference, graph_session, in_batches
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.tokens import load_tokenizer, padded, token_ids
from modelgpt_cli.domains.tabular.graph_inputs import graph_inputs
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder

TOLERANCES: dict[str, float] = {"none": TOLERANCE, "fp16": 0.01, "int8": 0.1}
"""The largest difference that passes, by quantisation: what it costs in accuracy is for labelled rows to say; here a
broken graph is to be told from a rounded one."""
_FLOATS = (np.nan, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e6, -1e6, 1e30, 1e37, -1e37, 1e308, -1e308, np.inf, -np.inf)
_TEXTS = (None, "word", "Two words, 1 comma.", "  ", "Ünïcode – ☕ 漢字", "a longer text " * 4)
_TYPICAL = 24
_GIVEN, _GIVEN_TEXTS = 32, 8
"""Rows of the user's that are taken; fewer where each costs a pass of the text encoder."""


def verify(
    model: TabularModel,
    raw: bytes,
    rows: pd.DataFrame | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported model against the original.

    Parameters
    ----------
    model : TabularModel
        The original.
    raw : bytes
        The export.
    rows : DataFrame, optional
        Typed rows of the real data, to be compared as well; the first few are taken.
    quantize : {"none", "fp16", "int8"}
        What was done to the weights.
    options
        Not needed here.

    Returns
    -------
    float
        The largest difference of a probability, or of a prediction in standard deviations of the target (steps that
        float32 can't tell apart don't count).

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses the graph, or a difference is above the tolerance.
    """
    session = graph_session(raw)
    frame = edge_rows(model)
    if rows is not None and len(rows):
        given = rows.iloc[: _GIVEN_TEXTS if model.preprocessor.textual else _GIVEN].reindex(columns=frame.columns)
        frame = pd.concat([frame, given.astype(frame.dtypes)], ignore_index=True)
    x, codes = model.preprocessor.arrays(frame)
    with torch.inference_mode():
        expected = model.answers(torch.from_numpy(x), torch.from_numpy(codes)).numpy()

    cells = _feed(model, frame)
    worst = 0.0
    for size in BATCHES:
        outputs = in_batches(session, lambda place: {name: c[place] for name, c in cells.items()}, len(frame), size)
        gap = difference(model.blueprint, expected, outputs, _unit(model))
        if model.transform.kind != "none":  # steep where answers are large: there, what the network itself is off by
            straight = [model.standardised(values) for values in (expected, np.concatenate(outputs, axis=1))]
            gap = np.minimum(gap, np.abs(straight[0] - straight[1]))
        worst = max(worst, float(gap.max()))
    check_difference(worst, TOLERANCES[quantize])
    return worst


def _unit(model: TabularModel) -> float:
    """What differences of predictions are told in: the standard deviation that the target has near its middle."""
    if model.transform.kind == "none":
        return model.target_std
    mean, std = model.constants["target"].double()
    ends = model.transform.backward(torch.stack([mean - std, mean + std]))
    return float((ends[1] - ends[0]).abs()) / 2


def edge_rows(model: TabularModel) -> pd.DataFrame:
    """Return typed rows that try a model's edges: odd cells, each level, and typical rows."""
    columns = model.preprocessor.columns
    levels = dict(zip(model.preprocessor.categorical, model.preprocessor.levels, strict=True))
    strings = max((len(names) for names in levels.values()), default=0)
    n_rows = max(len(_FLOATS), strings + 2) + _TYPICAL
    rng = np.random.default_rng(0)
    cells: dict[str, Any] = {}
    for i, column in enumerate(columns):
        if column.is_float:
            cells[column.name] = _float_cells(column, n_rows, rng)
        elif column.is_text:
            cells[column.name] = pd.Series([_TEXTS[row % len(_TEXTS)] for row in range(n_rows)], dtype=object)
        else:
            cells[column.name] = pd.Series(_string_cells(levels[i], n_rows, rng), dtype=object)
    rows: pd.DataFrame = pd.DataFrame(cells)
    return rows


def _float_cells(column: Column, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """The odd numbers in the first rows, alike in all columns; then numbers like the column's own, some missing."""
    mean, std = column.mean or 0.0, column.std or 1.0
    cells = mean + std * rng.standard_normal(n_rows)
    cells[rng.random(n_rows) < 0.1] = np.nan
    cells[: len(_FLOATS)] = _FLOATS
    return cells


def _string_cells(levels: tuple[str, ...], n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Missing, unseen, then every level in turn; then random ones."""
    unseen = "unseen"
    while unseen in levels:
        unseen += "?"
    names = np.array([None, unseen, *levels], dtype=object)
    cells = names[rng.integers(0, len(names), n_rows)]
    cells[: len(names)] = names
    return cells


def _feed(model: TabularModel, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Typed rows as the graph takes them, (N, 1) each, or (N, T) of a text."""
    columns = model.preprocessor.columns
    feed: dict[str, np.ndarray] = {}
    with np.errstate(over="ignore"):
        for column, names in zip(columns, graph_inputs(columns), strict=True):
            name, cells = names[0], frame[column.name]
            if column.is_text:
                tokenizer = load_tokenizer(shipped_encoder().tokenizer_json)
                feed |= dict(zip(names, padded(token_ids(tokenizer, cells.tolist())), strict=True))
                continue
            array = cells.to_numpy(np.float32) if column.is_float else cells.where(cells.notna(), "").to_numpy(object)
            feed[name] = array[:, None]
    return feed
