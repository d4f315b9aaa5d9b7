"""What LightGBM has grown, as the plain arrays of `tree_model.Trees`. Between `trees` and the target model.

Shapes: T trees, n nodes, L leaves of a tree.
"""

from __future__ import annotations

import numpy as np

from modelgpt_cli.domains.tabular.tree_model import Trees, join

_DEFAULT_LEFT, _MISSING, _MISSING_NAN = 2, 12, 8
"""Of a node's `decision_type`: missing cells go left; what cells count as missing; NaN does, as there was some."""
_FIELDS = {
    "split_feature": np.int64,
    "threshold": np.float64,
    "decision_type": np.int64,
    "left_child": np.int64,
    "right_child": np.int64,
    "leaf_value": np.float64,
    "leaf_count": np.int64,
    "internal_count": np.int64,
}


def grown_trees(text: str, sums: int, weight: float = 1.0) -> Trees:
    """Read a model file's trees.

    Parameters
    ----------
    text : str
        What LightGBM's `Booster.model_to_string` gives.
    sums : int
        K: the trees take turns.
    weight : float
        Multiplies the leaves.
    """
    parts = text.split("\nTree=")[1:]
    return join(_plant(_fields(part), weight, i % sums) for i, part in enumerate(parts))


def _fields(text: str) -> dict[str, np.ndarray]:
    lines = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    return {name: np.array(lines.get(name, "").split(), dtype=kind) for name, kind in _FIELDS.items()}


def _plant(fields: dict[str, np.ndarray], weight: float, turn: int) -> Trees:
    """Put a tree's nodes in an order in which each left child follows its parent."""
    leaf_value, left, right = fields["leaf_value"] * weight, fields["left_child"], fields["right_child"]
    threshold = _below(fields["threshold"])
    missing_left = _missing_left(fields)
    n = len(left) + len(leaf_value)
    feature, value = np.zeros(n, dtype=np.int16), np.zeros(n, dtype=np.float32)
    right_of, goes_left = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.bool_)
    waiting = [(0 if len(left) else -1, -1)]  # a child by LightGBM's number, and whose right one it is
    for i in range(n):
        child, parent = waiting.pop()
        if parent >= 0:
            right_of[parent] = i
        if child < 0:
            value[i] = leaf_value[~child]
            continue
        feature[i], value[i], goes_left[i] = fields["split_feature"][child], threshold[child], missing_left[child]
        waiting += [(int(right[child]), i), (int(left[child]), -1)]
    zero = np.zeros(1, dtype=np.int32)
    return Trees(feature, value, right_of, goes_left, zero, np.full(1, turn, dtype=np.int16))


def _below(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 numbers that are not above: a float32 cell is on the same side of both."""
    limit = np.finfo(np.float32).max
    near = np.clip(threshold, -limit, limit).astype(np.float32)
    return np.where(near.astype(np.float64) > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _missing_left(fields: dict[str, np.ndarray]) -> np.ndarray:
    """Where missing cells go: as LightGBM learned it or, where no row had one, where most rows went."""
    kind, left = fields["decision_type"], fields["left_child"]
    learned = (kind & _MISSING) == _MISSING_NAN
    of_nodes, of_leaves = fields["internal_count"], fields["leaf_count"]
    of_left = np.where(left >= 0, of_nodes[np.maximum(left, 0)], of_leaves[np.maximum(~left, 0)])
    return np.where(learned, (kind & _DEFAULT_LEFT) > 0, 2 * of_left >= of_nodes)
