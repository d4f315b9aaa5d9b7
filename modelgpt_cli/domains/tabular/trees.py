"""Boosted trees beside the generated network: grown on the same folds, and mixed in where held-out rows gain by it.

Each fold's trees (LightGBM; Ke et al. 2017) see the rows that the fold's networks see, so what they say of the others
is held out. These rows decide how many rounds there are and which share of the mix; the trees that ship are grown on
all rows or, for a number, are those of all folds, averaged. Between `crossfit` and `fit_model`.
Shapes: N shown rows, K folds, F features, C outputs, T rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.shared.folds import TIME
from modelgpt_cli.domains.tabular.choose_transform import Scaled
from modelgpt_cli.domains.tabular.crossfit import CrossFit, HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays, standardise_target
from modelgpt_cli.domains.tabular.grown_trees import grown_trees
from modelgpt_cli.domains.tabular.lessons import Lessons, teach_trees
from modelgpt_cli.domains.tabular.mixing import (
    MODEL,
    NETWORK,
    TREES,
    judged,
    mean_loss,
    mix,
    scored_rows,
)
from modelgpt_cli.domains.tabular.tree_model import Trees, join, n_sums, sides, tree_features

ROUNDS = (10, 20, 30, 50, 75, 100, 150, 200, 300)
"""Numbers of rounds that the held-out rows choose from."""
MOST_ROUNDS, MOST_TREES = 150, 300
"""Of a fold at 1,000 rows; with many classes, each of which takes a tree a round, there are fewer rounds. Both grow
with the cube root of the rows."""
LEAVES, MOST_LEAVES, MOST_LEAVES_OF_NUMBERS = 8, 63, 31
"""Of a tree at 1,000 rows, and at most. For classes they grow with the rows: with their root, and 31 at most, the
log-loss of 18 tables of 1,900 to 7,200 rows that meta-training may see was .0025 higher (wine quality, which took no
part: .023). For numbers with their root: as the trees of all folds ship, more take bytes and gain little."""
TAUGHT_ROUNDS, TAUGHT_LEAVES, TAUGHT_MOST = (20, 50, 100, 150, 200, 300, 450), 31, 3
"""Of trees that learn from a teacher: rounds to choose from, leaves, and how many times the most rounds. A
function is to be copied there, with little noise: 31 leaves instead of 8 gained on three tables of three."""
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
class _Task:
    """What all folds' trees learn from.

    Attributes
    ----------
    features : float32 (n, F)
        Of every row of the table.
    y : (n,)
        Class indices, or the standardised target.
    scale : float
        What the sizes at 1,000 rows are multiplied by.
    """

    features: np.ndarray
    y: np.ndarray
    n_classes: int
    scale: float
    parameters: dict[str, Any]
    dataset: Any

    @property
    def n_outputs(self) -> int:
        return max(self.n_classes, 1)

    def rounds(self, choices: Sequence[int]) -> list[int]:
        """The numbers of rounds to choose from; none with so many classes that few rounds take too long."""
        most = min(MOST_ROUNDS, MOST_TREES / n_sums(self.n_outputs)) * self.scale
        return [n for n in choices if n <= most]

    def grow(self, rows: np.ndarray, rounds: int, soft: np.ndarray | None = None) -> Trees:
        """Grow trees on some rows; `soft` (n, C) has labels to learn instead of `y`."""
        import lightgbm

        rows = np.sort(rows)
        data, parameters, start = self.dataset.subset(rows), self.parameters, None
        if soft is not None:
            data.construct()
            parameters, start = teach_trees(data, parameters, soft[rows])
        booster = lightgbm.train(parameters, data, rounds, keep_training_booster=True)
        return grown_trees(booster.model_to_string(), n_sums(self.n_outputs), start=start)


def mix_trees(scaled: Scaled, y: np.ndarray, *, seed: int = 0, lessons: Lessons | None = None) -> Scaled:
    """Grow trees on the folds of a cross-fit, and mix them with its network where they pay.

    Parameters
    ----------
    scaled : Scaled
        A cross-fit, with the table that it was fitted to; its target may be transformed.
    y : (N,)
        The targets in their own unit.
    lessons : Lessons, optional
        What the trees learn beside the table's rows.

    Returns
    -------
    Scaled
        With trees, the mix of heads at its share, and the metrics and residuals of both together; or as it was.
    """
    cross, table, rows_held_out = scaled.cross, scaled.table, scored_rows(scaled)
    if rows_held_out is None:
        return scaled
    shown, scored = rows_held_out
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError) as error:  # a wheel without the OpenMP library that it needs
        return replace(scaled, cross=replace(cross, tried={"unavailable": " ".join(str(error).split())}))
    task = _make_task(cross, table, seed, lessons)
    rounds = task.rounds(ROUNDS if lessons is None else TAUGHT_ROUNDS)
    if not rounds:
        return scaled
    grown, outputs = _grow_folds(task, table, shown, rounds, lessons)
    held_out, network = outputs[:, scored], shown.outputs
    target = torch.from_numpy(task.y[shown.rows[scored]])
    chosen = min(range(len(rounds)), key=lambda i: mean_loss(network / 2 + held_out[i] / 2, target, task.n_classes))
    both = mix(network, held_out[chosen], target, task.n_classes)
    worth = {"rounds": rounds[chosen], **both.worth}
    if not both.pays:
        return replace(scaled, cross=replace(cross, tried=worth))
    # Of numbers the mean of the folds' trees is the better answer (R² .782 and .773 on three tables), of classes trees
    # of all rows (log-loss .336 and .337 on 26), in a quarter of the bytes. In time no fold has seen the last rows;
    # and what a teacher's trees say is smooth enough.
    if task.n_classes or shown.folds.forward or lessons is not None:
        soft = None if lessons is None else lessons.labels()
        grown = [task.grow(np.arange(len(task.y)), rounds[chosen], soft)]
    count = rounds[chosen] * n_sums(task.n_outputs)
    boosted = [trees.first(count).times(both.part / len(grown)) for trees in grown]
    worth |= {"network": both.before, "trees": sum(map(len, boosted))}
    cross = cross.times(both.before)
    trees = join([*([] if cross.trees is None else [cross.trees]), *boosted], level_orders(table))
    parts = {MODEL: both.outputs, NETWORK: network, TREES: held_out[chosen]}
    found = replace(scaled, cross=replace(cross, trees=trees, tried=worth))
    return judged(found, parts, y[shown.rows[scored]], shown.rows[scored])


def _grow_folds(
    task: _Task, table: TableArrays, shown: HeldOut, rounds: list[int], lessons: Lessons | None
) -> tuple[list[Trees], Tensor]:
    """The trees of each fold, and what they say of the rows that it holds out, (len(rounds), N, C)."""
    grown: list[Trees] = []
    outputs = torch.full((len(rounds), len(shown.rows), task.n_outputs), torch.nan)
    for used, unseen in shown.folds.parts():
        rows, soft = training_rows(table, shown, used, unseen), None
        if lessons is not None:
            k = int(shown.folds.fold[unseen][0])
            rows, soft = np.concatenate([rows, lessons.drawn_rows(k)]), lessons.labels(k)
        trees = task.grow(rows, rounds[-1], soft)
        features = torch.from_numpy(task.features[shown.rows[unseen]])
        outputs[:, torch.from_numpy(unseen)] = _after_rounds(trees, features, rounds, task.n_outputs)
        grown.append(trees)
    return grown, outputs


def _make_task(cross: CrossFit, table: TableArrays, seed: int, lessons: Lessons | None) -> _Task:
    import lightgbm

    size = max(1.0, len(table.y) / 1000)
    leaves, scale = LEAVES, size ** (1 / 3)
    if lessons is not None:
        table, leaves, scale = lessons.table, TAUGHT_LEAVES, TAUGHT_MOST * scale
    features = tree_features(torch.from_numpy(table.x), torch.from_numpy(table.codes), level_orders(table)).numpy()
    y = standardise_target(table.y, cross.fitted.target_mean, cross.fitted.target_std, table.n_classes)
    most = min(MOST_LEAVES, leaves * size) if table.n_classes else min(MOST_LEAVES_OF_NUMBERS, leaves * size**0.5)
    parameters = PARAMETERS | {"num_leaves": round(most)}
    threads = torch.get_num_threads() if features.size >= MANY_CELLS else 1
    parameters |= {"seed": seed, "num_threads": threads}
    if table.n_classes > 2:
        parameters |= {"objective": "multiclass", "num_class": table.n_classes}
    else:
        parameters |= {"objective": "binary" if table.n_classes else "regression"}
    dataset = lightgbm.Dataset(features, y, params=parameters, free_raw_data=False).construct()
    return _Task(features, y, table.n_classes, scale, parameters, dataset)


def level_orders(table: TableArrays) -> tuple[np.ndarray, ...]:
    """The places of each categorical column's levels: missing cells, the most frequent level, … the rarest, unseen."""
    return tuple(np.array([*range(L), -1, L], dtype=np.float32) for L in table.levels)


def training_rows(table: TableArrays, shown: HeldOut, used: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Return the rows that a fold's trees see: those used of the shown ones, and others not tied to unseen ones."""
    rest = np.setdiff1d(np.arange(len(table.y)), shown.rows)
    if table.split is not None and table.split.kind == TIME:
        rest = rest[:0]
    elif table.split is not None:
        keys = table.split.keys
        rest = rest[(keys[rest] < 0) | ~np.isin(keys[rest], keys[shown.rows[unseen]])]
    return np.concatenate([shown.rows[used], rest])


def _after_rounds(trees: Trees, features: Tensor, rounds: list[int], n_outputs: int) -> Tensor:
    """What the first rounds of trees give, (len(rounds), N, C)."""
    K, added = n_sums(n_outputs), torch.from_numpy(trees.value)[trees.leaves(features)]  # (N, T), the sums in turn
    added = torch.nn.functional.pad(added, (0, max(0, rounds[-1] * K - added.shape[1])))
    by_round = added.view(len(features), -1, K).cumsum(1)
    return by_round[:, [n - 1 for n in rounds]].transpose(0, 1) @ torch.from_numpy(sides(n_outputs))
