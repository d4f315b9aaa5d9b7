"""The metrics of predictions, each once: build, tune, evaluate and the benchmarks take them from here.

With numpy alone. All sums are in float64, whatever the predictions are in.
Shapes: N rows, C classes of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

FLOOR = float(np.finfo(np.float32).eps)
"""The least probability that the log loss takes a true class to have. Models answer in float32, where a probability
that close to 1 or 0 is a matter of rounding: a smaller floor would let a few saturated rows decide the mean."""
ECE_BINS = 15
"""As in Guo et al., On calibration of modern neural networks (2017)."""
PAIRED_CLASSES = 30
"""Up to so many classes the ROC AUC is one-vs-one, above one-vs-rest: pairs grow with the square of the classes."""
TOPS = (3, 5)
"""Of which k the top-k accuracy is reported."""


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of rows predicted right."""
    return float((true == predicted).mean())


def balanced_accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean recall of the classes that have rows."""
    rows, _, right = _counts(true, predicted)
    present = rows > 0
    return float((right[present] / rows[present]).mean())


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 of the classes that have rows or were predicted."""
    rows, guesses, right = _counts(true, predicted)
    present = rows + guesses > 0
    return float((2 * right[present] / (rows + guesses)[present]).mean())


def roc_auc(true: np.ndarray, probabilities: np.ndarray, *, paired_classes: int = PAIRED_CLASSES) -> float | None:
    """Return the area under the ROC curve; `roc_auc_kind` says which.

    Parameters
    ----------
    true : ndarray, (N,) int
        The true class, below C.
    probabilities : ndarray, (N, C) float
    paired_classes : int
        Up to so many classes with rows it is one-vs-one.

    Returns
    -------
    float or None
        None where fewer than two classes have rows.

    References
    ----------
    Hand and Till, A simple generalisation of the area under the ROC curve (2001).
    """
    present = np.unique(true)
    if len(present) < 2:
        return None
    if probabilities.shape[1] == 2:
        scores = probabilities[:, 1]
        return _area(scores[true == 1], scores[true == 0])
    if len(present) <= paired_classes:
        pairs = ((a, b) for a in present for b in present if a != b)
        areas = [_area(probabilities[true == a, a], probabilities[true == b, a]) for a, b in pairs]
    else:
        areas = [_area(probabilities[true == c, c], probabilities[true != c, c]) for c in present]
    return float(np.mean(areas))


def roc_auc_kind(true: np.ndarray, n_classes: int) -> str:
    """Return which ROC AUC it is: binary (the second class counts as positive), or a mean over pairs or classes."""
    if n_classes == 2:
        return "binary"
    return "one-vs-one, macro" if len(np.unique(true)) <= PAIRED_CLASSES else "one-vs-rest, macro"


def log_loss(true: np.ndarray, probabilities: np.ndarray, *, floor: float = FLOOR) -> float | None:
    """Return the mean negative natural logarithm of the true class's probability, taken as `floor` at least.

    Each row's probabilities are divided by their sum first. None where there are no rows.
    """
    if not len(true):
        return None
    p = probabilities.astype(np.float64)
    p = p[np.arange(len(true)), true] / p.sum(axis=1)
    return float(-np.log(np.clip(p, floor, 1)).mean())


