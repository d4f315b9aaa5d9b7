"""Metrics of predictions, for classes and for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, log_loss, roc_auc_score

ECE_BINS = 15
COVERAGE = 0.9
"""Share of test rows that a regression interval is meant to hold."""


def class_metrics(codes: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Compute ROC AUC, accuracy, log-loss and expected calibration error.

    Parameters
    ----------
    codes : int (n,)
    p : float (n, C)
        Probabilities; rows sum to 1.
    """
    return {
        "roc_auc": roc_auc(codes, p),
        "accuracy": float((p.argmax(axis=1) == codes).mean()),
        "log_loss": float(log_loss(codes, p, labels=np.arange(p.shape[1]))),
        "ece": calibration_error(codes, p),
    }


def fair_metrics(codes: np.ndarray, p: np.ndarray, tops: Sequence[int] = ()) -> dict[str, float]:
    """Compute accuracy (``score``), macro F1, and the share whose class is among the `tops` likeliest (``top3``, ...).

    Classes of the same probability count as a fair guess among them, so that a method without an opinion gets chance,
    whichever class happens to be first.

    Parameters
    ----------
    codes : int (n,)
    p : float (n, C)
    """
    of_true = p[np.arange(len(codes)), codes][:, None]
    above, alike = (p > of_true).sum(axis=1), (p == of_true).sum(axis=1)  # the true class is alike itself
    shares = {k: float(np.clip((k - above) / alike, 0, 1).mean()) for k in (1, *tops)}
    best = p == p.max(axis=1, keepdims=True)  # [n, C]
    guess = (best * np.random.default_rng(0).random(p.shape)).argmax(axis=1)
    macro = float(f1_score(codes, guess, labels=range(p.shape[1]), average="macro", zero_division=0))
    return {"score": shares[1], "macro_f1": macro, **{f"top{k}": shares[k] for k in tops}}


def roc_auc(codes: np.ndarray, p: np.ndarray) -> float:
    """Compute the area under the ROC curve: binary, or the mean over all pairs of classes (one-vs-one, macro).

    Only classes that are present count; scikit-learn, which gives the same, insists on all of them.

    References
    ----------
    Hand and Till, A simple generalisation of the area under the ROC curve (2001).
    """
    if p.shape[1] == 2:
        return float(roc_auc_score(codes, p[:, 1]))
    pairs = []
    for a, b in combinations(np.unique(codes), 2):
        rows = (codes == a) | (codes == b)
        pairs += [roc_auc_score(codes[rows] == c, p[rows, c]) for c in (a, b)]
    return float(np.mean(pairs))


def calibration_error(codes: np.ndarray, p: np.ndarray) -> float:
    """Compute the expected calibration error of the most probable class, 15 bins of equal width."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(codes))


def number_metrics(
    y: np.ndarray, predicted: np.ndarray, interval: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    """Compute R², RMSE and, where there are intervals, the share of rows inside and their mean width.

    Parameters
    ----------
    y, predicted : float (n,)
    interval : pair of float (n,), optional
        Lower and upper ends; both belong to the interval.
    """
    error = float(np.mean((y - predicted) ** 2))
    spread = float(np.var(y))
    metrics = {"r2": 1 - error / spread, "rmse": error**0.5, "target_std": spread**0.5}
    if interval is not None:
        lower, upper = interval
        metrics["coverage"] = float(((lower <= y) & (y <= upper)).mean())
        metrics["width"] = float(np.mean(upper - lower))
    return metrics


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities (n, C) of scores (n, C)."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: np.ndarray = p / p.sum(axis=1, keepdims=True)
    return probabilities


def spread(model: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    """Return a scikit-learn model's probabilities (n, C) of all classes; those that it has not seen get 0."""
    p = np.zeros((len(x), n_classes))
    p[:, model.classes_] = model.predict_proba(x)
    return p
