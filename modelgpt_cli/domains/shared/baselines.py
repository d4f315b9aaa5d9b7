"""The simplest models that a build is compared with, on the folds that the head was judged by. Beside `head`.

Shapes: N rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from modelgpt_cli.core.label_metrics import label_scores
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.shared.folds import Folds
from modelgpt_cli.domains.shared.head import HeadFit, head_scores
from modelgpt_cli.domains.shared.thresholds import DEFAULT

LINEAR, MAJORITY, MEAN = "linear", "majority", "mean"
"""Names of baselines; that of the majority class is the mean for a regression."""


def baseline_scores(
    fit: HeadFit,
    target: Tensor,
    regression: bool,
    scale: tuple[float, float],
    make: Callable[[], tuple[Any, np.ndarray]],
    *,
    multi_label: bool = False,
) -> dict[str, dict[str, float]]:
    """What the majority class (or the mean), and a linear model of the domain, reach on held-out rows.

    Parameters
    ----------
    fit : HeadFit
        Has the folds; without any there is nothing to compare, and nothing is learned.
    target : (N, C)
        One-hot, or standardised.
    scale : (float, float)
        Regression: mean and standard deviation of the target.
    make : callable
        Gives scikit-learn's linear model, learned anew for each fold, and what it reads (N, ...).
    multi_label : bool
        Whether a row has any number of labels. Then there is no linear model: one a label would take longer than the
        build.
    """
    if fit.folds is None:
        return {}
    if multi_label:
        return {MAJORITY: _usual_labels(fit.folds, target.numpy())}
    model, cells = make()
    truth = target.numpy()
    y = truth[:, 0] if regression else truth.argmax(1)
    linear, constant = np.zeros_like(truth), np.zeros_like(truth)
    with progress("compare", len(fit.folds.used), "folds") as advance:
        for rows, out in fit.folds.parts():
            constant[out] = truth[rows].mean(0)
            advance(1)
            try:
                model.fit(cells[rows], y[rows])
            except ValueError:  # nothing to learn from: one class only, or texts without a word
                linear[out] = constant[out]
                continue
            if regression:
                linear[out] = model.predict(cells[out])[:, None]
            else:
                linear[np.ix_(out, model.classes_)] = model.predict_proba(cells[out])
    found = {LINEAR: linear, MEAN if regression else MAJORITY: constant}
    scored = fit.scored
    return {name: head_scores(answers[scored], target[scored], regression, scale) for name, answers in found.items()}


def _usual_labels(folds: Folds, truth: np.ndarray) -> dict[str, float]:
    """What each label's share of the rows reaches as its probability."""
    shares = np.zeros_like(truth)
    for rows, out in folds.parts():
        shares[out] = truth[rows].mean(0)
    scored = folds.fold >= 0
    return label_scores(truth[scored] > 0, shares[scored] >= DEFAULT, shares[scored])
