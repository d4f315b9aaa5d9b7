"""A ``model.onnx`` of key points: images of any size in, the place of each point out. The ONNX twin of `model`.

Resizing and the way back to the image's pixels are inside. Between the target model and its verification.
Shapes: N images, H, W pixels, K points, h, w places, d directions, P inputs of a step, G places a side.
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
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.dense.onnx import _normalised, _resized_pixels, _seen_sides, _weights
from modelgpt_cli.domains.image.dense.onnx_integers import drawn_images, need_images, stored, weight_of
from modelgpt_cli.domains.image.dense.seam import map_entries
from modelgpt_cli.domains.image.keypoints.architectures import GRID
from modelgpt_cli.domains.image.keypoints.cascade import POINTS, PROJECTION, SCORE, STAGE
from modelgpt_cli.domains.image.keypoints.feed import image_files
from modelgpt_cli.domains.image.keypoints.model import SUBJECT_COLUMN, PointModel
from modelgpt_cli.domains.image.onnx_trunk import trunk_maps
from modelgpt_cli.domains.shared.names import BACKBONE

_IMAGE = SUBJECT_COLUMN.name
KEYPOINTS = "keypoints"
"""The output, float32 (N, K, 3)."""


def default_opset(model: PointModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith((BACKBONE, POINTS))}


def calibration_rows(model: PointModel, data: Data) -> list[np.ndarray]:
    """Read images of the user's, drawn evenly, to measure ranges on: uint8 (H, W, 3) each."""
    return drawn_images(image_files, data, model.view.size)


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only this domain has: the network, and how it sees an image."""
    return map_entries(blueprint, SUBJECT_COLUMN)


def to_onnx(
    model: PointModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write a model of key points as an ONNX graph.

    Parameters
    ----------
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        "fp16": convolutions of the network are kept as float16 and computed with in float32. "int8": they are kept and
        computed in 8 bits, see `image.onnx_integers`; so are steps stored, and projections in halves.
    rows : sequence of uint8 (H, W, 3), optional
        In 8 bits: images to measure ranges on.
    options
        Not needed here.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, uint8 (N, H, W, 3) of any N, H and W. Output ``keypoints``, float32 (N, K, 3): x and y in the
        image's pixels, and the score.

    Raises
    ------
    UsageError
        8 bits are asked for, and there are no images to measure ranges on.
    """
    images = need_images(rows) if quantize == "int8" else ()
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    smaller = _smaller(state) if quantize == "int8" else {}
    g = GraphWriter(state | smaller, [_IMAGE, KEYPOINTS], opset=opset)
    sides = g.op("Slice", g.op("Shape", _IMAGE), g.index(1), g.index(3))  # (H, W)
    seen = _seen_sides(g, sides, model.view.size)
    values = _normalised(g, _resized_pixels(g, sides, seen), model.view)
    maps = [g.op("Sqrt", one) for one in trunk_maps(g, model.trunk, values, BACKBONE, quantize=quantize)]
    _points(g, maps, sides, len(model.cascade.stages), len(model.cascade.score.bias))
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    image = helper.make_tensor_value_info(_IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])
    shape: list[str | int] = ["N", len(model.cascade.score.bias), 3]
    proto = g.model([image], [helper.make_tensor_value_info(KEYPOINTS, TensorProto.FLOAT, shape)], metadata)
    if quantize == "int8":
        from modelgpt_cli.domains.image.onnx_integers import in_integers

        proto = in_integers(proto, _IMAGE, images)
    return proto


