"""Permutation importance: how much worse a model gets when one of its columns is shuffled. Beside `evaluate`.

With onnxruntime and numpy alone, as Breiman, Random forests (2001), has it for any model; the rows are those that are
evaluated, so that what counts is what the model makes of new rows.
Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.runtime.feed import Chunk, Source, file_titles
from modelgpt_cli.runtime.labels import LabelReader
from modelgpt_cli.runtime.session import Model

MAX_ROWS = 10_000
"""Rows that are shuffled at most, drawn evenly: the accuracy of so many has a standard error of half a point at most,
and the time grows with rows, columns and repeats."""


@dataclass(frozen=True)
class Importance:
    """What `permutation_importance` found.

    Attributes
    ----------
    metric : str
        By its name in `core.metrics.METRICS`.
    value : float
        Of the rows as they are.
    rows : int
    repeats : int
    columns : mapping of str to (float, float)
        By how much the metric gets worse when the column is shuffled: mean and standard deviation over the repeats;
        the most important column first.
    """

    metric: str
    value: float
    rows: int
    repeats: int
    columns: Mapping[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        columns = {name: {"mean": mean, "sd": sd} for name, (mean, sd) in self.columns.items()}
        return {
            "metric": self.metric,
            "value": self.value,
            "rows": self.rows,
            "repeats": self.repeats,
            "columns": columns,
        }


class SampledSource:
    """A source that keeps an even sample of what goes through it. Follows `runtime.feed.Source`.

    Parameters
    ----------
    source : Source
        With true values.
    rows : int
        How many rows are kept at most.
    seed : int
        Of the draw.
    """

    def __init__(self, source: Source, rows: int, seed: int) -> None:
        self._source = source
        self._most = rows
        self._rng = np.random.default_rng([seed, 1])
        self._keys = np.empty(0)
        self._parts: list[dict[str, np.ndarray]] = []
        self._truth: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the source's chunks."""
        for chunk in self._source.chunks(rows):
            assert chunk.truth is not None
            self._parts.append({name: np.asarray(cells) for name, cells in chunk.columns.items()})
            self._truth.append(chunk.truth)
            self._keys = np.concatenate([self._keys, self._rng.random(chunk.rows)])
            if len(self._keys) > 2 * self._most:
                self._draw()
            yield chunk

    def sample(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return columns (N,) and true values (N,), in the order of the source."""
        self._draw()
        return self._parts[0], self._truth[0]

    def _draw(self) -> None:
        """Keep the rows of the smallest keys; which these are does not depend on the chunks."""
        order = np.sort(np.argsort(self._keys, kind="stable")[: self._most])
        joined = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        self._keys = self._keys[order]
        self._parts = [{name: cells[order] for name, cells in joined.items()}]
        self._truth = [np.concatenate(self._truth)[order]]


def check_importance(model: Model, metric: str | None) -> str:
    """Return the metric that the importance is measured in.

    Parameters
    ----------
    model : Model
    metric : str, optional
        A name of `core.metrics.METRICS`; that of `LOSS` by default.

    Raises
    ------
    UsageError
        The rows of the model have no columns, or it has no such metric.
    """
    if model.feeds.FILES:
        raise UsageError(
            f"--importance is not for models of {file_titles()}.", "It shuffles columns, and there are none."
        )
    if metric is None:
        return m.LOSS[model.task]
    known = [name for name, one in m.METRICS.items() if one.task == model.task and _has(model, one)]
    if metric not in known:
        raise UsageError(f"There is no metric {metric!r} of this model.", f"There are {', '.join(known)}.")
    return metric


def _has(model: Model, metric: m.Metric) -> bool:
    return metric.reads not in ("bounds", "likeliest") or (metric.reads == "bounds" and model.coverage is not None)


def permutation_importance(
    model: Model,
    columns: Mapping[str, np.ndarray],
    truth: np.ndarray,
    *,
    metric: str,
    repeats: int,
    seed: int,
) -> Importance:
    """Shuffle each column in turn, several times, and measure what is lost.

    Columns that carry the same are each of little importance: the model still has the other one.

    Parameters
    ----------
    model : Model
    columns : mapping of str to ndarray, (N,)
        As `Model.run` takes them.
    truth : ndarray, (N,)
        Numbers, or labels as `str`; rows with none are left out.
    metric : str
        See `check_importance`.
    repeats : int
        Shuffles of each column.
    seed : int
        Of the shuffles; those of a column don't depend on which others there are.

    Raises
    ------
    ModelGPTError
        The metric has no value on these rows.
    """
    true, known = _true_values(model, truth)
    kept = {name: cells[known] for name, cells in columns.items()}
    names = [i.column for i in model.inputs if i.column in kept]
    value = _measure(model, kept, true, metric)
    found: dict[str, tuple[float, float]] = {}
    with progress("importance", len(names) * repeats * len(true)) as advance:
        for place, name in enumerate(i.column for i in model.inputs):
            if name not in kept:
                continue
            rng = np.random.default_rng([seed, place])
            losses = []
            for _ in range(repeats):
                shuffled = kept | {name: kept[name][rng.permutation(len(true))]}
                losses.append(m.worse_by(metric, value, _measure(model, shuffled, true, metric)))
                advance(len(true))
            found[name] = float(np.mean(losses)), float(np.std(losses))
    ordered = dict(sorted(found.items(), key=lambda item: -item[1][0]))
    return Importance(metric, value, len(true), repeats, ordered)


def _true_values(model: Model, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True numbers, or classes, of the rows that have some, and which rows these are, (N,) bool."""
    if model.task == "regression":
        known = np.isfinite(truth)
        return truth[known], known
    codes = LabelReader(model.labels).codes(truth)
    return codes[codes >= 0], codes >= 0


def _measure(model: Model, columns: Mapping[str, np.ndarray], true: np.ndarray, metric: str) -> float:
    """Compute the metric of rows."""
    outputs = model.run(columns)
    if model.task == "regression":
        bounds = [] if model.coverage is None else [outputs[name].reshape(-1) for name in ("lower", "upper")]
        value = m.regression_metric(metric, true, outputs["prediction"].reshape(-1).astype(np.float64), bounds)
    else:
        index = {label: k for k, label in enumerate(model.labels)}
        predicted = np.array([index[str(label)] for label in outputs["label"].tolist()], dtype=np.int64)
        value = m.classification_metric(metric, true, predicted, outputs["probabilities"])
    if value is None:
        raise ModelGPTError(
            f"The {m.METRICS[metric].title} has no value on these rows.",
            "Their true values are all alike.",
            "Give more rows, or another --importance-metric.",
        )
    return value
