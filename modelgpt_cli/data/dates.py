"""Text to dates, by a column's reading rule; and the rule, from a column's cells. Between `cells` and `infer`.

A date is days since 1970-01-01, a time of day its share of a day. A cell is read by the rule's format, else by what it
says beyond doubt: the year first, the name of a month, a number above 12, a point, which stands behind the day.
Shapes: n cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.reading import NO_NUMBER, ReadingRule
from modelgpt_cli.data.cells import is_text, stamps_to_days, texts, wall_clock
from modelgpt_cli.data.numbers import Measured, measure_numbers, spread
from modelgpt_cli.data.words import MONTHS

ISO = "ISO8601"
COMPACT = "%Y%m%d"
_MONTH = "|".join(sorted(map(re.escape, MONTHS), key=len, reverse=True))
_DATE_SHAPE = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{4}-\d{2}(?=$)|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(?=\d\d?:\d\d)"
    rf"|\d{{1,2}}\.?[ -](?:de )?(?:{_MONTH})\.?,?[ -](?:de )?\d{{2,4}}|(?:{_MONTH})\.? \d{{1,2}},? \d{{4}})"
    r"(,?[ T]?\d{1,2}:\d{2}.*|\s*$)",
    re.IGNORECASE,
)
_COMPACT_SHAPE = re.compile(r"(1[89]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m/%d/%y", "%m-%d-%y")
_CERTAIN = (
    "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%d %b %y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y",
)  # fmt: skip
"""Forms that can be read in one way only; "%b" stands for a month's name in any language known, long or short."""
_GUESSED = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y")
"""Where every cell fits several, the first of them is taken: slashes and dashes mean month first, points day first."""
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
_CLOCK = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S.%f")
_GUESS_CELLS = 500
_SOME = 0.05
_EXCEL_ZERO = -25_569
"""1899-12-30, the day 0 of spreadsheets, in days since 1970-01-01."""
_EXCEL_DAYS = (10_000.0, 100_000.0)
"""Serial numbers of dates from 1927 to 2173; smaller and larger numbers are hardly dates."""
_ZONE = re.compile(r"(?<=\d)\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})$")


def days(array: pa.Array, rule: ReadingRule) -> np.ndarray:
    """An array from `to_arrow` as float64 days since 1970-01-01 (n,), NaN where a cell is missing or no date.

    Numbers are the serial numbers of a spreadsheet (45000 is 2023-03-15), or dates such as 20240907.

    Raises
    ------
    UsageError
        A cell may be two dates, and the rule doesn't say which.
    """
    return measure_dates(array, rule).values


def measure_dates(array: pa.Array, rule: ReadingRule) -> Measured:
    """Read dates, and tell cells that are missing from those that are none.

    Raises
    ------
    UsageError
        As `days`.
    """
    if is_text(array):
        coded = texts(array, rule.markers).dictionary_encode()
        return spread(parse_dates(coded.dictionary, rule), coded, rule)
    if pa.types.is_timestamp(array.type):
        values = _native(array, rule)
        return Measured(values, np.isnan(values), np.zeros(len(values), dtype=bool))
    found = measure_numbers(array, ReadingRule())
    return replace(found, values=_serials(found.values))


def _native(array: pa.Array, rule: ReadingRule) -> np.ndarray:
    """Timestamps as days: instants where the rule has a time zone, else what a clock shows."""
    if not rule.timezone:
        return _to_days(wall_clock(array).to_numpy(zero_copy_only=False))
    if array.type.tz is None:
        series = pd.Series(array.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))
        return _to_days(series.dt.tz_localize(_zone(rule), ambiguous="NaT", nonexistent="NaT"))
    return _to_days(array.cast(pa.timestamp("us", "UTC"), safe=False).to_pandas())


def _zone(rule: ReadingRule) -> str:
    return rule.timezone if rule.timezone[0] not in "+-" else f"UTC{rule.timezone}"


def _to_days(stamps: object) -> np.ndarray:
    """Datetimes of numpy or pandas to days since 1970-01-01 as float64, NaT to NaN."""
    series = pd.Series(stamps)
    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    return stamps_to_days(series.to_numpy())


def _serials(values: np.ndarray) -> np.ndarray:
    """Numbers in a column of dates: 20240907, or the serial number of a spreadsheet."""
    low, high = _EXCEL_DAYS
    found = np.where((values >= low) & (values < high), values + _EXCEL_ZERO, np.nan)
    is_compact = (values >= 1800_01_01) & (values <= 2199_12_31) & (values == np.floor(values))
    if is_compact.any():
        compact = pd.Series([str(int(v)) for v in values[is_compact]], dtype=object)
        found[is_compact] = _to_days(pd.to_datetime(compact, format=COMPACT, errors="coerce"))
    return found


