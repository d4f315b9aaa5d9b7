"""A forest of random trees beside the generated network: mixed in where held-out rows gain by it.

Extremely randomised trees (Geurts et al. 2006) split at random places down to single rows, so that their mean says what
rows nearby were, where neither a smooth function nor a few splits do. Those of a fold see the rows that its networks
see; the ones that ship are grown on all rows. Each leaf votes for one class, so that a forest stands beside the boosted
trees in one node of the graph. Between `kernel` and `trees`.
Shapes: N shown rows, F features, K sums, C outputs, T trees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from modelgpt_cli.domains.tabular.choose_transform import Scaled
from modelgpt_cli.domains.tabular.fit import standardise_target
from modelgpt_cli.domains.tabular.grown_trees import below_float32
from modelgpt_cli.domains.tabular.mixing import FOREST, MODEL, NETWORK, judged, mix, scored_rows
from modelgpt_cli.domains.tabular.tree_model import Trees, join, n_sums, tree_features
from modelgpt_cli.domains.tabular.tree_rows import level_orders, training_rows

FOLD_TREES, MOST_FOLD_TREES = 20, 60
"""Of a fold, at 1,000 rows and at most: fewer rows take more, which cost less there. With 100 the log-loss of 58 tables
was the same; on 100 rows in six classes 20 left the gain to chance."""
MOST_TREES, LEAST_TREES = 80, 6
"""Of the forest that ships, as `LEAVES` allow."""
LEAVES, MOST_LEAVES = 6000, 20_000
"""Of all trees that ship at 1,000 rows, and at most: they grow with the rows, and each takes some 75 bytes of the ONNX
file. At 1,000 rows 9,000 were worth .0003 of log-loss; at 2,000 to 4,500 a third as many lost half of the gain."""
MOST_ROWS = 10_000
"""With more, so few trees would fit into `MOST_LEAVES` that they say little."""
PROBE_TREES = 3
"""Grown to learn how many leaves one has."""
SLOPE = 4.0
"""How far in logits the votes of all trees are from those of none; the mix finds the scale, near to which this is. The
logarithm of the votes' share instead: the same, and it would take nodes of its own."""
LEAST_SPLIT, LEAST_SPLIT_OF_NUMBERS = 2, 4
"""Rows that a node needs to be split. Down to single rows is what gains: with 5 a third of the gain was lost."""


