"""A ``model.onnx`` of detection: an image of any size in, boxes in its own pixels out. The ONNX twin of `model`.

Resizing, both looks, and the choice among boxes that overlap are inside. Between the target model and its verification.
Shapes: H, W pixels, h, w places, P head inputs, R inputs of a box, C classes, K candidates, M boxes found.
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
from modelgpt_cli.domains.image.dense.onnx import SCORES as PLACE_SCORES
from modelgpt_cli.domains.image.dense.onnx import _normalised, _resized_pixels, _scores, _seen_sides
from modelgpt_cli.domains.image.dense.onnx_integers import drawn_images, need_images, stored, weight_of
from modelgpt_cli.domains.image.dense.seam import map_entries
from modelgpt_cli.domains.image.detection.feed import BOXES, IMAGE, LABELS, SCORES, image_files
from modelgpt_cli.domains.image.detection.model import LOW, PEAK, TENSORS, VIEW_COLUMN, DetectionModel
from modelgpt_cli.domains.image.detection.regions import (
    GRID,
    LEAST_SIDE,
    MOST_LOG,
    MOST_MOVE,
    SAMPLES,
    STRIDES,
    ZOOM,
)
from modelgpt_cli.domains.image.onnx_trunk import trunk_maps
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT

CHOSEN, CANDIDATES, CERTAIN = "places.chosen", "candidates.boxes", "candidates.scores"
"""Inner values that the verification looks at, beside the places' scores: int64 (K,), float32 (K, 4) and (K, C)."""
LAYERS = (HEAD_WEIGHT, *(f"regions.{name}.weight" for name in ("near", "far", "move", "score")))


def default_opset(model: DetectionModel) -> int:
    """Return the operator set of a model's graph where none is asked for."""
    return DEFAULT_OPSET


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph."""
    names = [name for name in tensors if name.startswith(BACKBONE)]
    return {name: tensors[name] for name in (*names, HEAD_WEIGHT, HEAD_BIAS, *TENSORS)}


def calibration_rows(model: DetectionModel, data: Data) -> list[np.ndarray]:
    """Read images of the user's, drawn evenly, to measure ranges on: uint8 (H, W, 3) each."""
    return drawn_images(image_files, data, model.view.size)


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    """Return the model card's entries that only detection has: the network, and how it sees an image."""
    return map_entries(blueprint, VIEW_COLUMN)


