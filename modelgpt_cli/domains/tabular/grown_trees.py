"""What LightGBM has grown, as the plain arrays of `tree_model.Trees`. Between `trees` and the target model.

Shapes: T trees, n nodes, L leaves of a tree.
"""

from __future__ import annotations

import re

import numpy as np

from modelgpt_cli.domains.tabular.tree_model import Trees

_DEFAULT_LEFT, _MISSING, _MISSING_NAN = 2, 12, 8
"""Of a node's `decision_type`: missing cells go left; what cells count as missing; NaN does, as there was some."""
_FIELD = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)
_FIELDS = {
    "split_feature": np.int64,
    "threshold": np.float64,
    "decision_type": np.int64,
    "left_child": np.int64,
    "right_child": np.int64,
    "internal_count": np.int64,
    "leaf_value": np.float64,
    "leaf_count": np.int64,
}


def grown_trees(text: str, sums: int, weight: float = 1.0, start: np.ndarray | None = None) -> Trees:
    """Read a model file's trees.

    Parameters
    ----------
    text : str
        What LightGBM's `Booster.model_to_string` gives.
    sums : int
        K: the trees take turns.
    weight : float
        Multiplies the leaves.
    start : (K,), optional
        What the trees went on from: it is added to the first round's leaves.
    """
    parts = [dict(_FIELD.findall(part)) for part in text.split("\nTree=")[1:]]
    cells = {name: [part.get(name, "").split() for part in parts] for name in _FIELDS}
    inner, leaves = ([len(own) for own in cells[name]] for name in ("split_feature", "leaf_value"))
    fields = {name: np.array([cell for own in cells[name] for cell in own], _FIELDS[name]) for name in _FIELDS}
    first_inner, first_leaf = (np.cumsum([0, *counts])[:-1] for counts in (inner, leaves))
    # Children by LightGBM's number: of all trees' inner nodes, or -1 less that of all trees' leaves.
    children = []
    for name in ("left_child", "right_child"):
        own = fields[name]
        own = own + np.where(own >= 0, np.repeat(first_inner, inner), -np.repeat(first_leaf, inner))
        children.append(own)
    fields["left_child"], fields["right_child"] = children
    roots = [
        int(start) if count else ~int(leaf) for start, count, leaf in zip(first_inner, inner, first_leaf, strict=True)
    ]
    order, right, starts = _preorder(roots, children[0].tolist(), children[1].tolist())
    is_inner = order >= 0

    def of_nodes(of_inner: np.ndarray, of_leaves: np.ndarray, kind: type) -> np.ndarray:
        found: np.ndarray = np.zeros(len(order), dtype=kind)
        found[is_inner], found[~is_inner] = of_inner[order[is_inner]], of_leaves[~order[~is_inner]]
        return found

    if start is not None:
        fields["leaf_value"][: sum(leaves[:sums])] += np.repeat(start[: len(parts)], leaves[:sums])
    none = np.zeros(len(fields["leaf_value"]))
    return Trees(
        feature=of_nodes(fields["split_feature"], none, np.int16),
        value=of_nodes(below_float32(fields["threshold"]), fields["leaf_value"] * weight, np.float32),
        right=right,
        missing_left=of_nodes(_missing_left(fields), none, np.bool_),
        roots=starts,
        sums=np.repeat(np.arange(len(parts)) % sums, np.diff(np.append(starts, len(order)))).astype(np.int16),
    )


def _preorder(roots: list[int], left: list[int], right: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put all nodes in an order in which each left child follows its parent.

    Returns
    -------
    order : int64 (n,)
        By LightGBM's numbers.
    right : int32 (n,)
        Each inner node's right child in that order, 0 for a leaf.
    starts : int32 (T,)
        The roots' places.
    """
    order: list[int] = []
    right_of: list[int] = []
    starts: list[int] = []
    for root in roots:
        starts.append(len(order))
        waiting = [(root, -1)]  # a node, and whose right child it is
        while waiting:
            node, parent = waiting.pop()
            if parent >= 0:
                right_of[parent] = len(order)
            if node >= 0:
                waiting += [(right[node], len(order)), (left[node], -1)]
            order.append(node)
            right_of.append(0)
    return np.array(order, dtype=np.int64), np.array(right_of, dtype=np.int32), np.array(starts, dtype=np.int32)


def below_float32(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 numbers that are not above: a float32 cell is on the same side of both."""
    limit = np.finfo(np.float32).max
    near = np.clip(threshold, -limit, limit).astype(np.float32)
    below: np.ndarray = np.where(near.astype(np.float64) > threshold, np.nextafter(near, np.float32(-np.inf)), near)
    return below


def _missing_left(fields: dict[str, np.ndarray]) -> np.ndarray:
    """Where missing cells go: as LightGBM learned it or, where no row had one, where most rows went."""
    kind, left = fields["decision_type"], fields["left_child"]
    learned = (kind & _MISSING) == _MISSING_NAN
    of_nodes, of_leaves = fields["internal_count"], fields["leaf_count"]
    of_left = np.where(left >= 0, of_nodes[np.maximum(left, 0)], of_leaves[np.maximum(~left, 0)])
    found: np.ndarray = np.where(learned, (kind & _DEFAULT_LEFT) > 0, 2 * of_left >= of_nodes)
    return found
