"""The proof before a text model's file appears: empty, odd and long texts, and the user's own.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from onnx import TensorProto

from modelgpt_cli.artifacts.verify import (
    BATCHES,
    check_difference,
    check_gap,
    failed,
    graph_session,
    in_batches,
    relative_gap,
    with_inner_values,
)
from modelgpt_cli.domains.shared.names import HEAD_INPUTS, input_names
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.shared.verify import worst_difference
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.token_rows import TextRows
from modelgpt_cli.runtime.session import TOKENIZER

TOLERANCES: dict[str, tuple[float, float]] = {"fp16": (0.02, 0.01), "int8": (0.5, 0.25)}
"""Of quantised models: how far, at most and in the mean of the rows, the head's inputs may be from the original's, in
shares of their length. What that costs in accuracy is for labelled rows to say; here a broken graph is to be told from
a rounded one."""
_BATCH_TOLERANCE = 0.03
"""Of the same shares, in the mean: a number on the edge of two steps may be rounded either way."""
_HEAD_INPUTS = {HEAD_INPUTS: (TensorProto.FLOAT, ("N", "P"))}
_TOKENS = 256
_GIVEN = 8
_TEXTS = (
    "",
    "a",
    "Two words, 1 comma!",
    " \t\n ",
    "Ünïcode – naïve café, 漢字 かな",
    "☕🙂👨‍👩‍👧 ok",
    "שלום עולם, مرحبا بالعالم",
    "bell\x07 zero\u200bwidth \ufeffmark \x1b[0m",
    "[SEP] [MASK] </s> <s>",
    "x" * 300,
)
_LONG = "a longer text, word by word, "


def verify(
    model: TextModel,
    raw: bytes,
    rows: pd.DataFrame | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported text model against the original.

    Exact weights must give the original's answers; quantised ones about the same head inputs, and from these what the
    original's head gives.

    Parameters
    ----------
    model : TextModel
        The original.
    raw : bytes
        The export.
    rows : DataFrame, optional
        Typed rows of the real data, to be compared as well; the first few are taken.
    quantize : {"none", "fp16", "int8"}
        What was done to the weights.
    options : mapping, optional
        ``tokenizer_in_graph``: whether the graph takes raw texts.

    Returns
    -------
    float
        The largest difference of a probability, or of a prediction in standard deviations of the target.

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses the graph, or a difference is above the tolerance.
    """
    in_graph = (options or {}).get("tokenizer_in_graph", False)
    session = graph_session(raw if quantize == "none" else with_inner_values(raw, _HEAD_INPUTS), extensions=in_graph)
    frame = edge_texts(model)
    if rows is not None and len(rows):
        given = rows.iloc[:_GIVEN].reindex(columns=frame.columns)
        frame = pd.concat([given.astype(object), frame], ignore_index=True)
    inputs = _head_inputs(model, frame)
    beside = None if model.lexical is None else model.lexical.of_rows(model.encode(frame))
    scale = model.constants["target"] if model.blueprint.task == "regression" else None
    feeds = _Feeds(model, raw, frame, in_graph)
    alone: np.ndarray | None = None
    worst = 0.0
    for size in BATCHES:
        outputs = in_batches(session, feeds, len(frame), size)
        exact = inputs
        if quantize != "none":
            seen = outputs.pop()
            alone = seen if alone is None else alone
            _check_head_inputs(inputs, seen, alone, *TOLERANCES[quantize])
            exact = seen
        check_difference(worst_difference(model, exact, outputs, scale, beside))
        worst = max(worst, worst_difference(model, inputs, outputs, scale, beside))
    return worst


@torch.inference_mode()
def _head_inputs(model: TextModel, frame: pd.DataFrame) -> np.ndarray:
    """What the original's head sees of some rows, (N, P)."""
    encoded = model.encode(frame)
    found = np.zeros((len(encoded), len(model.head_weight)), dtype=np.float32)
    for place, batch in encoded.batches(_TOKENS):
        found[place] = model.head_inputs(batch.ids, batch.mask, batch.segments).numpy()
    return found


def _check_head_inputs(expected: np.ndarray, got: np.ndarray, alone: np.ndarray, largest: float, mean: float) -> None:
    """Hold what the quantised graph's head sees against the original's, and against what it sees of single rows."""
    check_gap(relative_gap(expected, got), largest, mean)
    length = np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    apart = float((np.linalg.norm(got - alone, axis=1) / length).mean())
    if not apart <= _BATCH_TOLERANCE:
        raise failed(f"What its head sees depends on the batch: by {apart:.2g} of its length.")


def edge_texts(model: TextModel) -> pd.DataFrame:
    """Return rows that try a model's edges, one of them longer than its window; in pairs, with one side empty too."""
    texts = [*_TEXTS, _LONG * model.blueprint.architecture.max_tokens]
    names = [column.name for column in model.columns]
    if not model.pair:
        alone: pd.DataFrame = pd.DataFrame({names[0]: texts}, dtype=object)
        return alone
    pairs = [*zip(texts, reversed(texts), strict=True), (texts[2], ""), ("", texts[2]), (texts[-1], texts[2])]
    rows: pd.DataFrame = pd.DataFrame(pairs, columns=names, dtype=object)
    return rows


class _Feeds:
    """What the graph is given for some rows."""

    def __init__(self, model: TextModel, raw: bytes, frame: pd.DataFrame, in_graph: bool) -> None:
        columns = [["" if c is None or c != c else str(c) for c in frame[c.name]] for c in model.columns]
        self._texts: dict[str, Any] = {}
        if in_graph:
            names = input_names(column.name for column in model.columns)
            self._texts = {n: np.array(c, dtype=object) for n, c in zip(names, columns, strict=True)}
        else:
            # The tokenizer that the file carries, as whoever gets it reads it.
            entries = {e.key: e.value for e in onnx.load_model_from_string(raw).metadata_props}
            tokenizer = load_tokenizer(entries.get(TOKENIZER))
            self._rows = TextRows(tokenizer, columns[0], columns[1] if model.pair else None)

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: texts[rows] for name, texts in self._texts.items()} or self._rows.feed(rows)
