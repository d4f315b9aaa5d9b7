"""Images to pixels inside a graph: the ONNX twin of `domains.image.preprocess`, equal to Pillow bit by bit.

Not by the operator Resize: onnxruntime works out its weights in float32, Pillow in double, and where a pixel lies on
the edge of two steps, as it often does at simple ratios of sizes, that decides it otherwise; answers of networks that
were tried then differed by up to 0.01. So Pillow's arithmetic is written out: weights of 22 bits, worked out in double
from the image's size, one product of matrices for each direction, across first, each rounded to 8 bits. Weights are
split into two parts of 11 bits, so that float32 holds every sum of products exactly.
Shapes: N images, H, W pixels, S pixels a side.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.image.preprocess import LONGEST, View

PIXELS = "image.pixels"
"""The inner value that the trunk's normalisation reads; the verification looks at it."""
_BITS = 22
"""Of Pillow's weights."""
_PART = 1 << _BITS // 2


def seen_pixels(g: GraphWriter, image: str, view: View) -> str:
    """Resize and cut images of one size, uint8 (N, H, W, 3).

    Returns
    -------
    str
        `PIXELS`, float32 (N, 3, S, S), whole numbers 0 to 255
    """
    image = _middle(g, image)
    sides = _sides(g, image)  # (H, W)
    short = g.reduce("ReduceMin", sides, 0)
    resized = g.op("Div", g.op("Mul", sides, g.index(view.resize)), short)  # whole numbers, rounded down
    high, wide = (_weights(g, sides, resized, axis, view.size) for axis in (0, 1))  # (2 S, H), (2 S, W)
    values = g.op("Cast", g.op("Transpose", image, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    across = g.op("MatMul", values, g.op("Transpose", wide, perm=[1, 0]))  # (N, 3, H, 2 S)
    down = g.op("MatMul", high, _rounded(g, across, 3))  # (N, 3, 2 S, S)
    return g.op("Identity", _rounded(g, down, 2), output=PIXELS)


def _sides(g: GraphWriter, image: str) -> str:
    return g.op("Slice", g.op("Shape", image), g.index(1), g.index(3))


def _weights(g: GraphWriter, sides: str, resized: str, axis: int, size: int) -> str:
    """What each source pixel gives to each of the S middle pixels: the upper parts, below them the lower, (2 S, L)."""
    source, target = (
        g.op("Cast", g.op("Gather", lengths, g.const(axis, np.int64)), to=TensorProto.DOUBLE)
        for lengths in (sides, resized)
    )
    zero, half, one = (g.const(number, np.float64) for number in (0, 0.5, 1))
    scale = g.op("Div", source, target)
    smoothing = g.op("Max", scale, one)
    # As torchvision cuts: where a side's rest is odd, half a pixel goes to the even side.
    start = g.op("Round", g.op("Mul", g.op("Sub", target, g.const(size, np.float64)), half))
    places = g.op("Add", start, g.const(np.arange(size)[:, None] + 0.5, np.float64))
    centres = g.op("Mul", places, scale)  # (S, 1)
    pixels = g.op("Add", g.op("Range", zero, source, one), half)  # (L,)
    distance = g.op("Div", g.op("Abs", g.op("Sub", pixels, centres)), smoothing)
    triangle = g.op("Max", g.op("Sub", one, distance), zero)  # (S, L)
    shares = g.op("Div", triangle, g.reduce("ReduceSum", triangle, 1))
    whole = g.op("Floor", g.op("Add", g.op("Mul", shares, g.const(1 << _BITS, np.float64)), half))
    upper = g.op("Round", g.op("Mul", whole, g.const(1 / _PART, np.float64)))
    lower = g.op("Sub", whole, g.op("Mul", upper, g.const(_PART, np.float64)))
    return g.op("Cast", g.op("Concat", upper, lower, axis=0), to=TensorProto.FLOAT)


def _rounded(g: GraphWriter, sums: str, axis: int) -> str:
    """Sums of both parts, side by side on an axis, to whole numbers 0 to 255."""
    upper, lower = (
        g.op("Cast", part, to=TensorProto.INT32) for part in g.ops("Split", sums, count=2, **_halves(g, axis))
    )
    total = g.op("Add", g.op("Mul", upper, g.const(_PART, np.int32)), lower)
    total = g.op("Add", total, g.const(1 << _BITS - 1, np.int32))
    steps = g.op("Div", total, g.const(1 << _BITS, np.int32))
    return g.op("Cast", g.op("Min", steps, g.const(255, np.int32)), to=TensorProto.FLOAT)


def _halves(g: GraphWriter, axis: int) -> dict[str, int]:
    """Split's attributes for two halves, which later operator sets want counted."""
    return {"axis": axis} | ({"num_outputs": 2} if g.opset >= 18 else {})


def normalised(g: GraphWriter, pixels: str, view: View) -> str:
    """What a trunk takes, float32 (N, 3, S, S)."""
    mean, std = (np.array(numbers, dtype=np.float64)[:, None, None] for numbers in (view.mean, view.std))
    return g.op("Add", g.op("Mul", pixels, g.const(1 / (255 * std))), g.const(-mean / std))


def _middle(g: GraphWriter, image: str) -> str:
    """Of images that are very long or very wide, the middle."""
    sides = _sides(g, image)
    most = g.op("Mul", g.reduce("ReduceMin", sides, 0), g.index(LONGEST))
    kept = g.op("Min", sides, most)
    start = g.op("Div", g.op("Sub", sides, kept), g.index(2))
    return g.op("Slice", image, start, g.op("Add", start, kept), g.index(1, 2))
