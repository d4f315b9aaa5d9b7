"""A table's ``model.onnx``: the deployable, one file; raw columns in, answers out, and the card in its metadata.

Between the target model and `artifact.verify`; `onnx_text` is its like for texts.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_card import OUTPUTS, graph_inputs, model_card
from modelgpt_cli.artifacts.onnx_state import TARGET, entries
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.onnx_text_encoder import encoder_weights
from modelgpt_cli.domains.tabular import onnx_features
from modelgpt_cli.domains.tabular.model import CONSTANTS, INTERVAL, PARAMETERS, SPREAD, TabularModel
from modelgpt_cli.domains.tabular.onnx_network import (
    SCALE,
    answer_outputs,
    bounds,
    linear_inputs,
    network_scores,
    prediction,
    probabilities,
)
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder
from modelgpt_cli.runtime.session import TOKENIZER

QUANTIZE = ("none", "fp16", "int8")
OPSETS = range(13, 21)


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
    g = GraphWriter(state | weights, [*(name for names in inputs for name in names), *OUTPUTS], opset=opset)
    full, flat = onnx_features.encode(g, model.codec, inputs)
    linear = linear_inputs(g, full, flat)
    scores = network_scores(g, full, flat, linear, inputs[0][0])
    if blueprint.task == "classification":
        probabilities(g, scores, blueprint.labels)
    else:
        prediction(g, scores, TARGET)
        if model.has_interval:
            bounds(g, scores, linear, CONSTANTS + INTERVAL, CONSTANTS + SPREAD)

    metadata = entries(g, model_card(blueprint), state, opset=opset, quantize=quantize)
    if encoder:
        metadata[TOKENIZER] = encoder.tokenizer_json
    return g.model(_inputs(model, inputs), answer_outputs(blueprint, interval=model.has_interval), metadata)


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


def _quantised(name: str, values: np.ndarray, quantize: str) -> dict[str, np.ndarray]:
    """A weight as the file keeps it; for "int8" with a scale per member and column."""
    if quantize == "fp16":
        limit = float(np.finfo(np.float16).max)
        return {name: np.clip(values, -limit, limit).astype(np.float16)}
    scale = np.abs(values).max(-2, keepdims=True, initial=0) / 127
    scale[scale == 0] = 1
    return {name: np.round(values / scale).astype(np.int8), name + SCALE: scale.astype(np.float32)}
