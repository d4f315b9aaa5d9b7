"""Folds of cross-validation that respect what ties rows together: groups, copies of a row, or the order of time.

Beside `held_out`, whose random folds serve where nothing ties them.
Shapes: N rows, K folds, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.held_out import fold_of

ALIKE: Final = "alike"
GROUP: Final = "group"
TIME: Final = "time"
"""What ties rows together: they are copies, share a cell of a column, or follow one another."""


@dataclass(frozen=True)
class Split:
    """What ties rows together.

    Attributes
    ----------
    kind : {"alike", "group", "time"}
    keys : (N,)
        Group numbers, int64, -1 for a row that is in no group; or points in time, float64, NaN where unknown.
    column : str
        Where the keys come from; "" for copies of a row.
    """

    kind: Literal["alike", "group", "time"]
    keys: np.ndarray
    column: str = ""

    def take(self, rows: np.ndarray) -> Split:
        """Return what ties some of the rows."""
        return Split(self.kind, self.keys[rows], self.column)

    @property
    def n_groups(self) -> int:
        """How many groups there are, a row in none not counted; 0 where time orders the rows."""
        return 0 if self.kind == TIME else len(np.unique(self.keys[self.keys >= 0]))

    def check(self) -> None:
        """Make sure that there is something to hold out.

        Raises
        ------
        UsageError
            All rows are of one group, or of one point in time.
        """
        known = self.keys >= 0 if self.kind != TIME else ~np.isnan(self.keys)
        different = len(np.unique(self.keys[known]))
        if different + (0 if self.kind == TIME else int((~known).sum())) < 2:
            what = "one group" if self.kind == GROUP else "one point in time"
            raise UsageError(
                f"--{self.kind} {self.column}: all rows are of {what}.",
                "So none can be held out.",
                "Name another column, or leave the option out.",
            )

    def words(self) -> str:
        """Return how the rows are divided, to follow "Cross-validated"; "" where nothing need be said."""
        if self.kind == GROUP:
            return f"by groups of {self.column!r}"
        return f"forward in time by {self.column!r}" if self.kind == TIME else ""

    def describe(self) -> dict[str, str | int]:
        """Describe it for a model card, as JSON values."""
        found: dict[str, str | int] = {"by": self.kind}
        if self.column:
            found["column"] = self.column
        return found | ({} if self.kind == TIME else {"groups": self.n_groups})


def split_words(split: Split | None) -> str:
    """Return the words of a split; "" where nothing ties the rows."""
    return "" if split is None else split.words()


@dataclass(frozen=True)
class Folds:
    """Which rows are scored, and what the models that score them may learn from.

    Attributes
    ----------
    fold : int64 (N,)
        The fold in which each row is held out; -1 where it never is.
    used : bool (K, N)
        Which rows the models of each fold may learn from.
    """

    fold: np.ndarray
    used: np.ndarray

    @property
    def held_out(self) -> np.ndarray:
        """Which rows are scored by the models of each fold, bool (K, N)."""
        held_out: np.ndarray = self.fold == np.arange(len(self.used))[:, None]
        return held_out

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows to learn from and those to score, bool (N,) each, of the folds that hold out any."""
        for used, held_out in zip(self.used, self.held_out, strict=True):
            if held_out.any():
                yield used, held_out

    @property
    def forward(self) -> bool:
        """Whether the models of some fold may not learn from rows that they don't score either."""
        return bool((~self.used & ~self.held_out).any())


def make_folds(
    y: np.ndarray,
    n_classes: int,
    folds: int,
    rng: np.random.Generator,
    rows: np.ndarray | None = None,
    split: Split | None = None,
) -> Folds:
    """Divide rows into folds.

    Parameters
    ----------
    y : (N,)
        Class indices, or numbers.
    n_classes : int
        0 for numbers.
    folds : int
        K.
    rng : Generator
    rows : bool (N,), optional
        The rows that may be held out; all by default. The others are learned from in every fold, but for copies of rows
        of it.
    split : Split, optional
        What ties the rows together; by default nothing does, and classes are spread evenly.
    """
    if split is not None and split.kind == TIME:
        return _forward(split.keys, folds, rows)
    if split is None:
        fold = fold_of(y, n_classes, folds, rng, rows)
        return Folds(fold, fold != np.arange(folds)[:, None])
    fold = _grouped(split.keys, y, n_classes, folds, rng)
    used = fold != np.arange(folds)[:, None]
    if rows is not None:
        # A generated row that is a copy of a real one isn't learned from where that is held out.
        copies = ~rows & np.isin(split.keys, split.keys[rows & (split.keys >= 0)]) & (split.kind == ALIKE)
        used[:, ~rows & ~copies] = True
        fold[~rows] = -1
    return Folds(fold, used)


def hold_out(
    y: np.ndarray,
    n_classes: int,
    share: float,
    rng: np.random.Generator,
    rows: np.ndarray | None = None,
    split: Split | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows once: those to learn from and those to score, int64 each; none to score where they can't be divided.

    Parameters
    ----------
    share : float
        About so many of the rows are scored; by time, the last ones.
    y, n_classes, rng, rows, split
        As for `make_folds`.
    """
    folds = make_folds(y, n_classes, round(1 / share), rng, rows, split)
    k = max(int(folds.fold.max(initial=-1)), 0) if split is not None and split.kind == TIME else 0
    return np.flatnonzero(folds.used[k]), np.flatnonzero(folds.fold == k)


def _forward(time: np.ndarray, folds: int, rows: np.ndarray | None) -> Folds:
    """Score K parts of the rows, each by models of the rows before it (an expanding window).

    Rows of one point in time stay together. Those of an unknown one, and those that may not be held out, are learned
    from throughout.
    """
    ordered = ~np.isnan(time) if rows is None else ~np.isnan(time) & rows
    points, place = np.unique(time[ordered], return_inverse=True)
    # Row by row where all differ; the first of K + 1 parts is only learned from.
    before = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(points)))[:-1]])
    parts = before * (folds + 1) // max(int(ordered.sum()), 1)
    if not parts.any():  # almost all rows are of one point in time
        parts[1:] = 1
    part = parts[place]
    fold = np.full(len(time), -1, dtype=np.int64)
    fold[ordered] = part - 1
    used = np.ones((folds, len(time)), dtype=bool)
    used[:, ordered] = part < np.arange(1, folds + 1)[:, None]
    return Folds(fold, used)


def _grouped(keys: np.ndarray, y: np.ndarray, n_classes: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return folds that no group is divided by, int64 (N,), alike in their classes and sizes as far as groups allow.

    Greedy, the largest groups first: each goes where it leaves the folds most alike.
    """
    lone = keys < 0
    names = np.where(lone, keys.max(initial=-1) + 1 + np.cumsum(lone), keys)
    _, group = np.unique(names, return_inverse=True)
    n_groups = int(group.max(initial=-1)) + 1
    labels = y if n_classes else np.zeros(len(y), dtype=np.int64)
    counts = np.zeros((n_groups, max(n_classes, 1)))
    np.add.at(counts, (group, labels), 1)
    weight = 1 / np.maximum(counts.sum(0), 1)  # a rare class counts as much as a frequent one
    order = rng.permutation(n_groups)
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    held = np.zeros((folds, counts.shape[1]))
    of_group = np.zeros(n_groups, dtype=np.int64)
    for g in order:
        # What the sum of squared shares grows by; the second term keeps the folds' sizes alike.
        cost = ((2 * held + counts[g]) * counts[g] * weight**2).sum(1)
        cost += 1e-3 * held.sum(1) * counts[g].sum() / max(len(y), 1) ** 2
        of_group[g] = int(cost.argmin())
        held[of_group[g]] += counts[g]
    return of_group[group]
