"""From which probability on a label is given: thresholds by F1 on held-out rows. Beside `head`, for multi-label tasks.

Shapes: N rows, C labels.
"""

from __future__ import annotations

import numpy as np

from modelgpt_cli.domains.shared.folds import Folds

DEFAULT = 0.5
"""Where no held-out rows say otherwise."""
LEAST_ROWS = 8
"""A label with fewer held-out rows takes the threshold that is best for all labels together."""


def fit_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the threshold of each label, (C,): where its F1 on these rows is highest.

    Parameters
    ----------
    probabilities : (N, C)
        Of rows that the head has not seen.
    truth : (N, C)
        1 where a row has the label.

    References
    ----------
    Lipton, Elkan and Naryanaswamy, Optimal thresholding of classifiers to maximize F1 measure (2014).
    """
    common = _best(probabilities.reshape(-1), truth.reshape(-1))
    enough = truth.sum(0) >= LEAST_ROWS
    found = [_best(probabilities[:, k], truth[:, k]) if enough[k] else common for k in range(probabilities.shape[1])]
    return np.array(found)


def crossed_decisions(probabilities: np.ndarray, truth: np.ndarray, folds: Folds) -> np.ndarray:
    """Return the labels of held-out rows, bool (N, C), each fold's by thresholds from the other folds alone."""
    found = np.zeros(probabilities.shape, dtype=bool)
    scored = folds.fold >= 0
    for k in np.unique(folds.fold[scored]):
        own, others = folds.fold == k, scored & (folds.fold != k)
        limits = fit_thresholds(probabilities[others], truth[others]) if others.any() else DEFAULT
        found[own] = probabilities[own] >= limits
    return found


def _best(p: np.ndarray, y: np.ndarray) -> float:
    """The threshold of the highest F1, midway between two probabilities."""
    if not y.any() or y.all():
        return DEFAULT
    order = np.argsort(-p, kind="stable")
    ranked = p[order].astype(np.float64)
    hits = np.cumsum(y[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + y.sum())
    last = np.append(ranked[:-1] > ranked[1:], True)  # equal ones are given the label together
    k = int(np.where(last, f1, -1).argmax())
    below = ranked[k + 1] if k + 1 < len(ranked) else 0.0
    return float((ranked[k] + below) / 2)
