"""A small writer of ONNX graphs: names, nodes and constants. What the domains' parts ``onnx`` build with.

`onnx.helper` and not spox: the initializers keep the names of the model's state, and 1,000 columns build at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from modelgpt_cli.core.version import __version__

DEFAULT_OPSET = 17
"""Operator set where none is asked for: the first with LayerNormalization."""
ML_DOMAIN = "ai.onnx.ml"
_OF_ML = ("LabelEncoder", "TreeEnsembleRegressor")
_ML_OPSET = 3


class GraphWriter:
    """Collects the nodes and constants of one graph.

    Parameters
    ----------
    state : mapping of str to ndarray
        The model's tensors; `tensor` writes one under its own name when it is first asked for.
    names : iterable of str
        Names of inputs and outputs, which no inner value may take.
    opset : int
        Operator set, 13 to 20.
    """

    def __init__(self, state: Mapping[str, np.ndarray], names: Iterable[str], *, opset: int = DEFAULT_OPSET) -> None:
        self.state = dict(state)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._taken = {*state, *names}
        self._literals: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count: dict[str, int] = {}
        self._written: dict[str, str] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        output = output or self.fresh(kind.lower())
        self._node(kind, inputs, [output], attributes)
        return output

    def ops(self, kind: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs; return their names."""
        outputs = [self.fresh(kind.lower()) for _ in range(count)]
        self._node(kind, inputs, outputs, attributes)
        return outputs

    def _node(self, kind: str, inputs: Sequence[str], outputs: list[str], attributes: dict[str, Any]) -> None:
        attributes.setdefault("domain", ML_DOMAIN if kind in _OF_ML else "")
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"node.{len(self.nodes)}", **attributes))

    def reduce(self, kind: str, x: str, axis: int, *, keep: bool = True) -> str:
        """Add a ReduceSum, ReduceMax, ReduceMin or ReduceLogSumExp over one axis."""
        if kind == "ReduceSum" or self.opset >= 18:
            return self.op(kind, x, self.index(axis), keepdims=int(keep))
        return self.op(kind, x, axes=[axis], keepdims=int(keep))

    def tensor(self, name: str) -> str:
        """Add a tensor of the state, under its own name; return that name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(self.state[name]), name)
        return name

    def once(self, key: str, write: Callable[[], str]) -> str:
        """Return a value that several places read; `write` adds its nodes when it is first asked for."""
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant that is not of the state; equal ones are written once."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._literals:
            name = self._literals[key] = self.fresh("const")
            self.constants[name] = numpy_helper.from_array(array, name)
        return self._literals[key]

    def strings(self, values: Iterable[str]) -> str:
        """Add a constant list of strings."""
        name = self.fresh("const")
        cells = np.array(list(values), dtype=object)
        self.constants[name] = numpy_helper.from_array(cells, name)
        return name

    def index(self, *values: int) -> str:
        """Add constant int64 indices, axes or a shape, 1-D."""
        return self.const(values, np.int64)

    def take(self, x: str, columns: str) -> str:
        """Select columns of a matrix."""
        return self.op("Gather", x, columns, axis=1)

    def join(self, parts: list[str], axis: int = 1) -> str:
        """Concatenate parts."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def clip(self, x: str, low: float, high: float) -> str:
        """Clip numbers to two bounds."""
        return self.op("Clip", x, self.const(low), self.const(high))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], entries: Mapping[str, str]
    ) -> onnx.ModelProto:
        """Return what was written as a model, with `entries` in its metadata."""
        graph = helper.make_graph(self.nodes, "modelgpt", inputs, outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(ML_DOMAIN, _ML_OPSET)]
        version = helper.find_min_ir_version_for(opsets)
        used = {node.domain for node in self.nodes} - {opset.domain for opset in opsets}
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted(used)]
        proto = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=version,
            producer_name="modelgpt",
            producer_version=__version__,
        )
        helper.set_model_props(proto, dict(entries))
        return proto

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has yet."""
        while True:
            self._count[stem] = self._count.get(stem, -1) + 1
            name = f"{stem}.{self._count[stem]}"
            if name not in self._taken:
                return name
