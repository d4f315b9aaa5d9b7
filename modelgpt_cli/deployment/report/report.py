"""`report`: a model file, and labelled rows where there are some, to one HTML file.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination, check_exists, sha256
from modelgpt_cli.deployment.report import charts
from modelgpt_cli.runtime.evaluate import Compared, Evaluation, evaluate
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

TEMPLATE = Path(__file__).with_name("report.html")
RESAMPLES, MOST_RESAMPLED = 200, 20_000
"""Bootstrap: drawings of all rows with replacement; of more rows, of so many drawn evenly."""
INTERVAL = 0.95
_MOST_CLASSES, _MOST_COLUMNS, _MOST_EXAMPLES, _MOST_NOTES = 30, 60, 10, 20


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    size_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"path": str(self.path), "size_bytes": self.size_bytes, "seconds": round(self.seconds, 3)}


def report(
    model: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    data: Data | None = None,
    target: str | None = None,
    importance: bool = False,
    seed: int = 0,
    force: bool = False,
) -> Report:
    """Write what there is to know of a model into one HTML file that needs nothing else.

    Parameters
    ----------
    model : path-like
        A ``model.onnx``.
    output : path-like
        The file to write.
    data : optional
        Labelled rows, as for `evaluate`: measured with bootstrap intervals, and drawn.
    target : str, optional
        The column of true values.
    importance : bool
        Measure each column's permutation importance, too.
    seed : int
        Of the bootstrap and the shuffles.
    force : bool
        Replace an existing file.

    Raises
    ------
    UsageError
        The file exists, or importance is asked for without data.
    ModelGPTError
        The model or the data can't be read; or Jinja2 is not installed.

    Examples
    --------
    With the model of the example of `build`:

    >>> from modelgpt_cli import report
    >>> report("iris.onnx", output="iris.html").size_bytes > 5_000
    True
    """
    start = time.perf_counter()
    environment = _environment()
    check_destination(output, force)
    if data is None and importance:
        raise UsageError("--importance needs labelled rows.", "", "Give --data FILE.")
    if isinstance(data, (str, os.PathLike)):
        check_exists(data, "Check the path.")
    loaded = Model(model)
    values = _card(loaded) | {"measured": None}
    if data is not None:
        done = evaluate(str(model), data, target=target, importance=importance, seed=seed)
        values["measured"] = _measured(loaded, done, _name(data), seed)
        known = ((loaded.metadata.get("provenance") or {}).get("data") or {}).get("name")
        values["measured"]["same"] = known == _name(data).partition(".")[0]
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**values)
    with atomic_write(output, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    path = Path(output)
    return Report(path, path.stat().st_size, time.perf_counter() - start)


def _environment() -> Any:
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise ModelGPTError(
            "A report needs Jinja2, which is not installed.", "", "Install it: pip install jinja2"
        ) from error
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _name(data: Data) -> str:
    return os.path.basename(os.fspath(data)) if isinstance(data, (str, os.PathLike)) else "the table"


# From the model card ------------------------------------------------------------------------------------------------


def _card(model: Model) -> dict[str, Any]:
    card = model.metadata
    provenance = card.get("provenance") or {}
    data = provenance.get("data") or {}
    facts = [
        ("Task", f"{card['task']} of {model.domain.title}"),
        ("Answers", _listed(model.labels) if model.labels else model.target),
        ("Built from", f"{data['rows']:,} {model.domain.rows} of {data['name']}" if data else "words alone"),
        ("Size", f"{model.path.stat().st_size / 1e6:.2f} MB"),
        ("SHA-256", sha256(model.path)),
    ]
    return {
        "title": f"{model.target}: {data['name']}" if data else model.target,
        "requirement": card["requirement"],
        "facts": facts,
        "limits": [(name, value) for part in ("limits", "quality", "deploy") for name, value in _asked(card, part)],
        "built": _table(card.get("metrics") or {}),
        "validated": card.get("validated", ""),
        "notes": list(card.get("notes") or [])[:_MOST_NOTES],
        "inputs": [_input(entry) for entry in card["inputs"][:_MOST_COLUMNS]],
        "more_inputs": max(0, len(card["inputs"]) - _MOST_COLUMNS),
        "dropped": [(entry["name"], entry.get("note", "")) for entry in card.get("dropped") or ()][:_MOST_COLUMNS],
        "provenance": [(name, _flat(value)) for name, value in provenance.items() if value and not _is_table(value)],
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def _is_table(value: Any) -> bool:
    """Whether it is a list of mappings, which no line can show."""
    return isinstance(value, list) and any(isinstance(one, Mapping) for one in value)


def _asked(card: Mapping[str, Any], part: str) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _number(value)) for name, value in (card.get(part) or {}).items() if value]


def _table(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Methods by metrics, as cells; a metric that no method has is left out."""
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    rows = [(method, [_number(values.get(name)) for name in names]) for method, values in metrics.items()]
    return {"heads": [_title(name) for name in names], "rows": rows}


