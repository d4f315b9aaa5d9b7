"""`evaluate`: labelled rows in, metrics out. Rows stream; only labels, probabilities or numbers are kept."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.runtime.feed import Source, open_source
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.importance import (
    MAX_ROWS,
    Importance,
    SampledSource,
    check_importance,
    permutation_importance,
)
from modelgpt_cli.runtime.labels import LabelReader
from modelgpt_cli.runtime.scoring import scored
from modelgpt_cli.runtime.session import Model, damaged

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

logger = logging.getLogger("modelgpt")


@dataclass(frozen=True)
class Compared:
    """True values and a model's answers, row by row.

    Attributes
    ----------
    true : ndarray (N,)
        Codes of the labels, by `Evaluation.true_labels`; or float64.
    predicted : ndarray (N,)
    probabilities : ndarray (N, C), optional
    bounds : sequence of ndarray (N,)
        Lower and upper, of a model with an interval.
    names : sequence of str
        The files, N, where each row is one.
    rows : ndarray (N,), optional
        Where each row stands in a table, counted from 0: those without a true value are left out here.
    """

    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None = None
    bounds: Sequence[np.ndarray] = ()
    names: Sequence[str] = ()
    rows: np.ndarray | None = None


@dataclass
class Evaluation:
    """What `evaluate` hands back; ``evaluation["accuracy"]`` reads one metric."""

    task: str
    target: str
    rows: int
    """Rows measured."""
    skipped: int
    """Rows without a true value, left out."""
    metrics: dict[str, float | None]
    roc_auc_kind: str = ""
    coverage: float | None = None
    """The share of true values that the model's prediction interval was made to hold; None where it has none."""
    true_labels: tuple[str, ...] = ()
    """The confusion matrix's rows: the model's labels, then those it doesn't know."""
    predicted_labels: tuple[str, ...] = ()
    """The confusion matrix's columns: the model's labels."""
    confusion: list[list[int]] = field(default_factory=list)
    plot: Path | None = None
    classes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Where each row is a file, or has any number of labels: recall, precision, F1 and number of rows of each class."""
    unit: str = "rows"
    """What the rows are called, in the plural."""
    findings: Findings = field(default_factory=Findings)
    """What the rows hold that the model was not made for."""
    multi_label: bool = False
    """Whether a row has any number of labels; then there is no confusion matrix."""
    titles: dict[str, str] = field(default_factory=dict)
    """What people call the metrics, where they are those of a task that a domain alone has."""
    counted: str = ""
    """What `classes` count, in the plural, where it is not the rows."""
    errors: tuple[str, ...] = ()
    """Metrics of a task that a domain alone has of which less is better."""
    importance: Importance | None = None
    """By how much the model gets worse when a column is shuffled, where that was asked for."""
    compared: Compared | None = field(default=None, repr=False)
    """What was measured, of classification with one label a row and of regression."""

    def __getitem__(self, name: str) -> float | None:
        return self.metrics[name]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        values: dict[str, Any] = {
            "task": self.task,
            "target": self.target,
            "rows": self.rows,
            "skipped": self.skipped,
            "metrics": dict(self.metrics),
        }
        if self.multi_label:
            values["multi_label"] = True
        elif self.task == "classification":
            values["roc_auc_kind"] = self.roc_auc_kind
            values["confusion"] = {
                "true": list(self.true_labels),
                "predicted": list(self.predicted_labels),
                "matrix": self.confusion,
            }
        if self.classes:
            values["classes"] = self.classes
        if self.coverage is not None:
            values["coverage"] = self.coverage
        if not self.findings.fits:
            values["findings"] = self.findings.to_dict()
        if self.importance is not None:
            values["importance"] = self.importance.to_dict()
        if self.plot is not None:
            values["plot"] = str(self.plot)
        return values


def evaluate(
    model: str | Path,
    data: Data | Sequence[str | Path],
    *,
    sheet: str | None = None,
    target: str | None = None,
    plot: str | Path | None = None,
    importance: bool = False,
    importance_metric: str | None = None,
    importance_repeats: int = 5,
    seed: int = 0,
    chunk_rows: int = 16_384,
    threads: int | None = None,
    strict: bool = False,
    force: bool = False,
) -> Evaluation:
    """Measure a ``model.onnx`` on labelled rows, or files.

    Parameters
    ----------
    model, data, sheet, chunk_rows, threads, strict
        As for `predict`; of a folder, its test file or folder is measured where there is one. Files have as label
        the name of the folder that they lie in, or of a table of paths a cell.
    target : str, optional
        The column of true values; the model's own target by default.
    plot : str or Path, optional
        Draw the confusion matrix and the calibration, or predicted against true values, into this file.
    importance : bool
        Measure each column's permutation importance, too: by how much a metric gets worse when the column is shuffled;
        on 10,000 rows, drawn evenly, at most. Not for files.
    importance_metric : str, optional
        By its name in ``evaluation.metrics``; by default the log loss, for regression R2.
    importance_repeats : int
        Shuffles of each column.
    seed : int
        Of the shuffles and the draw.
    force : bool
        Replace `plot` if it exists.

    Returns
    -------
    Evaluation

    Raises
    ------
    ModelGPTError
        The model or the data can't be read, don't fit each other, or no row has a true value.
    VerificationError
        With `strict`, the rows hold what the model was not made for.
    UsageError
        There is no such data, or no such column of true values.

    Examples
    --------
    With the model of the example of `build`:

    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris(as_frame=True)
    >>> flowers = iris.data.assign(species=iris.target_names[iris.target])
    >>> from modelgpt_cli import evaluate
    >>> found = evaluate("iris.onnx", flowers)
    >>> found.rows, found["accuracy"] > 0.9
    (150, True)
    """
    if plot is not None:
        from modelgpt_cli.runtime.plot import check_plot

        check_plot(plot, force)
    data = with_sheet(data, sheet)
    loaded = Model(model, threads=threads)
    metric = check_measures(loaded, importance=importance, metric=importance_metric, plot=plot)
    source = open_source(loaded, data, labelled=True, target=target)
    done = measure(loaded, source, metric=metric, repeats=importance_repeats, seed=seed, chunk_rows=chunk_rows)
    if plot is not None:
        _draw(done, Path(plot), force)
    if strict:
        source.findings.require_fit(source.name)
    return done


def check_measures(
    model: Model, *, importance: bool = False, metric: str | None = None, plot: str | Path | None = None
) -> str:
    """Make sure that a model's answers can be measured so.

    Returns
    -------
    str
        The metric that importance is measured in; "" where it isn't.

    Raises
    ------
    UsageError
        They can't.
    """
    if model.answers is not None or model.multi_label:
        for flag, given in (("--importance", importance), ("--plot", plot is not None)):
            if given and model.answers is not None:
                raise UsageError(f"{flag} is not for {model.domain.title}.", hint="Leave it out.")
            if given:
                raise UsageError(f"{flag} is for one label a row.", "This model is multi-label.", "Leave it out.")
    return check_importance(model, metric) if importance else ""


def measure(
    model: Model, source: Source, *, metric: str = "", repeats: int = 5, seed: int = 0, chunk_rows: int = 16_384
) -> Evaluation:
    """Measure a loaded model on rows with true values.

    Parameters
    ----------
    model : Model
    source : Source
    metric : str
        From `check_measures`.
    repeats, seed, chunk_rows
        As for `evaluate`.
    """
    if model.answers is not None:
        return replace(model.answers.evaluate(model, source, chunk_rows), findings=source.findings)
    rows = _regression if model.task == "regression" else _label_sets if model.multi_label else _classification
    if not metric:
        return replace(rows(model, source, chunk_rows), findings=source.findings)
    sampled = SampledSource(source, MAX_ROWS, seed)
    passing: Source = sampled
    done = rows(model, passing, chunk_rows)
    importance = permutation_importance(model, *sampled.sample(), metric=metric, repeats=repeats, seed=seed)
    return replace(done, findings=source.findings, importance=importance)


def _draw(done: Evaluation, plot: Path, force: bool) -> None:
    from modelgpt_cli.runtime.plot import plot_classification, plot_regression

    compared = done.compared
    assert compared is not None, "other tasks are refused"
    if compared.probabilities is None:
        plot_regression(done, compared.true, compared.predicted, plot, force=force)
    else:
        right, confidence = compared.true == compared.predicted, compared.probabilities.max(axis=1)
        plot_classification(done, right, confidence, plot, force=force)
    done.plot = plot


def _classification(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true labels with a classifier's outputs, chunk by chunk."""
    reader = LabelReader(model.labels)
    index = {label: k for k, label in enumerate(model.labels)}
    true_parts, predicted_parts, probability_parts = [], [], []
    places: list[np.ndarray] = []
    files: list[str] = []
    seen = skipped = 0
    for cells, outputs, names in _scored(model, source, chunk_rows):
        codes = reader.codes(cells)
        kept = codes >= 0
        places.append(seen + np.flatnonzero(kept))
        seen += len(cells)
        files += [name for name, there in zip(names, kept.tolist(), strict=False) if there]
        skipped += int((~kept).sum())
        true_parts.append(codes[kept])
        predicted_parts.append(_codes(model, index, outputs["label"])[kept])
        probability_parts.append(outputs["probabilities"][kept])
    true = _joined(true_parts, source, skipped)
    predicted, probabilities = np.concatenate(predicted_parts), np.concatenate(probability_parts)
    reader.report()
    matrix = m.confusion(true, predicted, len(reader.labels), len(model.labels))
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=len(true),
        skipped=skipped,
        metrics=m.classification_metrics(true, predicted, probabilities, tops=model.feeds.FILES),
        roc_auc_kind=m.roc_auc_kind(true[true < len(model.labels)], len(model.labels)),
        true_labels=reader.labels,
        predicted_labels=model.labels,
        confusion=matrix.tolist(),
        classes=m.class_metrics(matrix, model.labels) if model.feeds.FILES else {},
        unit=model.domain.rows,
        compared=Compared(true, predicted, probabilities, names=files, rows=np.concatenate(places)),
    )


