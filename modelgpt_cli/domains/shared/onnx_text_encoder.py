"""Text encoders as nodes of a graph: BERT and its like, token ids to token states, for texts and for tables' columns.

Post-norm layers with learned positions: the ONNX twin of transformers' BertModel and DistilBertModel, and of
`parameter_generator.minilm`. Batch and number of tokens are free.
Shapes: N texts, T tokens, E state size, A attention heads, H = E / A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from torch import Tensor

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.shared.names import ENCODER
from modelgpt_cli.domains.shared.onnx_weights import factor, kept, kept_for_integers, linear, rows
from modelgpt_cli.parameter_generator.shipped_encoder import EMBEDDING, MAX_TOKENS

_BERT = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "types": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm",
    "layer": "encoder.layer.",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm2": "output.LayerNorm",
}
_DISTILBERT = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "norm": "embeddings.LayerNorm",
    "layer": "transformer.layer.",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "mix": "attention.out_lin",
    "norm1": "sa_layer_norm",
    "widen": "ffn.lin1",
    "narrow": "ffn.lin2",
    "norm2": "output_layer_norm",
}
_LINEAR = ("query", "key", "value", "mix", "widen", "narrow")
_MASKED = -10_000.0
_EPS = 1e-12


@dataclass(frozen=True)
class EncoderLayout:
    """The sizes of an encoder, and what its tensors are called.

    Attributes
    ----------
    prefix : str
        What all its tensors' names in the graph begin with.
    names : mapping of str to str
        Part → name.
    activation : str
        Of the feed-forward layers, as transformers calls it; one of `ACTIVATIONS`.
    """

    prefix: str
    names: Mapping[str, str]
    layers: int
    heads: int
    size: int
    eps: float
    activation: str = "gelu"

    def name(self, part: str) -> str:
        """A tensor, or a module, outside of the layers."""
        return self.prefix + self.names[part]

    def inner(self, layer: int, part: str) -> str:
        """A module of a layer."""
        return f"{self.prefix}{self.names['layer']}{layer}.{self.names[part]}"

    @property
    def matrices(self) -> list[tuple[str, str]]:
        """Weight and bias of every linear layer."""
        modules = [self.inner(i, part) for i in range(self.layers) for part in _LINEAR]
        return [(f"{module}.weight", f"{module}.bias") for module in modules]

    @property
    def tables(self) -> list[str]:
        """The tables of embeddings that are worth making smaller."""
        return [self.name("words")]


TABLE_ENCODER = EncoderLayout(ENCODER, _BERT, layers=6, heads=12, size=EMBEDDING, eps=1e-12)
"""The encoder of tables' text columns."""


def encoder_layout(config: Any, prefix: str) -> EncoderLayout | None:
    """The layout of an encoder that `token_states` can write; None for another kind.

    Parameters
    ----------
    config : PretrainedConfig
        As transformers holds it.
    prefix : str
    """
    names = {"bert": _BERT, "distilbert": _DISTILBERT}.get(config.model_type)
    if names is None or getattr(config, "position_embedding_type", "absolute") != "absolute":
        return None
    if getattr(config, "is_decoder", False) or getattr(config, "sinusoidal_pos_embds", False):
        return None
    distilled = config.model_type == "distilbert"
    activation = config.activation if distilled else config.hidden_act
    if activation not in ACTIVATIONS:
        return None
    return EncoderLayout(
        prefix,
        names,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        size=config.hidden_size,
        eps=1e-12 if distilled else config.layer_norm_eps,
        activation=activation,
    )


def encoder_weights(state: Mapping[str, Tensor], *, quantized: bool = True) -> dict[str, np.ndarray]:
    """The initializers of `embed`'s nodes.

    Parameters
    ----------
    state : mapping of str to Tensor
        `MiniLM`'s.
    quantized : bool
        Whether matrices are kept as int8 with a scale for each output (word: for each token).
    """
    weights: dict[str, np.ndarray] = {}
    for name, tensor in _bert_names(state).items():
        value = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        small = quantized and value.ndim == 2 and "position" not in name and "token_type" not in name
        weights |= kept(ENCODER + name, value, "int8") if small else {ENCODER + name: value}
    positions = TABLE_ENCODER.name("positions")
    weights[positions] = weights[positions][:MAX_TOKENS]
    return weights


