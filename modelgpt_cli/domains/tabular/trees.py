"""Boosted trees beside the generated network: grown on the same folds, and mixed in where held-out rows gain by it.

What each fold's trees say of the rows that they have not seen is held out, as what its networks say is. These rows
decide how many leaves and rounds there are and which share of the mix; the trees that ship are grown on all rows or,
for a number, are those of all folds, averaged. Between `boosting` and `fit_model`.
Shapes: N rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from modelgpt_cli.domains.tabular.boosting import grow_folds, make_boosting
from modelgpt_cli.domains.tabular.choose_transform import Scaled
from modelgpt_cli.domains.tabular.lessons import Lessons
from modelgpt_cli.domains.tabular.mixing import MODEL, NETWORK, TREES, judged, mean_loss, mix, scored_rows
from modelgpt_cli.domains.tabular.tree_model import join
from modelgpt_cli.domains.tabular.tree_rows import level_orders


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
    boosting = make_boosting(cross, table, seed, lessons)
    if not boosting.rounds:
        return scaled
    target, network = torch.from_numpy(boosting.y[shown.rows[scored]]), shown.outputs
    grown = grow_folds(
        boosting, table, shown, lessons,
        lambda outputs: mean_loss(network / 2 + outputs[scored] / 2, target, table.n_classes),
    )  # fmt: skip
    held_out, found = grown.outputs[scored], grown.trees
    both = mix(network, held_out, target, table.n_classes)
    worth = {"rounds": grown.rounds, "leaves": grown.leaves, **both.worth}
    if not both.pays:
        return replace(scaled, cross=replace(cross, tried=worth))
    # Of numbers the mean of the folds' trees is the better answer (R² .782 and .773 on three tables), of classes trees
    # of all rows (log-loss .336 and .337 on 26), in a quarter of the bytes. In time no fold has seen the last rows;
    # and what a teacher's trees say is smooth enough.
    if table.n_classes or shown.folds.forward or lessons is not None:
        soft = None if lessons is None else lessons.labels()
        found = [boosting.grower(np.arange(len(boosting.y)), grown.leaves, soft).grow(grown.rounds)]
    boosted = [trees.times(both.part / len(found)) for trees in found]
    worth |= {"network": both.before, "trees": sum(map(len, boosted))}
    cross = cross.times(both.before)
    trees = join([*([] if cross.trees is None else [cross.trees]), *boosted], level_orders(table))
    parts = {MODEL: both.outputs, NETWORK: network, TREES: held_out}
    scaled = replace(scaled, cross=replace(cross, trees=trees, tried=worth))
    return judged(scaled, parts, y[shown.rows[scored]], shown.rows[scored])
