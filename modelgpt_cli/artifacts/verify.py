"""The proof before a file appears: the ONNX checker, then onnxruntime against torch on rows that could go wrong.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import torch
from onnx import helper

from modelgpt_cli.artifacts.model_card import graph_inputs
from modelgpt_cli.artifacts.target_model import TargetModel, is_image
from modelgpt_cli.core.errors import VerificationError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.tokens import load_tokenizer, padded, token_ids
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder
from modelgpt_cli.runtime.session import register_extensions

TOLERANCE = 1e-4
BATCHES = (1, 2, 7)
_FLOATS = (np.nan, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e6, -1e6, 1e30, 1e37, -1e37, 1e308, -1e308, np.inf, -np.inf)
_TEXTS = (None, "word", "Two words, 1 comma.", "  ", "Ünïcode – ☕ 漢字", "a longer text " * 4)
_TYPICAL = 24
_GIVEN, _GIVEN_TEXTS = 32, 8


def verify(
    model: TabularModel,
    proto: onnx.ModelProto | bytes,
    rows: pd.DataFrame | None = None,
    tolerance: float = TOLERANCE,
) -> float:
    """Hold an exported model against the original.

    Parameters
    ----------
    model : TabularModel
        The original.
    proto : onnx.ModelProto or bytes
        The export.
    rows : DataFrame, optional
        Typed rows of the real data, to be compared as well; the first few are taken.
    tolerance : float
        The largest difference of a probability, or of a prediction in standard deviations of the target (steps that
        float32 can't tell apart don't count), that passes.

    Returns
    -------
    float
        The largest difference found.

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses the graph, or a difference is above the tolerance.
    """
    raw = proto if isinstance(proto, bytes) else proto.SerializeToString(deterministic=True)
    session = graph_session(raw)
    frame = edge_rows(model)
    if rows is not None and len(rows):
        given = rows.iloc[: _GIVEN_TEXTS if model.codec.textual else _GIVEN].reindex(columns=frame.columns)
        frame = pd.concat([frame, given.astype(frame.dtypes)], ignore_index=True)
    x, codes = model.codec.arrays(frame)
    with torch.inference_mode():
        expected = model.answers(torch.from_numpy(x), torch.from_numpy(codes)).numpy()

    feed = _feed(model, frame)
    worst = 0.0
    for size in BATCHES:
        parts = [
            session.run(None, {name: cells[start : start + size] for name, cells in feed.items()})
            for start in range(0, len(frame), size)
        ]
        outputs = [np.concatenate(part) for part in zip(*parts, strict=True)]
        worst = max(worst, float(difference(model, expected, outputs).max()))
    if worst > tolerance:
        raise failed(f"It differs from the original by {worst:.2g}; {tolerance:.2g} is allowed.")
    return worst


def edge_rows(model: TabularModel) -> pd.DataFrame:
    """Typed rows that try a model's edges: missing, unseen, huge and odd cells, each level, and typical rows."""
    columns = model.codec.columns
    levels = dict(zip(model.codec.categorical, model.codec.levels, strict=True))
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
    return pd.DataFrame(cells)


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


def graph_session(raw: bytes, *, extensions: bool = False) -> ort.InferenceSession:
    """Check a graph and load it; with the operators of onnxruntime-extensions where it needs them.

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if extensions:
        register_extensions(options)
    try:
        onnx.checker.check_model(raw)
        return ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        detail = " ".join(str(error).split())
        raise VerificationError("The exported model can't be loaded; nothing was written.", detail[:300]) from error


def with_inner_values(raw: bytes, values: Mapping[str, tuple[int, Sequence[str | int]]]) -> bytes:
    """The graph with some of its inner values (element type and shape of each) as its last outputs."""
    proto = onnx.load_model_from_string(raw)
    proto.graph.output.extend(helper.make_tensor_value_info(name, *about) for name, about in values.items())
    changed: bytes = proto.SerializeToString()
    return changed


def relative_gap(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """How far what a quantised model's head sees, (N, P), is from the original's, in shares of its length, (N,)."""
    gap: np.ndarray = np.linalg.norm(got - expected, axis=1) / np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    return gap


def check_gap(off: np.ndarray, largest: float, mean: float) -> None:
    """Hold gaps, (N,), against the largest and the mean one that pass.

    Raises
    ------
    VerificationError
        One is above.
    """
    if not off.max() <= largest or not off.mean() <= mean:
        raise failed(
            f"What its head sees is off by {off.max():.2g} of its length, by {off.mean():.2g} in the mean; "
            f"{largest:.2g} and {mean:.2g} are allowed."
        )


def _feed(model: TabularModel, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Typed rows as the graph takes them, (N, 1) each, or (N, T) of a text."""
    columns = model.codec.columns
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


def difference(model: TargetModel, expected: np.ndarray, outputs: list[np.ndarray]) -> np.ndarray:
    """How far the graph's answers are from torch's: of probabilities (N, C), or of all outputs in a row, in standard
    deviations of the target.

    Raises
    ------
    VerificationError
        There are answers that are no numbers, too few, or labels that are not the likeliest.
    """
    got = outputs[-1] if model.blueprint.task == "classification" else np.concatenate(outputs, axis=1)
    if not np.isfinite(expected).all():
        raise failed("The original itself gives answers that are no numbers.")
    if got.shape != expected.shape or not np.isfinite(got).all():
        raise failed("It gives answers that are no numbers, or not one for each row and class.")
    gap: np.ndarray = np.abs(got.astype(np.float64) - expected)
    if model.blueprint.task == "regression" and not is_image(model):
        steps = 2 * np.spacing(np.abs(expected)).astype(np.float64)
        return np.maximum(gap - steps, 0) / (float(model.constants["target"][1]) or 1.0)
    best = [model.blueprint.labels[k] for k in got.argmax(1)]
    if [str(label) for label in outputs[0].tolist()] != best:
        raise failed("Its label is not the one with the highest probability.")
    return gap


def failed(cause: str) -> VerificationError:
    """The error for an export that is not what it should be."""
    return VerificationError(
        "The exported model failed its verification; nothing was written.",
        cause,
        "Try another --opset, or --quantize none; if it still fails, please report it.",
    )
