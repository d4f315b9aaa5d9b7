"""Scores of held-out predictions, as a build reports them. Shapes: N rows, C classes."""

from __future__ import annotations

import numpy as np

AUC_CLASSES = 30
"""Above this many classes, one-vs-one ROC AUC takes too many pairs and is left out."""


def class_scores(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Accuracy, log-loss, (up to `AUC_CLASSES` classes) ROC AUC, one-vs-one where there are more than two; balanced
    accuracy and macro F1 as `evaluate` has them."""
    p = np.clip(probabilities[np.arange(len(y)), y], 1e-15, 1)
    scores = {"accuracy": float((probabilities.argmax(1) == y).mean()), "log_loss": float(-np.log(p).mean())}
    classes = np.unique(y)
    if 2 <= len(classes) <= AUC_CLASSES:
        pairs = [(a, b) for i, a in enumerate(classes) for b in classes[i + 1 :]]
        areas = []
        for a, b in pairs:
            of_a, of_b = probabilities[y == a], probabilities[y == b]
            areas += [_auc(of_b[:, b], of_a[:, b]), _auc(of_a[:, a], of_b[:, a])]
        scores["roc_auc"] = float(np.mean(areas))
    return scores | _class_means(probabilities.argmax(1), y)


def _class_means(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Recall, meaned over the classes that have rows, and F1, over those that have rows or were predicted."""
    size = int(max(predicted.max(), y.max())) + 1
    rows, guesses = np.bincount(y, minlength=size), np.bincount(predicted, minlength=size)
    right = np.bincount(y[predicted == y], minlength=size)
    present, seen = rows > 0, rows + guesses > 0
    return {
        "balanced_accuracy": float((right[present] / rows[present]).mean()),
        "f1": float((2 * right[seen] / (rows + guesses)[seen]).mean()),
    }


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).mean() / 2 / len(negative))


def regression_scores(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """R², root mean squared error and mean absolute error."""
    error = predicted - y
    spread = float(((y - y.mean()) ** 2).mean())
    return {
        "r2": 1 - float((error**2).mean()) / spread if spread > 0 else 0.0,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }
