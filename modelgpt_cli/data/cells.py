"""Cells: raw columns of any origin become text, numbers or days. The lowest step on the way from files to `Dataset`.

n: cells of one column. Everything goes through Arrow arrays, so that a column of millions of cells costs milliseconds.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

MISSING_MARKERS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
FLOAT_LIMIT = 3e38
"""Numbers beyond this are clipped to it: the exported graph computes in float32."""

SECONDS_PER_DAY = 86_400
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
_GROUPED = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_MARKERS = pa.array(MISSING_MARKERS, pa.string())
_DATE_SHAPE = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{4}-\d{2}(?=$)|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    r"|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4})([ T]\d{1,2}:\d{2}|\s*$)"
)
_DATES = (
    "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y.%m.%d", "%d.%m.%y",
    "%m/%d/%y", "%d/%m/%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
    "%B %d %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", " %H:%M:%S.%f")
_GUESS_CELLS = 500


def format_number(value: float) -> str:
    """A number as the shortest text: whole numbers without a point."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def cell_text(value: Any) -> str | None:
    """One cell of any Python type as canonical text, None where it is missing."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, (str, bytes)):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        text = _without_halves(text.strip())
        return None if text in MISSING_MARKERS else text
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        return None if math.isnan(value) else format_number(float(value))
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _without_halves(text: str) -> str:
    """A text in which halves of surrogate pairs, such as JSON may hold and no encoding allows, are made good or "�"."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain(array: pa.Array) -> pa.Array:
    """Reduce Arrow's many types to bool, integer, float, string, timestamp or null."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary_decode())
    if is_text(array):
        return array
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    if pa.types.is_date(kind):
        return array.cast(pa.timestamp("ms"))
    simple = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp, pa.types.is_null)
    if any(test(kind) for test in simple):
        return array
    return pa.array([cell_text(value) for value in array.to_pylist()], pa.string())


def to_arrow(series: pd.Series) -> pa.Array:
    """A raw column as an Arrow array of bool, integers, floats, strings, timestamps or nulls."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy()
        return to_arrow(pd.Series(series.cat.categories)).take(pa.array(codes, mask=codes < 0))
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # cells of several types in one column
        array = pa.array([cell_text(value) for value in series], pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return _plain(array)


def as_read(series: pd.Series) -> pa.Array:
    """Like `to_arrow`, but as the column lies in memory: levels stay dictionary-coded, NaN is not turned into null."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = series.array.codes
        levels = to_arrow(pd.Series(series.cat.categories))
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), levels)
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
        return pa.array(series.to_numpy())
    return to_arrow(series)


def is_coded(array: pa.Array) -> bool:
    """Whether the cells are codes into a dictionary of levels."""
    return bool(pa.types.is_dictionary(array.type))


def level_counts(array: pa.DictionaryArray) -> np.ndarray:
    """Cells by level of the dictionary, int64 (levels,); missing cells are not counted."""
    codes = array.indices.drop_null() if array.null_count else array.indices
    return np.bincount(codes.to_numpy(), minlength=len(array.dictionary))


def is_text(array: pa.Array) -> bool:
    """Whether the cells are strings."""
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def texts(array: pa.Array) -> pa.Array:
    """An array from `to_arrow` as canonical text: blanks stripped, whole numbers as "3", missing cells as null."""
    kind = array.type
    if pa.types.is_floating(kind):
        values = array.to_numpy(zero_copy_only=False)
        return pa.array([None if math.isnan(v) else format_number(v) for v in values.tolist()], pa.string())
    if pa.types.is_timestamp(kind):
        naive = array.cast(pa.timestamp("us"), safe=False)
        whole_days = pc.all(pc.equal(pc.floor_temporal(naive, unit="day"), naive)).as_py() is not False
        return pc.strftime(
            naive.cast(pa.timestamp("s"), safe=False), format="%Y-%m-%d" if whole_days else "%Y-%m-%dT%H:%M:%S"
        )
    if not is_text(array):
        return array.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(array)
    marked = pc.is_in(trimmed, value_set=_MARKERS.cast(kind), skip_nulls=True)
    return pc.if_else(marked, pa.scalar(None, kind), trimmed)


def absent(array: pa.Array) -> np.ndarray:
    """Which cells are missing, bool (n,)."""
    cells = texts(array) if is_text(array) else array
    return np.asarray(cells.is_null(nan_is_null=True).to_numpy(zero_copy_only=False))


def measure(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """What `numbers` gives, and which cells are missing (n,): together, since they share most of the work."""
    if not is_text(array):
        values = numbers(array)
        return values, np.isnan(values)
    cast = _cast_numbers(array)
    if cast is not None:
        return cast, np.isnan(cast)
    cells = texts(array)
    return _parse_numbers(cells), cells.is_null().to_numpy(zero_copy_only=False)


def numbers(array: pa.Array) -> np.ndarray:
    """An array from `to_arrow` as float64 (n,), NaN where a cell is missing or no number; timestamps as days."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_timestamp(kind):
        stamps = array.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        return _stamps_to_days(stamps)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    if is_text(array):
        values = _cast_numbers(array)
        return _parse_numbers(texts(array)) if values is None else values
    return _float_array(array.cast(pa.float64(), safe=False))


def _float_array(array: pa.Array) -> np.ndarray:
    """A writable float64 copy with NaN for nulls."""
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _cast_numbers(array: pa.Array) -> np.ndarray | None:
    """Text to float64 where every cell is a plain number, None otherwise."""
    try:
        return _float_array(pc.cast(array, pa.float64()))
    except pa.ArrowInvalid:
        return None


def _parse_numbers(cells: pa.Array) -> np.ndarray:
    """Text from `texts` to float64, cell by cell, with thousands commas; NaN where it is no number."""
    grouped = pc.match_substring_regex(cells, _GROUPED)
    if pc.any(grouped).as_py():
        cells = pc.if_else(grouped, pc.replace_substring(cells, ",", ""), cells)
    cells = pc.if_else(pc.match_substring_regex(cells, _NUMBER), cells, pa.scalar(None, cells.type))
    try:
        return _float_array(pc.cast(pc.utf8_ltrim(cells, characters="+"), pa.float64()))
    except pa.ArrowInvalid:  # an exponent out of range, which Python reads as infinity or zero
        return np.array([math.nan if cell is None else float(cell) for cell in cells.to_pylist()])


def clip_finite(values: np.ndarray) -> np.ndarray:
    """Float64 values with infinities and numbers too large for float32 set to ±`FLOAT_LIMIT` (NaN stays)."""
    return np.clip(values, -FLOAT_LIMIT, FLOAT_LIMIT)


def _stamps_to_days(stamps: np.ndarray) -> np.ndarray:
    """datetime64 to days since 1970-01-01 as float64, NaT to NaN."""
    micros = stamps.astype("datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / (SECONDS_PER_DAY * 1e6))


def days(array: pa.Array, form: str = "") -> np.ndarray:
    """An array from `to_arrow` as float64 days since 1970-01-01 (n,), NaN where a cell is missing or no date.

    Parameters
    ----------
    form : str
        The strptime format, or "ISO8601"; guessed from the cells where empty.
    """
    if not is_text(array):
        return numbers(array)
    cells = texts(array)
    form = form or guess_date_format(cells)
    if not form:
        return np.full(len(cells), np.nan)
    return _parse_dates(cells, form)


def _parse_dates(cells: pa.Array, form: str) -> np.ndarray:
    series = pd.Series(cells.to_numpy(zero_copy_only=False), dtype=object)
    stamps = pd.to_datetime(series, format=form, errors="coerce", utc=True)
    return _stamps_to_days(stamps.dt.tz_convert(None).to_numpy())


def guess_date_format(cells: pa.Array) -> str:
    """The date format that most of the cells (text from `texts`) follow, or "" where they are no dates.

    Day-first and month-first dates are told apart by the cells; where all of them fit both, slashes and dashes mean
    month first, points day first.
    """
    distinct = pc.drop_null(cells).unique()
    step = max(1, len(distinct) // _GUESS_CELLS)
    probe = distinct.take(pa.array(range(0, len(distinct), step), pa.int64()))
    shaped = sum(bool(_DATE_SHAPE.match(cell)) for cell in probe.to_pylist())
    if shaped == 0 or shaped < 0.9 * len(probe):
        return ""
    best, best_share = "", 0.0
    for form in ("ISO8601", *(date + time for date in _DATES for time in _TIMES)):
        share = float(np.isfinite(_parse_dates(probe, form)).mean())
        if share > best_share:
            best, best_share = form, share
        if share == 1.0:
            break
    return best if best_share >= 0.9 else ""
