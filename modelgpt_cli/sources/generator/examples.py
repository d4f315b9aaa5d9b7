"""A few real rows, as an LLM may see them. Beside `form`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.synthetic import MARK
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.requirement_generator.profile import pick_rows
from modelgpt_cli.sources.generator.form import TEXT, Cell, Field, Form

TEXT_CHARS = 400
"""So much of a text is shown."""
_CLEANED_CHARS = 4000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def real_examples(
    form: Form, dataset: Dataset, count: int, seed: int, hide: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Cell]]]:
    """Draw real rows, classes in turn: as the LLM sees them, and as they are.

    Rows that are marked as generated are no examples where there are real ones.
    """
    frame = dataset.real_rows.drop(columns=MARK, errors="ignore")
    chosen = frame.iloc[pick_rows(frame[form.target.name], form.task, count, seed)] if count else frame.iloc[:0]
    clean: Callable[[str], str] = redact if hide else str
    rows = [{f.name: _cell(f, row[f.name]) for f in form.fields} for row in chosen.to_dict("records")]
    shown = [{f.shown: _shown(f, row[f.name], clean) for f in form.fields} for row in rows]
    return shown, rows


def _cell(field: Field, value: Any) -> Cell:
    """A typed cell as the form has it."""
    if value is None or pd.isna(value):
        return None
    if field.kind == "date":
        moment = _EPOCH + timedelta(days=float(value))
        return moment.strftime("%Y-%m-%d" if field.format in ("", "ISO8601") else field.format)
    return float(value) if field.kind == "number" else str(value)


def _shown(field: Field, cell: Cell, clean: Callable[[str], str]) -> Any:
    if cell is None:
        return None
    if isinstance(cell, float):
        number = float(f"{cell:.6g}")
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    if field.kind == "level":
        return next((seen for seen, real in field.levels.items() if real == cell), clean(cell))
    text = clean(" ".join(cell.split())[:_CLEANED_CHARS])
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…"


def mean_chars(form: Form, rows: list[dict[str, Cell]]) -> dict[str, float]:
    """Characters per cell of the texts of real rows, by column."""
    names = [f.name for f in form.inputs if f.kind == TEXT]
    return {name: float(np.mean([len(str(row[name] or "")) for row in rows])) for name in names if rows}