def to_onnx(
    model: DetectionModel,
    *,
    opset: int = DEFAULT_OPSET,
    quantize: str = "none",
    rows: Any = None,
    options: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Write a detector as an ONNX graph.

    Parameters
    ----------
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
        "fp16": convolutions of the network are kept as float16 and computed with in float32. "int8": they are kept and
        computed in 8 bits, see `image.onnx_integers`; the heads are stored in halves.
    rows : sequence of uint8 (H, W, 3), optional
        In 8 bits: images to measure ranges on.
    options
        Not needed here.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, uint8 (1, H, W, 3) of any H and W. Outputs ``boxes``, float32 (M, 4): left, top, right, bottom
        in the image's pixels; ``scores``, float32 (M,), the best first; ``labels``, int64 (M,).

    Raises
    ------
    UsageError
        8 bits are asked for, and there are no images to measure ranges on.
    """
    images = need_images(rows) if quantize == "int8" else ()
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state().items()}
    halves = stored(state, LAYERS, "fp16") if quantize == "int8" else {}
    names = [IMAGE, BOXES, SCORES, LABELS, PLACE_SCORES, CHOSEN, CANDIDATES, CERTAIN]
    g = GraphWriter(state | halves, names, opset=opset)
    sides = g.op("Slice", g.op("Shape", IMAGE), g.index(1), g.index(3))  # (H, W)
    seen = _seen_sides(g, sides, model.view.size)
    values = _normalised(g, _resized_pixels(g, sides, seen), model.view)
    maps = [g.op("Sqrt", one) for one in trunk_maps(g, model.trunk, values, BACKBONE, quantize=quantize)]
    scores = g.op("Identity", _scores(g, maps), output=PLACE_SCORES)
    _Candidates(g, model, maps, scores, sides).write()
    _kept(g, model)
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    image = helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [1, "H", "W", 3])
    outputs = [
        helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, ["M", 4]),
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["M"]),
        helper.make_tensor_value_info(LABELS, TensorProto.INT64, ["M"]),
    ]
    proto = g.model([image], outputs, metadata)
    if quantize == "int8":
        from modelgpt_cli.domains.image.onnx_integers import in_integers

        proto = in_integers(proto, IMAGE, images)
    return proto


class _Candidates:
    """Writes both looks: from places' scores (1, C + 4, h, w) to candidates and how likely each is right."""

    def __init__(self, g: GraphWriter, model: DetectionModel, maps: list[str], scores: str, sides: str) -> None:
        self.g, self.model, self.maps, self.scores, self.sides = g, model, maps, scores, sides
        self.classes = model.classes
        shape = g.op("Shape", scores)
        self.high, self.wide = (g.op("Slice", shape, g.index(k), g.index(k + 1)) for k in (2, 3))  # (1,) each
        self.limits = g.op("Concat", self._float(self.wide), self._float(self.high), axis=0)  # (2,)

    def write(self) -> None:
        g = self.g
        chosen = self._chosen()
        boxes, first = self._first_boxes(chosen)
        components = self._components()
        moves = self._linear(self._inputs(components, boxes), "regions.move")
        boxes = self._inside(self._moved(boxes, moves))
        second = self._linear(self._inputs(components, boxes), "regions.score")
        certainty = g.tensor("regions.certainty")
        by_second, by_first, rest = (
            g.op("Squeeze", g.op("Slice", certainty, g.index(k), g.index(k + 1), g.index(1)), g.index(1))
            for k in range(3)
        )
        told = g.op("Add", g.op("Mul", second, by_second), g.op("Add", g.op("Mul", first, by_first), rest))
        g.op("Sigmoid", told, output=CERTAIN)
        across = g.op("Div", self._float(g.op("Gather", self.sides, g.index(1, 0))), self.limits)
        g.op("Mul", boxes, g.op("Concat", across, across, axis=0), output=CANDIDATES)

    def _chosen(self) -> str:
        """The best places among those that none around them beats, int64 (K,); see `model.peaks`."""
        g = self.g
        heat = g.op("Slice", self.scores, g.index(0), g.index(self.classes), g.index(1))
        around = g.op("MaxPool", heat, kernel_shape=[PEAK, PEAK], pads=[PEAK // 2] * 4)
        line = g.op("Reshape", g.op("Where", g.op("Equal", heat, around), heat, g.const(LOW)), g.index(-1))
        most = g.op("Min", g.op("Shape", line), g.index(self.model.decoding.candidates))
        chosen = g.ops("TopK", line, most, count=2, axis=0)[1]
        return g.op("Identity", chosen, output=CHOSEN)

    def _first_boxes(self, chosen: str) -> tuple[str, str]:
        """Boxes (K, 4) in places, and the first look's scores (K, C)."""
        g, classes = self.g, self.classes
        places = g.op("Mul", self.high, self.wide)
        label, place = g.op("Div", chosen, places), g.op("Mod", chosen, places)
        lines = g.op("Reshape", self.scores, g.index(classes + 4, -1))
        read = g.op("Transpose", g.op("Gather", lines, place, axis=1), perm=[1, 0])  # (K, C + 4)
        first, away = self._columns(read, 0, classes), self._columns(read, classes, classes + 4)
        row, column = (
            self._float(g.op("Unsqueeze", g.op(kind, place, self.wide), g.index(1))) for kind in ("Div", "Mod")
        )
        centres = g.op("Add", g.op("Concat", column, row, axis=1), g.const(0.5))
        sizes = g.op("Gather", g.tensor("regions.sizes"), label, axis=0)
        half = g.op("Mul", g.op("Concat", sizes, sizes, axis=1), g.const(0.5))
        reach = g.op("Mul", g.op("Exp", g.clip(away, -MOST_LOG, MOST_LOG)), half)
        start = g.op("Sub", centres, self._columns(reach, 0, 2))
        end = g.op("Add", centres, self._columns(reach, 2, 4))
        return self._inside(g.op("Concat", start, end, axis=1)), first

    def _inside(self, boxes: str) -> str:
        """Boxes cut to the image; see `regions.inside`."""
        g, least = self.g, self.g.const(LEAST_SIDE)
        start = g.op("Max", self._columns(boxes, 0, 2), g.const(0.0))
        start = g.op("Min", start, g.op("Sub", self.limits, least))
        end = g.op("Max", g.op("Min", self._columns(boxes, 2, 4), self.limits), g.op("Add", start, least))
        return g.op("Concat", start, end, axis=1)

    def _components(self) -> list[str]:
        """Principal components of the maps at strides of 8 and 16."""
        g = self.g
        found = []
        for name, one in zip(("near", "far"), self.maps, strict=False):
            weight = g.op("Transpose", weight_of(g, f"regions.{name}.weight"), perm=[1, 0])
            weight = g.op("Unsqueeze", weight, g.index(2, 3))
            found.append(g.op("Conv", one, weight, g.tensor(f"regions.{name}.bias"), kernel_shape=[1, 1]))
        return found

    def _inputs(self, components: list[str], boxes: str) -> str:
        """What the second look reads of boxes, (K, R); see `regions.region_inputs`."""
        g = self.g
        start, end = self._columns(boxes, 0, 2), self._columns(boxes, 2, 4)
        sides = g.op("Sub", end, start)
        centres = g.op("Mul", g.op("Add", start, end), g.const(0.5))
        half = g.op("Mul", sides, g.const(ZOOM / 2))
        zoomed = g.op("Concat", g.op("Sub", centres, half), g.op("Add", centres, half), axis=1)
        number = g.op("Slice", g.op("Shape", boxes), g.index(0), g.index(1))
        image = g.op("ConstantOfShape", number, value=helper.make_tensor("zero", TensorProto.INT64, [1], [0]))
        # Half a place is taken off here: all operator sets then mean the same, the first of them by its only mode.
        mode = {"coordinate_transformation_mode": "output_half_pixel"} if g.opset >= 16 else {}
        parts = []
        for one, stride in zip(components, STRIDES, strict=True):
            placed = g.op("Sub", g.op("Mul", zoomed, g.const(1 / stride)), g.const(0.5))
            read = g.op(
                "RoiAlign", one, placed, image, mode="avg", output_height=GRID, output_width=GRID,
                sampling_ratio=SAMPLES, spatial_scale=1.0, **mode,
            )  # fmt: skip
            parts.append(g.op("Flatten", read, axis=1))
        logs = g.op("Log", sides)
        both = g.op("Mul", self._columns(logs, 0, 1), self._columns(logs, 1, 2))
        return g.op("Concat", *parts, logs, g.op("Mul", logs, logs), both, axis=1)

    def _moved(self, boxes: str, moves: str) -> str:
        """Boxes, moved; see `regions.moved`."""
        g = self.g
        moves = g.clip(moves, -MOST_MOVE, MOST_MOVE)
        start, end = self._columns(boxes, 0, 2), self._columns(boxes, 2, 4)
        sides = g.op("Sub", end, start)
        centres = g.op("Mul", g.op("Add", start, end), g.const(0.5))
        centres = g.op("Add", centres, g.op("Mul", self._columns(moves, 0, 2), sides))
        half = g.op("Mul", g.op("Mul", sides, g.op("Exp", self._columns(moves, 2, 4))), g.const(0.5))
        return g.op("Concat", g.op("Sub", centres, half), g.op("Add", centres, half), axis=1)

    def _linear(self, inputs: str, name: str) -> str:
        g = self.g
        return g.op("Add", g.op("MatMul", inputs, weight_of(g, f"{name}.weight")), g.tensor(f"{name}.bias"))

    def _columns(self, x: str, start: int, end: int) -> str:
        return self.g.op("Slice", x, self.g.index(start), self.g.index(end), self.g.index(1))

    def _float(self, x: str) -> str:
        return self.g.op("Cast", x, to=TensorProto.FLOAT)


def _kept(g: GraphWriter, model: DetectionModel) -> None:
    """The outputs: of boxes of a class that overlap the best one, the best first; see `model.kept`."""
    decoding = model.decoding
    by_class = g.op("Transpose", CERTAIN, perm=[1, 0])  # (C, K)
    found = g.op(
        "NonMaxSuppression",
        g.op("Unsqueeze", CANDIDATES, g.index(0)),
        g.op("Unsqueeze", by_class, g.index(0)),
        g.index(decoding.candidates),
        g.const([decoding.overlap]),
        g.const([decoding.least]),
    )  # (M, 3): image, class, candidate
    scores = g.op("GatherND", by_class, g.op("Slice", found, g.index(1), g.index(3), g.index(1)))
    best, order = g.ops("TopK", scores, g.op("Shape", scores), count=2, axis=0)
    g.op("Identity", best, output=SCORES)
    label, row = (g.op("Gather", g.op("Gather", found, order, axis=0), g.const(k, np.int64), axis=1) for k in (1, 2))
    g.op("Identity", label, output=LABELS)
    g.op("Gather", CANDIDATES, row, axis=0, output=BOXES)
