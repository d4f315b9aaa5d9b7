"""Pictures to pixels inside a graph: the ONNX twin of `domains.image.preprocess`.

Shapes: N pictures, H, W pixels, S pixels a side.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifact.onnx_graph import GraphWriter
from modelgpt_cli.domains.image.preprocess import LONGEST, View

PIXELS = "image.pixels"
"""The inner value that the trunk's normalisation reads; the verification looks at it."""


def seen_pixels(g: GraphWriter, image: str, view: View) -> str:
    """Resize and cut pictures of one size, uint8 (N, H, W, 3).

    Returns
    -------
    str
        `PIXELS`, uint8 (N, 3, S, S)
    """
    image = _middle(g, image)
    shape = g.op("Shape", image)
    n, sides, channels = (g.op("Slice", shape, g.index(a), g.index(b)) for a, b in ((0, 1), (1, 3), (3, 4)))
    scaled = g.op("Mul", sides, g.const(view.resize, np.int64))
    sides = g.op("Div", scaled, g.op("ReduceMin", sides, keepdims=0))  # whole numbers, rounded down
    # As Pillow: each pass rounds to 8 bits, and beyond the edge there is nothing, rather than the edge again.
    sizes = g.op("Concat", n, sides, channels, axis=0)
    resized = g.op("Resize", image, "", "", sizes, mode="linear", antialias=1, exclude_outside=1)
    # As torchvision cuts: half pixels to the even side.
    rest = g.op("Cast", g.op("Sub", sides, g.const(view.size, np.int64)), to=TensorProto.FLOAT)
    start = g.op("Cast", g.op("Round", g.op("Mul", rest, g.const(0.5))), to=TensorProto.INT64)
    end = g.op("Add", start, g.const(view.size, np.int64))
    centre = g.op("Slice", resized, start, end, g.index(1, 2))
    return g.op("Transpose", centre, perm=[0, 3, 1, 2], output=PIXELS)


def normalised(g: GraphWriter, pixels: str, view: View) -> str:
    """What a trunk takes, float32 (N, 3, S, S)."""
    mean, std = (np.array(numbers, dtype=np.float64)[:, None, None] for numbers in (view.mean, view.std))
    values = g.op("Cast", pixels, to=TensorProto.FLOAT)
    return g.op("Add", g.op("Mul", values, g.const(1 / (255 * std))), g.const(-mean / std))


def _middle(g: GraphWriter, image: str) -> str:
    """Of pictures that are very long or very wide, the middle."""
    sides = g.op("Slice", g.op("Shape", image), g.index(1), g.index(3))
    most = g.op("Mul", g.op("ReduceMin", sides, keepdims=0), g.const(LONGEST, np.int64))
    kept = g.op("Min", sides, most)
    start = g.op("Div", g.op("Sub", sides, kept), g.const(2, np.int64))
    return g.op("Slice", image, start, g.op("Add", start, kept), g.index(1, 2))
