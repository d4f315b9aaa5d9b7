"""Column typing: a column's sample and the facts of the whole file → a `Column`. Between `scan` and `dataset`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import FREE_TEXT, MAX_LEVELS, Column, ColumnType
from modelgpt_cli.data.cells import clip_finite, days, guess_date_format, numbers, texts, to_arrow
from modelgpt_cli.data.scan import ColumnFacts

_BOOLEAN_PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"on", "off"})
_ID_WORDS = {"id", "ids", "uuid", "guid", "identifier", "rowid", "unnamed"}
_ID_NAMES = {"row", "rownames", "no", "nr", "key", "index", "idx"}
_TIME_WORDS = {"year", "yr", "month", "week", "day", "date", "time", "hour", "age", "t"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

MIN_ROWS_FOR_IDS = 20
"""In a smaller table a column of distinct values says nothing about what it is."""
_BAD_SHARE = 0.05
_MARKER_SHARE = 0.3
_MARKER_KINDS = 3
_MIN_NUMBER_KINDS = 10
_UNIQUE_SHARE = 0.95
_TEXT_UNIQUE_SHARE = 0.5
_TEXT_WORDS = 4
_TEXT_CHARS = 60
_RARE_MISSING = 0.01
_PROBE = 2_000
_PROBE_CHARS = 10_000


@dataclass(frozen=True)
class Shape:
    """What the cells of a column look like as text, over the different ones among them."""

    share: float
    """Different cells per present cell; 1 where no cell repeats."""
    words: float
    """Words per cell on average, of its first 10,000 characters; a word is what blanks enclose."""
    chars: float
    """Characters per cell on average, 10,000 at most."""
    letters: float
    """Share of the cells that hold a letter of any script."""

    @property
    def is_free_text(self) -> bool:
        """Whether these are mostly different cells of several words."""
        long = self.words >= _TEXT_WORDS or (self.chars > _TEXT_CHARS and self.words >= 2)
        return self.share > _TEXT_UNIQUE_SHARE and long


def shape_of(raw: pd.Series) -> Shape:
    """The shape of a raw column; all zeros where no cell is present."""
    cells = texts(to_arrow(raw)).drop_null()
    return _shape(cells.unique().to_pylist(), len(cells))


def _shape(distinct: Sequence[str], n: int) -> Shape:
    """The shape of a column of `n` present cells, from the different ones."""
    if not distinct:
        return Shape(0.0, 0.0, 0.0, 0.0)
    probe = [text[:_PROBE_CHARS] for text in distinct[:_PROBE]]
    return Shape(
        len(distinct) / n,
        sum(len(text.split()) for text in probe) / len(probe),
        sum(len(text) for text in probe) / len(probe),
        sum(any(map(str.isalpha, text)) for text in probe) / len(probe),
    )


class _Evidence:
    """What typing looks at, each worked out when first asked for."""

    def __init__(self, name: str, raw: pd.Series, facts: ColumnFacts, n_rows: int) -> None:
        self.name = name
        self.array = to_arrow(raw)
        self.facts = facts
        self.n_rows = n_rows
        self.missing = facts.missing / max(1, n_rows)
        words = {word.lower() for word in _WORDS.findall(name)}
        self.id_named = bool(words & _ID_WORDS) or name.lower() in _ID_NAMES
        self.time_named = bool(words & _TIME_WORDS)
        self._cells: pa.Array | None = None
        self._counts: dict[str, int] | None = None

    @property
    def is_stamp(self) -> bool:
        return pa.types.is_timestamp(self.array.type)

    @property
    def cells(self) -> pa.Array:
        """The sample's present cells as text."""
        if self._cells is None:
            self._cells = texts(self.array).drop_null()
        return self._cells

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the sample by text, most frequent first, ties by name."""
        if self._counts is None:
            counted = pc.value_counts(self.cells)
            pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
            self._counts = dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
        return self._counts


def infer_column(
    name: str, raw: pd.Series, facts: ColumnFacts, n_rows: int, fixed: Column | None, warn: Callable[[str], None]
) -> Column:
    """Type one column.

    Parameters
    ----------
    raw : Series
        The sample's raw cells.
    fixed : Column, optional
        Type and description as a requirement or a types file has them.
    warn : callable
        Takes the words about cells that don't fit.

    Raises
    ------
    UsageError
        Most cells contradict the fixed type.
    """
    seen = _Evidence(name, raw, facts, n_rows)
    if fixed is None:
        kind, note = _decide(seen)
        return _describe(seen, kind, note, "", warn)
    _check_fixed(seen, fixed.type)
    note = "" if fixed.used else (fixed.note or f"{fixed.type}, as asked for")
    column = _describe(seen, fixed.type, note, fixed.description, warn)
    return replace(column, components=fixed.components, role=fixed.role)


def _check_fixed(seen: _Evidence, kind: ColumnType) -> None:
    """A column that is said to hold numbers or dates has to hold some."""
    if kind == "boolean" and len(seen.counts) > 2:
        raise UsageError(
            f"Column {seen.name!r} is said to be boolean, but has {len(seen.counts)} different values.",
            f"For example {', '.join(repr(text) for text in list(seen.counts)[:3])}.",
            "Change its type in the requirement or types file, to categorical for example.",
        )
    if kind not in ("numeric", "datetime") or not len(seen.cells):
        return
    values = numbers(seen.array) if kind == "numeric" else days(seen.array)
    if np.isfinite(values).sum() * 2 < len(seen.cells):
        example = next((text for text in seen.counts), "")
        raise UsageError(
            f"Column {seen.name!r} is said to be {kind}, and most of its cells are not.",
            f"For example {example!r}.",
            "Change its type in the requirement or types file, or leave the column out there.",
        )


def _decide(seen: _Evidence) -> tuple[ColumnType, str]:
    """The type, and the reason where the column is dropped."""
    facts = seen.facts
    if facts.missing == seen.n_rows:
        return "constant", "all cells are missing"
    if seen.is_stamp:
        return ("constant", "the same date in every row") if len(seen.counts) == 1 else ("datetime", "")
    if not pa.types.is_boolean(seen.array.type) and _is_numeric(seen):
        return _decide_numeric(seen)
    return _decide_text(seen)


def _is_numeric(seen: _Evidence) -> bool:
    """Numbers throughout, or but for a few cells, or but for up to three words such as "unknown"."""
    facts = seen.facts
    if facts.mostly_text or not facts.good:
        return False
    share = facts.bad / (facts.bad + facts.good)
    if share <= _BAD_SHARE:
        return True
    if share > _MARKER_SHARE:
        return False
    kinds = pa.array(list(seen.counts), pa.string())
    odd = int(np.isnan(numbers(kinds)).sum())
    return odd <= _MARKER_KINDS and len(kinds) - odd >= _MIN_NUMBER_KINDS


def _decide_numeric(seen: _Evidence) -> tuple[ColumnType, str]:
    facts, n = seen.facts, seen.n_rows
    if facts.low == facts.high:
        if seen.missing < _RARE_MISSING:
            return "constant", "the same number in every row"
        return "categorical", ""  # one value or none: whether it is there is all it says
    if not facts.whole or facts.missing or facts.bad:
        return "numeric", ""
    sequence = facts.high - facts.low + 1 == n and n >= MIN_ROWS_FOR_IDS and not seen.time_named
    if sequence or seen.id_named:
        values = numbers(seen.array)
        if len(np.unique(values)) == len(values):
            return "identifier", "numbers every row" if sequence else "a different number in every row"
    return "numeric", ""


def _decide_text(seen: _Evidence) -> tuple[ColumnType, str]:
    counts, n = seen.counts, len(seen.cells)
    if len(counts) == 1 and seen.missing < _RARE_MISSING:
        return "constant", "the same value in every row"
    if len(counts) == 2 and {text.casefold() for text in counts} in _BOOLEAN_PAIRS:
        return "boolean", ""
    if guess_date_format(seen.cells):
        return "datetime", ""
    if len(counts) > _TEXT_UNIQUE_SHARE * n and (n >= MIN_ROWS_FOR_IDS or seen.id_named):
        shape = _shape(list(counts), n)
        if shape.is_free_text:
            return FREE_TEXT, "free text"
        if shape.share >= _UNIQUE_SHARE:
            return "identifier", "a different value in (nearly) every row"
    return "categorical", ""


def _describe(seen: _Evidence, kind: ColumnType, note: str, description: str, warn: Callable[[str], None]) -> Column:
    """The column with the statistics that its type calls for."""
    if kind in ("boolean", "categorical"):
        levels = tuple(seen.counts)
        return Column(
            seen.name,
            kind,
            description,
            levels=levels[:MAX_LEVELS],
            n_levels=len(levels),
            missing=round(seen.missing, 6),
            note=note,
        )
    if kind not in ("numeric", "datetime"):
        return Column(seen.name, kind, description, missing=round(seen.missing, 6), note=note)
    form = ""
    missing = seen.missing
    if kind == "datetime":
        if not seen.is_stamp:
            form = guess_date_format(seen.cells)
        values = days(seen.array, form)
    else:
        values = numbers(seen.array)
        missing += seen.facts.bad / max(1, seen.n_rows)
        _warn_numeric(seen, warn)
    values = clip_finite(values[~np.isnan(values)])
    return Column(
        seen.name,
        kind,
        description,
        mean=float(values.mean()) if len(values) else None,
        std=float(values.std()) if len(values) else None,
        missing=round(missing, 6),
        note=note,
        format=form,
    )


def _warn_numeric(seen: _Evidence, warn: Callable[[str], None]) -> None:
    facts = seen.facts
    if facts.bad:
        values = numbers(pa.array(list(seen.counts), pa.string()))
        odd = next((text for text, value in zip(seen.counts, values, strict=True) if np.isnan(value)), "")
        example = f" (such as {odd[:40]!r})" if odd else ""
        cells = "cell that is" if facts.bad == 1 else "cells that are"
        warn(f"Column {seen.name!r}: {facts.bad:,} {cells} no number{example}, taken as missing.")
    if facts.clipped:
        what = "value" if facts.clipped == 1 else "values"
        warn(f"Column {seen.name!r}: {facts.clipped:,} infinite or huge {what} clipped to ±3e38.")