def embed(g: GraphWriter, ids: str, mask: str) -> str:
    """Write the nodes of the encoder of tables' text columns.

    Parameters
    ----------
    g : GraphWriter
        Its state holds `encoder_weights`.
    ids, mask : str
        int64 (N, T); an all-zero mask (a missing text) gives zeros.

    Returns
    -------
    str
        float32 (N, E), each row of length 1.
    """
    present = g.op("Cast", mask, to=TensorProto.FLOAT)  # (N, T)
    return mean_direction(g, token_states(g, TABLE_ENCODER, ids, present), present)


def shrink_encoder(state: dict[str, Any], layout: EncoderLayout, quantize: str, window: int) -> None:
    """Put an encoder's weights into the form in which the file keeps them."""
    for name in layout.tables:
        state |= kept(name, state[name], quantize)
    if quantize != "none":
        state[layout.name("positions")] = state[layout.name("positions")][:window]
    for weight, bias in layout.matrices:
        if quantize == "int8":
            state |= kept_for_integers(weight, state[weight], state[bias])
        else:
            state |= kept(weight, state[weight], quantize)


def mean_direction(g: GraphWriter, states: str, weight: str) -> str:
    """The direction of the mean of some tokens' states: (N, E) of length 1, or 0 where there are none.

    Parameters
    ----------
    states : str
        (N, T, E)
    weight : str
        float32 (N, T): 1 for the tokens that count.
    """
    total = g.reduce("ReduceSum", g.op("Mul", states, g.op("Unsqueeze", weight, g.index(2))), 1, keep=False)
    length = g.op("Sqrt", g.reduce("ReduceSum", g.op("Mul", total, total), 1))
    return g.op("Div", total, g.op("Max", length, g.const(_EPS)))


def token_states(g: GraphWriter, e: EncoderLayout, ids: str, present: str, types: str = "") -> str:
    """Write an encoder's nodes; see `layer_states`. The last layer's states are returned, float32 (N, T, E)."""
    return layer_states(g, e, ids, present, types)[-1]


def layer_states(g: GraphWriter, e: EncoderLayout, ids: str, present: str, types: str = "") -> list[str]:
    """Write an encoder's nodes.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the weights.
    ids : str
        int64 (N, T)
    present : str
        float32 (N, T): 1 for tokens, 0 for padding.
    types : str, optional
        int64 (N, T); all are of the first type without.

    Returns
    -------
    list of str
        float32 (N, T, E) each: the embeddings, and what each layer makes of them.
    """
    x = layer_norm(g, _embeddings(g, e, ids, types), e.name("norm"), e.eps)
    hidden = g.op("Mul", g.op("Sub", g.const(1), present), g.const(_MASKED))
    hidden = g.op("Unsqueeze", hidden, g.index(1, 2))  # (N, 1, 1, T)
    states = [x]
    for i in range(e.layers):
        x = layer_norm(g, g.op("Add", _attention(g, e, i, x, hidden), x), e.inner(i, "norm1"), e.eps)
        x = layer_norm(g, g.op("Add", _feed_forward(g, e, i, x), x), e.inner(i, "norm2"), e.eps)
        states.append(x)
    return states


def _embeddings(g: GraphWriter, e: EncoderLayout, ids: str, types: str) -> str:
    """Word, position and type embeddings, (N, T, E)."""
    length = g.op("Slice", g.op("Shape", ids), g.index(1), g.index(2))
    positions = g.op("Slice", g.tensor(e.name("positions")), g.index(0), length, g.index(0))  # (T, E)
    x = g.op("Add", rows(g, e.name("words"), ids), positions)
    if "types" not in e.names:
        return x
    return g.op("Add", x, rows(g, e.name("types"), types or g.const(0, np.int64)))