def _smaller(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A cascade's weights as a file in 8 bits keeps them: with many points most of its bytes are theirs.

    Steps read numbers of the mean 0, so that rounding adds nothing on average; projections read others, and stay exact.
    """
    weights = [name for name in state if name.startswith(POINTS) and name.endswith(".weight")]
    projections = [name for name in weights if name.startswith(PROJECTION)]
    steps = [name for name in weights if name not in projections]
    return stored(state, projections, "fp16") | stored(state, steps, "int8")


def _points(g: GraphWriter, maps: list[str], sides: str, n_stages: int, n_points: int) -> None:
    """Points (N, K, 3) of rooted maps; see `cascade.Cascade`."""
    seen = [_projected(g, one, k) for k, one in enumerate(maps)]
    pixels = g.op("Cast", g.op("Gather", sides, g.index(1, 0)), to=TensorProto.FLOAT)  # (W, H)
    longer = g.reduce("ReduceMax", pixels, 0)
    shares = g.op("Div", longer, pixels)  # units to shares of width and height
    fine = [_Fine(g, one) for one in seen[:2]]
    shape = g.index(-1, n_points, 2)
    points = g.op("Reshape", _linear(g, _overview(g, seen[1:]), f"{STAGE}0"), shape)
    for k in range(1, n_stages):
        move = _linear(g, _at(g, fine, points, shares, n_points), f"{STAGE}{k}")
        points = g.op("Add", points, g.op("Reshape", move, shape))
    odds = _linear(g, _at(g, fine, points, shares, n_points), SCORE)
    score = g.op("Unsqueeze", g.op("Sigmoid", odds), g.index(2))
    places = g.op("Add", g.op("Mul", points, longer), g.op("Div", pixels, g.const(2)))
    g.op("Concat", places, score, axis=2, output=KEYPOINTS)


def _projected(g: GraphWriter, x: str, level: int) -> str:
    weight = g.op("Transpose", weight_of(g, f"{PROJECTION}{level}.weight"), perm=[1, 0])
    weight = g.op("Unsqueeze", weight, g.index(2, 3))
    return g.op("Conv", x, weight, g.tensor(f"{PROJECTION}{level}.bias"), kernel_shape=[1, 1])


def _linear(g: GraphWriter, x: str, name: str) -> str:
    return g.op("Gemm", x, weight_of(g, f"{name}.weight"), g.tensor(f"{name}.bias"))


def _overview(g: GraphWriter, coarse: list[str]) -> str:
    """What the first guess reads, (N, G G d); see `cascade.overview`."""
    parts = []
    for one in coarse:
        places = g.op("Slice", g.op("Shape", one), g.index(2), g.index(4))
        grid = g.index(GRID, GRID)
        down, across = (_weights(g, places, grid, axis) for axis in (0, 1))
        parts.append(g.op("Flatten", g.op("MatMul", g.op("MatMul", down, one), g.op("Transpose", across, perm=[1, 0]))))
    return g.join(parts)


class _Fine:
    """A projected map, by lines: (N, h w, d), and its width and height as numbers."""

    def __init__(self, g: GraphWriter, x: str) -> None:
        flat = g.op("Reshape", x, g.index(0, 0, -1))
        self.lines = g.op("Transpose", flat, perm=[0, 2, 1])
        places = g.op("Gather", g.op("Shape", x), g.index(3, 2))
        self.sides = g.op("Cast", places, to=TensorProto.FLOAT)  # (w, h)
        self.last = g.op("Sub", self.sides, g.const(1))
        self.width = g.op("Gather", places, g.index(0))


def _at(g: GraphWriter, fine: list[_Fine], points: str, shares: str, n_points: int) -> str:
    """What a step reads at points (N, K, 2) in units, (N, K d); see `cascade.at_points`."""
    share = g.op("Add", g.op("Mul", points, shares), g.const(0.5))
    found = [_between(g, one, share) for one in fine]
    return g.op("Flatten", g.join(found, axis=2))


def _between(g: GraphWriter, fine: _Fine, share: str) -> str:
    """A map between its places, bilinear, what is beyond its edge as at the edge: (N, K, d)."""
    exact = g.op("Sub", g.op("Mul", share, fine.sides), g.const(0.5))
    exact = g.op("Max", g.op("Min", exact, fine.last), g.const(0))
    low = g.op("Floor", exact)
    high = g.op("Min", g.op("Add", low, g.const(1)), fine.last)
    beyond = g.op("Sub", exact, low)
    before = g.op("Sub", g.const(1), beyond)
    parts = []
    for rows, down in ((low, before), (high, beyond)):
        for columns, right in ((low, before), (high, beyond)):
            x, y = (g.op("Cast", _part(g, one, k), to=TensorProto.INT64) for k, one in ((0, columns), (1, rows)))
            place = g.op("Add", g.op("Mul", y, fine.width), x)  # (N, K, 1)
            weight = g.op("Mul", _part(g, right, 0), _part(g, down, 1))
            parts.append(g.op("Mul", g.op("GatherND", fine.lines, place, batch_dims=1), weight))
    return g.op("Sum", *parts)


def _part(g: GraphWriter, x: str, k: int) -> str:
    """One of x and y, (N, K, 1)."""
    return g.op("Slice", x, g.index(k), g.index(k + 1), g.index(2))
