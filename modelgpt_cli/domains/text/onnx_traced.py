"""Any encoder of transformers' as nodes of a graph: traced by torch once, kept without weights, filled in afterwards.

Beside `onnx_text_encoder`, which writes the usual encoders itself in a fraction of the time. What was traced lies in
the user's cache folder, by the encoder's configuration and the versions of what traced it.
Shapes: N rows, T tokens, E state size, I inputs, O outputs of a linear layer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.paths import cache_folder, keep
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.domains.shared.names import BACKBONE
from modelgpt_cli.domains.shared.onnx_weights import RoundedRows, factor, kept, kept_for_integers, linear, rows
from modelgpt_cli.domains.text.model import TextModel

log = logging.getLogger("modelgpt")
_FORMAT = 1
_PACKAGES = ("torch", "transformers", "onnxscript")
_INPUTS = ("ids", "mask", "types")
_STATES = "states"
_MODULE = "encoder."
_LARGE_TABLE = 1 << 18
"""Numbers from which on a table of embeddings is kept small."""
_DIGEST = 64


def traced_states(g: GraphWriter, model: TextModel, ids: str, mask: str, types: str, quantize: str) -> str:
    """Write an encoder's nodes from its traced graph.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the encoder's tensors, and takes what is made of them.
    ids, mask, types : str
        int64 (N, T); `types` may be empty.
    quantize : {"none", "fp16", "int8"}

    Returns
    -------
    str
        float32 (N, T, E)

    Raises
    ------
    ModelGPTError
        torch can't trace this encoder.
    """
    graph = _cached_graph(model, bool(types), g.opset)
    return _Filler(g, graph, dict(zip(_INPUTS, (ids, mask, types), strict=True)), quantize).fill()


def _cached_graph(model: TextModel, types: bool, opset: int) -> onnx.GraphProto:
    """The traced graph, from the cache if it is there and whole."""
    config = model.blueprint.architecture.encoder
    about = {"format": _FORMAT, "config": config, "types": types, "opset": opset, "versions": _versions()}
    key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
    path = cache_folder() / "encoders" / f"{key}.onnx"
    with contextlib.suppress(OSError, DecodeError):
        content = path.read_bytes()
        if content[:_DIGEST] == _digest(content[_DIGEST:]):
            return onnx.load_model_from_string(content[_DIGEST:]).graph
        log.debug("%s is damaged and is made anew.", path)
    log.info("Tracing the encoder %s, once; this takes a while.", config.get("model_type"))
    proto = _trace(model, types, opset)
    content = proto.SerializeToString(deterministic=True)
    keep(path, _digest(content) + content)
    return proto.graph


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class _Traced(nn.Module):
    """An encoder with plain tensors in and out."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        more = {} if types is None else {"token_type_ids": types}
        states: Tensor = self.encoder(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        return states


def _trace(model: TextModel, types: bool, opset: int) -> onnx.ModelProto:
    """Let torch export an encoder; the weights are taken out again."""
    try:
        import onnxscript  # noqa: F401  # what torch's exporter is written with
    except ImportError as error:
        raise ModelGPTError(
            "This encoder's graph is traced by torch, for which the library onnxscript is needed.",
            "",
            "Install it: pip install onnxscript",
        ) from error
    names = _INPUTS[: 2 + types]
    ids = torch.ones(3, 7, dtype=torch.long)
    mask = ids.clone()
    mask[1, 5:] = 0
    free = {0: torch.export.Dim("N"), 1: torch.export.Dim("T")}
    try:
        with quiet("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
            program = torch.onnx.export(
                _Traced(model.encoder).eval(),
                (ids, mask, torch.zeros_like(ids))[: len(names)],
                dynamo=True,
                # Unoptimised, so that the weights stay as they are and under their names; the runtime optimises.
                optimize=False,
                opset_version=opset,
                input_names=list(names),
                output_names=[_STATES],
                dynamic_shapes=dict.fromkeys(names, free),
                verbose=False,
            )
            assert program is not None
            proto: onnx.ModelProto = program.model_proto
    except Exception as error:  # torch's exporter raises errors of many kinds, without a common base
        kind = model.blueprint.architecture.encoder.get("model_type")
        raise ModelGPTError(
            f"The encoder {kind!r} can't be turned into an ONNX graph.",
            " ".join(str(error).split())[:300],
            "Write a model.safetensors instead, or choose another --backbone.",
        ) from error
    return _stripped(proto, model.encoder.state_dict())


def _stripped(proto: onnx.ModelProto, weights: Mapping[str, Tensor]) -> onnx.ModelProto:
    """A traced graph without weights, shapes and the traces of where each node comes from."""
    own = [t for t in proto.graph.initializer if t.name.removeprefix(_MODULE) not in weights]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(own)
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    for node in proto.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    return proto


class _Filler:
    """Copies a traced graph's nodes into a writer, with the weights' own nodes in the place of theirs."""

    def __init__(self, g: GraphWriter, graph: onnx.GraphProto, inputs: dict[str, str], quantize: str) -> None:
        self.g, self.graph, self.quantize = g, graph, quantize
        self.names = dict(inputs)
        self.small: dict[str, str] = {}
        """Traced name → name in the state, of weights that are kept small."""
        self.turned: dict[str, str] = {}
        self._factors: dict[str, str | RoundedRows] = {}
        for tensor in graph.initializer:
            self._adopt(tensor)
        weights = self._free()
        self.names |= {name: BACKBONE + name.removeprefix(_MODULE) for name in weights}
        if quantize != "none":
            self._make_small(weights)

    def _adopt(self, tensor: onnx.TensorProto) -> None:
        """A constant of the traced graph's own."""
        name = self.names[tensor.name] = self.g.fresh("traced")
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = name
        self.g.constants[name] = copy

    def _free(self) -> list[str]:
        """The names that no node and no constant gives: the weights."""
        made = {name for node in self.graph.node for name in node.output} | set(self.names)
        return sorted({name for node in self.graph.node for name in node.input if name} - made)

    def _make_small(self, weights: Sequence[str]) -> None:
        """Put the weights that are used as matrices or tables alone into the form in which the file keeps them."""
        uses: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in set(node.input):
                uses.setdefault(name, []).append(node)
        for name in weights:
            own = self.names[name]
            value: np.ndarray = self.g.state[own]
            if value.ndim != 2:
                continue
            matrix = all(_is_turn(node) and _is_right_factor(node.output[0], uses) for node in uses[name])
            table = value.size >= _LARGE_TABLE and all(_is_lookup(node, name) for node in uses[name])
            if not matrix and not table:
                continue
            whole = matrix and self.quantize == "int8"
            made = kept_for_integers(own, value, None) if whole else kept(own, value, self.quantize)
            self.g.state.update(made)
            self.small[name] = own

    def fill(self) -> str:
        """Write all nodes; the name of the token states."""
        for node in self.graph.node:
            first = node.input[0] if node.input else ""
            if _is_turn(node) and first in self.small:
                self.turned[node.output[0]] = self.small[first]
            elif node.op_type == "MatMul" and node.input[1] in self.turned:
                weight = self.turned[node.input[1]]
                self.names[node.output[0]] = linear(self.g, self._factor(self._name(first), weight), weight)
            elif node.op_type == "Gather" and first in self.small:
                self.names[node.output[0]] = rows(self.g, self.small[first], self._name(node.input[1]))
            else:
                self._copy(node)
        return self._name(self.graph.output[0].name)

    def _factor(self, x: str, weight: str) -> str | RoundedRows:
        if x not in self._factors:
            self._factors[x] = factor(self.g, x, weight)
        return self._factors[x]

    def _name(self, name: str) -> str:
        """What a value of the traced graph is called in the writer's."""
        found = self.names.get(name)
        if found is None:
            return name
        return self.g.tensor(found) if found in self.g.state else found

    def _copy(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"node.{len(self.g.nodes)}"
        copy.input[:] = [self._name(name) for name in node.input]
        for name in node.output:
            self.names[name] = self.g.fresh("traced") if name else ""
        copy.output[:] = [self.names[name] for name in node.output]
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
            raise ModelGPTError(
                "The encoder can't be turned into an ONNX graph.",
                "Its traced graph has branches or loops.",
                "Write a model.safetensors instead, or choose another --backbone.",
            )
        self.g.nodes.append(copy)


def _is_turn(node: onnx.NodeProto) -> bool:
    """Whether a node transposes a matrix."""
    return node.op_type == "Transpose" and [list(a.ints) for a in node.attribute if a.name == "perm"] == [[1, 0]]


def _is_right_factor(name: str, uses: Mapping[str, list[onnx.NodeProto]]) -> bool:
    return all(node.op_type == "MatMul" and node.input[1] == name != node.input[0] for node in uses.get(name, []))


def _is_lookup(node: onnx.NodeProto, name: str) -> bool:
    """Whether a node takes rows of a table."""
    axis: list[Any] = [a.i for a in node.attribute if a.name == "axis" and a.i]
    return node.op_type == "Gather" and not axis and node.input[0] == name != node.input[1]
