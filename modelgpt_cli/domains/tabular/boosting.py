"""Boosted trees on the folds of a cross-fit: their leaves and rounds are those by which held-out rows gain most.

LightGBM (Ke et al. 2017) grows them; each fold's see the rows that the fold's networks see. For `trees`.
Shapes: N shown rows, K sums, C outputs, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.tabular.crossfit import CrossFit, HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays, standardise_target
from modelgpt_cli.domains.tabular.grown_trees import grown_trees
from modelgpt_cli.domains.tabular.lessons import Lessons, teach_trees
from modelgpt_cli.domains.tabular.tree_model import Trees, join, n_sums, tree_features
from modelgpt_cli.domains.tabular.tree_rows import level_orders, training_rows

ROUNDS = (10, 20, 30, 50, 75, 100, 150, 200, 300)
"""Numbers of rounds that the held-out rows choose from."""
PATIENCE = 2
"""So many numbers of rounds without a gain end the growing: on 51 tables of meta-training the choice was the same as
with all of them grown, in a seventh less of a build's time."""
MOST_ROUNDS, MOST_TREES = 150, 300
"""Of a fold at 1,000 rows; with many classes, each of which takes a tree a round, there are fewer rounds. Both grow
with the cube root of the rows."""
LEAVES, MOST_LEAVES, MOST_LEAVES_OF_NUMBERS = 8, 63, 31
"""Of a tree at 1,000 rows, and at most. For classes they grow with the rows: with their root, and 31 at most, the
log-loss of 18 tables of 1,900 to 7,200 rows that meta-training may see was .0025 higher (wine quality, which took no
part: .023). For numbers with their root: as the trees of all folds ship, more take bytes and gain little."""
TIMES = (1, 2, 4)
"""As many times the leaves are tried, of classes: rules without noise take more. With four times as many, five of 38
such tables of meta-training gained .002 to .011 of log-loss and none lost; of 13 with numbers one lost."""
TAUGHT_ROUNDS, TAUGHT_LEAVES, TAUGHT_MOST = (20, 50, 100, 150, 200, 300, 450), 31, 3
"""Of trees that learn from a teacher: rounds to choose from, leaves, and how many times the most rounds. A
function is to be copied there, with little noise: 31 leaves instead of 8 gained on three tables of three."""
BINS_ROWS, BINS = 4000, 63
"""Up to so many rows, so many places to split a number at: on 77 tables of meta-training as good as 127 (log-loss .3569
and .3570, R² .714 and .713) and, of 8 or 32 leaves, as LightGBM's 255 (.3567, .713), in half the time."""
MANY_CELLS = 1_000_000
"""From so many on several threads pay; below, they wait for one another, on a busy machine for seconds."""
PARAMETERS = {
    "learning_rate": 0.15,  # as good as half of it in the mix, with half the rounds
    "min_data_in_leaf": 5,  # LightGBM's 20 leave small tables without a split: log-loss .342, with 5 .338
    "lambda_l2": 0.5,  # without, leaves of rare classes run away: wine quality .56, with it .60
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Boosting:
    """What all folds' trees learn from.

    Attributes
    ----------
    features : float32 (n, F)
        Of every row of the table.
    y : (n,)
        Class indices, or the standardised target.
    leaves : tuple of int
        Of a tree, to choose from.
    rounds : tuple of int
        To choose from; none with so many classes that few rounds take too long.
    """

    features: np.ndarray
    y: np.ndarray
    n_classes: int
    leaves: tuple[int, ...]
    rounds: tuple[int, ...]
    parameters: dict[str, Any]
    dataset: Any

    @property
    def n_outputs(self) -> int:
        """C."""
        return max(self.n_classes, 1)

    def grower(self, rows: np.ndarray, leaves: int, soft: np.ndarray | None = None) -> Grower:
        """What grows trees on some rows; `soft` (n, C) has labels to learn instead of `y`."""
        import lightgbm

        rows = np.sort(rows)
        data, start = self.dataset.subset(rows), None
        parameters = self.parameters | {"num_leaves": leaves}
        if soft is not None:
            data.construct()
            parameters, start = teach_trees(data, parameters, soft[rows])
        objective = parameters["objective"] if callable(parameters["objective"]) else None
        parameters |= {} if objective is None else {"objective": "none"}
        return Grower(lightgbm.Booster(parameters, data), n_sums(self.n_outputs), objective, start)


@dataclass
class Grower:
    """Trees that can grow on.

    Attributes
    ----------
    sums : int
        K, the trees of a round.
    objective : callable, optional
        In place of LightGBM's own.
    start : (K,), optional
        What the trees go on from, where LightGBM itself doesn't count that in.
    """

    booster: Any
    sums: int
    objective: Any
    start: np.ndarray | None

    def grow(self, rounds: int) -> Trees:
        """Grow on until there are so many rounds, or nothing is left to split; return the trees that are new."""
        before = self.booster.current_iteration()
        for _ in range(rounds - before):
            if self.booster.update(fobj=self.objective):
                break
        text = self.booster.model_to_string(start_iteration=before)
        return grown_trees(text, self.sums, start=None if before else self.start)


@dataclass(frozen=True)
class Grown:
    """Trees of folds.

    Attributes
    ----------
    leaves, rounds : int
        As held-out rows chose them.
    outputs : (N, C)
        Of held-out rows.
    trees : list of Trees
        Of each fold.
    """

    leaves: int
    rounds: int
    loss: float
    outputs: Tensor
    trees: list[Trees]


def make_boosting(cross: CrossFit, table: TableArrays, seed: int, lessons: Lessons | None) -> Boosting:
    """Lay out what trees learn from: a table's rows, and what a teacher says beside them."""
    import lightgbm

    size = max(1.0, len(table.y) / 1000)
    scale, leaves = size ** (1 / 3), LEAVES
    rounds: tuple[int, ...] = ROUNDS
    if lessons is not None:
        table, leaves, scale, rounds = lessons.table, TAUGHT_LEAVES, TAUGHT_MOST * scale, TAUGHT_ROUNDS
    features = tree_features(torch.from_numpy(table.x), torch.from_numpy(table.codes), level_orders(table)).numpy()
    y = standardise_target(table.y, cross.fitted.target_mean, cross.fitted.target_std, table.n_classes)
    if table.n_classes:
        sizes = {min(MOST_LEAVES, leaves * size * times) for times in (TIMES if lessons is None else (1,))}
    else:
        sizes = {min(MOST_LEAVES_OF_NUMBERS, leaves * size**0.5)}
    parameters: dict[str, Any] = PARAMETERS | {"seed": seed}
    parameters |= {"max_bin": BINS} if len(y) <= BINS_ROWS else {}
    parameters |= {"num_threads": torch.get_num_threads() if features.size >= MANY_CELLS else 1}
    if table.n_classes > 2:
        parameters |= {"objective": "multiclass", "num_class": table.n_classes}
    else:
        parameters |= {"objective": "binary" if table.n_classes else "regression"}
    dataset = lightgbm.Dataset(features, y, params=parameters, free_raw_data=False).construct()
    most = min(MOST_ROUNDS, MOST_TREES / n_sums(max(table.n_classes, 1))) * scale
    return Boosting(
        features, y, table.n_classes, tuple(sorted(round(n) for n in sizes)), tuple(n for n in rounds if n <= most),
        parameters, dataset,
    )  # fmt: skip


def grow_folds(
    boosting: Boosting,
    table: TableArrays,
    shown: HeldOut,
    lessons: Lessons | None,
    loss: Callable[[Tensor], float],
) -> Grown:
    """Grow each fold's trees, with as many leaves and rounds as held-out rows gain most by.

    Parameters
    ----------
    loss : callable
        Of outputs (N, C); rows without a fold are NaN.
    """
    parts = list(_parts(boosting, table, shown, lessons))
    found = (_grow(boosting, parts, len(shown.rows), leaves, loss) for leaves in boosting.leaves)
    return min(found, key=lambda grown: grown.loss)


@dataclass(frozen=True)
class _Part:
    """A fold's rows, what they learn in place of the target, and the rows held out with their features (n, F)."""

    rows: np.ndarray
    soft: np.ndarray | None
    unseen: Tensor
    features: Tensor


def _parts(boosting: Boosting, table: TableArrays, shown: HeldOut, lessons: Lessons | None) -> Iterator[_Part]:
    for used, unseen in shown.folds.parts():
        rows, soft = training_rows(table, shown, used, unseen), None
        if lessons is not None:
            k = int(shown.folds.fold[unseen][0])
            rows, soft = np.concatenate([rows, lessons.drawn_rows(k)]), lessons.labels(k)
        features = torch.from_numpy(boosting.features[shown.rows[unseen]])
        yield _Part(rows, soft, torch.from_numpy(unseen), features)


def _grow(
    boosting: Boosting, parts: Sequence[_Part], shown: int, leaves: int, loss: Callable[[Tensor], float]
) -> Grown:
    """Grow each fold's trees on, as long as held-out rows gain by it."""
    growers = [boosting.grower(part.rows, leaves, part.soft) for part in parts]
    outputs = torch.full((shown, boosting.n_outputs), torch.nan)
    for part in parts:
        outputs[part.unseen] = 0
    grown: list[list[Trees]] = []
    best, least, kept = 0, math.inf, outputs
    for i, rounds in enumerate(boosting.rounds):
        grown.append([grower.grow(rounds) for grower in growers])
        for trees, part in zip(grown[i], parts, strict=True):
            outputs[part.unseen] += trees(part.features, boosting.n_outputs)
        if (now := loss(outputs)) < least:
            best, least, kept = i, now, outputs.clone()
        elif i - best >= PATIENCE:
            break
    return Grown(
        leaves, boosting.rounds[best], least, kept, [join(of_fold) for of_fold in zip(*grown[: best + 1], strict=True)]
    )
