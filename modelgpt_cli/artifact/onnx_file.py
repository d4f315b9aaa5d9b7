"""``model.onnx``: the deployable, one file; raw columns in, answers out, and the card in its metadata.

Between the target model and `artifact.verify`; `read_onnx_state` goes the way back, for `tune` and `export`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import modelgpt_cli
from modelgpt_cli.artifact import onnx_features
from modelgpt_cli.artifact.card import OUTPUTS, graph_inputs, model_card
from modelgpt_cli.artifact.onnx_graph import ML_DOMAIN, GraphWriter
from modelgpt_cli.artifact.onnx_network import (
    SCALE,
    bounds,
    integer_labels,
    linear_inputs,
    network_scores,
    prediction,
    probabilities,
)
from modelgpt_cli.artifact.onnx_text_encoder import encoder_weights
from modelgpt_cli.domains.tabular.features import SourceStats
from modelgpt_cli.domains.tabular.model import CONSTANTS, INTERVAL, PARAMETERS, SPREAD, TabularModel
from modelgpt_cli.domains.tabular.text_columns import PREFIX
from modelgpt_cli.errors import ModelGPTError, UsageError
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder
from modelgpt_cli.runtime.session import TOKENIZER, check_file, parse_metadata

QUANTIZE = ("none", "fp16", "int8")
OPSETS = range(13, 21)
ML_OPSET = 3
_REST = "modelgpt_state"
"""Metadata entry with the tensors that no node uses: onnxruntime complains of idle initializers."""
_TARGET = CONSTANTS + "target"


def to_onnx(model: TabularModel, *, opset: int = 17, quantize: str = "none") -> onnx.ModelProto:
    """Write a model as an ONNX graph, with preprocessing and postprocessing inside.

    Parameters
    ----------
    model : TabularModel
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        How the network's weights are kept: "fp16" halves the file, "int8" quarters it. The runtime turns them back
        into float32 when it loads the model, so that answers come as fast, and don't depend on the batch, as they do
        where a runtime quantises each batch by itself.

    Returns
    -------
    onnx.ModelProto
        Inputs (N, 1), float32 or string (``""`` = missing). Outputs ``label`` (N,) and ``probabilities`` (N, C), or
        ``prediction`` (N, 1) and, of a model with an interval, ``lower`` and ``upper`` (N, 1). The same model gives
        the same bytes.

    Raises
    ------
    UsageError
        Another opset, or an unknown kind of quantisation.
    """
    check_options(opset, quantize)
    blueprint = model.blueprint
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    if quantize != "none":
        for name in (name for name in PARAMETERS if not name.endswith("bias")):
            state |= _quantised(name, state[name], quantize)
    inputs = graph_inputs(model.codec.columns)
    encoder = shipped_encoder() if model.codec.textual else None
    weights = encoder_weights(encoder.state()) if encoder else {}
    g = GraphWriter(state | weights, [*(name for names in inputs for name in names), *OUTPUTS])
    full, flat = onnx_features.encode(g, model.codec, inputs, opset=opset)
    linear = linear_inputs(g, full, flat)
    scores = network_scores(g, full, flat, linear, inputs[0][0])
    if blueprint.task == "classification":
        probabilities(g, scores, blueprint.labels)
    else:
        prediction(g, scores, _TARGET)
        if model.has_interval:
            bounds(g, scores, linear, CONSTANTS + INTERVAL, CONSTANTS + SPREAD)

    graph = helper.make_graph(g.nodes, "modelgpt", _inputs(model, inputs), _outputs(model), list(g.constants.values()))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    proto = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="modelgpt",
        producer_version=modelgpt_cli.__version__,
    )
    card = model_card(blueprint) | {"export": {"opset": opset, "quantize": quantize}}
    entries = {"modelgpt": json.dumps(card, allow_nan=False)}
    if encoder:
        entries[TOKENIZER] = encoder.tokenizer_json
    if quantize == "none":
        entries[_REST] = json.dumps({k: _pack(v) for k, v in state.items() if k not in g.constants})
    helper.set_model_props(proto, entries)
    return proto


def check_options(opset: int, quantize: str) -> None:
    """Make sure, before any work, that these can be written.

    Raises
    ------
    UsageError
        Another opset, or an unknown kind of quantisation.
    """
    if opset not in OPSETS:
        raise UsageError(f"--opset {opset} is not supported.", f"It may be {OPSETS[0]} to {OPSETS[-1]}.")
    if quantize not in QUANTIZE:
        raise UsageError(f"--quantize {quantize} is not known.", f"It may be {', '.join(QUANTIZE)}.")


def read_onnx_state(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the card and the tensors of an fp32 ``model.onnx`` back.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    card : dict
    state : dict of Tensor
        As `TabularModel` takes it.

    Raises
    ------
    ModelGPTError
        The file is absent, corrupted, foreign, or quantised.
    """
    path = Path(path)
    check_file(path)
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ModelGPTError(
            f"{path} can't be read.", "It is corrupted, or no ONNX file.", "Build the model again."
        ) from error
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    card = parse_metadata(entries.get("modelgpt"), path)
    quantize = (card.get("export") or {}).get("quantize", "none")
    if quantize != "none":
        raise ModelGPTError(
            f"{path} is quantised ({quantize}).",
            "Its exact numbers are gone.",
            "Use the model.safetensors, or the unquantised model.onnx, that it was exported from.",
        )
    try:
        state = {name: _unpack(packed) for name, packed in json.loads(entries.get(_REST, "{}")).items()}
        state |= {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        wanted = _state_names(card["blueprint"])
        return card, {name: torch.from_numpy(np.array(state[name])) for name in wanted}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        cause = f"{error} is missing." if isinstance(error, KeyError) else str(error)
        raise ModelGPTError(f"{path} is damaged.", cause, "Build or export the model again.") from error


def _state_names(blueprint: Mapping[str, Any]) -> list[str]:
    """The tensors that a model of this blueprint has."""
    strings = sum(column["type"] in ("boolean", "categorical") for column in blueprint["columns"])
    names = [f"{onnx_features.SOURCES}{field.name}" for field in fields(SourceStats)]
    names += [f"{onnx_features.TABLES}{i}" for i in range(strings)]
    texts = sum(column["type"] == "text" and bool(column.get("components")) for column in blueprint["columns"])
    names += [f"{CONSTANTS}{PREFIX}{i}.{part}" for i in range(texts) for part in ("mean", "components")]
    if blueprint["task"] == "regression":
        names.append(_TARGET)
        if blueprint.get("interval"):
            names += [CONSTANTS + INTERVAL, CONSTANTS + SPREAD]
    return [*names, *PARAMETERS]


def _inputs(model: TabularModel, inputs: list[tuple[str, ...]]) -> list[onnx.ValueInfoProto]:
    found = []
    for column, names in zip(model.codec.columns, inputs, strict=True):
        kind = TensorProto.FLOAT if column.is_float else TensorProto.STRING
        for name in names:
            if column.is_text:
                found.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["N", f"{names[0]} tokens"]))
            else:
                found.append(helper.make_tensor_value_info(name, kind, ["N", 1]))
    return found


def _outputs(model: TabularModel) -> list[onnx.ValueInfoProto]:
    if model.blueprint.task == "regression":
        names = ["prediction", "lower", "upper"] if model.has_interval else ["prediction"]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in names]
    labels = model.blueprint.labels
    kind = TensorProto.INT64 if integer_labels(labels) else TensorProto.STRING
    return [
        helper.make_tensor_value_info("label", kind, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(labels)]),
    ]


def _quantised(name: str, values: np.ndarray, quantize: str) -> dict[str, np.ndarray]:
    """A weight as the file keeps it; for "int8" with a scale per member and column."""
    if quantize == "fp16":
        limit = float(np.finfo(np.float16).max)
        return {name: np.clip(values, -limit, limit).astype(np.float16)}
    scale = np.abs(values).max(-2, keepdims=True, initial=0) / 127
    scale[scale == 0] = 1
    return {name: np.round(values / scale).astype(np.int8), name + SCALE: scale.astype(np.float32)}


def _pack(array: np.ndarray) -> dict[str, Any]:
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
    }


def _unpack(packed: Mapping[str, Any]) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(packed["data"]), dtype=packed["dtype"])
    return data.reshape(packed["shape"])
