"""Features to scores and bounds, as nodes of the graph: the ONNX twin of `TabularModel.scores`.

Shapes: N rows, f full and b flat features, K channels, M members, H hidden units, C outputs.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
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


def bounds(g: GraphWriter, scores: str, linear: str, interval: str, spread: str, *, wide: bool = False) -> None:
    """The output ``prediction`` (N, 1) to the outputs ``lower`` and ``upper``; see `TabularModel.answers`."""
    quantile, bias, least, most = (g.op("Gather", g.tensor(interval), g.const(i, np.int64), axis=0) for i in range(4))
    z = g.clip(scores, -SPREAD_CLIP, SPREAD_CLIP)
    inputs = [*([linear] if linear else []), z, g.op("Abs", z), g.op("Mul", z, z)]
    log_spread = g.op("Add", g.op("MatMul", g.join(inputs), g.tensor(spread)), bias)
    half = g.op("Mul", g.op("Exp", g.op("Clip", log_spread, least, most)), quantile)
    if wide:
        half = g.op("Cast", half, to=TensorProto.DOUBLE)
    g.op("Sub", "prediction", half, output="lower")
    g.op("Add", "prediction", half, output="upper")
