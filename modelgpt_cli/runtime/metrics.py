"""How good predictions are. Labels and probabilities, or numbers, in; a dictionary of metrics out.

Shapes: N rows, C classes of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ECE_BINS = 15
_MAX_PAIRED_CLASSES = 30


def classification_metrics(
    true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> tuple[dict[str, float | None], str]:
    """Measure a classifier.

    Parameters
    ----------
    true : ndarray, (N,) int
        The true class. C or more stands for a label that the model doesn't know.
    predicted : ndarray, (N,) int
        The model's class, below C.
    probabilities : ndarray, (N, C) float
        The model's probabilities.

    Returns
    -------
    dict of str to float or None
        Accuracy, balanced accuracy and macro F1 over all rows. ROC AUC, log loss (natural) and expected calibration
        error (15 equal bins of the highest probability); the first two over rows whose label the model knows. None
        where a metric has no value.
    str
        Which ROC AUC it is.
    """
    from sklearn import metrics as sk

    n_classes = probabilities.shape[1]
    known = true < n_classes
    auc, auc_kind = _roc_auc(true[known], probabilities[known])
    log_loss = None
    if known.any():
        p = probabilities[known, true[known]] / probabilities[known].sum(axis=1)
        log_loss = float(-np.log(np.clip(p, np.finfo(np.float32).eps, 1)).mean())
    values: dict[str, float | None] = {
        "accuracy": float(sk.accuracy_score(true, predicted)),
        "balanced_accuracy": float(sk.recall_score(true, predicted, labels=np.unique(true), average="macro")),
        "f1": float(sk.f1_score(true, predicted, average="macro", zero_division=0)),
        "roc_auc": auc,
        "log_loss": log_loss,
        "calibration_error": calibration_error(true == predicted, probabilities.max(axis=1)),
    }
    return values, auc_kind


def top_metrics(true: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The share of rows whose true class is among the 3, and the 5, likeliest; where there are more classes."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return {
        f"top_{k}_accuracy": float((order[:, :k] == true[:, None]).any(1).mean())
        for k in (3, 5)
        if k < probabilities.shape[1]
    }


def class_metrics(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Recall, precision, F1 and number of rows of each class, from the confusion matrix.

    None where a class was never predicted (precision) or has no rows (recall).
    """
    found: dict[str, dict[str, float | None]] = {}
    for k, label in enumerate(labels):
        rows, predicted, right = int(matrix[k].sum()), int(matrix[:, k].sum()), int(matrix[k, k])
        found[label] = {
            "recall": right / rows if rows else None,
            "precision": right / predicted if predicted else None,
            "f1": 2 * right / (rows + predicted) if rows + predicted else None,
            "rows": rows,
        }
    return found


def regression_metrics(true: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """Measure a regressor: RMSE and MAE in the target's unit, R2, and Pearson's and Spearman's correlation.

    R2 is None where the true values don't vary, a correlation where these or the predictions don't.
    """
    error = predicted - true
    spread = float(((true - true.mean()) ** 2).sum())
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float((error**2).sum()) / spread if spread > 0 else None,
        "pearson": _correlation(true, predicted),
        "spearman": _correlation(_ranks(true), _ranks(predicted)),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    return float((a * b).mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (N,), the mean one where values are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def interval_metrics(true: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> dict[str, float | None]:
    """Measure prediction intervals: the share of true values inside, and the mean width in the target's unit."""
    return {
        "interval_coverage": float(((lower <= true) & (true <= upper)).mean()),
        "interval_width": float((upper - lower).mean()),
    }


def calibration_bins(correct: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean confidence and accuracy of the rows in each of 15 equal bins of confidence (NaN where none)."""
    index = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    count = np.bincount(index, minlength=ECE_BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(index, weights=confidence, minlength=ECE_BINS) / count
        accuracy = np.bincount(index, weights=correct, minlength=ECE_BINS) / count
    return count, mean, accuracy


def calibration_error(correct: np.ndarray, confidence: np.ndarray) -> float:
    """Average distance between confidence and accuracy over the bins, each weighted by its rows."""
    count, mean, accuracy = calibration_bins(correct, confidence)
    full = count > 0
    return float((count[full] * np.abs(mean[full] - accuracy[full])).sum() / count.sum())


def confusion(true: np.ndarray, predicted: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Count rows by (true, predicted) class: (rows, columns) int."""
    return np.bincount(true * columns + predicted, minlength=rows * columns).reshape(rows, columns)


def _roc_auc(true: np.ndarray, probabilities: np.ndarray) -> tuple[float | None, str]:
    """Two classes: the usual one, the second label positive. More: macro mean over the classes that are present."""
    from sklearn import metrics as sk

    if probabilities.shape[1] == 2:
        kind = "binary"
        if len(np.unique(true)) < 2:
            return None, kind
        return float(sk.roc_auc_score(true, probabilities[:, 1])), kind
    present = np.unique(true)
    # One-vs-one costs a pass for every pair of classes.
    kind = "one-vs-one, macro" if len(present) <= _MAX_PAIRED_CLASSES else "one-vs-rest, macro"
    if len(present) < 2:
        return None, kind
    scores = probabilities[:, present].astype(np.float64)
    return (_one_vs_one if kind.startswith("one-vs-one") else _one_vs_rest)(
        np.searchsorted(present, true), scores
    ), kind


def _one_vs_one(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean over ordered pairs of classes (Hand and Till 2001)."""
    from sklearn import metrics as sk

    values = []
    for a in range(scores.shape[1]):
        for b in range(a):
            pair = (true == a) | (true == b)
            is_a = true[pair] == a
            values.append(sk.roc_auc_score(is_a, scores[pair, a]))
            values.append(sk.roc_auc_score(~is_a, scores[pair, b]))
    return float(np.mean(values))


def _one_vs_rest(true: np.ndarray, scores: np.ndarray) -> float:
    from sklearn import metrics as sk

    return float(np.mean([sk.roc_auc_score(true == c, scores[:, c]) for c in range(scores.shape[1])]))
