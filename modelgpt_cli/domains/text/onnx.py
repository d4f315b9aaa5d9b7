"""A text model's ``model.onnx``: token ids, or raw texts, in; answers out. The ONNX twin of `domains.text.model`.

Between the target model and its verification.
Shapes: N rows, T tokens, E state size, P head inputs, C outputs.
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
from modelgpt_cli.artifacts.outputs import OUTPUTS, answer_outputs, is_wide
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.deploy import MAX_OPSET
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_INPUTS, TARGET, input_names
from modelgpt_cli.domains.shared.onnx_backbone import read_state as read_head
from modelgpt_cli.domains.shared.onnx_backbone import write_head
from modelgpt_cli.domains.shared.onnx_text_encoder import (
    EncoderLayout,
    encoder_layout,
    layer_states,
    mean_direction,
    shrink_encoder,
)
from modelgpt_cli.domains.text.inputs import COSINE, PRODUCT
from modelgpt_cli.domains.text.lexical import LEXICAL
from modelgpt_cli.domains.text.model import TextModel, text_columns
from modelgpt_cli.domains.text.multilingual import MultilingualEncoder
from modelgpt_cli.domains.text.onnx_lexical import lexical_scores
from modelgpt_cli.domains.text.onnx_multilingual import MultilingualNodes, make_small
from modelgpt_cli.domains.text.onnx_static import static_states
from modelgpt_cli.domains.text.requirement import ROLES
from modelgpt_cli.domains.text.sentence_encoder import SentenceEncoder
from modelgpt_cli.domains.text.static import StaticEncoder
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS

__all__ = ["calibration_rows", "card_entries", "default_opset", "read_state", "to_onnx"]
TRACED_OPSET = 18
"""The first that a traced encoder can be written in."""
_MOST_BYTES = 2_000_000_000
"""Protobuf's limit is a little above."""