def mix_forest(scaled: Scaled, y: np.ndarray, *, seed: int = 0) -> Scaled:
    """Grow forests on the folds of a cross-fit, and mix one with its network where it pays.

    Parameters
    ----------
    scaled : Scaled
        A cross-fit, with the table that it was fitted to; its target may be transformed.
    y : (N,)
        The targets in their own unit.

    Returns
    -------
    Scaled
        With a forest, the mix of heads at its share, and the metrics and residuals of both together; or as it was.
    """
    cross, table, held_out = scaled.cross, scaled.table, scored_rows(scaled)
    if held_out is None or len(table.y) > MOST_ROWS:
        return scaled
    shown, scored = held_out
    task, every = _Task(scaled, seed), np.arange(len(table.y))
    count = task.count(every)
    of_fold = min(count, max(FOLD_TREES, min(MOST_FOLD_TREES, FOLD_TREES * 1000 // len(every))))
    if count < LEAST_TREES:
        return scaled
    outputs = torch.zeros(len(shown.rows), task.n_outputs)
    for k, (used, unseen) in enumerate(shown.folds.parts()):
        forest = task.grow(training_rows(table, shown, used, unseen), of_fold, seed=k)
        outputs[torch.from_numpy(unseen)] = forest(torch.from_numpy(task.raw[shown.rows[unseen]]), task.n_outputs)
    target, network = torch.from_numpy(task.y[shown.rows[scored]]), shown.outputs
    both = mix(network, outputs[scored], target, table.n_classes)
    if not both.pays:
        return replace(scaled, cross=replace(cross, forest_tried=both.worth))
    forest = task.grow(every, count, seed=-1).times(both.part)
    found = replace(
        cross.times(both.before),
        trees=join([forest], task.orders),
        forest_tried=both.worth | {"network": both.before, "trees": count},
        held_out=replace(shown, outputs=both.outputs),
    )
    parts = {MODEL: both.outputs, NETWORK: network, FOREST: outputs[scored]}
    return judged(replace(scaled, cross=found), parts, y[shown.rows[scored]], shown.rows[scored])


class _Task:
    """What all folds' trees learn from."""

    def __init__(self, scaled: Scaled, seed: int) -> None:
        table, fitted = scaled.table, scaled.cross.fitted
        self.orders, self.seed = level_orders(table), seed
        self.n_classes, self.n_outputs = table.n_classes, max(table.n_classes, 1)
        self.y = standardise_target(table.y, fitted.target_mean, fitted.target_std, table.n_classes)
        self.raw = tree_features(torch.from_numpy(table.x), torch.from_numpy(table.codes), self.orders).numpy()
        missing = np.isnan(self.raw)
        self.some_missing = missing.any(0)
        self.features = self.raw
        if missing.any():  # missing cells lie half a range below the least cell and zero, where thresholds find them
            low, high = (bound(self.raw, 0, initial=0.0, where=~missing) for bound in (np.min, np.max))
            self.features = np.where(missing, low - (high - low) / 2 - 1, self.raw).astype(np.float32)

    def count(self, rows: np.ndarray) -> int:
        """How many trees that see these rows may ship."""
        leaves = self.grow(rows, PROBE_TREES, seed=0).n_leaves / PROBE_TREES
        return min(MOST_TREES, int(min(MOST_LEAVES, LEAVES * max(1.0, len(rows) / 1000)) / leaves))

    def grow(self, rows: np.ndarray, count: int, *, seed: int) -> Trees:
        """Grow trees on some rows: their mean answer, or votes as logits."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        rows, settings = np.sort(rows), {"n_estimators": count, "random_state": 100 * self.seed + seed + 1}
        if not self.n_classes:
            model = ExtraTreesRegressor(min_samples_split=LEAST_SPLIT_OF_NUMBERS, **settings)
            return self._trees(model.fit(self.features[rows], self.y[rows]), None)
        model = ExtraTreesClassifier(min_samples_split=LEAST_SPLIT, **settings)
        model.fit(self.features[rows], self.y[rows])
        shares = np.bincount(self.y[rows], minlength=self.n_classes) + 0.5
        return self._trees(model, shares / shares.sum())

    def _trees(self, model: Any, shares: np.ndarray | None) -> Trees:
        """A fitted forest as plain arrays; `shares` (C,) of the classes, which its votes start from."""
        K, found = n_sums(self.n_outputs), []
        for one in model.estimators_:
            tree = one.tree_
            inner = tree.children_left >= 0
            said, sums = tree.value[:, 0], np.zeros(len(inner), np.int16)  # (n, 1 or classes seen)
            if shares is None:
                answer = said[:, 0]
            elif K == 1:
                of_second = np.zeros(len(inner)) + (model.classes_[0] == 1)
                if len(model.classes_) == 2:
                    of_second = said[:, 1] / said.sum(1)
                answer = SLOPE * 2 * (of_second - shares[1]) + np.log(shares[1] / shares[0])
            else:
                answer, sums = np.full(len(inner), SLOPE), model.classes_[said.argmax(1)].astype(np.int16)
            goes_left = 2 * tree.n_node_samples[tree.children_left] >= tree.n_node_samples
            value = np.where(inner, below_float32(tree.threshold), answer / len(model.estimators_))
            found.append(
                Trees(
                    feature=np.where(inner, tree.feature, 0).astype(np.int16),
                    value=value.astype(np.float32),
                    right=np.where(inner, tree.children_right, 0).astype(np.int32),
                    missing_left=inner & (goes_left | self.some_missing[tree.feature]),
                    roots=np.zeros(1, np.int32),
                    sums=sums,
                )
            )
        if shares is not None and K > 1:
            found.append(_constant(np.log(shares) - SLOPE * shares))
        return join(found)


def _constant(values: np.ndarray) -> Trees:
    """Trees of a leaf each, which add (K,) to every row's sums."""
    K = len(values)
    none, places = np.zeros(K, np.int32), np.arange(K)
    return Trees(
        feature=none.astype(np.int16),
        value=values.astype(np.float32),
        right=none,
        missing_left=none.astype(np.bool_),
        roots=places.astype(np.int32),
        sums=places.astype(np.int16),
    )
