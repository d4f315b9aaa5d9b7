"""The numeric core of a graph: for runtimes that have no strings, no trees, or only networks of one size.

What such a runtime can't have is cut off, and JSON says what stands in for it: codes for the levels of a column, pixels
for an image, the classes' names in ``labels.json``. Between a model and the writer of a place.
Shapes: N rows, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.deployment.probe import Feed
from modelgpt_cli.deployment.trees import OPERATOR, write_out_trees
from modelgpt_cli.runtime.session import EXTENSIONS, Model

PREPROCESSING = "preprocessing.json"
_ENCODER = "LabelEncoder"
_TREES = (OPERATOR, "TreeEnsembleClassifier", "TreeEnsemble")


@dataclass(frozen=True)
class Inner:
    """An inner value of a graph at which preprocessing ends.

    Attributes
    ----------
    value : str
        Its name in the graph.
    replaces : str
        The graph's input that it is made from.
    shape : tuple of int or str
        Of float32 numbers.
    how : dict
        How it is made, as JSON: for people, and for programs.
    make : callable
        The same in Python: the graph's input, (N, ...), to the value.
    """

    value: str
    replaces: str
    shape: tuple[int | str, ...]
    how: dict[str, Any]
    make: Callable[[np.ndarray], np.ndarray]


class Core(Protocol):
    """A domain's part ``core``: where preprocessing ends in its graphs, and how it is done without them."""

    def inner(self, model: Model) -> Sequence[Inner]:
        """Return the values at which a network without preprocessing begins."""

    def network(self, target: Any) -> Any:
        """Return a target model as a module of torch's that begins there, and gives probabilities."""


@dataclass(frozen=True)
class NumericCore:
    """A graph of numbers alone.

    Attributes
    ----------
    proto : ModelProto
    preprocessing : list of dict
        An entry for each input that is not one of the model's own, as JSON.
    makers : dict of str to (str, callable)
        Such an input → the model's own input, and what makes the one from the other.
    dropped : tuple of str
        Outputs of the model's that are strings: names, which ``labels.json`` has.
    """

    proto: onnx.ModelProto
    preprocessing: list[dict[str, Any]] = field(default_factory=list)
    makers: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """Names of its inputs."""
        return [one.name for one in self.proto.graph.input]

    @property
    def outputs(self) -> list[str]:
        """Names of its outputs."""
        return [one.name for one in self.proto.graph.output]

    def described(self) -> dict[str, Any]:
        """Describe its inputs and outputs as JSON; see `deployment.schema.tensor`."""
        graph = self.proto.graph
        return {"inputs": [_tensor(one) for one in graph.input], "outputs": [_tensor(one) for one in graph.output]}

    def feed(self, inputs: Feed) -> Feed:
        """Turn inputs of the model into inputs of the core."""
        return {
            name: self.makers[name][1](inputs[self.makers[name][0]]) if name in self.makers else inputs[name]
            for name in self.inputs
        }


def numeric_core(model: Model, place: str, *, networks: bool) -> NumericCore:
    """Cut a model's graph down to what is made of numbers alone.

    Parameters
    ----------
    model : Model
    place : str
        What messages call the runtime.
    networks : bool
        Whether the runtime takes networks alone: then preprocessing is cut off where the domain says that it ends.

    Raises
    ------
    ModelGPTError
        The graph works on strings inside, or has trees that are none of ours.
    """
    proto = onnx.load_model(str(model.path))
    if any(node.op_type in _TREES for node in proto.graph.node) and not write_out_trees(proto.graph):
        raise ModelGPTError(
            f"{place} can't run this model: it has trees of another kind than those that modelgpt writes.",
            "Only onnxruntime has an operator for them.",
        )
    if any(node.domain == EXTENSIONS for node in proto.graph.node):
        raise ModelGPTError(
            f"{place} can't run this model: its tokenizer is in the graph.",
            "",
            "Export or build it without --tokenizer-in-graph.",
        )
    dropped = _drop_strings(proto.graph)
    preprocessing, makers = _codes(proto.graph, place)
    if networks and model.domain.has("core"):
        core: Core = model.domain.part("core")
        for one in core.inner(model):
            _begin_at(proto.graph, one)
            preprocessing.append({"input": one.value, "from": one.replaces, **one.how})
            makers[one.value] = (one.replaces, one.make)
    _prune(proto)
    del proto.metadata_props[:]
    return NumericCore(proto, preprocessing, makers, dropped)


