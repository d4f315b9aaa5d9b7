"""The nodes of the multilingual encoder; the ONNX twin of `domains.text.multilingual`.

Shapes: N rows, T tokens, E embedding size, B numbers of a branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.shared.onnx_text_encoder import layer_norm
from modelgpt_cli.domains.shared.onnx_weights import factor, kept, kept_for_integers, linear
from modelgpt_cli.domains.text.multilingual import BRANCH, EPS, SCALES, WINDOWS


def make_small(state: dict[str, Any], prefix: str, quantize: str) -> None:
    """Put the matrices into the form in which the file keeps them; the table is in 8-bit integers as it is."""
    for name in [n for n in state if n.startswith(prefix) and n.endswith(".weight") and state[n].ndim == 2]:
        bias = state.get(name.removesuffix("weight") + "bias")
        whole = quantize == "int8"
        state |= kept_for_integers(name, state[name], bias) if whole else kept(name, state[name], quantize)


class MultilingualNodes:
    """Writes the nodes for texts, or for each of a pair.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the encoder's tensors.
    prefix : str
        Of their names.
    eps : float
        Of the layer normalisations.
    """

    def __init__(self, g: GraphWriter, prefix: str, eps: float) -> None:
        self.g, self.prefix, self.eps = g, prefix, eps

    def table(self, ids: str) -> str:
        """What the table has of the pieces, (N, T, E), of int64 (N, T)."""
        g = self.g
        turn = g.op("Mod", ids, g.const(SCALES, np.int64))
        x = g.op("Cast", g.op("Gather", g.tensor(self.prefix + "table"), ids, axis=0), to=TensorProto.FLOAT)
        scale, low = (g.op("Gather", g.tensor(self.prefix + name), turn, axis=0) for name in ("scale", "low"))
        return g.op("Add", g.op("Mul", x, scale), low)

    def embed(self, x: str, present: str) -> str:
        """Embeddings (N, E) of what `table` gives, and of float32 (N, T)."""
        g = self.g
        present = g.op("Unsqueeze", present, g.index(2))  # (N, T, 1)
        entered = self._norm("enter_norm", self._linear("enter", x))
        parts = [x]
        for i, (window, before) in enumerate(WINDOWS):
            part = g.op("Slice", entered, g.index(i * BRANCH), g.index((i + 1) * BRANCH), g.index(2))
            part = g.op("Mul", part, present)
            for name in ("one", "two"):
                found = g.op("Relu", self._linear(f"branches.{i}.{name}", self._neighbours(part, window, before)))
                part = g.op("Mul", g.op("Add", part, found), present)
            parts.append(part)
        features = g.op("Mul", self._norm("norm", g.join(parts, 2)), present)
        count = g.reduce("ReduceSum", present, 1, keep=False)  # (N, 1)
        mean = g.op("Div", g.reduce("ReduceSum", features, 1, keep=False), g.op("Max", count, g.const(1)))
        return self._average(g.op("Mul", self._linear("project", mean), g.op("Sqrt", count)), count)

    def _average(self, mean: str, count: str) -> str:
        """The deep averaging network."""
        g = self.g
        first = g.op("Relu", self._linear("average.first", mean))
        y = g.op("Relu", g.op("Add", self._linear("average.second_skip", mean), self._linear("average.second", first)))
        third = g.op("Relu", self._linear("average.third", y))
        z = g.op("Tanh", g.op("Add", self._linear("average.last_skip", y), self._linear("average.last", third)))
        square = g.op("Max", g.reduce("ReduceSum", g.op("Mul", z, z), 1), g.const(EPS))
        there = g.op("Cast", g.op("Less", g.const(0), count), to=TensorProto.FLOAT)
        return g.op("Mul", g.op("Div", z, g.op("Sqrt", square)), there)

    def _neighbours(self, x: str, window: int, before: int) -> str:
        """Each place's window side by side, (N, T, window · B)."""
        g = self.g
        length = g.op("Slice", g.op("Shape", x), g.index(1), g.index(2))
        wide = g.op("Pad", x, g.index(0, before, 0, 0, window - 1 - before, 0))
        ends = (g.op("Add", length, g.index(i)) for i in range(window))
        return g.join([g.op("Slice", wide, g.index(i), end, g.index(1)) for i, end in enumerate(ends)], 2)

    def _linear(self, name: str, x: str) -> str:
        g, weight = self.g, f"{self.prefix}{name}.weight"
        bias = f"{self.prefix}{name}.bias"
        return linear(g, factor(g, x, weight), weight, bias if bias in g.state else "")

    def _norm(self, name: str, x: str) -> str:
        return layer_norm(self.g, x, self.prefix + name, self.eps)
