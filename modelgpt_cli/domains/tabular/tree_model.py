"""Trees, boosted or random, as plain tensors: what a model holds beside its network, and how they answer.

The trees read the numeric sources as they are, missing cells among them, and one number for each categorical column:
the place of its level in an order. Their thresholds are float32 and their comparisons exact, so torch and the exported
graph take the same branch at every row.
Shapes: N rows, s numeric sources, c categorical columns, F = s + c features, n nodes, T trees, K sums, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

PREFIX = "trees."
"""So begin the names of their tensors in a model's state."""
_ARRAYS = ("feature", "value", "right", "missing_left", "roots", "sums")
_ORDER = "order."
CHUNK_FLOATS = 4_000_000
"""Rows times trees that are answered at once."""


def n_sums(n_outputs: int) -> int:
    """K, the sums of leaves that C outputs take: of two classes, one."""
    return 1 if n_outputs <= 2 else n_outputs


def sides(n_outputs: int) -> np.ndarray:
    """What each sum adds to each output, float32 (K, C): of two classes, half of it to either side."""
    if n_outputs == 2:
        return np.array([[-0.5, 0.5]], dtype=np.float32)
    return np.eye(n_outputs, dtype=np.float32)


@dataclass(frozen=True)
class Trees:
    """An ensemble of trees whose leaves are added up.

    A node's left child is the next one; its right child stands in `right`, and 0 there makes it a leaf.

    Attributes
    ----------
    feature : int16 (n,)
        Which feature an inner node looks at.
    value : float32 (n,)
        An inner node's threshold: cells of at most that go left. A leaf's answer.
    right : int32 (n,)
    missing_left : bool (n,)
        Where a missing cell goes.
    roots : int32 (T,)
    sums : int16 (n,)
        Which of the K sums a leaf adds to.
    orders : tuple of float32 (L + 2,)
        Of each categorical column, the places of its levels, then of a missing cell and of an unseen level.
    """

    feature: np.ndarray
    value: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    roots: np.ndarray
    sums: np.ndarray
    orders: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        """T, how many there are."""
        return len(self.roots)

    @property
    def n_leaves(self) -> int:
        """How many leaves all trees have together."""
        return int((self.right == 0).sum())

    @cached_property
    def depths(self) -> np.ndarray:
        """Comparisons that a row takes at most in each tree, int64 (T,)."""
        found = np.zeros(len(self.roots), dtype=np.int64)
        depth = np.zeros(len(self.value), dtype=np.int64)
        tree = -1
        starts = set(self.roots.tolist())
        for i, right in enumerate(self.right.tolist()):  # parents come before their children
            tree += i in starts
            if right:
                depth[i + 1] = depth[right] = depth[i] + 1
            else:
                found[tree] = max(found[tree], depth[i])
        return found

    def __call__(self, features: Tensor, n_outputs: int) -> Tensor:
        """What the trees add to a network's outputs, float32 (N, C), from `tree_features` (N, F)."""
        K, value, sums = n_sums(n_outputs), torch.from_numpy(self.value), torch.from_numpy(self.sums).long()
        found = [torch.zeros(0, K)]
        for rows in features.split(max(1, CHUNK_FLOATS // max(len(self), 1))):
            leaves = self.leaves(rows)
            found.append(torch.zeros(len(rows), K).scatter_add_(1, sums[leaves], value[leaves]))
        return torch.cat(found) @ torch.from_numpy(sides(n_outputs))

    def leaves(self, features: Tensor) -> Tensor:
        """The leaves that rows fall into, as numbers of nodes, int64 (N, T)."""
        feature, value, missing_left, left, right = self._tensors
        node = torch.from_numpy(self.roots).long().expand(len(features), -1)  # (N, T)
        for _ in range(int(self.depths.max(initial=0))):
            cell = features.gather(1, feature[node])
            goes_left = (cell <= value[node]) | (cell.isnan() & missing_left[node])
            node = torch.where(goes_left, left[node], right[node])
        return node

    @cached_property
    def _tensors(self) -> tuple[Tensor, ...]:
        """Feature, value, missing_left, left and right child of each node; a leaf is its own child."""
        here, inner = np.arange(len(self.value)), self.right > 0
        arrays = (
            self.feature.astype(np.int64),
            self.value,
            self.missing_left,
            np.where(inner, here + 1, here),
            np.where(inner, self.right, here).astype(np.int64),
        )
        return tuple(torch.from_numpy(array) for array in arrays)

    def times(self, weight: float) -> Trees:
        """The same with their answers multiplied."""
        value = np.where(self.right > 0, self.value, self.value * np.float32(weight))
        return replace(self, value=value.astype(np.float32))

    def state(self) -> dict[str, Tensor]:
        """The tensors, named as in the artifact."""
        state = {PREFIX + name: torch.from_numpy(getattr(self, name)) for name in _ARRAYS}
        return state | {f"{PREFIX}{_ORDER}{j}": torch.from_numpy(order) for j, order in enumerate(self.orders)}


def tensor_names(columns: int) -> list[str]:
    """Return the names of the tensors of trees beside c categorical columns."""
    return [*(PREFIX + name for name in _ARRAYS), *(f"{PREFIX}{_ORDER}{j}" for j in range(columns))]


def read_trees(state: Mapping[str, Tensor], columns: int) -> Trees:
    """Read `Trees.state` back; `columns` is c.

    Raises
    ------
    KeyError
        A tensor is missing.
    ValueError
        They contradict each other.
    """
    names = tensor_names(columns)
    arrays = {name: state[PREFIX + name].numpy() for name in _ARRAYS}
    if len(arrays["sums"]) == len(arrays["roots"]):  # files of version 0.2 have one of each tree
        arrays["sums"] = np.repeat(arrays["sums"], np.diff(np.append(arrays["roots"], len(arrays["value"]))))
    trees = Trees(**arrays, orders=tuple(state[name].numpy() for name in names[len(_ARRAYS) :]))
    n, here = len(trees.value), np.arange(len(trees.value))
    inner = trees.right > 0
    if not all(len(array) == n for array in (trees.feature, trees.right, trees.missing_left, trees.sums)):
        raise ValueError("The trees have nodes without a feature, a child or a value.")
    if (trees.right[inner] <= here[inner] + 1).any() or (trees.right >= n).any():
        raise ValueError("The trees' nodes are no trees.")
    return trees


def tree_features(x: Tensor, codes: Tensor, orders: Sequence[np.ndarray]) -> Tensor:
    """What the trees read, float32 (N, F).

    Parameters
    ----------
    x : float32 (N, s)
        Numeric sources, NaN = missing.
    codes : int64 (N, c)
        Level codes, `MISSING` or `UNSEEN`.
    orders : sequence of float32 (L + 2,)
        As of `Trees`.
    """
    placed = []
    for j, order in enumerate(orders):
        L, code = len(order) - 2, codes[:, j]
        placed.append(torch.from_numpy(order)[torch.where(code < 0, L - 1 - code, code)][:, None])
    return torch.cat([x, *placed], 1)


def join(trees: Iterable[Trees], orders: tuple[np.ndarray, ...] = ()) -> Trees:
    """Return one ensemble of several; `orders` of the levels are theirs in common."""
    found = list(trees)
    starts = np.cumsum([0, *(len(one.value) for one in found)])[:-1]
    pairs = list(zip(found, starts, strict=True))

    def joined(arrays: Iterable[np.ndarray], kind: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, kind), *arrays]).astype(kind)

    return Trees(
        feature=joined((one.feature for one in found), np.int16),
        value=joined((one.value for one in found), np.float32),
        right=joined((np.where(one.right > 0, one.right + start, 0) for one, start in pairs), np.int32),
        missing_left=joined((one.missing_left for one in found), np.bool_),
        roots=joined((one.roots + start for one, start in pairs), np.int32),
        sums=joined((one.sums for one in found), np.int16),
        orders=orders,
    )
