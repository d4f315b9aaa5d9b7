"""Weights as a graph keeps them, and products with them: float32, float16 or 8-bit integers. Beside `onnx_graph`.

Matrices lie in the file as torch has them, (outputs, inputs), under their names in the state. With 8-bit integers a
product is either made in float32, from weights that the runtime turns back when it loads the model, or in integers:
each row of the other factor is then rounded to 8 bits between its own least and greatest number, so that an answer
doesn't depend on the rows it is asked for with.
Shapes: ... any leading axes, I inputs, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.parameter_generator.shipped_encoder import rounded

SCALE = ".scale"
"""Behind a matrix's name: what each of its rows of 8-bit integers is to be multiplied by, (O, 1)."""
SHIFT = ".shift"
"""Behind a matrix's name: what makes up for its factor's least number, and the bias, (2, O)."""
_LEVELS = 255
_MOST = 127
_LEAST_SCALE = 1e-12


@dataclass(frozen=True)
class RoundedRows:
    """A factor of integer products: numbers are `integers` * `scale` + the first column of `low`.

    Attributes
    ----------
    integers : str
        uint8 (..., I).
    scale : str
        float32 (..., 1).
    low : str
        float32 (..., 2): each row's least number, and 1.
    """

    integers: str
    scale: str
    low: str


def kept(name: str, matrix: np.ndarray, quantize: str) -> dict[str, np.ndarray]:
    """A matrix (O, I), or a table of rows, as the file keeps it: "none", "fp16" or "int8".

    With "none" it stays exact: in halves where they hold all of its numbers.
    """
    if quantize == "none":
        half = kept(name, matrix, "fp16")
        return half if np.array_equal(half[name], matrix) else {name: matrix}
    if quantize == "int8":
        integers, scale = rounded(matrix)
        return {name: integers, name + SCALE: scale}
    if quantize == "fp16":
        limit = float(np.finfo(np.float16).max)
        return {name: np.clip(matrix, -limit, limit).astype(np.float16)}
    raise ValueError(f"there is no storage {quantize!r}")


def kept_for_integers(name: str, matrix: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    """A matrix (O, I) for integer products, with its bias (O,).

    Processors without instructions for 8-bit networks (AVX2) add the products of two neighbours in 16 bits, and what
    doesn't fit in is lost without a word: neighbours are kept so small that it fits.
    """
    scale = np.maximum(np.abs(matrix).max(1), _neighbours(matrix))[:, None] / _MOST
    scale[scale == 0] = 1
    scale = scale.astype(np.float32)
    integers = np.round(matrix / scale).astype(np.int8)
    sums = integers.sum(1, dtype=np.int64) * scale[:, 0]
    shift = np.stack([sums, np.zeros(len(sums)) if bias is None else bias]).astype(np.float32)
    return {name: integers, name + SCALE: scale, name + SHIFT: shift}


def _neighbours(matrix: np.ndarray) -> np.ndarray:
    """The largest sum of two neighbours of one sign, of each row (O,)."""
    sides = (np.maximum(side, 0) for side in (matrix, -matrix))
    sums = ((side[:, 1:] + side[:, :-1]).max(1, initial=0) for side in sides)
    largest: np.ndarray = np.maximum(*sums)
    return largest


def rows(g: GraphWriter, name: str, ids: str) -> str:
    """Rows of a table, as float32."""
    found = g.op("Gather", g.tensor(name), ids, axis=0)
    if g.state[name].dtype == np.float32:
        return found
    found = g.op("Cast", found, to=TensorProto.FLOAT)
    if name + SCALE not in g.state:
        return found
    return g.op("Mul", found, g.op("Gather", g.tensor(name + SCALE), ids, axis=0))


def factor(g: GraphWriter, x: str, weight: str) -> str | RoundedRows:
    """What `linear` takes, of rows (..., I): several products with the same rows share it."""
    if weight + SHIFT not in g.state:
        return x
    low, high = (g.reduce(kind, x, -1) for kind in ("ReduceMin", "ReduceMax"))
    scale = g.op("Mul", g.op("Sub", high, low), g.const(1 / _LEVELS))
    scale = g.op("Max", scale, g.const(_LEAST_SCALE))
    steps = g.op("Div", g.op("Sub", x, low), scale)
    integers = g.op("QuantizeLinear", steps, g.const(1), g.const(0, np.uint8))
    one = g.op("Add", g.op("Mul", low, g.const(0)), g.const(1))
    return RoundedRows(integers, scale, g.op("Concat", low, one, axis=-1))


def linear(g: GraphWriter, x: str | RoundedRows, weight: str, bias: str = "") -> str:
    """A linear layer's outputs (..., O), float32.

    Parameters
    ----------
    x : str or RoundedRows
        As `factor` gives it.
    weight, bias : str
        Names in the state. Of a matrix for integer products the bias is in its shift.
    """
    if isinstance(x, RoundedRows):
        sums = g.op("MatMulInteger", x.integers, _turned(g, weight, weight))
        scaled = g.op("Mul", g.op("Cast", sums, to=TensorProto.FLOAT), x.scale)
        scaled = g.op("Mul", scaled, _turned(g, weight + SCALE, weight + SCALE))
        return g.op("Add", scaled, g.op("MatMul", x.low, g.tensor(weight + SHIFT)))
    result = g.op("MatMul", x, matrix(g, weight))
    return g.op("Add", result, g.tensor(bias)) if bias else result


def matrix(g: GraphWriter, name: str) -> str:
    """A matrix as the right factor of a product, float32 (I, O); the runtime works it out once, at loading."""
    return g.once("turned " + name, lambda: _turned(g, name, _float(g, name)))


def _float(g: GraphWriter, name: str) -> str:
    value = g.tensor(name)
    if g.state[name].dtype == np.float32:
        return value
    value = g.op("Cast", value, to=TensorProto.FLOAT)
    return g.op("Mul", value, g.tensor(name + SCALE)) if name + SCALE in g.state else value


def _turned(g: GraphWriter, key: str, value: str) -> str:
    """A transposed matrix, written once."""
    value = g.tensor(value) if value == key else value
    return g.once("transposed " + key, lambda: g.op("Transpose", value, perm=[1, 0]))