def calibration_bins(correct: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean confidence and accuracy of the rows in each of 15 equal bins of confidence (NaN where none).

    Parameters
    ----------
    correct : ndarray, (N,) bool
    confidence : ndarray, (N,) float
        The highest probability of each row.
    """
    index = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    count = np.bincount(index, minlength=ECE_BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(index, weights=confidence, minlength=ECE_BINS) / count
        share = np.bincount(index, weights=correct, minlength=ECE_BINS) / count
    return count, mean, share


def calibration_error(correct: np.ndarray, confidence: np.ndarray) -> float:
    """Return the mean distance between confidence and accuracy over the bins, each weighted by its rows."""
    count, mean, share = calibration_bins(correct, confidence)
    full = count > 0
    return float((count[full] * np.abs(mean[full] - share[full])).sum() / count.sum())


def top_accuracy(true: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """Return the share of rows whose true class is among the k likeliest."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return float((order[:, :k] == true[:, None]).any(1).mean())


def rmse(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root mean squared error, in the target's unit."""
    return float(np.sqrt((_errors(true, predicted) ** 2).mean()))


def mae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean absolute error, in the target's unit."""
    return float(np.abs(_errors(true, predicted)).mean())


def r2(true: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return the share of the target's variance that is explained; None where the true values don't vary."""
    spread = float(((true - true.mean(dtype=np.float64)) ** 2).sum())
    return 1 - float((_errors(true, predicted) ** 2).sum()) / spread if spread > 0 else None


def pearson(true: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return Pearson's correlation; None where either side doesn't vary."""
    if np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return None
    a, b = ((x - x.mean()) / x.std() for x in (true.astype(np.float64), predicted.astype(np.float64)))
    return float((a * b).mean())


def spearman(true: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return Spearman's correlation, of mean ranks; None where either side doesn't vary."""
    return pearson(_ranks(true), _ranks(predicted))


def interval_coverage(true: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the share of true values between the bounds, both included."""
    return float(((lower <= true) & (true <= upper)).mean())


def interval_width(true: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the mean width of prediction intervals, in the target's unit."""
    return float((upper - lower).mean(dtype=np.float64))


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name : str
        As reports, requirement files and model cards have it.
    title : str
        As people read it.
    task : {"classification", "regression"}
    reads : str
        What `compute` takes. "labels": true and predicted classes (N,). "likeliest": true classes (N,) and
        probabilities (N, C). "probabilities": the same, of the rows whose class the model knows. "confidence": whether
        each row is right (N,), and its highest probability (N,). "numbers": true and predicted (N,). "bounds": true
        numbers, lower and upper bounds (N,).
    compute : callable
    is_error : bool
        Whether less is better.
    """

    name: str
    title: str
    task: Literal["classification", "regression"]
    reads: Literal["labels", "likeliest", "probabilities", "confidence", "numbers", "bounds"]
    compute: Callable[..., float | None]
    is_error: bool = False


_ALL = (
    Metric("accuracy", "accuracy", "classification", "labels", accuracy),
    *(
        Metric(f"top_{k}_accuracy", f"top-{k} accuracy", "classification", "likeliest", partial(top_accuracy, k=k))
        for k in TOPS
    ),
    Metric("balanced_accuracy", "balanced accuracy", "classification", "labels", balanced_accuracy),
    Metric("f1", "F1 (macro)", "classification", "labels", macro_f1),
    Metric("roc_auc", "ROC AUC", "classification", "probabilities", roc_auc),
    Metric("log_loss", "log loss", "classification", "probabilities", log_loss, is_error=True),
    Metric("calibration_error", "calibration error", "classification", "confidence", calibration_error, is_error=True),
    Metric("rmse", "RMSE", "regression", "numbers", rmse, is_error=True),
    Metric("mae", "MAE", "regression", "numbers", mae, is_error=True),
    Metric("r2", "R2", "regression", "numbers", r2),
    Metric("pearson", "Pearson correlation", "regression", "numbers", pearson),
    Metric("spearman", "Spearman correlation", "regression", "numbers", spearman),
    Metric("interval_coverage", "interval coverage", "regression", "bounds", interval_coverage),
    Metric("interval_width", "interval width (mean)", "regression", "bounds", interval_width, is_error=True),
)
METRICS = {metric.name: metric for metric in _ALL}
"""Name → metric, in the order in which `evaluate` reports them."""
ERRORS = (*(name for name, metric in METRICS.items() if metric.is_error), "nme")
"""Metrics of which less is better, and the mean error of key points, which one domain alone measures."""
BUILT = {
    "classification": ("accuracy", "log_loss", "roc_auc", "balanced_accuracy", "f1"),
    "regression": ("r2", "rmse", "mae"),
}
"""Task → the metrics that build and tune report of held-out rows, in their order; a requirement may ask for these."""
LOSS = {"classification": "log_loss", "regression": "r2"}
"""Task → the metric by which models are compared where one number must decide; what is lost in it counts as positive,
whatever its direction."""


def worse_by(name: str, before: float, after: float) -> float:
    """Return by how much a metric got worse, a positive number, or better, a negative one."""
    return (after - before) * (1 if name in ERRORS else -1)


def classification_metrics(
    true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, *, tops: bool = False
) -> dict[str, float | None]:
    """Measure a classifier.

    Parameters
    ----------
    true : ndarray, (N,) int
        The true class. C or more stands for a label that the model doesn't know.
    predicted : ndarray, (N,) int
        The model's class, below C.
    probabilities : ndarray, (N, C) float
        The model's probabilities.
    tops : bool
        Whether top-3 and top-5 accuracy are wanted too; each only of a model with more classes.

    Returns
    -------
    dict of str to float or None
        By the names of `METRICS`. ROC AUC and log loss are over rows whose label the model knows, the others over all
        rows. None where a metric has no value.
    """
    n_classes = probabilities.shape[1]
    inputs = _class_inputs(true, predicted, probabilities)
    skipped = {f"top_{k}_accuracy" for k in TOPS if not tops or k >= n_classes}
    return {
        name: metric.compute(*inputs[metric.reads])
        for name, metric in METRICS.items()
        if metric.reads in inputs and name not in skipped
    }


def classification_metric(
    name: str, true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> float | None:
    """Compute one of the metrics of `classification_metrics`."""
    metric = METRICS[name]
    return metric.compute(*_class_inputs(true, predicted, probabilities)[metric.reads])


def _class_inputs(
    true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> dict[str, tuple[np.ndarray, ...]]:
    """What each kind of metric of a classifier reads."""
    known = true < probabilities.shape[1]
    return {
        "labels": (true, predicted),
        "likeliest": (true, probabilities),
        "probabilities": (true[known], probabilities[known]),
        "confidence": (true == predicted, probabilities.max(axis=1)),
    }


def regression_metrics(
    true: np.ndarray, predicted: np.ndarray, bounds: Sequence[np.ndarray] = ()
) -> dict[str, float | None]:
    """Measure a regressor.

    Parameters
    ----------
    true, predicted : ndarray, (N,) float
    bounds : pair of ndarray, (N,) float, optional
        The lower and upper bounds of prediction intervals.

    Returns
    -------
    dict of str to float or None
        By the names of `METRICS`. None where a metric has no value.
    """
    inputs = _number_inputs(true, predicted, bounds)
    return {name: metric.compute(*inputs[metric.reads]) for name, metric in METRICS.items() if metric.reads in inputs}


def regression_metric(
    name: str, true: np.ndarray, predicted: np.ndarray, bounds: Sequence[np.ndarray] = ()
) -> float | None:
    """Compute one of the metrics of `regression_metrics`."""
    metric = METRICS[name]
    return metric.compute(*_number_inputs(true, predicted, bounds)[metric.reads])


def _number_inputs(
    true: np.ndarray, predicted: np.ndarray, bounds: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, ...]]:
    """What each kind of metric of a regressor reads."""
    inputs: dict[str, tuple[np.ndarray, ...]] = {"numbers": (true, predicted)}
    return inputs | {"bounds": (true, *bounds)} if len(bounds) else inputs


def class_scores(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the metrics of `BUILT` of a classifier that answers with its likeliest class.

    Parameters
    ----------
    probabilities : ndarray, (N, C) float
    y : ndarray, (N,) int
        The true class, below C.

    Returns
    -------
    dict of str to float
        Without those that have no value, such as the ROC AUC of rows of one class.
    """
    return with_value(classification_metrics(y, probabilities.argmax(1), probabilities), BUILT["classification"])


def regression_scores(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the metrics of `BUILT` of numbers (N,); without R2 where the true values `y` (N,) don't vary."""
    return with_value(regression_metrics(y, predicted), BUILT["regression"])


def scores_of_counts(rows: int, predicted: int, right: int) -> dict[str, float | None]:
    """Return recall, precision, F1 and number of rows of a class that was predicted so often, and so often rightly."""
    return {
        "recall": right / rows if rows else None,
        "precision": right / predicted if predicted else None,
        "f1": 2 * right / (rows + predicted) if rows + predicted else None,
        "rows": rows,
    }


def class_metrics(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return recall, precision, F1 and number of rows of each class, from the confusion matrix.

    None where a class was never predicted (precision) or has no rows (recall).
    """
    found: dict[str, dict[str, float | None]] = {}
    for k, label in enumerate(labels):
        found[label] = scores_of_counts(int(matrix[k].sum()), int(matrix[:, k].sum()), int(matrix[k, k]))
    return found


def confusion(true: np.ndarray, predicted: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Count rows by (true, predicted) class: (rows, columns) int."""
    return np.bincount(true * columns + predicted, minlength=rows * columns).reshape(rows, columns)


def with_value(values: dict[str, float | None], names: Iterable[str]) -> dict[str, float]:
    """Return the metrics of these names that have a value."""
    return {name: value for name in names if (value := values[name]) is not None}


def _counts(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, predictions and right predictions of each class."""
    size = int(max(predicted.max(), true.max())) + 1
    right = np.bincount(true[predicted == true], minlength=size)
    return np.bincount(true, minlength=size), np.bincount(predicted, minlength=size), right


def _area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of (positive, negative) pairs of scores in the right order; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).mean() / 2 / len(negative))


def _errors(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    errors: np.ndarray = predicted.astype(np.float64) - true.astype(np.float64)
    return errors


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (N,), the mean one where values are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks
