"""What students of a teacher learn from: rows drawn between the build's own, with the teacher's answers as labels.

Between `teacher` and `taught`. Each cell of such a row is its base row's, or that of a row near it (as of MUNGE, Bucila
et al. 2006), so that the teacher is asked where new rows will lie, and not where it remembers the answer. Both rows are
of one fold, and students that are judged by that fold don't see them.
Shapes: N rows of the table, S drawn rows, K folds, d inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.tabular.fit import TableArrays

PER_ROW, MOST_DRAWN = 8, 24_000
"""Drawn rows of each row, and of all of them. On four tables of meta-training 4 and 16 a row were no better than 8."""
NEAR = 5
"""Rows near a base row that cells are taken from."""
EXCHANGED = 0.5
"""Share of the cells that are another row's; a quarter was worse on four tables of four."""
NEAR_AMONG = 2000
"""Rows of a fold among which the near ones are sought."""
LEAST_SHARE = 1e-4
"""Of a class that no tree starts below: its logarithm must exist."""


@dataclass(frozen=True)
class Drawn:
    """Rows between those of a table.

    Attributes
    ----------
    x : float32 (S, s); codes : int64 (S, c)
    fold : int64 (S,)
        Which fold's rows they lie between.
    """

    x: np.ndarray
    codes: np.ndarray
    fold: np.ndarray


def draw_between(table: TableArrays, inputs: Tensor, fold: np.ndarray, rng: np.random.Generator) -> Drawn:
    """Draw rows between rows of the same fold.

    Parameters
    ----------
    inputs : float32 (N, d)
        Standardised columns, for distances.
    fold : int64 (N,)
    """
    count = min(PER_ROW * len(fold), MOST_DRAWN)
    bases = rng.permutation(np.arange(count) % len(fold))
    others = np.empty_like(bases)
    for k in np.unique(fold):
        own = np.flatnonzero(fold == k)
        among = rng.permutation(own)[:NEAR_AMONG]
        of_fold = np.flatnonzero(fold[bases] == k)
        distinct, place = np.unique(bases[of_fold], return_inverse=True)
        near = min(NEAR + 1, len(among))  # a row itself may be among them
        found = [
            torch.cdist(inputs[part], inputs[among]).topk(near, largest=False).indices.numpy()
            for part in np.array_split(distinct, max(1, len(distinct) // 1000))
        ]
        chosen = np.concatenate(found)[place, rng.integers(0, near, len(place))]
        others[of_fold] = among[chosen]
    x = np.where(rng.random((count, table.x.shape[1])) < EXCHANGED, table.x[others], table.x[bases])
    codes = np.where(rng.random((count, table.codes.shape[1])) < EXCHANGED, table.codes[others], table.codes[bases])
    return Drawn(x, codes, fold[bases])


@dataclass(frozen=True)
class Lessons:
    """True labels of the table's rows and a teacher's of the drawn ones: one-hot or probabilities, or standardised.

    Attributes
    ----------
    table : TableArrays
        The table's rows, then the drawn ones, whose `y` means nothing.
    fold : int64 (S,)
        As of `Drawn`.
    true : float32 (N, C)
    by_fold : float32 (K, S, C)
        By the teacher that has not seen a fold.
    whole : float32 (S, C)
        By a teacher of all rows.
    """

    table: TableArrays
    fold: np.ndarray
    true: np.ndarray
    by_fold: np.ndarray
    whole: np.ndarray

    def labels(self, k: int | None = None) -> np.ndarray:
        """Labels (N + S, C): where fold k is held out, or of the model that ships."""
        return np.concatenate([self.true, self.whole if k is None else self.by_fold[k]])

    def drawn_rows(self, k: int | None = None) -> np.ndarray:
        """Which drawn rows there are where fold k is held out, as numbers of the joined table's rows."""
        drawn: np.ndarray = len(self.true) + np.flatnonzero(self.fold != (-1 if k is None else k))
        return drawn


def joined(table: TableArrays, drawn: Drawn) -> TableArrays:
    """Return a table with the drawn rows behind its own; nothing ties these to others."""
    more = len(drawn.fold)
    split = table.split
    if split is not None:
        split = replace(split, keys=np.concatenate([split.keys, np.full(more, -1, dtype=split.keys.dtype)]))
    return replace(
        table,
        x=np.concatenate([table.x, drawn.x]),
        codes=np.concatenate([table.codes, drawn.codes]),
        y=np.concatenate([table.y, np.zeros(more, dtype=table.y.dtype)]),
        stream=None,
        synthetic=None,
        split=split,
    )


def teach_trees(data: Any, parameters: Mapping[str, Any], soft: np.ndarray) -> tuple[dict[str, Any], np.ndarray | None]:
    """Put soft labels (n, C) into a LightGBM data set; return the parameters that learn them.

    With what the trees' sums start from, (C,), where LightGBM itself doesn't count that in.
    """
    if soft.shape[1] == 1:
        data.set_label(soft[:, 0].copy())
        return dict(parameters), None
    if soft.shape[1] == 2:
        data.set_label(soft[:, 1].copy())
        return dict(parameters) | {"objective": "cross_entropy"}, None
    start = np.log(np.maximum(soft.mean(0), LEAST_SHARE)).astype(np.float64)
    data.set_init_score(np.tile(start, (len(soft), 1)))
    factor = soft.shape[1] / (soft.shape[1] - 1)  # as LightGBM's own objective has it

    def objective(scores: np.ndarray, _data: Any) -> tuple[np.ndarray, np.ndarray]:
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return p - soft, factor * p * (1 - p)

    return dict(parameters) | {"objective": objective}, start
