"""Column typing: a column's sample and the facts of the whole file → a `Column`. Between `scan` and `dataset`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import FREE_TEXT, MAX_LEVELS, Column, ColumnType
from modelgpt_cli.data import dates, numbers
from modelgpt_cli.data.cells import clip_finite, format_number, is_text, texts, to_arrow
from modelgpt_cli.data.levels import Spelling, merge_spellings, yes_and_no
from modelgpt_cli.data.scan import ColumnFacts
from modelgpt_cli.data.shapes import TEXT_UNIQUE_SHARE, shape_of_cells

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
_MIN_COMPACT_DATES = 5
"""One whole number in 700 is such a date, of those of eight digits that begin with 18 to 21 one in 30."""
_UNIQUE_SHARE = 0.95
_RARE_MISSING = 0.01
_SHOWN = 3


class _Evidence:
    """What typing looks at, each worked out when first asked for."""

    def __init__(
        self, name: str, raw: pd.Series, facts: ColumnFacts, n_rows: int, declared: Column | None = None
    ) -> None:
        self.name = name
        self.declared = declared
        self.array = to_arrow(raw)
        self.facts = facts
        self.n_rows = n_rows
        self.rule = facts.rule
        self.missing = facts.missing / max(1, n_rows)
        self.spellings: dict[str, str] | None = None
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
            self._cells = texts(self.array, self.rule.markers).drop_null()
        return self._cells

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the sample by text, most frequent first, ties by name."""
        if self._counts is None:
            counted = pc.value_counts(self.cells)
            pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
            self._counts = dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
        return self._counts

    @cached_property
    def date_rule(self) -> ReadingRule | None:
        """How the sample's dates are written; None where these are not mostly dates."""
        return dates.find_date_rule(list(self.counts))

    def use_spellings(self, spellings: Mapping[str, str]) -> None:
        """Count cells as other cells: of each, how it is spelled canonically."""
        counts: Counter[str] = Counter()
        for cell, n in self.counts.items():
            counts[spellings.get(cell, cell)] += n
        self._counts = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
        self.spellings = {cell: level for cell, level in spellings.items() if cell != level}

    def use_levels(self, known: Column) -> None:
        """Count cells as the levels that a column is known to have; other cells as those that spell one level."""
        spelling = Spelling(known.levels, known.reading)
        found = {cell: spelling.find(cell) for cell in self.counts}
        others = merge_spellings({cell: n for cell, n in self.counts.items() if found[cell] is None})
        self.use_spellings({cell: level or others.get(cell, cell) for cell, level in found.items()})


