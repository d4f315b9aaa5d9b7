"""A table's ``model.onnx``: the deployable, one file; raw columns in, answers out, the model card in its metadata.

Between the target model and its verification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import onnx

from modelgpt_cli.artifacts.graph import DEFAULT_OPSET, GraphWriter
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import graph_metadata
from modelgpt_cli.artifacts.outputs import OUTPUTS, answer_outputs, is_wide, write_answers
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import MAX_LEVELS
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.shared.names import CONSTANTS, TARGET
from modelgpt_cli.domains.shared.onnx_text_encoder import encoder_weights
from modelgpt_cli.domains.tabular import kernel_model, onnx_features
from modelgpt_cli.domains.tabular.features import SourceStats
from modelgpt_cli.domains.tabular.graph_inputs import describe_inputs, graph_inputs, input_infos
from modelgpt_cli.domains.tabular.model import INTERVAL, PARAMETERS, SPREAD, TRANSFORM, TabularModel
from modelgpt_cli.domains.tabular.onnx_kernel import kernel_scores
from modelgpt_cli.domains.tabular.onnx_network import SCALE, linear_inputs, network_scores, write_numbers
from modelgpt_cli.domains.tabular.onnx_trees import tree_scores
from modelgpt_cli.domains.tabular.text_columns import PREFIX
from modelgpt_cli.domains.tabular.tree_model import tensor_names
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder
from modelgpt_cli.runtime.session import TOKENIZER


def to_onnx(
    model: TabularModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
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
    rows, options
        Not needed here.

    Returns
    -------
    onnx.ModelProto
        Inputs (N, 1), float32 or string (``""`` = missing). Outputs ``label`` (N,) and ``probabilities`` (N, C), or
        ``prediction`` (N, 1) and, of a model with an interval, ``lower`` and ``upper`` (N, 1). The same model gives
        the same bytes.
    """
    blueprint = model.blueprint
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    if quantize != "none":
        for name in (name for name in PARAMETERS if not name.endswith("bias")):
            state |= _quantised(name, state[name], quantize)
    inputs = graph_inputs(model.preprocessor.columns)
    encoder = shipped_encoder() if model.preprocessor.textual else None
    weights = encoder_weights(encoder.state()) if encoder else {}
    g = GraphWriter(state | weights, [*(name for names in inputs for name in names), *OUTPUTS], opset=opset)
    full, flat = onnx_features.encode(g, model.preprocessor, inputs)
    linear = linear_inputs(g, full, flat)
    scores = network_scores(g, full, flat, linear, inputs[0][0])
    if model.kernel is not None:
        scores = g.op("Add", scores, kernel_scores(g, linear))
    if model.trees is not None:
        read = onnx_features.tree_features(g, model.preprocessor, inputs, model.trees.orders)
        scores = g.op("Add", scores, tree_scores(g, model.trees, read, blueprint.n_outputs))
    wide = blueprint.task == "regression" and is_wide(g, TARGET)
    if blueprint.task == "regression":
        names = {"target": TARGET, "transform": CONSTANTS + TRANSFORM if blueprint.transform else ""}
        names |= {"interval": CONSTANTS + INTERVAL if model.has_interval else "", "spread": CONSTANTS + SPREAD}
        write_numbers(g, scores, linear, kind=model.transform.kind, **names)
    else:
        write_answers(g, blueprint, scores, TARGET)
    metadata = graph_metadata(g, model_card(blueprint), state, opset=opset, quantize=quantize)
    if encoder:
        metadata[TOKENIZER] = encoder.tokenizer_json
    return g.model(
        input_infos(model.preprocessor.columns, inputs),
        answer_outputs(blueprint, interval=model.has_interval, wide=wide),
        metadata,
    )


def default_opset(model: TabularModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def calibration_rows(model: TabularModel, data: Data) -> None:
    """Return None: a table's weights are quantised without rows."""


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only tables have: the columns as inputs."""
    return {"inputs": describe_inputs(blueprint.used)}


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph; see `artifacts.onnx_file.OnnxWriter`."""
    strings = sum(column.type in ("boolean", "categorical") for column in blueprint.columns)
    names = [f"{onnx_features.SOURCES}{field.name}" for field in fields(SourceStats)]
    names += [f"{onnx_features.TABLES}{i}" for i in range(strings)]
    named = [column for column in blueprint.used if column.type in ("boolean", "categorical")]
    names += [f"{onnx_features.STATISTICS}{i}" for i, c in enumerate(named) if len(c.levels) > MAX_LEVELS]
    texts = sum(column.is_text and bool(column.components) for column in blueprint.columns)
    names += [f"{CONSTANTS}{PREFIX}{i}.{part}" for i in range(texts) for part in ("mean", "components")]
    if blueprint.task == "regression":
        names += [TARGET, *([CONSTANTS + TRANSFORM] if blueprint.transform else [])]
        if blueprint.interval:
            names += [CONSTANTS + INTERVAL, CONSTANTS + SPREAD]
    if blueprint.architecture.trees:
        names += tensor_names(len(named))
    if blueprint.architecture.kernel:
        names += kernel_model.tensor_names()
    return {name: tensors[name] for name in [*names, *PARAMETERS]}


def _quantised(name: str, values: np.ndarray, quantize: str) -> dict[str, np.ndarray]:
    """A weight as the file keeps it; for "int8" with a scale per member and column."""
    if quantize == "fp16":
        limit = float(np.finfo(np.float16).max)
        return {name: np.clip(values, -limit, limit).astype(np.float16)}
    scale = np.abs(values).max(-2, keepdims=True, initial=0) / 127
    scale[scale == 0] = 1
    return {name: np.round(values / scale).astype(np.int8), name + SCALE: scale.astype(np.float32)}
