"""A ``model.onnx`` of key points: images of any size in, the place of each point out. The ONNX twin of `model`.

Resizing and the way back to the image's pixels are inside. Between the target model and its verification.
Shapes: N images, H, W pixels, K points, h, w places, d directions, P inputs of a step, G places a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from modelgpt_cli.domains.image.dense.onnx import (
    _as_kernel,
    _linear,
    _normalised,
    _resized_pixels,
    _seen_sides,
    _weights,
)
from modelgpt_cli.domains.image.dense.onnx_integers import drawn_images, need_images, stored, weight_of
from modelgpt_cli.domains.image.dense.seam import map_entries
from modelgpt_cli.domains.image.keypoints.architectures import AROUND, GRID, cut_size
from modelgpt_cli.domains.image.keypoints.cascade import LOCATOR, POINTS, PROJECTION, SCORE, STAGE, WINDOW, Cascade
from modelgpt_cli.domains.image.keypoints.feed import image_files
from modelgpt_cli.domains.image.keypoints.frame import BEYOND, LEAST_SIDE, LEAST_TURN, SECOND, SHAPE
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
    pixels = g.op("Cast", g.op("Gather", sides, g.index(1, 0)), to=TensorProto.FLOAT)  # (W, H)

    def look(values: str, cascade: Cascade, prefix: str, pixels: str) -> tuple[str, str]:
        maps = [g.op("Sqrt", one) for one in trunk_maps(g, model.trunk, values, BACKBONE, quantize=quantize)]
        return _Look(g, cascade, prefix, pixels).points(maps)

    points, score = look(values, model.cascade, POINTS, pixels)
    if model.second is not None:
        size = cut_size(model.view.size)
        frames = _Frames(g, points, g.reduce("ReduceMax", pixels, 0), len(model.second.shape))
        values = _normalised(g, frames.cut_out(sides, size), model.view)
        points, score = look(values, model.second.cascade, SECOND, g.const([size, size]))
        inside = g.op("Sub", g.op("Mul", points, g.const(1 / size)), g.const(0.5))
        points = frames.outside(inside)
    g.op("Concat", points, score, axis=2, output=KEYPOINTS)
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
    projections = [name for name in weights if f".{PROJECTION}" in name or f".{LOCATOR}" in name]
    steps = [name for name in weights if name not in projections]
    return stored(state, projections, "fp16") | stored(state, steps, "int8")


@dataclass(frozen=True)
class _Look:
    """Writes a cascade; see `cascade.Cascade`.

    Attributes
    ----------
    prefix : str
        Of the names of its tensors.
    pixels : str
        Width and height of what it sees, float32 (2,).
    """

    g: GraphWriter
    cascade: Cascade
    prefix: str
    pixels: str

    def points(self, maps: list[str]) -> tuple[str, str]:
        """Points in pixels, (N, K, 2), and their scores, (N, K, 1), of rooted maps."""
        g, n_points = self.g, len(self.cascade.score.bias)
        seen = [self._projected(one, k) for k, one in enumerate(maps)]
        longer = g.reduce("ReduceMax", self.pixels, 0)
        shares = g.op("Div", longer, self.pixels)  # units to shares of width and height
        fine = [_Fine(g, one) for one in seen[:2]]
        shape = g.index(-1, n_points, 2)
        inputs = [_overview(g, seen[1:])]
        middles = ""
        if self.cascade.locator is not None:
            middles = self._middles(seen, fine[1], shares)
            window = g.op("Add", middles, g.tensor(f"{self.prefix}{WINDOW}"))
            inputs.append(_at(g, [fine[1], _Fine(g, seen[2])], window, shares))
        points = g.op("Reshape", self._linear(g.join(inputs), f"{STAGE}0"), shape)
        points = g.op("Add", points, middles) if middles else points
        for k in range(1, len(self.cascade.stages)):
            move = self._linear(_at(g, fine, points, shares), f"{STAGE}{k}")
            points = g.op("Add", points, g.op("Reshape", move, shape))
        odds = self._linear(_at(g, fine, points, shares), SCORE)
        score = g.op("Unsqueeze", g.op("Sigmoid", odds), g.index(2))
        return g.op("Add", g.op("Mul", points, longer), g.op("Div", self.pixels, g.const(2))), score

    def _middles(self, seen: list[str], middle: _Fine, shares: str) -> str:
        """Where objects are, (N, 1, 2) in units; see `cascade.Locator`."""
        g = self.g
        widths = [seen[0], seen[1], seen[1], seen[2]]
        kept = self.cascade.projections
        ends = np.cumsum([0, *(len(kept[k].bias) for k in (0, 1, 1, 2))]).tolist()
        weight = _as_kernel(g, f"{self.prefix}{LOCATOR}.weight")
        parts = [g.op("Slice", weight, g.index(i), g.index(j), g.index(1)) for i, j in pairwise(ends)]
        fine, own, around, coarse = (
            g.op("Conv", one, part, kernel_shape=[1, 1]) for one, part in zip(widths, parts, strict=True)
        )
        fine = g.op("AveragePool", fine, kernel_shape=[2, 2], strides=[2, 2])
        around = g.op("AveragePool", around, kernel_shape=[AROUND] * 2, pads=[AROUND // 2] * 4, count_include_pad=0)
        odds = g.op("Sum", fine, own, around, _linear(g, coarse, scales=g.const([1, 1, 2, 2])))
        odds = g.op("Reshape", odds, g.index(0, -1))  # the constant changes no share
        high_wide = g.op("Slice", g.op("Shape", seen[1]), g.index(2), g.index(4))
        likely = g.op("Reshape", g.op("Softmax", odds, axis=1), g.op("Concat", g.index(-1), high_wide, axis=0))
        units = g.op("Div", g.op("Div", g.const(1), middle.sides), shares)  # a place's width and height
        found = []
        for k, axis in ((0, 1), (1, 2)):
            line = g.reduce("ReduceSum", likely, axis, keep=False)  # (N, w), (N, h)
            side, unit = (g.op("Gather", one, g.index(k)) for one in (middle.sides, units))
            number = g.op("Squeeze", side, g.index(0))
            steps = g.op("Range", g.const(0.5), number, g.const(1))
            places = g.op("Mul", g.op("Sub", steps, g.op("Div", side, g.const(2))), unit)
            found.append(g.reduce("ReduceSum", g.op("Mul", line, places), 1))
        return g.op("Unsqueeze", g.join(found), g.index(1))

    def _projected(self, x: str, level: int) -> str:
        name = f"{self.prefix}{PROJECTION}{level}"
        return self.g.op(
            "Conv", x, _as_kernel(self.g, f"{name}.weight"), self.g.tensor(f"{name}.bias"), kernel_shape=[1, 1]
        )

    def _linear(self, x: str, name: str) -> str:
        name = f"{self.prefix}{name}"
        return self.g.op("Gemm", x, weight_of(self.g, f"{name}.weight"), self.g.tensor(f"{name}.bias"))


class _Frames:
    """Writes frames; see `frame.find_frames`.

    Parameters
    ----------
    points : str
        In pixels, (N, K, 2).
    longest : str
        Pixels of the image's longer side, (1,).
    """

    def __init__(self, g: GraphWriter, points: str, longest: str, n_points: int) -> None:
        self._g = g
        shape, each = g.tensor(SHAPE), g.const(1 / n_points)
        centre = g.op("Mul", g.reduce("ReduceSum", shape, 0), each)  # (1, 2)
        mean = g.op("Mul", g.reduce("ReduceSum", points, 1), each)  # (N, 1, 2)
        own, away = g.op("Sub", shape, centre), g.op("Sub", points, mean)
        spread = g.reduce("ReduceSum", g.reduce("ReduceSum", g.op("Mul", own, own), 1), 0)
        spread = g.op("Max", spread, g.const(1e-12))

        def summed(x: str) -> str:
            return g.op("Div", g.reduce("ReduceSum", x, 1), spread)

        (u, v), (x, y) = (
            [g.op("Slice", one, g.index(k), g.index(k + 1), g.index(-1)) for k in (0, 1)] for one in (own, away)
        )
        cosine = summed(g.op("Add", g.op("Mul", u, x), g.op("Mul", v, y)))  # (N, 1, 1)
        cosine = g.op("Add", cosine, g.const(LEAST_TURN))
        sine = summed(g.op("Sub", g.op("Mul", u, y), g.op("Mul", v, x)))
        length = g.op("Sqrt", g.op("Add", g.op("Mul", cosine, cosine), g.op("Mul", sine, sine)))
        length = g.op("Max", length, g.const(LEAST_TURN))
        self._turn = g.op("Div", cosine, length), g.op("Div", sine, length)
        self._side = g.op("Max", length, g.op("Mul", longest, g.const(LEAST_SIDE)))
        self._middle = g.op("Sub", mean, g.op("Mul", self._turned(centre), self._side))

    def _turned(self, points: str) -> str:
        """Points (..., 2) turned as the frames are, (N, K, 2)."""
        g, (cosine, sine) = self._g, self._turn
        x, y = (g.op("Slice", points, g.index(k), g.index(k + 1), g.index(-1)) for k in (0, 1))
        right = g.op("Sub", g.op("Mul", cosine, x), g.op("Mul", sine, y))
        down = g.op("Add", g.op("Mul", sine, x), g.op("Mul", cosine, y))
        return g.op("Concat", right, down, axis=2)

    def outside(self, points: str) -> str:
        """Shares of the frame's side from its middle, (N, K, 2), as pixels."""
        return self._g.op("Add", self._g.op("Mul", self._turned(points), self._side), self._middle)

    def cut_out(self, sides: str, size: int) -> str:
        """What the frames show, float32 (N, 3, S, S), 0 to 255; see `frame.cut_out`."""
        g, target = self._g, round(BEYOND * size)
        values = g.op("Cast", g.op("Transpose", _IMAGE, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
        down, across = (
            g.op("Unsqueeze", self._shares(sides, axis, target, size), g.index(1)) for axis in (0, 1)
        )  # (N, 1, M, H), (N, 1, M, W)
        upright = g.op("MatMul", g.op("MatMul", down, values), g.op("Transpose", across, perm=[0, 1, 3, 2]))
        line = ((np.arange(size) + 0.5) / size - 0.5) * (size / target)
        square = g.index(size, size, 1)
        right, below = (g.op("Expand", g.const(line.reshape(shape)), square) for shape in ((1, -1, 1), (-1, 1, 1)))
        grid = g.op("Reshape", g.op("Concat", right, below, axis=2), g.index(1, -1, 2))  # (1, S S, 2)
        share = g.op("Add", self._turned(grid), g.const(0.5))
        seen = _between(g, _Fine(g, upright), share)  # (N, S S, 3)
        return g.op("Reshape", g.op("Transpose", seen, perm=[0, 2, 1]), g.index(0, 3, size, size))

    def _shares(self, sides: str, axis: int, target: int, size: int) -> str:
        """What each source pixel gives to each target pixel, (N, M, L)."""
        g = self._g
        source = g.op("Cast", g.op("Gather", sides, g.const(axis, np.int64)), to=TensorProto.FLOAT)
        scale = g.op("Mul", self._side, g.const(1 / size))  # (N, 1, 1)
        middle = g.op("Slice", self._middle, g.index(1 - axis), g.index(2 - axis), g.index(2))
        steps = g.const((np.arange(target) + 0.5 - target / 2).reshape(1, -1, 1))
        centres = g.op("Add", middle, g.op("Mul", steps, scale))
        centres = g.op("Max", centres, g.const(0.5))
        centres = g.op("Min", centres, g.op("Sub", source, g.const(0.5)))
        pixels = g.op("Range", g.const(0.5), source, g.const(1))
        distance = g.op("Div", g.op("Abs", g.op("Sub", pixels, centres)), g.op("Max", scale, g.const(1)))
        triangle = g.op("Max", g.op("Sub", g.const(1), distance), g.const(0))
        return g.op("Div", triangle, g.reduce("ReduceSum", triangle, 2))


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


def _at(g: GraphWriter, fine: list[_Fine], points: str, shares: str) -> str:
    """Maps at points (N, K, 2) in units, (N, K d); see `cascade.read_at`."""
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
