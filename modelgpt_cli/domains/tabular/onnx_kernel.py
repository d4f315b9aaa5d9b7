"""A kernel machine as nodes of the graph: the ONNX twin of `kernel_model`.

Shapes: N rows, d linear inputs, P points, C outputs.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.tabular.kernel_model import PREFIX


def kernel_scores(g: GraphWriter, linear: str) -> str:
    """Write the kernel; return what it adds to the network's outputs (N, C), from linear inputs (N, d)."""

    def wide(value: str) -> str:
        return g.op("Cast", value, to=TensorProto.DOUBLE)

    points = g.state[PREFIX + "points"].astype(np.float64)
    x = wide(g.op("Mul", linear, g.tensor(PREFIX + "scale")))
    own = g.op("Mul", g.op("ReduceSum", g.op("Mul", x, x), g.index(1), keepdims=1), g.const(0.5, np.float64))  # (N, 1)
    others = g.const(np.square(points).sum(1) / 2, np.float64)  # (P,)
    turned = g.op("Transpose", wide(g.tensor(PREFIX + "points")), perm=[1, 0])  # once, when the runtime loads the model
    near = g.op("Sub", g.op("Sub", g.op("MatMul", x, turned), own), others)
    gaussians = g.op("Exp", g.op("Min", near, g.const(0, np.float64)))  # (N, P)
    answers = g.op("MatMul", gaussians, wide(g.tensor(PREFIX + "weight")))
    return g.op("Add", g.op("Cast", answers, to=TensorProto.FLOAT), g.tensor(PREFIX + "bias"))