def parse_dates(cells: pa.Array | pd.Series, rule: ReadingRule) -> np.ndarray:
    """Different cells, text from `texts` or as `_unified` gives them, to days (n,), NaN where one is no date.

    Raises
    ------
    UsageError
        As `days`.
    """
    series = cells if isinstance(cells, pd.Series) else _unified(cells)
    values = _parsed(series, rule.format, rule) if rule.format else np.full(len(series), np.nan)
    for form in (ISO, "%Y-%m-%d", *_CERTAIN):
        values = _filled(values, series, form, rule)
    values = _filled(values, series, "%d.%m.%Y", rule)
    values = _filled(values, series, "%d.%m.%y", rule)
    first = _order(rule.format)
    if first == "day":
        for form in _DAY_FIRST:
            values = _filled(values, series, form, rule)
    if first == "month":
        for form in _MONTH_FIRST:
            values = _filled(values, series, form, rule)
    if not first and np.isnan(values).any():
        values = _undoubted(values, series, rule)
    for form in _CLOCK:
        values = np.where(np.isnan(values), _parsed(series.where(np.isnan(values)), form, rule), values)
    return _with_numbers(values, series, rule)


def _filled(values: np.ndarray, series: pd.Series, form: str, rule: ReadingRule) -> np.ndarray:
    """Values, with those cells read that have none yet and fit a form of date, with or without a time."""
    times = ("",) if form == ISO else _TIMES
    for time in times:
        open_ = np.isnan(values) & series.notna().to_numpy()
        if not open_.any():
            return values
        values = values.copy()
        values[open_] = _parsed(series[open_], form + time, rule)
    return values


def _undoubted(values: np.ndarray, series: pd.Series, rule: ReadingRule) -> np.ndarray:
    """Cells such as 25/11/2024, of which only one order of day and month makes a date."""
    by_day, by_month = values, values
    for form in _DAY_FIRST:
        by_day = _filled(by_day, series, form, rule)
    for form in _MONTH_FIRST:
        by_month = _filled(by_month, series, form, rule)
    doubtful = np.isnan(values) & ~np.isnan(by_day) & ~np.isnan(by_month) & (by_day != by_month)
    if doubtful.any():
        cell = series[doubtful].iloc[0]
        readings = (by_day[doubtful][0], by_month[doubtful][0])
        found = [str(np.datetime64("1970-01-01") + np.timedelta64(int(reading), "D")) for reading in readings]
        raise UsageError(
            f"The date {cell!r} may be {found[0]} or {found[1]}.",
            "The data that the column's rule was made from had no such dates, so it doesn't say which.",
            "Write dates as YYYY-MM-DD, or set the column's format (%d/%m/%Y or %m/%d/%Y) under reading in the "
            "requirement file, and build again.",
        )
    return np.where(np.isnan(by_day), by_month, by_day)


def _with_numbers(values: np.ndarray, series: pd.Series, rule: ReadingRule) -> np.ndarray:
    """Values, with those cells read that are mere numbers: 20240907, or the serial number of a spreadsheet."""
    if not np.isnan(values).any():
        return values
    plain = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isnan(values), _serials(plain), values)


def _order(form: str) -> str:
    """What comes first in a form of date: "day" or "month"; "" where the form doesn't say."""
    if "%d" not in form or "%m" not in form or form.startswith("%Y"):
        return ""
    return "day" if form.index("%d") < form.index("%m") else "month"


def _unified(cells: pa.Array) -> pd.Series:
    """Cells with months in English, one blank before the time, and no comma there."""
    series = pd.Series(cells.to_pylist(), dtype=object)
    if pc.any(pc.match_substring_regex(cells, r"\pL\pL\pL")).as_py():
        series = series.str.replace(rf"(?i)\b(?:{_MONTH})\b\.?", _english, regex=True)
        series = series.str.replace(r"(\d)\. ?(?=[A-Z][a-z]{2}\b)", r"\1 ", regex=True)
        series = series.str.replace(r"\b[dD]e ", "", regex=True)
        series = series.str.replace(r"(?<=[A-Z][a-z]{2}) +(?=\d{2,4}\b)", " ", regex=True)
    series = series.str.replace(r"(?<=\d),? *[T ] *(?=\d\d?:\d\d)", " ", regex=True)
    return series.str.replace(r"(\d)([AaPp])\.?[Mm]\.?$", r"\1 \2m", regex=True)


def _english(match: re.Match[str]) -> str:
    return pd.Timestamp(2000, MONTHS[match[0].rstrip(".").casefold()], 1).strftime("%b")


