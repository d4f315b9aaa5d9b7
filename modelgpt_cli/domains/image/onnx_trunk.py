"""A convolutional trunk as nodes of a graph, layer by layer as torch.fx finds them: no tracing, no cache.

Shapes: N images, S pixels a side, E features, c channels, k kernel.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import fx, nn

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.efficientnet_lite import LEAST_LENGTH, ROOT_SHIFT, Direction, SignedRoot
from modelgpt_cli.domains.image.same_padding import SamePaddedConv2d


def trunk_features(g: GraphWriter, trunk: nn.Module, x: str, prefix: str, *, quantize: str = "none") -> str:
    """Write a trunk's nodes.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the trunk's tensors under `prefix`.
    x : str
        float32 (N, 3, S, S)
    quantize : {"none", "fp16", "int8"}
        Unless "none", BatchNorm is folded into the convolutions; "fp16" keeps their weights as float16. Rounding to 8
        bits is for `onnx_integers` to do afterwards.

    Returns
    -------
    str
        float32 (N, E)
    """
    found = _Writer(g, trunk, prefix, quantize).write(x)
    assert isinstance(found, str), "a trunk has one output"
    return found


def trunk_maps(g: GraphWriter, trunk: nn.Module, x: str, prefix: str, *, quantize: str = "none") -> list[str]:
    """Write the nodes of a trunk that gives a tuple of maps; parameters as for `trunk_features`.

    Returns
    -------
    list of str
        float32 (N, c, h, w) each
    """
    found = _Writer(g, trunk, prefix, quantize).write(x)
    assert isinstance(found, list), "such a trunk has several outputs"
    return found


class _Tracer(fx.Tracer):
    """Sees layers whole, also those of ours."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (nn.Conv2d, Direction)) or super().is_leaf_module(m, module_qualified_name)


class _Writer:
    """Writes the nodes of a traced trunk one after the other."""

    def __init__(self, g: GraphWriter, trunk: nn.Module, prefix: str, quantize: str) -> None:
        self.g, self.trunk, self.prefix, self.quantize = g, trunk, prefix, quantize
        self.graph = _Tracer().trace(trunk)
        self.values: dict[fx.Node, str] = {}
        self._norm_of = {} if quantize == "none" else self._foldable()

    def _foldable(self) -> dict[fx.Node, fx.Node]:
        """Convolutions whose only reader is a BatchNorm, with it."""
        found = {}
        for node in self.graph.nodes:
            if isinstance(self._module(node), nn.BatchNorm2d):
                conv = node.args[0]
                if isinstance(self._module(conv), nn.Conv2d) and len(conv.users) == 1:
                    found[conv] = node
        return found

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.trunk.get_submodule(str(node.target)) if node.op == "call_module" else None

    def write(self, x: str) -> str | list[str]:
        folded = set(self._norm_of.values())
        for node in self.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = x
            elif node.op == "output":
                given = node.args[0]
                if isinstance(given, (tuple, list)):
                    return [self.values[one] for one in given]
                return self.values[given]
            elif node in folded:
                self.values[node] = self.values[node.args[0]]
            elif node.op == "call_module":
                self.values[node] = self._layer(node)
            else:
                self.values[node] = self._function(node)
        raise AssertionError("a traced module has an output")

    def _layer(self, node: fx.Node) -> str:
        layer, x = self._module(node), self.values[node.args[0]]  # type: ignore[index]
        if isinstance(layer, nn.Conv2d):
            return self._conv(node, layer, x)
        if isinstance(layer, nn.BatchNorm2d):
            names = (self._tensor(node, part) for part in ("weight", "bias", "running_mean", "running_var"))
            return self.g.op("BatchNormalization", x, *names, epsilon=layer.eps)
        for kind, write in _LAYERS.items():
            if type(layer) is kind:
                return write(self.g, x, layer)
        raise _unknown(type(layer).__name__)

    def _tensor(self, node: fx.Node, part: str) -> str:
        return self.g.tensor(f"{self.prefix}{node.target}.{part}")

    def _conv(self, node: fx.Node, layer: nn.Conv2d, x: str) -> str:
        left, right, top, bottom = layer.pads if isinstance(layer, SamePaddedConv2d) else (0, 0, 0, 0)
        high, wide = (int(p) for p in layer.padding)
        attributes: dict[str, Any] = {
            "kernel_shape": list(layer.kernel_size),
            "strides": list(layer.stride),
            "pads": [top + high, left + wide, bottom + high, right + wide],
            "group": layer.groups,
            "dilations": list(layer.dilation),
        }
        if node in self._norm_of:
            weight, bias = self._folded(node, layer, self._norm_of[node])
        else:
            weight = f"{self.prefix}{node.target}.weight"
            bias = f"{self.prefix}{node.target}.bias" if layer.bias is not None else ""
        names = [self._kept(weight), *([self.g.tensor(bias)] if bias else [])]
        return self.g.op("Conv", x, *names, **attributes)

    def _folded(self, node: fx.Node, layer: nn.Conv2d, norm: fx.Node) -> tuple[str, str]:
        """Names in the state of a convolution's weight and bias that do BatchNorm's work too."""
        state = self.g.state
        parts = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, var = (state[f"{self.prefix}{norm.target}.{p}"].astype(np.float64) for p in parts)
        layer_of = self._module(norm)
        assert isinstance(layer_of, nn.BatchNorm2d)
        scale = scale / np.sqrt(var + layer_of.eps)
        own = f"{self.prefix}{node.target}"
        bias = state[f"{own}.bias"].astype(np.float64) if layer.bias is not None else 0.0
        weight = state[f"{own}.weight"] * scale[:, None, None, None]
        state[f"{own}.folded.weight"] = weight.astype(np.float32)
        state[f"{own}.folded.bias"] = ((bias - mean) * scale + shift).astype(np.float32)
        return f"{own}.folded.weight", f"{own}.folded.bias"

    def _kept(self, weight: str) -> str:
        """A weight in the form in which the file keeps it; the runtime turns it back once, at loading."""
        if self.quantize != "fp16":
            return self.g.tensor(weight)
        limit = float(np.finfo(np.float16).max)
        self.g.state[weight] = np.clip(self.g.state[weight], -limit, limit).astype(np.float16)
        return self.g.op("Cast", self.g.tensor(weight), to=TensorProto.FLOAT)

    def _function(self, node: fx.Node) -> str:
        if node.target is torch.cat:
            parts, axis = node.args
            return self.g.op("Concat", *(self.values[part] for part in cast(list[fx.Node], parts)), axis=axis)
        write = _FUNCTIONS.get(node.target)
        if write is None:
            raise _unknown(str(getattr(node.target, "__name__", node.target)))
        return write(self.g, *(self.values[a] for a in node.args if isinstance(a, fx.Node)))


