"""`evaluate`: labelled rows in, metrics out. Rows stream; only labels, probabilities or numbers are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import check_destination
from modelgpt_cli.runtime import metrics as m
from modelgpt_cli.runtime.labels import LabelReader
from modelgpt_cli.runtime.session import Model, damaged
from modelgpt_cli.runtime.table import Rows, logger

if TYPE_CHECKING:
    import pandas as pd

_LABEL_NAMES = ("label", "class", "target")
"""Images: what a table's column of true classes may be called where it has none of the model's target's name."""


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
    """Images: recall, precision, F1 and number of images of each class."""

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
        if self.task == "classification":
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
        if self.plot is not None:
            values["plot"] = str(self.plot)
        return values


def evaluate(
    model: str | Path,
    data: str | Path | pd.DataFrame,
    *,
    target: str | None = None,
    plot: str | Path | None = None,
    chunk_rows: int = 16_384,
    threads: int | None = None,
    force: bool = False,
) -> Evaluation:
    """Measure a ``model.onnx`` on a labelled table, texts, or images.

    Parameters
    ----------
    model, data, chunk_rows, threads
        As for `predict`; of a folder, its test file or folder is measured where there is one. Images have as label
        the name of the folder that they lie in, or of a table of paths a cell.
    target : str, optional
        The column of true values; the model's own target by default.
    plot : str or Path, optional
        Draw the confusion matrix and the calibration, or predicted against true values, into this file.
    force : bool
        Replace `plot` if it exists.
    """
    if plot is not None:
        from modelgpt_cli.runtime.plot import need_matplotlib

        check_destination(plot, force)
        need_matplotlib()
    loaded = Model(model, threads=threads)
    if loaded.reads_images:
        return _images(loaded, data, target, None if plot is None else Path(plot), force)
    rows = Rows(loaded, data, prefer_test=True)
    column = target or loaded.target
    rows.need(column, "Name the column of true values with --target.")
    if column in {i.column for i in loaded.inputs}:
        raise UsageError(f"'{column}' is one of the model's inputs.", "Its true values are in another column.")
    measure = _regression if loaded.task == "regression" else _classification
    return measure(loaded, rows, column, chunk_rows, None if plot is None else Path(plot), force)


def _images(model: Model, data: Any, target: str | None, plot: Path | None, force: bool) -> Evaluation:
    """Measure on images; those that can't be read are left out."""
    from modelgpt_cli.domains.image.files import Truth
    from modelgpt_cli.domains.image.predict import Images

    truth = Truth(tuple(model.labels), (target,) if target else (model.target, *_LABEL_NAMES))
    images = Images(model, data if isinstance(data, (list, tuple)) else [data], truth)

    def scored() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for files, good, outputs in images.scored():
            yield np.array([f.label for f, kept in zip(files, good, strict=True) if kept], dtype=object), outputs
        images.report("are left out")

    done = _measured(model, scored(), target or model.target, str(data), plot, force)
    done.classes = m.class_metrics(np.array(done.confusion), model.labels)
    return done


def _classification(
    model: Model, rows: Rows, column: str, chunk_rows: int, plot: Path | None, force: bool
) -> Evaluation:
    return _measured(model, _scored(model, rows, column, chunk_rows), column, rows.name, plot, force)


def _measured(
    model: Model,
    scored: Iterator[tuple[np.ndarray, dict[str, np.ndarray]]],
    column: str,
    name: str,
    plot: Path | None,
    force: bool,
) -> Evaluation:
    """Compare true labels with a classifier's outputs, portion by portion."""
    reader = LabelReader(model.labels)
    index = {label: k for k, label in enumerate(model.labels)}
    true_parts, predicted_parts, probability_parts = [], [], []
    skipped = 0
    for cells, outputs in scored:
        codes = reader.codes(cells)
        kept = codes >= 0
        skipped += int((~kept).sum())
        true_parts.append(codes[kept])
        predicted = _codes(model, index, outputs["label"])
        predicted_parts.append(predicted[kept])
        probability_parts.append(outputs["probabilities"][kept])
    true = _joined(true_parts, name, column, skipped)
    predicted, probabilities = np.concatenate(predicted_parts), np.concatenate(probability_parts)
    reader.report()
    values, kind = m.classification_metrics(true, predicted, probabilities)
    if model.reads_images:
        values = {"accuracy": values.pop("accuracy")} | m.top_metrics(true, probabilities) | values
    matrix = m.confusion(true, predicted, len(reader.labels), len(model.labels))
    done = Evaluation(
        task=model.task,
        target=column,
        rows=len(true),
        skipped=skipped,
        metrics=values,
        roc_auc_kind=kind,
        true_labels=reader.labels,
        predicted_labels=model.labels,
        confusion=matrix.tolist(),
        plot=plot,
    )
    if plot is not None:
        from modelgpt_cli.runtime.plot import plot_classification

        plot_classification(done, true == predicted, probabilities.max(axis=1), plot, force=force)
    return done


def _codes(model: Model, index: dict[str, int], labels: np.ndarray) -> np.ndarray:
    """Map predicted labels, (N,), to codes, (N,) int64."""
    try:
        return np.array([index[str(label)] for label in labels.tolist()], dtype=np.int64)
    except KeyError as error:
        raise damaged(model.path, f"It answers {error}, a label that its card lacks.") from error


def _regression(model: Model, rows: Rows, column: str, chunk_rows: int, plot: Path | None, force: bool) -> Evaluation:
    names = ["prediction"] if model.coverage is None else ["prediction", "lower", "upper"]
    true_parts, answers = [], []
    skipped = 0
    for cells, outputs in _scored(model, rows, column, chunk_rows):
        kept = np.isfinite(cells)
        skipped += int((~kept).sum())
        true_parts.append(cells[kept])
        answers.append(np.stack([outputs[name].reshape(-1)[kept].astype(np.float64) for name in names]))
    true = _joined(true_parts, rows.name, column, skipped)
    predicted, *bounds = np.concatenate(answers, axis=1)
    values = m.regression_metrics(true, predicted)
    if bounds:
        values |= m.interval_metrics(true, *bounds)
    done = Evaluation(model.task, column, len(true), skipped, values, coverage=model.coverage, plot=plot)
    if plot is not None:
        from modelgpt_cli.runtime.plot import plot_regression

        plot_regression(done, true, predicted, plot, force=force)
    return done


def _scored(
    model: Model, rows: Rows, column: str, chunk_rows: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield the true values and the model's outputs of each chunk."""
    from modelgpt_cli.core.schema import Column

    extra = Column(column, "numeric" if model.task == "regression" else "categorical")
    for n, columns in rows.chunks(chunk_rows, extra=[extra]):
        if n:
            yield columns[column], model.run(columns)
    rows.report()
    model.report()


def _joined(parts: list[np.ndarray], name: str, column: str, skipped: int) -> np.ndarray:
    """Join the true values; say how many rows had none."""
    total = sum(len(part) for part in parts)
    if not total:
        cause = f"All {skipped:,} rows have an empty cell there." if skipped else "There are no rows."
        raise ModelGPTError(f"{name} has no true value in column '{column}'.", cause)
    if skipped:
        logger.warning(
            "%s of %s rows have no usable '%s' and are left out.", f"{skipped:,}", f"{total + skipped:,}", column
        )
    return np.concatenate(parts)