def _parsed(series: pd.Series, form: str, rule: ReadingRule) -> np.ndarray:
    """Days of cells by one form, NaN where a cell doesn't fit it."""
    if "%" in form and not any(key in form for key in ("%y", "%Y")):
        clock = pd.to_datetime("1970-01-01 " + series, format="%Y-%m-%d " + form, errors="coerce")
        return _to_days(clock)
    if form != ISO and series.str.contains(_ZONE, na=False).any():
        # The zone goes, or is applied, apart from the form.
        zones = series.str.extract(rf"({_ZONE.pattern})", expand=False)
        bare = pd.to_datetime(series.str.replace(_ZONE, "", regex=True), format=form, errors="coerce")
        return _to_days(bare) - (_offsets(zones, rule) if rule.timezone else 0.0)
    if rule.timezone:
        aware = series.str.contains(_ZONE, na=False)
        found = np.full(len(series), np.nan)
        if aware.any():
            found[aware] = _to_days(pd.to_datetime(series[aware], format=form, errors="coerce", utc=True))
        if not aware.all():
            bare = pd.to_datetime(series[~aware], format=form, errors="coerce")
            found[~aware] = _to_days(bare.dt.tz_localize(_zone(rule), ambiguous="NaT", nonexistent="NaT"))
        return found
    return _to_days(pd.to_datetime(series.str.replace(_ZONE, "", regex=True), format=form, errors="coerce"))


def _offsets(zones: pd.Series, rule: ReadingRule) -> np.ndarray:
    """Days that zones such as "+02:00" are ahead of UTC."""
    found = []
    for zone in zones:
        match = re.search(r"([+-])(\d\d):?(\d\d)", zone) if isinstance(zone, str) else None
        minutes = int(match[2]) * 60 + int(match[3]) if match else 0
        found.append((-minutes if match and match[1] == "-" else minutes) / 1440)
    return np.array(found)


def fits_format(cell: str, form: str) -> bool:
    """Whether a cell is a date in one form, ISO 8601 where it is empty; however else it could be read."""
    series = _unified(pa.array([cell], pa.string()))
    return bool(np.isfinite(_parsed(series, form or ISO, ReadingRule()))[0])


def find_date_rule(cells: Sequence[str]) -> ReadingRule | None:
    """Find how the dates of a column are written, from its different cells; None where they are not mostly dates.

    Where every cell fits both orders of day and month, slashes and dashes mean month first, points day first.
    """
    known = [cell for cell in cells if cell not in NO_NUMBER]
    probe = known[:: max(1, len(known) // _GUESS_CELLS)]
    if not probe:
        return None
    shaped = sum(bool(_DATE_SHAPE.match(cell) or _COMPACT_SHAPE.fullmatch(cell)) for cell in probe)
    if shaped < 0.9 * len(probe):
        return None
    zoned = sum(bool(_ZONE.search(cell)) and ":" in cell for cell in probe)
    rule = ReadingRule(timezone="UTC" if zoned >= 0.9 * len(probe) else "")
    series = _unified(pa.array(probe, pa.string()))
    forms = (ISO, COMPACT, *(date + time for date in (*_CERTAIN, *_GUESSED) for time in _TIMES), *_CLOCK)
    best, best_share = "", 0.0
    for form in forms:
        share = float(np.isfinite(_parsed(series, form, rule)).mean())
        # The form of the few that are not written as ISO 8601 has it says more of the column than that one does.
        if share > best_share or (best == ISO and best_share < 1 and share >= _SOME):
            best, best_share = form, share
        if share == 1.0:
            break
    rule = replace(rule, format=best)
    try:
        readable = float(np.isfinite(parse_dates(series, rule)).mean())
    except UsageError:
        readable = best_share
    return rule if best and readable >= 0.9 else None


def is_doubtful(cells: Sequence[str], rule: ReadingRule) -> tuple[str, str]:
    """A cell that fits the other order of day and month too, and that order's format, where all cells do; else ""."""
    first = _order(rule.format)
    if not first or "." in rule.format:
        return "", ""
    other = rule.format.replace("%d", "%%").replace("%m", "%d").replace("%%", "%m")
    series = _unified(pa.array(list(cells[:_GUESS_CELLS]), pa.string()))
    if np.isnan(_parsed(series, other, rule)).any():
        return "", ""
    return cells[0], other


def are_compact(cells: Iterable[str]) -> bool:
    """Whether all of these are dates such as 20240907, which are numbers too."""
    return all(_COMPACT_SHAPE.fullmatch(cell) for cell in cells)