def _unknown(what: str) -> ModelGPTError:
    return ModelGPTError(
        "This network can't be turned into an ONNX graph.",
        f"It has a part that is not known: {what}.",
        "Write a model.safetensors instead, or choose another --backbone.",
    )


def _max_pool(g: GraphWriter, x: str, layer: Any) -> str:
    kernel, stride, padding = ([side, side] if isinstance(side, int) else list(side) for side in _window(layer))
    return g.op("MaxPool", x, kernel_shape=kernel, strides=stride, pads=padding * 2)


def _window(layer: nn.MaxPool2d) -> tuple[Any, Any, Any]:
    return layer.kernel_size, layer.stride, layer.padding


def _flat(g: GraphWriter, x: str) -> str:
    return g.op("Flatten", x, axis=1)


def _add(g: GraphWriter, a: str, b: str) -> str:
    return g.op("Add", a, b)


def _times(g: GraphWriter, a: str, b: str) -> str:
    return g.op("Mul", a, b)


def _gate(g: GraphWriter, x: str) -> str:
    return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _pool(g: GraphWriter, x: str, layer: Any = None) -> str:
    return g.op("GlobalAveragePool", x)


def _direction(g: GraphWriter, x: str, layer: Any = None) -> str:
    length = g.op("Sqrt", g.reduce("ReduceSum", g.op("Mul", x, x), 1))
    return g.op("Div", x, g.op("Max", length, g.const(LEAST_LENGTH)))


def _signed_root(g: GraphWriter, x: str, layer: Any = None) -> str:
    root = g.op("Sqrt", g.op("Add", g.op("Abs", x), g.const(ROOT_SHIFT)))
    return _direction(g, g.op("Mul", g.op("Sign", x), root))


_LAYERS: dict[type[nn.Module], Callable[[GraphWriter, str, Any], str]] = {
    nn.Identity: lambda g, x, layer: x,
    nn.Dropout: lambda g, x, layer: x,
    nn.ReLU: lambda g, x, layer: g.op("Relu", x),
    nn.ReLU6: lambda g, x, layer: g.clip(x, 0, 6),
    nn.Hardsigmoid: lambda g, x, layer: _gate(g, x),
    nn.Hardswish: lambda g, x, layer: g.op("Mul", x, _gate(g, x)),
    nn.AdaptiveAvgPool2d: _pool,
    nn.MaxPool2d: _max_pool,
    Direction: _direction,
    SignedRoot: _signed_root,
}
_FUNCTIONS: dict[Any, Callable[..., str]] = {
    operator.add: _add,
    operator.iadd: _add,
    operator.mul: _times,
    torch.add: _add,
    torch.mul: _times,
    F.adaptive_avg_pool2d: _pool,
    torch.flatten: _flat,
    "flatten": _flat,
}