def infer_column(
    name: str,
    raw: pd.Series,
    facts: ColumnFacts,
    n_rows: int,
    fixed: Column | None,
    warn: Callable[[str], None],
    declared: Column | None = None,
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
    declared : Column, optional
        What the file says that it is, where nobody has fixed it.

    Raises
    ------
    UsageError
        Most cells contradict the fixed type.
    """
    seen = _Evidence(name, raw, facts, n_rows, declared)
    if fixed is None:
        kind, note = _decide(seen)
        return _describe(seen, kind, note, "", warn, PLAIN if declared is None else declared.reading)
    _check_fixed(seen, fixed.type)
    note = "" if fixed.used else (fixed.note or f"{fixed.type}, as asked for")
    if fixed.levels:
        seen.use_levels(fixed)
    column = _describe(seen, fixed.type, note, fixed.description, warn, fixed.reading)
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
    if kind == "numeric":
        values = numbers.numbers(seen.array, seen.rule)
    else:
        values = dates.days(seen.array, _date_rule(seen, seen.rule))
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
    if facts.missing + facts.marked == seen.n_rows:
        return "constant", "all cells are missing"
    if seen.declared is not None:
        return _decide_declared(seen, seen.declared)
    if seen.is_stamp:
        return ("constant", "the same date in every row") if len(seen.counts) == 1 else ("datetime", "")
    if not pa.types.is_boolean(seen.array.type) and _is_numeric(seen):
        return _decide_numeric(seen)
    return _decide_text(seen)


def _decide_declared(seen: _Evidence, declared: Column) -> tuple[ColumnType, str]:
    """The type of a column that its file declares; what says nothing is dropped as in other files."""
    if declared.type == "numeric" and _is_numeric(seen):
        return _decide_numeric(seen)
    if declared.type == "categorical":
        seen.use_levels(declared)
    elif declared.type != "datetime":
        return _decide_text(seen)
    if len(seen.counts) == 1 and seen.missing < _RARE_MISSING:
        return "constant", "the same value in every row"
    return "boolean" if yes_and_no(list(seen.counts)) else declared.type, ""


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
    odd = int(numbers.measure_numbers(kinds, seen.rule).odd.sum())
    return odd <= _MARKER_KINDS and len(kinds) - odd >= _MIN_NUMBER_KINDS


def _decide_numeric(seen: _Evidence) -> tuple[ColumnType, str]:
    facts, n = seen.facts, seen.n_rows
    if facts.low == facts.high:
        if seen.missing + facts.marked / max(1, n) < _RARE_MISSING:
            return "constant", "the same number in every row"
        return "categorical", ""  # one value or none: whether it is there is all it says
    if seen.declared is None and seen.rule == PLAIN and facts.whole and _are_compact_dates(seen):
        return "datetime", ""
    if not facts.whole or facts.missing or facts.marked or facts.bad:
        return "numeric", ""
    sequence = facts.high - facts.low + 1 == n and n >= MIN_ROWS_FOR_IDS and not seen.time_named
    if sequence or seen.id_named:
        values = numbers.numbers(seen.array, seen.rule)
        if len(np.unique(values)) == len(values):
            return "identifier", "numbers every row" if sequence else "a different number in every row"
    return "numeric", ""


def _are_compact_dates(seen: _Evidence) -> bool:
    """Whether whole numbers are all dates such as 20240907, too many of them for chance."""
    first, last = 1800_01_01, 2199_12_31
    if not first <= seen.facts.low <= seen.facts.high <= last or len(seen.counts) < _MIN_COMPACT_DATES:
        return False
    return dates.are_compact(seen.counts)


def _decide_text(seen: _Evidence) -> tuple[ColumnType, str]:
    seen.use_spellings(merge_spellings(seen.counts))
    counts, n = seen.counts, len(seen.cells)
    if len(counts) == 1 and seen.missing < _RARE_MISSING:
        return "constant", "the same value in every row"
    if yes_and_no(list(counts)):
        return "boolean", ""
    if seen.date_rule:
        return "datetime", ""
    if len(counts) > TEXT_UNIQUE_SHARE * n and (n >= MIN_ROWS_FOR_IDS or seen.id_named):
        shape = shape_of_cells(list(counts), n)
        if shape.is_free_text:
            return FREE_TEXT, "free text"
        if shape.share >= _UNIQUE_SHARE:
            return "identifier", "a different value in (nearly) every row"
    return "categorical", ""


def _describe(
    seen: _Evidence,
    kind: ColumnType,
    note: str,
    description: str,
    warn: Callable[[str], None],
    given: ReadingRule = PLAIN,
) -> Column:
    """The column with the statistics and the reading rule that its type calls for."""
    if kind in ("boolean", "categorical"):
        return _describe_levels(seen, kind, note, description, warn, given)
    missing = ReadingRule(missing=seen.rule.missing)
    if kind not in ("numeric", "datetime"):
        share = round(seen.missing, 6)
        return Column(seen.name, kind, description, missing=share, note=note, reading=missing)
    facts = seen.facts
    if kind == "datetime":
        rule = _date_rule(seen, given)
        measured = dates.measure_dates(seen.array, rule)
        _warn_dates(seen, rule, warn)
        share = seen.missing
    else:
        rule = seen.rule
        if (facts.low, facts.high, facts.whole) == (0, 1, True):
            rule = replace(rule, true="1", false="0")
        measured = numbers.measure_numbers(seen.array, rule)
        share = (facts.missing + facts.marked + facts.bad) / max(1, seen.n_rows)
        _warn_numeric(seen, warn)
    values = clip_finite(measured.values[~np.isnan(measured.values)])
    return Column(
        seen.name,
        kind,
        description,
        mean=float(values.mean()) if len(values) else None,
        std=float(values.std()) if len(values) else None,
        low=float(values.min()) if len(values) else None,
        high=float(values.max()) if len(values) else None,
        missing=round(share, 6),
        note=note,
        reading=rule,
    )


def _describe_levels(
    seen: _Evidence, kind: ColumnType, note: str, description: str, warn: Callable[[str], None], given: ReadingRule
) -> Column:
    if seen.spellings is None:
        seen.use_spellings(merge_spellings(seen.counts))
    levels = tuple(seen.counts)
    pair = (given.true, given.false) if given.true else yes_and_no(levels)
    rule = ReadingRule(missing=seen.rule.missing)
    if pair and set(pair) == set(levels):
        rule = replace(rule, true=pair[0], false=pair[1])
    if seen.spellings:
        shown = ", ".join(f"{cell!r} as {level!r}" for cell, level in list(seen.spellings.items())[:_SHOWN])
        more = f" and {len(seen.spellings) - _SHOWN} more" if len(seen.spellings) > _SHOWN else ""
        warn(f"Column {seen.name!r}: spellings of one level are taken together: {shown}{more}.")
    return Column(
        seen.name,
        kind,
        description,
        levels=levels[:MAX_LEVELS],
        n_levels=len(levels),
        missing=round(seen.missing, 6),
        note=note,
        reading=rule,
    )


def _date_rule(seen: _Evidence, given: ReadingRule) -> ReadingRule:
    """How dates are written: as given, else as the cells say."""
    if given.format or given.timezone:
        return given
    missing = seen.rule.missing
    if seen.is_stamp:
        return ReadingRule(missing=missing, timezone="UTC" if seen.array.type.tz is not None else "")
    return replace(seen.date_rule or PLAIN, missing=missing)


def _warn_dates(seen: _Evidence, rule: ReadingRule, warn: Callable[[str], None]) -> None:
    if seen.is_stamp or seen.declared is not None or not rule.format:
        return
    cell, other = dates.is_doubtful(list(seen.counts), rule)
    if cell:
        warn(
            f"Column {seen.name!r}: {cell!r} and all the other dates may be day first or month first; they are read as "
            f"{rule.format}. If that is wrong, set its format to {other} under reading in the requirement file."
        )


def _warn_numeric(seen: _Evidence, warn: Callable[[str], None]) -> None:
    facts = seen.facts
    if facts.bad:
        is_odd = numbers.measure_numbers(pa.array(list(seen.counts), pa.string()), seen.rule).odd
        odd = next((text for text, here in zip(seen.counts, is_odd, strict=True) if here), "")
        example = f" (such as {odd[:40]!r})" if odd else ""
        cells = "cell that is" if facts.bad == 1 else "cells that are"
        warn(f"Column {seen.name!r}: {facts.bad:,} {cells} no number{example}, taken as missing.")
    # Numbers that the file types itself leave no doubt, and would have to be written out to be looked at.
    if is_text(seen.array) and (cell := numbers.is_doubtful(seen.counts, seen.rule)):
        value = numbers.parse_numbers(pa.array([cell]), seen.rule)[0]
        instead = "decimal: ','" if seen.rule.thousands == "," else "thousands: ','"
        warn(
            f"Column {seen.name!r}: {cell!r} and its like are read as {format_number(value)}. If that is wrong, set "
            f"{instead} under reading in the requirement file."
        )
    if facts.clipped:
        what = "value" if facts.clipped == 1 else "values"
        warn(f"Column {seen.name!r}: {facts.clipped:,} infinite or huge {what} clipped to ±3e38.")