def _attention(g: GraphWriter, e: EncoderLayout, i: int, x: str, hidden: str) -> str:
    """Multi-head self-attention, (N, T, E)."""
    shared = factor(g, x, e.inner(i, "query") + ".weight")
    heads = []
    for part in ("query", "key", "value"):
        split = g.op("Reshape", _linear(g, e, i, part, shared), g.index(0, 0, e.heads, e.size // e.heads))
        # keys: (N, A, H, T); queries and values: (N, A, T, H)
        heads.append(g.op("Transpose", split, perm=[0, 2, 3, 1] if part == "key" else [0, 2, 1, 3]))
    query, key, value = heads
    scores = g.op("Div", g.op("MatMul", query, key), g.const(math.sqrt(e.size // e.heads)))
    share = g.op("Softmax", g.op("Add", scores, hidden), axis=-1)  # (N, A, T, T)
    mixed = g.op("Transpose", g.op("MatMul", share, value), perm=[0, 2, 1, 3])
    return _linear(g, e, i, "mix", g.op("Reshape", mixed, g.index(0, 0, e.size)))


def _feed_forward(g: GraphWriter, e: EncoderLayout, i: int, x: str) -> str:
    """Two linear layers with the activation between them, (N, T, E)."""
    inner = _linear(g, e, i, "widen", x)
    return _linear(g, e, i, "narrow", ACTIVATIONS[e.activation](g, inner))


def _linear(g: GraphWriter, e: EncoderLayout, i: int, part: str, x: Any) -> str:
    weight = e.inner(i, part) + ".weight"
    return linear(g, factor(g, x, weight) if isinstance(x, str) else x, weight, e.inner(i, part) + ".bias")


def _gelu(g: GraphWriter, x: str) -> str:
    half = g.op("Add", g.op("Erf", g.op("Div", x, g.const(math.sqrt(2)))), g.const(1))
    return g.op("Mul", g.op("Mul", x, half), g.const(0.5))


def _gelu_tanh(g: GraphWriter, x: str) -> str:
    cube = g.op("Mul", g.op("Mul", g.op("Mul", x, x), x), g.const(0.044715))
    inner = g.op("Mul", g.op("Add", x, cube), g.const(math.sqrt(2 / math.pi)))
    return g.op("Mul", g.op("Mul", x, g.const(0.5)), g.op("Add", g.op("Tanh", inner), g.const(1)))


ACTIVATIONS: dict[str, Callable[[GraphWriter, str], str]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda g, x: g.op("Relu", x),
    "silu": lambda g, x: g.op("Mul", x, g.op("Sigmoid", x)),
}


def layer_norm(g: GraphWriter, x: str, name: str, eps: float) -> str:
    """Layer normalisation over the last axis."""
    weight, bias = g.tensor(name + ".weight"), g.tensor(name + ".bias")
    if g.opset >= 17:
        return g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)
    size = g.const(g.state[name + ".weight"].shape[0])
    mean = g.op("Div", g.reduce("ReduceSum", x, -1), size)
    centred = g.op("Sub", x, mean)
    variance = g.op("Div", g.reduce("ReduceSum", g.op("Mul", centred, centred), -1), size)
    scaled = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.const(eps))))
    return g.op("Add", g.op("Mul", scaled, weight), bias)


_MINILM = {
    "words.weight": "words",
    "positions.weight": "positions",
    "types.weight": "types",
    "norm.weight": "norm",
    "norm.bias": "norm",
    "self_attn.out_proj": "mix",
    "norm1": "norm1",
    "norm2": "norm2",
    "linear1": "widen",
    "linear2": "narrow",
}
"""`MiniLM`'s names → parts."""


def _bert_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`MiniLM`'s parameters under BERT's names."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if not key.startswith("layers.layers."):
            part = _BERT[_MINILM[key]]
            found[f"{part}.{key.split('.')[1]}" if key.startswith("norm.") else part] = value
            continue
        _, _, number, rest = key.split(".", 3)
        layer = f"{_BERT['layer']}{number}."
        if rest.startswith("self_attn.in_proj_"):
            end = rest.removeprefix("self_attn.in_proj_")
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            found |= {f"{layer}{_BERT[part]}.{end}": piece for part, piece in parts}
        else:
            module, end = rest.rsplit(".", 1)
            found[f"{layer}{_BERT[_MINILM[module]]}.{end}"] = value
    return found
