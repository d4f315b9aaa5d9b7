"""A ``model.onnx`` of marked texts: token ids, words and their shapes in; scores of the words' tags out.

The ONNX twin of `spans.model`, between the target model and its verification.
Shapes: N windows, T tokens, W words, E state size, D states of the layers that are read, P head inputs, L tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import DEFAULT_OPSET, GraphWriter
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import graph_metadata
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.onnx_text_encoder import encoder_layout, layer_states, shrink_encoder
from modelgpt_cli.domains.text.spans.architectures import N_SHAPES
from modelgpt_cli.domains.text.spans.model import EPS, MEAN, NEIGHBOUR, SCALE, SpanModel
from modelgpt_cli.domains.text.spans.words import SHAPES, WORDS
from modelgpt_cli.domains.text.token_rows import IDS, MASK

SCORES, INPUTS = "scores", "word.inputs"
"""The output, and the inner value that the head reads, (N, W, P); the verification looks at it."""


def default_opset(model: SpanModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph."""
    names = [name for name in tensors if name.startswith(BACKBONE)]
    return {name: tensors[name] for name in (*names, HEAD_WEIGHT, HEAD_BIAS, MEAN, SCALE)}


def calibration_rows(model: SpanModel, data: Data) -> None:
    """Return None: the model is quantised without rows."""


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only marked texts have."""
    config, column = blueprint.architecture.encoder, blueprint.used[0]
    sizes = {"layers": config.get("num_hidden_layers"), "size": config.get("hidden_size")}
    return {
        "inputs": [
            {"name": column.name, "type": "text", "role": column.role}
            | ({"description": column.description} if column.description else {})
        ],
        "tokenizer": "metadata",
        "max_tokens": blueprint.architecture.max_tokens,
        "backbone": {"card": blueprint.architecture.card, "type": config.get("model_type")}
        | {name: value for name, value in sizes.items() if value is not None},
    }


def to_onnx(
    model: SpanModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write a model of marked texts as an ONNX graph.

    Parameters
    ----------
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        As for texts: of the encoder; the head stays float32.
    rows
        Not needed here.
    options : mapping, optional
        None are known.

    Returns
    -------
    onnx.ModelProto
        Inputs ``input_ids``, ``attention_mask``, ``word_ids`` int64 (N, T) and ``shapes`` int64 (N, W + 2); output
        ``scores`` float32 (N, W, L), the logarithms of the probabilities of each word's tags.

    Raises
    ------
    UsageError
        The tokenizer was asked for in the graph.
    """
    if (options or {}).get("tokenizer_in_graph"):
        raise UsageError(
            "--tokenizer-in-graph is not for marked texts.", "A span is cut from its text.", "Leave it out."
        )
    layout = encoder_layout(model.encoder.config, BACKBONE)
    assert layout is not None, "the build takes no other encoder"
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    g = GraphWriter(state, [IDS, MASK, WORDS, SHAPES, SCORES, INPUTS], opset=opset)
    shrink_encoder(g.state, layout, quantize, model.blueprint.architecture.max_tokens)
    present = g.op("Cast", MASK, to=TensorProto.FLOAT)
    hidden = layer_states(g, layout, IDS, present)
    shares = _shares(g)
    states = [_standard(g, g.op("MatMul", shares, hidden[layer]), k) for k, layer in enumerate(model.layers)]
    inputs = g.op("Identity", _with_neighbours(g, g.join(states, -1)), output=INPUTS)  # (N, W, P)
    logits = g.op("Add", g.op("MatMul", inputs, g.tensor(HEAD_WEIGHT)), g.tensor(HEAD_BIAS))
    _tag_scores(g, logits, model.n_tags, len(model.head_bias))
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize) | model.extras()
    sides = {IDS: "T", MASK: "T", WORDS: "T", SHAPES: "W_and_2"}
    graph_inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["N", side]) for n, side in sides.items()]
    return g.model(
        graph_inputs, [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["N", "W", model.n_tags])], metadata
    )


def _tag_scores(g: GraphWriter, logits: str, n_tags: int, n_columns: int) -> None:
    """`SCORES` of logits (N, W, L + H): what is rather one of the H tags of other kinds is in no span."""
    if n_columns == n_tags:
        g.op("LogSoftmax", logits, axis=-1, output=SCORES)
        return
    found = g.op("LogSoftmax", logits, axis=-1)

    def cut(first: int, end: int) -> str:
        return g.op("Slice", found, g.index(first), g.index(end), g.index(2))

    rest = g.reduce("ReduceLogSumExp", g.join([cut(0, 1), cut(n_tags, n_columns)], -1), -1)
    g.op("Concat", rest, cut(1, n_tags), axis=-1, output=SCORES)


def _shares(g: GraphWriter) -> str:
    """What makes means of the states of each word's pieces, (N, W, T)."""
    n_words = g.op(
        "Sub", g.op("Squeeze", g.op("Slice", g.op("Shape", SHAPES), g.index(1), g.index(2))), g.const(2, np.int64)
    )
    one = g.const(1, np.int64)
    numbers = g.op("Range", one, g.op("Add", n_words, one), one)  # (W,)
    mine = g.op("Equal", g.op("Unsqueeze", WORDS, g.index(1)), g.op("Unsqueeze", numbers, g.index(0, 2)))
    mine = g.op("Cast", mine, to=TensorProto.FLOAT)
    return g.op("Div", mine, g.op("Max", g.reduce("ReduceSum", mine, 2), g.const(1)))


def _standard(g: GraphWriter, states: str, k: int) -> str:
    """States (N, W, E) of the layer that is read as number k, alike in all directions, each of length 1."""
    mean, scale = (g.op("Gather", g.tensor(name), g.index(k), axis=0) for name in (MEAN, SCALE))  # (1, E)
    x = g.op("Div", g.op("Sub", states, mean), scale)
    length = g.op("Sqrt", g.reduce("ReduceSum", g.op("Mul", x, x), -1))
    return g.op("Div", x, g.op("Max", length, g.const(EPS)))


def _with_neighbours(g: GraphWriter, states: str) -> str:
    """What the head sees of each word, (N, W, P), from the states (N, W, D) and the shapes; see `word_inputs`."""
    padded = g.op("Pad", states, g.index(0, 1, 0, 0, 1, 0), g.const(0))
    there = g.op("Not", g.op("Equal", SHAPES, g.const(0, np.int64)))
    padded = g.op("Mul", padded, g.op("Unsqueeze", g.op("Cast", there, to=TensorProto.FLOAT), g.index(2)))
    kinds = g.op("OneHot", SHAPES, g.const(N_SHAPES, np.int64), g.const([0, 1]), axis=-1)  # (N, W + 2, S)
    half = g.const(NEIGHBOUR)
    ends = {"before": (0, -2), "own": (1, -1), "behind": (2, np.iinfo(np.int64).max)}

    def cut(x: str, side: str) -> str:
        first, last = ends[side]
        return g.op("Slice", x, g.index(first), g.index(last), g.index(1))

    parts = [states, cut(kinds, "own")]
    for side in ("before", "behind"):
        parts += [g.op("Mul", cut(padded, side), half), cut(kinds, side)]
    return g.join(parts, -1)
