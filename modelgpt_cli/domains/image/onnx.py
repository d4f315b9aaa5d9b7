"""An image model's ``model.onnx``: images of any size in, answers out. The ONNX twin of `domains.image.model`.

Between the target model and `artifact.verify_image`; `onnx_file` and `onnx_text` are its like for tables and texts.
Shapes: N images, H, W pixels, S pixels a side of what the trunk sees, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_card import BACKBONE, HEAD_INPUTS, OUTPUTS, model_card
from modelgpt_cli.artifacts.onnx_state import entries
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.image.model import HEAD_BIAS, HEAD_WEIGHT, ImageModel
from modelgpt_cli.domains.image.onnx_pixels import PIXELS, normalised, seen_pixels
from modelgpt_cli.domains.image.onnx_trunk import trunk_features
from modelgpt_cli.domains.tabular.onnx import check_options
from modelgpt_cli.domains.tabular.onnx_network import answer_outputs, probabilities


def image_to_onnx(
    model: ImageModel, *, opset: int = 17, quantize: str = "none", images: Sequence[np.ndarray] = ()
) -> onnx.ModelProto:
    """Write an image model as an ONNX graph, with preprocessing inside.

    Parameters
    ----------
    model : ImageModel
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        "fp16": convolutions are kept as float16 and computed with in float32. "int8": they are kept and computed in 8
        bits, with fixed ranges of their inputs that `images` show: an answer doesn't depend on the batch. The head
        stays float32.
    images : sequence of uint8 (H, W, 3)
        What the ranges are measured on.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, uint8 (N, H, W, 3) of any N, H and W. Outputs ``label`` (N,) and ``probabilities`` (N, C). The
        same model gives the same bytes.

    Raises
    ------
    UsageError
        An option is off, or there are no images to measure ranges on.
    """
    check_options(opset, quantize)
    if quantize == "int8" and not len(images):
        raise UsageError(
            "int8 needs images like those that the model is for, to measure the ranges of its numbers on.",
            hint="Give them with --data DIR.",
        )
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    g = GraphWriter(state, [IMAGE, PIXELS, HEAD_INPUTS, *OUTPUTS], opset=opset)
    values = normalised(g, seen_pixels(g, IMAGE, model.view), model.view)  # (N, 3, S, S)
    features = trunk_features(g, model.trunk, values, BACKBONE, quantize=quantize)
    inputs = g.op("Identity", features, output=HEAD_INPUTS)  # (N, E)
    scores = g.op("Add", g.op("MatMul", inputs, g.tensor(HEAD_WEIGHT)), g.tensor(HEAD_BIAS))
    probabilities(g, scores, model.blueprint.labels)
    metadata = entries(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    image = helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])
    proto = g.model([image], answer_outputs(model.blueprint), metadata)
    if quantize == "int8":
        from modelgpt_cli.domains.image.onnx_integers import in_integers

        proto = in_integers(proto, IMAGE, images)
    return proto
