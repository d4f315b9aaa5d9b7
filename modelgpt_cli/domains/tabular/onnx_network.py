"""Features to scores and bounds, as nodes of the graph: the ONNX twin of `TabularModel.scores`.

Shapes: N rows, f full and b flat features, K channels, M members, H hidden units, C outputs.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.outputs import is_wide
from modelgpt_cli.domains.tabular.model import PARAMETERS, SPREAD_CLIP
from modelgpt_cli.domains.tabular.sizes import CHANNELS

SCALE = ".scale"
"""Behind a weight's name: the name of the numbers that its 8-bit integers are to be multiplied by."""
_OF_FEATURES = ("layers.0.weight", "head.linear")
_STACKED = tuple(name for name in PARAMETERS if name not in ("head.linear", "head.bias"))


def linear_inputs(g: GraphWriter, full: list[str], flat: list[str]) -> str:
    """The first view of full features and the flat ones, (N, f + b); empty if there is no feature."""
    parts = [*full[:1], *flat]
    return g.join(parts) if parts else ""


def network_scores(g: GraphWriter, full: list[str], flat: list[str], linear: str, rows: str) -> str:
    """Write the network's nodes, member by member.

    One product per member and layer: onnxruntime packs such matrices when it loads the model and joins product, bias
    and ReLU in one step, which it does not do for a stack of matrices.

    Parameters
    ----------
    g : GraphWriter
    full, flat : list of str
        As `onnx_features.encode` gives them.
    linear : str
        As `linear_inputs` gives them.
    rows : str
        Any input (N, 1), to count rows by where there is no feature at all.

    Returns
    -------
    str
        Logits or the standardised target, (N, C).
    """
    parts = [*full, *flat]
    first = g.join(parts) if parts else _zeros(g, rows)
    weights = {name: _weight(g, name) for name in PARAMETERS if parts or name not in _OF_FEATURES}
    if full:
        rows_first = g.const(
            _first_rows(g.state["layers.0.weight"].shape[1], g.state["head.linear"].shape[0]), np.int64
        )
        weights["layers.0.weight"] = g.op("Gather", weights["layers.0.weight"], rows_first, axis=1)
    terms = []
    for m in range(len(g.state["layers.0.weight"])):
        # The runtime works these out when it loads the model.
        part = {
            name: g.op("Gather", weights[name], g.const(m, np.int64), axis=0) for name in weights if name in _STACKED
        }
        h1 = g.op("MatMul", first, part["layers.0.weight"]) if parts else first
        h1 = g.op("Relu", g.op("Add", h1, part["layers.0.bias"]))
        h2 = g.op("Relu", g.op("Add", g.op("MatMul", h1, part["layers.1.weight"]), part["layers.1.bias"]))
        terms += [g.op("MatMul", h1, part["head.hidden1"]), g.op("MatMul", h2, part["head.hidden2"])]
    if parts:
        terms.append(g.op("MatMul", linear, weights["head.linear"]))
    return g.op("Sum", *terms, weights["head.bias"])


def _weight(g: GraphWriter, name: str) -> str:
    """A parameter, as float32."""
    kept = g.tensor(name)
    if g.state[name].dtype == np.float32:
        return kept
    value = g.op("Cast", kept, to=TensorProto.FLOAT)
    return g.op("Mul", value, g.tensor(name + SCALE)) if name + SCALE in g.state else value


def _first_rows(n_rows: int, n_features: int) -> np.ndarray:
    """The order in which the first layer's rows meet the graph's features: view by view, not feature by feature."""
    f = (n_rows - n_features) // (CHANNELS - 1)
    full = np.arange(f * CHANNELS).reshape(f, CHANNELS).T.ravel()
    return np.concatenate([full, np.arange(f * CHANNELS, n_rows)])


def _zeros(g: GraphWriter, rows: str) -> str:
    """Zeros (N, 1)."""
    return g.op("Cast", g.op("ConstantOfShape", g.op("Shape", rows)), to=TensorProto.FLOAT)


def write_numbers(
    g: GraphWriter, scores: str, linear: str, *, kind: str, target: str, transform: str, interval: str, spread: str
) -> None:
    """From standardised scores (N, 1) to the outputs ``prediction``, ``lower`` and ``upper``; `TabularModel.answers`.

    Parameters
    ----------
    linear : str
        As `linear_inputs` gives them.
    kind : str
        Of the target's transform.
    target, transform, interval, spread : str
        Of the state; "" for a transform or an interval that there isn't.
    """
    wide = is_wide(g, target)
    own = g.op("Cast", scores, to=TensorProto.DOUBLE) if wide else scores
    mean, std = _numbers(g, target)
    middle = g.op("Add", g.op("Mul", own, std), mean)

    def backward(t: str) -> str:
        return _backward(g, kind, _numbers(g, transform), wide, t) if transform else t

    shifted = g.op("Add", middle, _numbers(g, transform)[2]) if transform else middle
    g.op("Identity", backward(shifted), output="prediction")
    if not interval:
        return
    below, above, bias, least, most = _numbers(g, interval)
    z = g.clip(scores, -SPREAD_CLIP, SPREAD_CLIP)
    inputs = [*([linear] if linear else []), z, g.op("Abs", z), g.op("Mul", z, z)]
    log_spread = g.op("Add", g.op("MatMul", g.join(inputs), g.tensor(spread)), bias)
    width = g.op("Exp", g.op("Clip", log_spread, least, most))
    ends = []
    for quantile in (below, above):
        way = g.op("Mul", width, quantile)
        ends.append(backward(g.op("Add", middle, g.op("Cast", way, to=TensorProto.DOUBLE) if wide else way)))
    g.op("Min", *ends, "prediction", output="lower")
    g.op("Max", *ends, "prediction", output="upper")


def _numbers(g: GraphWriter, name: str) -> list[str]:
    """The numbers of a tensor (k,) of the state, one by one."""

    def write(i: int) -> str:
        return g.once(f"{name}.{i}", lambda: g.op("Gather", g.tensor(name), g.const(i, np.int64), axis=0))

    return [write(i) for i in range(len(g.state[name]))]


def _backward(g: GraphWriter, kind: str, numbers: list[str], wide: bool, t: str) -> str:
    """Undo a target's transform; see `TargetTransform.backward`."""
    offset, scale, _, least, most, lower, upper = numbers
    t = g.op("Max", g.op("Min", t, most), least)
    if kind == "log":
        t = g.op("Exp", t)
    elif kind == "sqrt":
        t = g.op("Mul", t, g.op("Abs", t))
    elif kind == "asinh":
        half = g.const(0.5, np.float64 if wide else np.float32)
        t = g.op("Mul", g.op("Sub", g.op("Exp", t), g.op("Exp", g.op("Neg", t))), half)
    elif kind == "logit":
        t = g.op("Sigmoid", t)
    if kind != "none":
        t = g.op("Add", g.op("Mul", t, scale), offset)
    return g.op("Max", g.op("Min", t, upper), lower)