def _input(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    levels, ends = entry.get("levels") or (), entry.get("range")
    shown = _day if entry["type"] == "datetime" else _number
    about = _listed(levels) if levels else f"{shown(ends[0])} to {shown(ends[1])}" if ends else ""
    return entry["name"], entry["type"], about or str(entry.get("description", ""))


def _listed(words: Sequence[str], most: int = 12) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(map(str, words[:most])) + more


def _day(days: float) -> str:
    """Days since 1970-01-01 as a date."""
    return str(np.datetime64(round(days), "D"))


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_flat(one)}" for name, one in value.items() if one is not None)
    return _listed(value) if isinstance(value, (list, tuple)) else _number(value)


def _title(name: str) -> str:
    return m.METRICS[name].title if name in m.METRICS else name.replace("_", " ")


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


# On labelled rows ---------------------------------------------------------------------------------------------------


def _measured(model: Model, done: Evaluation, name: str, seed: int) -> dict[str, Any]:
    intervals = bootstrap(done.compared, len(model.labels), seed) if done.compared is not None else {}
    titles = done.titles
    metrics = [
        (titles.get(key) or _title(key), _number(value), *map(_number, intervals.get(key, (None, None))))
        for key, value in done.metrics.items()
    ]
    found: dict[str, Any] = {
        "name": name,
        "same": False,
        "rows": done.rows,
        "unit": done.unit,
        "row": "file" if done.compared is not None and done.compared.names else "row",
        "metrics": metrics,
        "charts": [],
        "examples": None,
        "confusion": None,
        "classes": None,
        "findings": _findings(done),
        "importance": None,
        "resamples": RESAMPLES,
    }
    if done.confusion and len(done.true_labels) <= _MOST_CLASSES:
        found["confusion"] = _confusion(done)
    if done.classes:
        heads = list(next(iter(done.classes.values())))
        rows = [(label, [_number(values.get(head)) for head in heads]) for label, values in done.classes.items()]
        found["classes"] = {"heads": heads, "rows": rows[:_MOST_CLASSES]}
    if done.importance is not None:
        found["importance"] = _importance(done)
    if done.compared is not None:
        found["charts"] = _charts(model, done.compared)
        found["examples"] = _examples(done, done.compared)
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


def _examples(done: Evaluation, compared: Compared) -> dict[str, Any]:
    """The rows that the model is most wrong about, and those that it is least sure of and right."""
    true, predicted = compared.true, compared.predicted
    if compared.probabilities is None:
        order = np.argsort(-np.abs(predicted - true), kind="stable")[:_MOST_EXAMPLES]
        worst = [(f"{i + 1:,}", _number(float(true[i])), _number(float(predicted[i])), "") for i in order]
        return {"worst": worst, "barely": [], "score": ""}
    confidence = compared.probabilities.max(axis=1)

    def shown(rows: np.ndarray) -> list[tuple[str, str, str, str]]:
        places = [compared.names[i] if compared.names else f"{i + 1:,}" for i in rows[:_MOST_EXAMPLES]]
        return [
            (place, done.true_labels[true[i]], done.predicted_labels[predicted[i]], f"{confidence[i]:.0%}")
            for place, i in zip(places, rows, strict=False)
        ]

    wrong, right = np.flatnonzero(true != predicted), np.flatnonzero(true == predicted)
    return {
        "worst": shown(wrong[np.argsort(-confidence[wrong], kind="stable")]),
        "barely": shown(right[np.argsort(confidence[right], kind="stable")]),
        "score": "confidence",
    }


def _findings(done: Evaluation) -> list[str]:
    return done.findings.messages()


def _importance(done: Evaluation) -> dict[str, Any]:
    found = done.importance
    assert found is not None
    rows = list(found.columns.items())[:_MOST_COLUMNS]
    most = max((mean for _, (mean, _) in rows), default=0) or 1
    shown = [(name, _number(mean), _number(sd), max(0, round(100 * mean / most))) for name, (mean, sd) in rows]
    return {"metric": _title(found.metric), "rows": shown}
