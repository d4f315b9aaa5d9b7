"""Trees as products of matrices, for runtimes that have no operator for them. A step of `deployment.numeric`.

All comparisons of all trees are made at once; a leaf is reached where those on the way to it came out as they must.
After the GEMM strategy of Hummingbird (Nakandala et al., OSDI 2020), tree by tree, so that the matrices stay small.
Shapes: N rows, F features, T trees, B comparisons of a tree, L leaves of a tree, K sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPERATOR = "TreeEnsembleRegressor"
_BRANCH, _LEAF = b"BRANCH_LEQ", b"LEAF"


def write_out_trees(graph: onnx.GraphProto) -> bool:
    """Replace a graph's trees by other operators.

    Returns
    -------
    bool
        Whether all could be replaced; where some are of another kind than those that we write, nothing is changed.
    """
    found = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    if not all(map(_is_ours, found)):
        return False
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _products(graph, node, len(nodes)) if node.op_type == OPERATOR else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _is_ours(node: onnx.NodeProto) -> bool:
    a = _attributes(node)
    plain = (
        node.op_type == OPERATOR
        and a.get("aggregate_function", b"SUM") == b"SUM"
        and a.get("post_transform", b"NONE") == b"NONE"
    )
    modes = set(a.get("nodes_modes", ()))
    return plain and bool(modes) and modes <= {_BRANCH, _LEAF} and not a.get("base_values")


def _products(graph: onnx.GraphProto, node: onnx.NodeProto, number: int) -> list[onnx.NodeProto]:
    """The nodes in place of one operator, from its features (N, F) to its sums (N, K)."""
    feature, value, missing, path, wanted, weight = _matrices(_attributes(node))
    T, B, _ = path.shape
    constants = {
        "feature": feature.ravel(),
        "value": value.ravel(),
        "missing": missing.ravel(),
        "shape": np.array([-1, T, 1, B]),
        "path": path,
        "wanted": wanted[:, None],
        "weight": weight,
        "axes": np.array([1, 2]),
    }
    names = {name: f"trees {number} {name}" for name in constants}
    graph.initializer.extend(numpy_helper.from_array(array, names[name]) for name, array in constants.items())
    made: list[onnx.NodeProto] = []

    def op(kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"trees {number} value {len(made)}"
        made.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    cells = op("Gather", node.input[0], names["feature"], axis=1)  # (N, T B)
    below = op("LessOrEqual", cells, names["value"])
    left = op("Or", below, op("And", op("IsNaN", cells), names["missing"]))
    sides = op("Reshape", op("Cast", left, to=TensorProto.FLOAT), names["shape"])  # (N, T, 1, B)
    reached = op("Equal", op("MatMul", sides, names["path"]), names["wanted"])  # (N, T, 1, L)
    sums = op("MatMul", op("Cast", reached, to=TensorProto.FLOAT), names["weight"])  # (N, T, 1, K)
    op("ReduceSum", sums, names["axes"], keepdims=0, output=node.output[0])  # (N, K)
    return made


def _matrices(a: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Read trees into arrays that all have the most comparisons and leaves that one has.

    Returns
    -------
    feature : int64 (T, B)
    value : float32 (T, B)
    missing : bool (T, B)
        Whether a missing cell goes left.
    path : float32 (T, B, L)
        1 where the way to a leaf goes left at a comparison, -1 where it goes right.
    wanted : float32 (T, L)
        The sum of its row of `path` over the comparisons that come out left, at the leaf that is reached alone.
    weight : float32 (T, L, K)
    """
    trees: dict[int, dict[int, int]] = {}
    for i, (tree, own) in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"], strict=True)):
        trees.setdefault(tree, {})[own] = i
    tracks = a.get("nodes_missing_value_tracks_true") or [0] * len(a["nodes_treeids"])
    values: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for tree, own, target, weight in zip(
        a["target_treeids"], a["target_nodeids"], a["target_ids"], a["target_weights"], strict=True
    ):
        values.setdefault((tree, own), []).append((target, weight))
    inner = {tree: [own for own, i in nodes.items() if a["nodes_modes"][i] != _LEAF] for tree, nodes in trees.items()}
    T, B = len(trees), max(1, *map(len, inner.values()))
    L = max(len(nodes) - len(inner[tree]) for tree, nodes in trees.items())
    feature, value, missing = np.zeros((T, B), np.int64), np.zeros((T, B), np.float32), np.zeros((T, B), bool)
    path, wanted = np.zeros((T, B, L), np.float32), np.full((T, L), B + 1, np.float32)
    weights = np.zeros((T, L, a["n_targets"]), np.float32)
    for t, (tree, nodes) in enumerate(trees.items()):
        place = {own: k for k, own in enumerate(inner[tree])}
        for own, k in place.items():
            i = nodes[own]
            feature[t, k], value[t, k] = a["nodes_featureids"][i], a["nodes_values"][i]
            missing[t, k] = bool(tracks[i])
        for leaf, (own, way) in enumerate(_leaves(a, nodes, place)):
            for k, left in way:
                path[t, k, leaf] = 1 if left else -1
            wanted[t, leaf] = sum(left for _, left in way)
            for target, weight in values.get((tree, own), ()):
                weights[t, leaf, target] += weight
    return feature, value, missing, path, wanted, weights


def _leaves(
    a: dict[str, Any], nodes: dict[int, int], place: dict[int, int]
) -> Iterable[tuple[int, tuple[tuple[int, bool], ...]]]:
    """Yield a tree's leaves, each with the comparisons on its way, and whether the way goes left there."""
    children = {a[f"nodes_{side}nodeids"][nodes[own]] for own in place for side in ("true", "false")}
    waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(own, ()) for own in nodes if own not in children]
    while waiting:
        own, way = waiting.pop()
        if own not in place:
            yield own, way
            continue
        for side in ("true", "false"):
            waiting.append((a[f"nodes_{side}nodeids"][nodes[own]], (*way, (place[own], side == "true"))))
