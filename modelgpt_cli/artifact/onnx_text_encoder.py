"""The default text encoder as nodes of a graph: the ONNX twin of `parameter_generator.minilm` with pooling.

A BERT encoder (post-norm), the sum over token states scaled to length 1. Batch and number of tokens are free.
Shapes: N texts, T tokens, E embedding size, A attention heads, H = E / A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from onnx import TensorProto
from torch import Tensor

from modelgpt_cli.artifact.card import ENCODER
from modelgpt_cli.artifact.onnx_graph import GraphWriter
from modelgpt_cli.parameter_generator.shipped_encoder import MAX_TOKENS, rounded

PREFIX = ENCODER
HEADS = 12
EPS = 1e-12
_SCALE = ".scale"
_POSITIONS = "positions"
_MASKED = -10_000.0


def encoder_weights(state: Mapping[str, Tensor], *, quantized: bool = True) -> dict[str, np.ndarray]:
    """The initializers of the encoder's graph.

    Parameters
    ----------
    state : mapping of str to Tensor
        `MiniLM`'s.
    quantized : bool
        Whether matrices are kept as int8 with a scale for each output (word: for each token).
    """
    weights: dict[str, np.ndarray] = {}
    for key, tensor in state.items():
        name, value = PREFIX + key, tensor.detach().cpu().float().numpy()
        if key.startswith(("positions.", "types.")):
            continue
        if value.ndim == 2 and quantized:
            integers, scale = rounded(value)
            word = key.startswith("words.")
            weights[name] = integers if word else integers.T
            weights[name + _SCALE] = scale if word else scale.T
        else:
            weights[name] = value if value.ndim == 1 or key.startswith("words.") else value.T
    positions = state["positions.weight"][:MAX_TOKENS] + state["types.weight"][0]
    weights[PREFIX + _POSITIONS] = positions.detach().cpu().float().numpy()
    return weights


def embed(g: GraphWriter, ids: str, mask: str, *, opset: int) -> str:
    """Write the encoder's nodes.

    Parameters
    ----------
    g : GraphWriter
        Its state holds `encoder_weights`.
    ids, mask : str
        int64 (N, T); an all-zero mask (a missing text) gives zeros.
    opset : int

    Returns
    -------
    str
        float32 (N, E), each row of length 1.
    """
    x = _norm(g, _embeddings(g, ids), PREFIX + "norm", opset)
    present = g.op("Cast", mask, to=TensorProto.FLOAT)  # (N, T)
    hidden = g.op("Mul", g.op("Sub", g.const(1), present), g.const(_MASKED))
    hidden = g.op("Unsqueeze", hidden, g.index(1, 2))  # (N, 1, 1, T)
    layers = 1 + max(int(name.split(".")[3]) for name in g.state if name.startswith(PREFIX + "layers.layers."))
    for i in range(layers):
        layer = f"{PREFIX}layers.layers.{i}."
        x = _norm(g, g.op("Add", x, _attention(g, x, hidden, layer)), layer + "norm1", opset)
        x = _norm(g, g.op("Add", x, _feed_forward(g, x, layer)), layer + "norm2", opset)
    total = g.op("ReduceSum", g.op("Mul", x, g.op("Unsqueeze", present, g.index(2))), g.index(1), keepdims=0)  # (N, E)
    length = g.op("Sqrt", g.op("ReduceSum", g.op("Mul", total, total), g.index(1), keepdims=1))
    return g.op("Div", total, g.op("Max", length, g.const(EPS)))


def _embeddings(g: GraphWriter, ids: str) -> str:
    """Word, position and type embeddings, (N, T, E)."""
    words = g.op("Gather", g.tensor(PREFIX + "words.weight"), ids, axis=0)
    if PREFIX + "words.weight" + _SCALE in g.state:
        scale = g.op("Gather", g.tensor(PREFIX + "words.weight" + _SCALE), ids, axis=0)  # (N, T, 1)
        words = g.op("Mul", g.op("Cast", words, to=TensorProto.FLOAT), scale)
    length = g.op("Slice", g.op("Shape", ids), g.index(1), g.index(2))
    positions = g.op("Slice", g.tensor(PREFIX + _POSITIONS), g.index(0), length, g.index(0))  # (T, E)
    return g.op("Add", words, positions)


def _attention(g: GraphWriter, x: str, hidden: str, layer: str) -> str:
    """Multi-head self-attention, (N, T, E)."""
    size = g.state[PREFIX + _POSITIONS].shape[1]
    joined = _linear(g, x, layer + "self_attn.in_proj_weight", layer + "self_attn.in_proj_bias")  # (N, T, 3 E)
    heads = []
    for part in range(3):
        piece = g.op("Slice", joined, g.index(part * size), g.index((part + 1) * size), g.index(2))
        split = g.op("Reshape", piece, g.index(0, 0, HEADS, size // HEADS))
        # keys: (N, A, H, T); queries and values: (N, A, T, H)
        heads.append(g.op("Transpose", split, perm=[0, 2, 3, 1] if part == 1 else [0, 2, 1, 3]))
    query, key, value = heads
    scores = g.op("Mul", g.op("MatMul", query, key), g.const(1 / math.sqrt(size // HEADS)))
    share = g.op("Softmax", g.op("Add", scores, hidden), axis=-1)  # (N, A, T, T)
    mixed = g.op("Transpose", g.op("MatMul", share, value), perm=[0, 2, 1, 3])
    mixed = g.op("Reshape", mixed, g.index(0, 0, size))
    return _linear(g, mixed, layer + "self_attn.out_proj.weight", layer + "self_attn.out_proj.bias")


def _feed_forward(g: GraphWriter, x: str, layer: str) -> str:
    """Two linear layers with the exact GELU between them, (N, T, E)."""
    inner = _linear(g, x, layer + "linear1.weight", layer + "linear1.bias")
    half = g.op("Add", g.op("Erf", g.op("Div", inner, g.const(math.sqrt(2)))), g.const(1))
    gelu = g.op("Mul", g.op("Mul", inner, half), g.const(0.5))
    return _linear(g, gelu, layer + "linear2.weight", layer + "linear2.bias")


def _linear(g: GraphWriter, x: str, weight: str, bias: str) -> str:
    """A linear layer; 8-bit weights become float32 once, when the runtime loads the model."""
    matrix = g.tensor(weight)
    if weight + _SCALE in g.state:
        # Written once, whatever the number of text columns that read it.
        matrix = g.once(
            weight, lambda: g.op("Mul", g.op("Cast", matrix, to=TensorProto.FLOAT), g.tensor(weight + _SCALE))
        )
    return g.op("Add", g.op("MatMul", x, matrix), g.tensor(bias))


def _norm(g: GraphWriter, x: str, name: str, opset: int) -> str:
    """Layer normalisation over the last axis."""
    weight, bias = g.tensor(name + ".weight"), g.tensor(name + ".bias")
    if opset >= 17:
        return g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=EPS)
    size = g.const(g.state[name + ".weight"].shape[0])
    mean = g.op("Div", g.op("ReduceSum", x, g.index(-1), keepdims=1), size)
    centred = g.op("Sub", x, mean)
    variance = g.op("Div", g.op("ReduceSum", g.op("Mul", centred, centred), g.index(-1), keepdims=1), size)
    scaled = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.const(EPS))))
    return g.op("Add", g.op("Mul", scaled, weight), bias)