def _label_sets(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true labels, of which a row has any number, with those that a model gives, chunk by chunk."""
    from modelgpt_cli.core.label_metrics import label_metrics, per_label
    from modelgpt_cli.data.label_cells import multi_hot, parse_labels

    true_parts, given_parts, probability_parts = [], [], []
    skipped, unknown = 0, Counter[str]()
    for cells, outputs, _ in _scored(model, source, chunk_rows):
        kept = np.array([cell is not None and cell == cell for cell in cells.tolist()], dtype=bool)
        skipped += int((~kept).sum())
        unknown.update(label for cell in cells[kept] for label in parse_labels(cell) if label not in model.labels)
        true_parts.append(multi_hot(cells[kept], model.labels) > 0)
        given_parts.append(outputs["label"][kept] > 0)
        probability_parts.append(outputs["probabilities"][kept])
    true = _joined(true_parts, source, skipped)
    given, probabilities = np.concatenate(given_parts), np.concatenate(probability_parts)
    if unknown:
        shown = ", ".join(f"'{label}' ({n:,})" for label, n in unknown.most_common(5))
        logger.warning("Labels that the model doesn't know are left out of the comparison: %s.", shown)
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=len(true),
        skipped=skipped,
        metrics=label_metrics(true, given, probabilities),
        classes=per_label(true, given, model.labels),
        unit=model.domain.rows,
        multi_label=True,
    )


def _codes(model: Model, index: dict[str, int], labels: np.ndarray) -> np.ndarray:
    """Map predicted labels, (N,), to codes, (N,) int64."""
    try:
        return np.array([index[str(label)] for label in labels.tolist()], dtype=np.int64)
    except KeyError as error:
        raise damaged(model.path, f"It answers {error}, a label that its card lacks.") from error


def _regression(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true numbers with a regressor's outputs, chunk by chunk."""
    names = ["prediction"] if model.coverage is None else ["prediction", "lower", "upper"]
    true_parts, answers = [], []
    places: list[np.ndarray] = []
    seen = skipped = 0
    for cells, outputs, _ in _scored(model, source, chunk_rows):
        kept = np.isfinite(cells)
        places.append(seen + np.flatnonzero(kept))
        seen += len(cells)
        skipped += int((~kept).sum())
        true_parts.append(cells[kept])
        answers.append(np.stack([outputs[name].reshape(-1)[kept].astype(np.float64) for name in names]))
    true = _joined(true_parts, source, skipped)
    predicted, *bounds = np.concatenate(answers, axis=1)
    values = m.regression_metrics(true, predicted, bounds)
    return Evaluation(
        model.task,
        source.target,
        len(true),
        skipped,
        values,
        coverage=model.coverage,
        unit=model.domain.rows,
        compared=Compared(true, predicted, None, bounds, rows=np.concatenate(places)),
    )


def _scored(
    model: Model, source: Source, chunk_rows: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], Sequence[str]]]:
    """Yield the true values, the model's outputs, and the files' names (none in a table), of each chunk."""
    for chunk, outputs in scored(model, source, chunk_rows, "evaluate"):
        assert chunk.truth is not None, "the true values were asked for"
        names = chunk.names
        if chunk.readable is not None:
            names = [name for name, there in zip(names, chunk.readable.tolist(), strict=True) if there]
        yield chunk.truth, outputs, names
    source.report()
    model.report()


def _joined(parts: list[np.ndarray], source: Source, skipped: int) -> np.ndarray:
    """Join the true values; say how many rows had none."""
    total = sum(len(part) for part in parts)
    if not total:
        cause = f"All {skipped:,} rows have an empty cell there." if skipped else "There are no rows."
        raise ModelGPTError(f"{source.name} has no true value in column '{source.target}'.", cause)
    if skipped:
        logger.warning(
            "%s of %s rows have no usable '%s' and are left out.", f"{skipped:,}", f"{total + skipped:,}", source.target
        )
    return np.concatenate(parts)
