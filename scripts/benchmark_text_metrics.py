"""What the text benchmark scores: GLUE's own metric of each task; accuracy and macro F1 elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from benchmark_metrics import fair_metrics
from benchmark_text_data import Rows, TextTask, codes
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

Metric = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""True labels (n,) and answers (class names, or numbers) (n,) -> named figures; ``score`` is the one that counts."""

POSITIVE = {"mrpc": "equivalent", "qqp": "duplicate"}
"""GLUE tasks scored with the F1 of one class as well."""


def metric_of(task: TextTask) -> Metric:
    """What a task's labels are compared by: GLUE's metric, else accuracy."""
    return glue_metric(task.name) if task.part == "glue" else accuracy


def score(task: TextTask, rows: Rows, answers: np.ndarray) -> dict[str, float]:
    """Named figures of a method's answers: probabilities (n, C), or numbers (n,) for regression."""
    if task.part == "few-shot":
        return fair_metrics(codes(rows.labels, task.classes), answers)
    said = np.asarray(task.classes)[answers.argmax(axis=1)] if task.classes else answers
    return glue_metric(task.name)(rows.labels, said)


def glue_metric(task: str) -> Metric:
    """The official metric of a GLUE task; where there are two figures, their mean is the score."""
    if task == "cola":
        return lambda true, said: {"score": float(matthews_corrcoef(true, said))}
    if task == "stsb":
        return correlations
    if task in POSITIVE:
        return lambda true, said: _with_f1(true, said, POSITIVE[task])
    return accuracy


def accuracy(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Share of right answers."""
    return {"score": float(accuracy_score(true, said))}


def correlations(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Pearson's and Spearman's correlation; 0 where all answers are one number."""
    if np.ptp(said) == 0 or np.ptp(true) == 0:
        return {"score": 0.0, "pearson": 0.0, "spearman": 0.0}
    pearson, spearman = float(pearsonr(true, said)[0]), float(spearmanr(true, said)[0])
    return {"score": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


def _with_f1(true: np.ndarray, said: np.ndarray, positive: str) -> dict[str, float]:
    share = float(accuracy_score(true, said))
    f1 = float(f1_score(true == positive, said == positive, zero_division=0))
    return {"score": (share + f1) / 2, "accuracy": share, "f1": f1}
