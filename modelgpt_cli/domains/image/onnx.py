"""An image model's ``model.onnx``: images of any size in, answers out. The ONNX twin of `domains.image.model`.

Between the target model and its verification.
Shapes: N images, H, W pixels, S pixels a side of what the trunk sees, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import DEFAULT_OPSET, GraphWriter
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import graph_metadata
from modelgpt_cli.artifacts.outputs import OUTPUTS, answer_outputs
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import SHARP, ImageError
from modelgpt_cli.domains.image.files import decoded, find_images
from modelgpt_cli.domains.image.model import IMAGE_COLUMN, ImageModel
from modelgpt_cli.domains.image.onnx_pixels import PIXELS, normalised, seen_pixels
from modelgpt_cli.domains.image.onnx_trunk import trunk_features
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_INPUTS
from modelgpt_cli.domains.shared.onnx_backbone import read_state, write_head

__all__ = ["calibration_rows", "card_entries", "default_opset", "read_state", "to_onnx"]
_IMAGE = IMAGE_COLUMN.name
CALIBRATION = 128
"""In 8 bits: the ranges of a network's numbers are measured on so many images of the user's, or a few more."""


def default_opset(model: ImageModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def calibration_rows(model: ImageModel, data: Data) -> list[np.ndarray]:
    """Read images of the user's, drawn evenly, to measure ranges on: uint8 (H, W, 3) each."""
    files = find_images([data])
    step = max(1, len(files) // CALIBRATION)
    least = SHARP * model.view.resize
    found = [image for part in decoded(files[::step], least=least) for image in part.images]
    return [image for image in found if not isinstance(image, ImageError)]


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only images have: the trunk, and how an image is cut for it."""
    view = dict(blueprint.architecture.encoder)
    network = view.pop("network")
    return {
        "inputs": [{"name": _IMAGE, "type": "image", "role": "image"}],
        "backbone": {"card": blueprint.architecture.card, "type": network},
        "image": view,
    }


def to_onnx(
    model: ImageModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Sequence[np.ndarray] | None = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write an image model as an ONNX graph, with preprocessing inside.

    Parameters
    ----------
    model : ImageModel
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        "fp16": convolutions are kept as float16 and computed with in float32. "int8": they are kept and computed in 8
        bits, with fixed ranges of their inputs that `rows` show: an answer doesn't depend on the batch. The head
        stays float32.
    rows : sequence of uint8 (H, W, 3), optional
        Images that the ranges are measured on.
    options
        Not needed here.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, uint8 (N, H, W, 3) of any N, H and W. Outputs ``label`` (N,) and ``probabilities`` (N, C). The
        same model gives the same bytes.

    Raises
    ------
    UsageError
        There are no images to measure ranges on.
    """
    images = () if rows is None else rows
    if quantize == "int8" and not len(images):
        raise UsageError(
            "int8 needs images like those that the model is for, to measure the ranges of its numbers on.",
            hint="Give them with --data DIR.",
        )
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    g = GraphWriter(state, [_IMAGE, PIXELS, HEAD_INPUTS, *OUTPUTS], opset=opset)
    values = normalised(g, seen_pixels(g, _IMAGE, model.view), model.view)  # (N, 3, S, S)
    features = trunk_features(g, model.trunk, values, BACKBONE, quantize=quantize)
    write_head(g, model.blueprint, features)
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    image = helper.make_tensor_value_info(_IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])
    proto = g.model([image], answer_outputs(model.blueprint), metadata)
    if quantize == "int8":
        from modelgpt_cli.domains.image.onnx_integers import in_integers

        proto = in_integers(proto, _IMAGE, images)
    return proto
