"""A model on labelled rows, as plain values: metrics with intervals, curves, confusion, importance, examples.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.deployment.report import charts
from modelgpt_cli.deployment.report.about import MOST_COLUMNS, metric_title, number
from modelgpt_cli.deployment.report.examples import Recorded, Sampled, examples, own_examples
from modelgpt_cli.runtime.evaluate import Compared, Evaluation, check_measures, measure
from modelgpt_cli.runtime.feed import open_source
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

RESAMPLES, MOST_RESAMPLED = 200, 20_000
"""Bootstrap: drawings of all rows with replacement; of more rows, of so many drawn evenly."""
INTERVAL = 0.95
_MOST_CLASSES = 30


def measured(
    model: Model, data: Data, *, target: str | None = None, importance: bool = False, seed: int = 0, drawn: bool = True
) -> dict[str, Any]:
    """Measure a model on labelled rows, as a report shows it.

    Parameters
    ----------
    data, target, importance, seed
        As for `evaluate`.
    drawn : bool
        Whether curves and examples are wanted; a model card has neither.

    Raises
    ------
    UsageError, ModelGPTError
        As `evaluate` does.
    """
    if isinstance(data, (str, os.PathLike)):
        check_exists(data, "Check the path.")
    metric = check_measures(model, importance=importance)
    source = open_source(model, data, labelled=True, target=target)
    sampled = Sampled(source) if drawn and model.answers is not None else None
    if sampled is None:
        done = measure(model, source, metric=metric, seed=seed)
    else:
        recorded: Any = Recorded(model, sampled)
        passing: Any = sampled
        done = measure(recorded, passing, seed=seed)
    found = _values(model, done, data_name(data), seed)
    known = ((model.metadata.get("provenance") or {}).get("data") or {}).get("name")
    found["same"] = known == data_name(data).partition(".")[0]
    if drawn and done.compared is not None:
        found["charts"] = _charts(model, done.compared)
        found["examples"] = examples(model, source, done)
    if sampled is not None:
        found["gallery"] = own_examples(model, sampled, done)
    return found


def data_name(data: Data) -> str:
    """Return what a report calls the rows."""
    return os.path.basename(os.fspath(data)) if isinstance(data, (str, os.PathLike)) else "the table"


def _values(model: Model, done: Evaluation, name: str, seed: int) -> dict[str, Any]:
    intervals = bootstrap(done.compared, len(model.labels), seed) if done.compared is not None else {}
    metrics = [
        (done.titles.get(key) or metric_title(key), number(value), *map(number, intervals.get(key, (None, None))))
        for key, value in done.metrics.items()
    ]
    found: dict[str, Any] = {
        "name": name,
        "same": False,
        "rows": done.rows,
        "unit": done.unit,
        "row": "file" if done.compared is not None and done.compared.names else "row",
        "metrics": metrics,
        "values": {key: value for key, value in done.metrics.items() if value is not None},
        "titles": {key: done.titles.get(key) or metric_title(key) for key in done.metrics},
        "intervals": intervals,
        "charts": [],
        "examples": None,
        "gallery": None,
        "confusion": None,
        "classes": None,
        "findings": done.findings.messages(),
        "importance": None,
        "resamples": RESAMPLES,
    }
    if done.confusion and len(done.true_labels) <= _MOST_CLASSES:
        found["confusion"] = _confusion(done)
    if done.classes:
        heads = list(next(iter(done.classes.values())))
        rows = [(label, [number(values.get(head)) for head in heads]) for label, values in done.classes.items()]
        shown = [done.counted if head == "rows" and done.counted else head for head in heads]
        found["classes"] = {"heads": shown, "rows": rows[:_MOST_CLASSES]}
    if done.importance is not None:
        found["importance"] = _importance(done)
    return found


def bootstrap(compared: Compared, classes: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return a 95 % interval of each metric: of rows drawn with replacement, 200 times.

    A metric that isn't defined for some of the drawings has none.
    """
    rng = np.random.default_rng([seed, 7])
    n = len(compared.true)
    rows = np.linspace(0, n - 1, min(n, MOST_RESAMPLED)).astype(int)
    widen = float(np.sqrt(len(rows) / n))  # of more rows the interval is narrower
    drawn: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        some = rng.choice(rows, len(rows))
        for name, value in _metrics(compared, some, classes).items():
            drawn.setdefault(name, []).append(np.nan if value is None else value)
    whole = _metrics(compared, np.arange(n), classes)
    found = {}
    for name, values in drawn.items():
        centre = whole.get(name)
        if centre is None or not np.isfinite(values).all():
            continue
        low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
        found[name] = (float(centre + (low - centre) * widen), float(centre + (high - centre) * widen))
    return found


def _metrics(compared: Compared, rows: np.ndarray, classes: int) -> dict[str, float | None]:
    true, predicted = compared.true[rows], compared.predicted[rows]
    if compared.probabilities is None:
        return m.regression_metrics(true, predicted, [bound[rows] for bound in compared.bounds])
    return m.classification_metrics(true, predicted, compared.probabilities[rows], tops=False)


def _confusion(done: Evaluation) -> dict[str, Any]:
    rows = []
    for label, counts in zip(done.true_labels, done.confusion, strict=True):
        total = sum(counts) or 1
        rows.append((label, [(n, round(100 * n / total)) for n in counts]))
    return {"heads": done.predicted_labels, "rows": rows}


def _charts(model: Model, compared: Compared) -> list[tuple[str, str]]:
    if compared.probabilities is None:
        return [("Predicted against true values", charts.scatter(compared.true, compared.predicted))]
    confidence = compared.probabilities.max(axis=1)
    found = [("Is it as often right as it says?", charts.reliability(compared.true == compared.predicted, confidence))]
    known = compared.true < len(model.labels)
    if len(model.labels) == 2 and 0 < compared.true[known].sum() < known.sum():
        positive, score = compared.true[known] == 1, compared.probabilities[known, 1]
        found.append((f"ROC of {model.labels[1]!r}", charts.roc(positive, score)))
        found.append((f"Precision and recall of {model.labels[1]!r}", charts.precision_recall(positive, score)))
    return found


def _importance(done: Evaluation) -> dict[str, Any]:
    found = done.importance
    assert found is not None
    rows = list(found.columns.items())[:MOST_COLUMNS]
    most = max((mean for _, (mean, _) in rows), default=0) or 1
    shown = [(name, number(mean), number(sd), max(0, round(100 * mean / most))) for name, (mean, sd) in rows]
    return {"metric": metric_title(found.metric), "rows": shown}
