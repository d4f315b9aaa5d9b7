"""The metrics of a model that gives a row any number of labels. Beside `metrics`, with numpy alone.

Shapes: N rows, C labels of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelgpt_cli.core.metrics import FLOOR, scores_of_counts, with_value

LABEL_TITLES = {
    "micro_f1": "F1 (micro)",
    "f1": "F1 (macro)",
    "subset_accuracy": "subset accuracy",
    "mean_average_precision": "mean average precision",
    "log_loss": "log loss (per label)",
}
"""What `label_metrics` returns → as people read it."""


def label_metrics(truth: np.ndarray, given: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Measure a model that gives a row any number of labels.

    Parameters
    ----------
    truth, given : ndarray, (N, C) bool
        The labels that a row has, and those that the model gives it.
    probabilities : ndarray, (N, C) float

    Returns
    -------
    dict of str to float or None
        ``micro_f1`` over all pairs of a row and a label, ``f1`` (mean over the labels that have rows or are given),
        ``subset_accuracy`` (rows whose labels are all right), ``mean_average_precision`` (over the labels that have
        rows) and ``log_loss`` (mean over rows and labels). None where a metric has no value.
    """
    both, rows, guesses = (truth & given).sum(0), truth.sum(0), given.sum(0)
    present = rows + guesses > 0
    precisions = [average_precision(truth[:, k], probabilities[:, k]) for k in np.flatnonzero(rows)]
    total = int(rows.sum() + guesses.sum())
    p = np.clip(probabilities.astype(np.float64), FLOOR, 1 - FLOOR)
    return {
        "micro_f1": 2 * float(both.sum()) / total if total else None,
        "f1": float((2 * both[present] / (rows + guesses)[present]).mean()) if present.any() else None,
        "subset_accuracy": float((truth == given).all(1).mean()) if len(truth) else None,
        "mean_average_precision": float(np.mean(precisions)) if precisions else None,
        "log_loss": float(-np.where(truth, np.log(p), np.log1p(-p)).mean()) if len(truth) else None,
    }


def label_scores(truth: np.ndarray, given: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the metrics of `label_metrics` that have a value."""
    return with_value(label_metrics(truth, given, probabilities), tuple(LABEL_TITLES))


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean, over the rows that have a label, of the precision down to each; (N,) both, ties as one."""
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(truth[order]), scores[order]
    last = np.append(ranked[:-1] > ranked[1:], True)
    found, reached = hits[last], np.flatnonzero(last) + 1
    return float((np.diff(found, prepend=0) * found / reached).sum() / hits[-1])


def per_label(truth: np.ndarray, given: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return recall, precision, F1 and number of rows of each label; (N, C) bool both. None as in `class_metrics`."""
    found: dict[str, dict[str, float | None]] = {}
    for k, label in enumerate(labels):
        right = int((truth[:, k] & given[:, k]).sum())
        found[label] = scores_of_counts(int(truth[:, k].sum()), int(given[:, k].sum()), right)
    return found