def default_opset(model: TextModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET if _layout(model) or _is_ours(model) else TRACED_OPSET


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph."""
    return read_head(blueprint, tensors) | {name: tensors[name] for name in LEXICAL if name in tensors}


def calibration_rows(model: TextModel, data: Data) -> None:
    """Return None: a text model is quantised without rows."""


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only texts have: what is read, with which tokenizer, by which encoder."""
    columns = text_columns(blueprint.used)
    return {
        "inputs": [
            {"name": column.name, "type": "text", "role": role}
            | ({"description": column.description} if column.description else {})
            for column, role in zip(columns, ROLES[: len(columns)], strict=True)
        ],
        "tokenizer": "metadata",
        "max_tokens": blueprint.architecture.max_tokens,
        "backbone": _describe_backbone(blueprint),
    }


def _describe_backbone(blueprint: Blueprint) -> dict[str, Any]:
    """Name the encoder and its sizes, for people."""
    config = blueprint.architecture.encoder
    sizes = {"layers": ("num_hidden_layers", "n_layers"), "size": ("hidden_size", "dim")}
    found = {name: next((config[key] for key in keys if key in config), None) for name, keys in sizes.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return {"card": blueprint.architecture.card, "type": config.get("model_type"), **known}


def to_onnx(
    model: TextModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write a text model as an ONNX graph.

    Parameters
    ----------
    model : TextModel
    opset : int
        Operator set, 13 to 20; at least 18 for an encoder that is not of BERT's or DistilBERT's kind.
    quantize : {"none", "fp16", "int8"}
        "fp16": the encoder's matrices are kept as float16 and computed with in float32. "int8": they are kept as 8-bit
        integers and multiplied as such, with each token's state rounded by itself: faster, and answers still don't
        depend on the batch. The head stays float32, and so do the words' weights.
    rows
        Not needed here.
    options : mapping, optional
        ``tokenizer_in_graph``: whether the graph takes raw texts and tokenises them by onnxruntime-extensions'
        operators.

    Returns
    -------
    onnx.ModelProto
        Inputs ``input_ids`` and ``attention_mask``, and for pairs ``token_type_ids`` (1 from the second text's first
        token on), int64 (N, T); or one string input (N,) for each column. Outputs ``label`` (N,) and
        ``probabilities`` (N, C), or ``prediction`` (N, 1). The same model gives the same bytes.

    Raises
    ------
    UsageError
        An option is off, or the tokenizer's work can't be done inside the graph.
    ModelGPTError
        The encoder can't be turned into a graph.
    """
    layout = _layout(model)
    if layout is None and not _is_ours(model) and opset < TRACED_OPSET:
        kind = model.blueprint.architecture.encoder.get("model_type")
        raise UsageError(
            f"--opset {opset} is not supported for {kind} encoders.", f"It may be {TRACED_OPSET} to {MAX_OPSET}."
        )
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    in_graph = (options or {}).get("tokenizer_in_graph", False)
    texts = input_names(column.name for column in model.columns) if in_graph else []
    names = texts or [IDS, MASK, *([SEGMENTS] if model.pair else [])]
    g = GraphWriter(state, [*names, HEAD_INPUTS, *OUTPUTS], opset=opset)
    tokens = _tokenize(g, model, texts) if texts else tuple(names)
    _write(g, model, layout, tokens, quantize)
    _check_size(g)
    kind, shape = (TensorProto.STRING, ["N"]) if texts else (TensorProto.INT64, ["N", "T"])
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    card = model_card(model.blueprint)
    if texts:
        card["tokenizer"] = "graph"
        card["inputs"] = [entry | {"input": name} for entry, name in zip(card["inputs"], texts, strict=True)]
    metadata = graph_metadata(g, card, state, opset=opset, quantize=quantize) | model.extras()
    wide = model.blueprint.task == "regression" and is_wide(g, TARGET)
    return g.model(inputs, answer_outputs(model.blueprint, wide=wide), metadata)


def _check_size(g: GraphWriter) -> None:
    size = sum(len(tensor.raw_data) for tensor in g.constants.values())
    if size > _MOST_BYTES:
        raise UsageError(
            f"The model's {size / 1e9:.1f} GB don't fit into one ONNX file.",
            "It may hold 2 GB.",
            "Make it smaller with --quantize fp16 or int8, or write a model.safetensors.",
        )


def _layout(model: TextModel) -> EncoderLayout | None:
    return None if _is_ours(model) else encoder_layout(model.encoder.config, BACKBONE)


def _is_ours(model: TextModel) -> bool:
    return isinstance(model.encoder, SentenceEncoder)


def _tokenize(g: GraphWriter, model: TextModel, texts: list[str]) -> tuple[str, ...]:
    from modelgpt_cli.domains.text.onnx_tokenizer import tokenize

    return tokenize(g, model.tokenizer_json, texts)


def _write(
    g: GraphWriter, model: TextModel, layout: EncoderLayout | None, tokens: tuple[str, ...], quantize: str
) -> None:
    """The nodes from token ids to the outputs."""
    ids, mask = tokens[:2]
    segments = tokens[2] if model.pair else ""
    types = segments if model.type_ids else ""
    present = g.op("Cast", mask, to=TensorProto.FLOAT)  # (N, T)
    if isinstance(model.encoder, MultilingualEncoder):
        make_small(g.state, BACKBONE, quantize)
        nodes = MultilingualNodes(g, BACKBONE, model.encoder.config.eps)
        inputs = _multilingual_inputs(g, nodes, ids, present, segments)
    elif isinstance(model.encoder, StaticEncoder):  # which is in 8-bit integers as it is
        inputs = _head_inputs(g, static_states(g, BACKBONE, ids), present, segments)
    elif layout is not None:
        shrink_encoder(g.state, layout, quantize, model.blueprint.architecture.max_tokens)
        states = layer_states(g, layout, ids, present, types)
        shown = states[-1:] + states[:1] * model.blueprint.architecture.word_layer
        parts = [_head_inputs(g, x, present, segments) for x in shown]
        inputs = parts[0] if len(parts) == 1 else g.join(parts)
    else:
        from modelgpt_cli.domains.text.onnx_traced import traced_states

        inputs = _head_inputs(g, traced_states(g, model, ids, mask, types, quantize), present, segments)
    beside = ""
    if model.lexical is not None:
        beside = lexical_scores(g, model.lexical.lexicon.vocabulary, ids, mask, segments)
    write_head(g, model.blueprint, inputs, beside)


def _head_inputs(g: GraphWriter, states: str, present: str, segments: str) -> str:
    """What the head sees (N, P); see `domains.text.inputs.head_inputs`. No pairs without `segments`."""
    if not segments:
        return mean_direction(g, states, present)
    second = g.op("Mul", g.op("Cast", segments, to=TensorProto.FLOAT), present)
    u = mean_direction(g, states, g.op("Sub", present, second))  # (N, E) each
    return _compared(g, u, mean_direction(g, states, second))


def _multilingual_inputs(g: GraphWriter, nodes: MultilingualNodes, ids: str, present: str, segments: str) -> str:
    """The same (N, P), from token ids by the multilingual encoder."""
    x = nodes.table(ids)
    if not segments:
        return nodes.embed(x, present)
    second = g.op("Mul", g.op("Cast", segments, to=TensorProto.FLOAT), present)
    return _compared(g, nodes.embed(x, g.op("Sub", present, second)), nodes.embed(x, second))


def _compared(g: GraphWriter, u: str, v: str) -> str:
    """The inputs of pairs of texts, from a direction (N, E) of each."""
    product = g.op("Mul", u, v)
    cosine = g.op("Mul", g.reduce("ReduceSum", product, 1), g.const(COSINE))
    distance = g.op("Abs", g.op("Sub", u, v))
    return g.join([u, v, distance, g.op("Mul", product, g.const(PRODUCT)), cosine])