def _tensor(one: onnx.ValueInfoProto) -> dict[str, Any]:
    about = one.type.tensor_type
    kind = TensorProto.DataType.Name(about.elem_type).lower()
    shape = [side.dim_value if side.HasField("dim_value") else side.dim_param or None for side in about.shape.dim]
    return {"name": one.name, "type": kind, "shape": shape}


def _drop_strings(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Take outputs away that are strings."""
    kept = [one for one in graph.output if one.type.tensor_type.elem_type != TensorProto.STRING]
    dropped = tuple(one.name for one in graph.output if one.type.tensor_type.elem_type == TensorProto.STRING)
    del graph.output[:]
    graph.output.extend(kept)
    return dropped


def _codes(
    graph: onnx.GraphProto, place: str
) -> tuple[list[dict[str, Any]], dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]]:
    """Let codes come in where levels were looked up; one input for each such table of a string input."""
    strings = {one.name: one for one in graph.input if one.type.tensor_type.elem_type == TensorProto.STRING}
    entries: list[dict[str, Any]] = []
    makers: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {}
    for node in list(graph.node):
        read = [name for name in node.input if name in strings]
        if not read:
            continue
        if node.op_type != _ENCODER:
            raise ModelGPTError(
                f"{place} can't run this model: it works on texts inside the graph ({node.op_type}).",
                f"{place} knows numbers alone.",
            )
        found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        whole = "values_int64s" in found
        values = found["values_int64s"] if whole else found["values_floats"]
        other = found.get("default_int64" if whole else "default_float", -1 if whole else 0.0)
        table = {key.decode("utf-8"): value for key, value in zip(found["keys_strings"], values, strict=True)}
        column, name = read[0], _free(f"{read[0]} code", {*strings, *makers})
        shape = [side.dim_param or side.dim_value for side in strings[column].type.tensor_type.shape.dim]
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        _rename(graph, node.output[0], name)
        graph.node.remove(node)
        entries.append({"input": name, "from": column, "kind": "codes", "codes": table, "other": other})
        makers[name] = (column, _coder(table, other, np.int64 if whole else np.float32))
    for one in strings.values():
        graph.input.remove(one)
    return entries, makers


def _coder(table: dict[str, Any], other: Any, kind: Any) -> Callable[[np.ndarray], np.ndarray]:
    def make(cells: np.ndarray) -> np.ndarray:
        return np.array([table.get(str(cell), other) for cell in cells.ravel()], dtype=kind).reshape(cells.shape)

    return make


def _free(name: str, taken: set[str]) -> str:
    """A name that nothing has yet."""
    found, k = name, 2
    while found in taken:
        found, k = f"{name} {k}", k + 1
    return found


def _begin_at(graph: onnx.GraphProto, inner: Inner) -> None:
    """Make an inner value an input, in place of the one that it is made from."""
    for node in graph.node:
        for k, name in enumerate(node.output):
            if name == inner.value:
                node.output[k] = f"{name} before"
    graph.input.append(helper.make_tensor_value_info(inner.value, TensorProto.FLOAT, inner.shape))


def _reads(node: onnx.NodeProto) -> set[str]:
    """All values that a node reads, those of its branches among them."""
    found = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                found |= _reads(inner)
            found |= {one.name for one in graph.output}
    return found


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name == old:
                node.input[k] = new


def _prune(proto: onnx.ModelProto) -> None:
    """Leave out nodes, tensors, inputs and operator sets that no output needs."""
    graph = proto.graph
    wanted = {one.name for one in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= _reads(node)
    nodes = list(reversed(kept))
    del graph.node[:]
    graph.node.extend(nodes)
    for entries in (graph.initializer, graph.input):
        left = [one for one in entries if one.name in wanted]
        del entries[:]
        entries.extend(left)
    del graph.value_info[:]
    used = {node.domain for node in nodes} | {""}
    opsets = [one for one in proto.opset_import if one.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(opsets)


def fixed(core: NumericCore, outputs: Sequence[str]) -> NumericCore:
    """Return a core of one row at a time, with some of its outputs alone: for runtimes that want all sides known."""
    proto = onnx.ModelProto()
    proto.CopyFrom(core.proto)
    kept = [one for one in proto.graph.output if one.name in outputs]
    gone = tuple(one.name for one in proto.graph.output if one.name not in outputs)
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    _prune(proto)
    for one in (*proto.graph.input, *proto.graph.output):
        first = one.type.tensor_type.shape.dim[0]
        first.ClearField("dim_param")
        first.dim_value = 1
    return replace(core, proto=proto, dropped=(*core.dropped, *gone))
