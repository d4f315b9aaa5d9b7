"""What a model's card tells people, as plain values: behind the HTML report and the Hugging Face model card."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.runtime.session import Model

MOST_COLUMNS, MOST_NOTES = 60, 20


def about(model: Model) -> dict[str, Any]:
    """Return what a report says of a model whatever the rows: facts, limits, metrics of the build, inputs, origin."""
    card = model.metadata
    provenance = card.get("provenance") or {}
    data = provenance.get("data") or {}
    facts = [
        ("Task", f"{card['task']} of {model.domain.title}"),
        ("Answers", listed(model.labels) if model.labels else model.target),
        ("Built from", f"{data['rows']:,} {model.domain.rows} of {data['name']}" if data else "words alone"),
        ("Size", f"{model.size_bytes / 1e6:.2f} MB"),
        ("SHA-256", model.sha256),
    ]
    return {
        "title": title(model),
        "requirement": card["requirement"],
        "facts": facts,
        "limits": [(name, value) for part in ("limits", "quality", "deploy") for name, value in _asked(card, part)],
        "built": _table(card.get("metrics") or {}),
        "validated": card.get("validated", ""),
        "notes": list(card.get("notes") or [])[:MOST_NOTES],
        "inputs": [_input(entry) for entry in card["inputs"][:MOST_COLUMNS]],
        "more_inputs": max(0, len(card["inputs"]) - MOST_COLUMNS),
        "dropped": [(entry["name"], entry.get("note", "")) for entry in card.get("dropped") or ()][:MOST_COLUMNS],
        "provenance": [(name, _flat(value)) for name, value in provenance.items() if value and not _is_table(value)],
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def title(model: Model) -> str:
    """Return what a model is called: its target, and the data that it was built from."""
    data = (model.metadata.get("provenance") or {}).get("data") or {}
    return f"{model.target}: {data['name']}" if data else model.target


def _is_table(value: Any) -> bool:
    """Whether it is a list of mappings, which no line can show."""
    return isinstance(value, list) and any(isinstance(one, Mapping) for one in value)


def _asked(card: Mapping[str, Any], part: str) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), number(value)) for name, value in (card.get(part) or {}).items() if value]


def _table(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Methods by metrics, as cells; a metric that no method has is left out."""
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    rows = [(method, [number(values.get(name)) for name in names]) for method, values in metrics.items()]
    return {"heads": [metric_title(name) for name in names], "rows": rows}


def _input(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    levels, ends = entry.get("levels") or (), entry.get("range")
    shown = _day if entry["type"] == "datetime" else number
    words = listed(levels) if levels else f"{shown(ends[0])} to {shown(ends[1])}" if ends else ""
    return entry["name"], entry["type"], words or str(entry.get("description", ""))


def listed(words: Sequence[str], most: int = 12) -> str:
    """Return words as one line, the first of many."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(map(str, words[:most])) + more


def _day(days: float) -> str:
    """Days since 1970-01-01 as a date."""
    return str(np.datetime64(round(days), "D"))


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_pair(name, one) for name, one in value.items() if one is not None)
    return listed(value) if isinstance(value, (list, tuple)) else number(value)


def _pair(name: str, value: Any) -> str:
    words = f"({_flat(value)})" if isinstance(value, Mapping) else _flat(value)
    return f"{name.replace('_', ' ')} {words}"


def metric_title(name: str) -> str:
    """Return what people call a metric."""
    return m.METRICS[name].title if name in m.METRICS else name.replace("_", " ")


def number(value: Any) -> str:
    """Return a number as text, of four digits; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
