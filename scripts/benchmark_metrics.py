"""What the benchmark measures of predictions, for classes and for numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from modelgpt_cli.core import metrics as m

LOG_FLOOR = float(np.finfo(np.float64).eps)
"""The least probability that the log loss takes a true class to have. Lower than evaluate's: the competitors answer in
float64, and a forest whose trees all agree on the wrong class has to pay for it."""
COVERAGE = 0.9
"""Share of test rows that a regression interval is meant to hold."""


def class_metrics(codes: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """ROC AUC, accuracy, log-loss and expected calibration error.

    Parameters
    ----------
    codes : int (n,)
    p : float (n, C)
        Probabilities; rows sum to 1.
    """
    return {
        "roc_auc": roc_auc(codes, p),
        "accuracy": m.accuracy(codes, p.argmax(axis=1)),
        "log_loss": _number(m.log_loss(codes, p, floor=LOG_FLOOR)),
        "ece": m.calibration_error(p.argmax(axis=1) == codes, p.max(axis=1)),
    }


def fair_metrics(codes: np.ndarray, p: np.ndarray, tops: Sequence[int] = ()) -> dict[str, float]:
    """Accuracy (``score``), macro F1, and the share whose class is among the `tops` likeliest (``top3``, ...).

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
    """Area under the ROC curve: binary, or one-vs-one over the classes that are present, however many; else NaN."""
    return _number(m.roc_auc(codes, p, paired_classes=p.shape[1]))


def number_metrics(
    y: np.ndarray, predicted: np.ndarray, interval: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    """R², RMSE and, where there are intervals, the share of rows inside and their mean width.

    Parameters
    ----------
    y, predicted : float (n,)
    interval : pair of float (n,), optional
        Lower and upper ends; both belong to the interval.
    """
    metrics = {"r2": _number(m.r2(y, predicted)), "rmse": m.rmse(y, predicted), "target_std": float(np.std(y))}
    if interval is not None:
        metrics |= {"coverage": m.interval_coverage(y, *interval), "width": m.interval_width(y, *interval)}
    return metrics


def _number(value: float | None) -> float:
    """NaN for a metric that has no value."""
    return math.nan if value is None else value
