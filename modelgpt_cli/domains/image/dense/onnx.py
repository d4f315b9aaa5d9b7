"""A ``model.onnx`` of dense vision: images of any size in, a class of each pixel out. The ONNX twin of `model`.

Resizing and the way back to the image's own size are inside. Between the target model and its verification.
Shapes: N images, H, W pixels, H', W' of what the network sees, h, w places, P head inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import DEFAULT_OPSET, GraphWriter
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import graph_metadata
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.dense.feed import image_files
from modelgpt_cli.domains.image.dense.maps import COARSEST, CONTEXT, GROUPS, LEAST_COUNTED, STRIDE, View
from modelgpt_cli.domains.image.dense.model import (
    FINEST,
    NAMED_BIAS,
    NAMED_WEIGHT,
    PRIOR,
    PRIOR_STRENGTH,
    SCENE_COLUMN,
    SegmentationModel,
)
from modelgpt_cli.domains.image.dense.onnx_integers import drawn_images, need_images, stored, weight_of
from modelgpt_cli.domains.image.dense.seam import map_entries
from modelgpt_cli.domains.image.onnx_trunk import trunk_maps
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT

_IMAGE = SCENE_COLUMN.name
_PRIOR_WEIGHT = f"{PRIOR}weight"
MASK, SCORES = "mask", "place.scores"
"""The output, and the inner value that it is made from, (N, C, h, w); the verification looks at it."""


def default_opset(model: SegmentationModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph."""
    names = [name for name in tensors if name.startswith((BACKBONE, PRIOR)) or name in (NAMED_WEIGHT, NAMED_BIAS)]
    return {name: tensors[name] for name in (*names, HEAD_WEIGHT, HEAD_BIAS)}


def calibration_rows(model: SegmentationModel, data: Data) -> list[np.ndarray]:
    """Read images of the user's, drawn evenly, to measure ranges on: uint8 (H, W, 3) each."""
    return drawn_images(image_files, data, model.view.size)


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only dense vision has: the network, and how it sees an image."""
    return map_entries(blueprint, SCENE_COLUMN)


def to_onnx(
    model: SegmentationModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write a model of dense vision as an ONNX graph.

    Parameters
    ----------
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        "fp16": convolutions of the network are kept as float16 and computed with in float32. "int8": they are kept and
        computed in 8 bits, see `image.onnx_integers`; the head is stored in halves.
    rows : sequence of uint8 (H, W, 3), optional
        In 8 bits: images to measure ranges on.
    options
        Not needed here.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, uint8 (N, H, W, 3) of any N, H and W. Output ``mask``, uint8 (N, H, W): class indices.

    Raises
    ------
    UsageError
        8 bits are asked for, and there are no images to measure ranges on.
    """
    images = need_images(rows) if quantize == "int8" else ()
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    smaller = {}
    if quantize == "int8":
        smaller = stored(state, [HEAD_WEIGHT], "fp16")
        smaller |= stored(state, [name for name in (NAMED_WEIGHT, _PRIOR_WEIGHT) if name in state], "int8")
    g = GraphWriter(state | smaller, [_IMAGE, MASK, SCORES], opset=opset)
    sides = g.op("Slice", g.op("Shape", _IMAGE), g.index(1), g.index(3))  # (H, W)
    seen = _seen_sides(g, sides, model.view.size)
    values = _normalised(g, _resized_pixels(g, sides, seen), model.view)
    maps = trunk_maps(g, model.trunk, values, BACKBONE, quantize=quantize)
    if model.named is not None:
        scores = _named_scores(g, maps[2])
    else:
        scores = _scores(g, [g.op("Sqrt", one) for one in maps])
        if model.prior is not None:
            scores = g.op("Add", scores, _prior_scores(g, maps[2], len(model.head_bias)))
    _mask(g, g.op("Identity", scores, output=SCORES), sides)
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    image = helper.make_tensor_value_info(_IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])
    proto = g.model([image], [helper.make_tensor_value_info(MASK, TensorProto.UINT8, ["N", "H", "W"])], metadata)
    if quantize == "int8":
        from modelgpt_cli.domains.image.onnx_integers import in_integers

        proto = in_integers(proto, _IMAGE, images)
    return proto


def _seen_sides(g: GraphWriter, sides: str, size: int) -> str:
    """Height and width of what the network sees, int64 (2,); see `View.seen`."""
    longest = g.op("Cast", g.reduce("ReduceMax", sides, 0), to=TensorProto.DOUBLE)
    exact = g.op("Div", g.op("Mul", g.op("Cast", sides, to=TensorProto.DOUBLE), g.const(size, np.float64)), longest)
    steps = g.op("Div", exact, g.const(COARSEST, np.float64))
    whole = g.op("Cast", g.op("Floor", g.op("Add", steps, g.const(0.5, np.float64))), to=TensorProto.INT64)
    return g.op("Max", g.op("Mul", whole, g.index(COARSEST)), g.index(COARSEST))


def _resized_pixels(g: GraphWriter, sides: str, seen: str) -> str:
    """Images as the network's size has them, float32 (N, 3, H', W'), 0 to 255."""
    high, wide = (_weights(g, sides, seen, axis) for axis in (0, 1))  # (H', H), (W', W)
    values = g.op("Cast", g.op("Transpose", _IMAGE, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    across = g.op("MatMul", values, g.op("Transpose", wide, perm=[1, 0]))
    return g.op("MatMul", high, across)


def _weights(g: GraphWriter, sides: str, seen: str, axis: int) -> str:
    """What each source pixel gives to each target pixel; see `maps.resize_weights`."""
    source, target = (
        g.op("Cast", g.op("Gather", lengths, g.const(axis, np.int64)), to=TensorProto.DOUBLE)
        for lengths in (sides, seen)
    )
    zero, half, one = (g.const(number, np.float64) for number in (0, 0.5, 1))
    scale = g.op("Div", source, target)
    centres = g.op("Mul", g.op("Add", g.op("Range", zero, target, one), half), scale)
    centres = g.op("Unsqueeze", centres, g.index(1))  # (T, 1)
    pixels = g.op("Add", g.op("Range", zero, source, one), half)  # (L,)
    distance = g.op("Div", g.op("Abs", g.op("Sub", pixels, centres)), g.op("Max", scale, one))
    triangle = g.op("Max", g.op("Sub", one, distance), zero)
    return g.op("Cast", g.op("Div", triangle, g.reduce("ReduceSum", triangle, 1)), to=TensorProto.FLOAT)


def _normalised(g: GraphWriter, pixels: str, view: View) -> str:
    mean, std = (np.array(numbers, dtype=np.float64)[:, None, None] for numbers in (view.mean, view.std))
    return g.op("Add", g.op("Mul", pixels, g.const(1 / (255 * std))), g.const(-mean / std))


def _scores(g: GraphWriter, maps: list[str]) -> str:
    """Scores of each place, (N, C, h, w), of rooted maps; see `maps.scores_of`."""
    weight = _as_kernel(g, HEAD_WEIGHT)
    ends = np.cumsum([0, *GROUPS]).tolist()
    near, middle, around, far = (g.op("Slice", weight, g.index(a), g.index(b), g.index(1)) for a, b in pairwise(ends))
    places = g.op("Conv", maps[0], near, g.tensor(HEAD_BIAS), kernel_shape=[1, 1])
    of_sixteen = g.op("Conv", maps[1], middle, kernel_shape=[1, 1])
    context = g.op(
        "AveragePool",
        g.op("Conv", maps[1], around, kernel_shape=[1, 1]),
        kernel_shape=[CONTEXT, CONTEXT],
        pads=[CONTEXT // 2] * 4,
        count_include_pad=0,
    )
    of_last = g.op("Conv", maps[2], far, kernel_shape=[1, 1])
    scales = ((g.op("Add", of_sixteen, context), 2), (of_last, 4))
    for one, scale in scales:
        places = g.op("Add", places, _linear(g, one, scales=g.const([1, 1, scale, scale])))
    return places


def _named_scores(g: GraphWriter, last: str) -> str:
    """Scores of each place, (N, C, h, w), of the last map, not rooted; see `maps.named_scores`."""
    likely = _likely(g, last, NAMED_WEIGHT, NAMED_BIAS)
    return _places(g, g.op("Conv", likely, _as_kernel(g, HEAD_WEIGHT), g.tensor(HEAD_BIAS), kernel_shape=[1, 1]))


def _prior_scores(g: GraphWriter, last: str, classes: int) -> str:
    """What names add to the scores of places, (N, C, h, w), by the last map, not rooted; see `maps.prior_scores`."""
    likely = _likely(g, last, _PRIOR_WEIGHT, f"{PRIOR}bias")
    share, shift = _as_kernel(g, f"{PRIOR}share"), g.tensor(f"{PRIOR}shift")
    counted = g.op("Relu", g.op("Conv", likely, share, shift, kernel_shape=[1, 1]))  # (N, C + 1, h/4, w/4)
    total = g.op("Add", g.reduce("ReduceSum", counted, 1), g.const(LEAST_COUNTED))
    ours = g.op("Slice", counted, g.index(0), g.index(classes), g.index(1))
    strength = g.op("Unsqueeze", g.tensor(PRIOR_STRENGTH), g.index(1, 2))
    return _places(g, g.op("Mul", g.op("Div", ours, total), strength))


def _likely(g: GraphWriter, last: str, weight: str, bias: str) -> str:
    """Probabilities of a classifier at each place of the last map, (N, K, h/4, w/4)."""
    return g.op("Softmax", g.op("Conv", last, _as_kernel(g, weight), g.tensor(bias), kernel_shape=[1, 1]), axis=1)


def _places(g: GraphWriter, of_last: str) -> str:
    """Scores at each place of the last map at those of the finest, (N, C, h, w)."""
    scale = COARSEST // STRIDE
    return _linear(g, of_last, scales=g.const([1, 1, scale, scale]))


def _as_kernel(g: GraphWriter, name: str) -> str:
    """A layer's weight (P, O) as (O, P, 1, 1)."""
    return g.op("Unsqueeze", g.op("Transpose", weight_of(g, name), perm=[1, 0]), g.index(2, 3))


def _linear(g: GraphWriter, x: str, *, scales: str = "", sizes: str = "") -> str:
    inputs = (scales,) if scales else ("", sizes)
    return g.op("Resize", x, "", *inputs, mode="linear", coordinate_transformation_mode="half_pixel")


def _mask(g: GraphWriter, scores: str, sides: str) -> None:
    """Class of each pixel, (N, H, W); see `model.mask_of`."""
    start = g.op("Slice", g.op("Shape", scores), g.index(0), g.index(2))  # N, C
    longest = g.op("Max", g.reduce("ReduceMax", sides, 0), g.index(FINEST))
    fine = g.op("Max", g.op("Div", g.op("Mul", sides, g.index(FINEST)), longest), g.index(1))
    # An image no larger than that keeps its own size: its sides times `FINEST` over itself.
    scores = _linear(g, scores, sizes=g.op("Concat", start, fine, axis=0))
    classes = g.op("Cast", g.op("ArgMax", scores, axis=1, keepdims=1), to=TensorProto.UINT8)
    number = g.op("Slice", g.op("Shape", classes), g.index(0), g.index(2))  # N, 1
    whole = g.op(
        "Resize", classes, "", "", g.op("Concat", number, sides, axis=0), mode="nearest",
        coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor",
    )  # fmt: skip
    g.op("Squeeze", whole, g.index(1), output=MASK)
