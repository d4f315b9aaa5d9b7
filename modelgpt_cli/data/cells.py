"""Cells: raw columns of any origin become Arrow arrays, and text. The lowest step on the way from files to `Dataset`.

n: cells of one column. Everything goes through Arrow arrays, so that a column of millions of cells costs milliseconds.
`numbers`, `dates` and `levels` read them on, each by a column's `ReadingRule`.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.reading import MARKERS

FLOAT_LIMIT = 3e38
"""Numbers beyond this are clipped to it: the exported graph computes in float32."""

SECONDS_PER_DAY = 86_400
_THREE_DECIMALS = re.compile(r"-?\d{1,3}\.\d{3}")


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
        return text or None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        return None if math.isnan(value) else _unmistakable(format_number(float(value)))
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return f"{format_number(value.total_seconds())} s"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _unmistakable(number: str) -> str:
    """A number that stands among texts: 1.234 as 1.2340, which no reading rule can take for 1234."""
    return number + "0" if _THREE_DECIMALS.fullmatch(number) else number


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
    if pa.types.is_time(kind):
        return array.cast(pa.time64("us")).cast(pa.string())
    if pa.types.is_duration(kind):
        return pc.divide(array.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64()), 1e6)
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


def list_to_arrow(cells: Sequence[Any]) -> pa.Array:
    """Like `to_arrow`, of a list of plain cells: much faster where they are few."""
    try:
        array = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        array = pa.array([cell_text(value) for value in cells], pa.string())
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


def texts(array: pa.Array, markers: Sequence[str] = MARKERS) -> pa.Array:
    """An array from `to_arrow` as canonical text: blanks stripped, whole numbers as "3", missing cells as null.

    Parameters
    ----------
    markers : sequence of str
        Cells that are missing.
    """
    kind = array.type
    if pa.types.is_floating(kind):
        values = array.to_numpy(zero_copy_only=False)
        return pa.array([None if math.isnan(v) else format_number(v) for v in values.tolist()], pa.string())
    if pa.types.is_timestamp(kind):
        naive = wall_clock(array)
        whole_days = pc.all(pc.equal(pc.floor_temporal(naive, unit="day"), naive)).as_py() is not False
        form = "%Y-%m-%d" if whole_days else "%Y-%m-%dT%H:%M:%S"
        return pc.strftime(naive.cast(pa.timestamp("s"), safe=False), format=form)
    if not is_text(array):
        return array.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(array)
    marked = pc.is_in(trimmed, value_set=pa.array(markers, kind), skip_nulls=True)
    return pc.if_else(marked, pa.scalar(None, kind), trimmed)


def wall_clock(array: pa.Array) -> pa.Array:
    """Timestamps as what a clock in their zone shows, without a zone, in microseconds."""
    if array.type.tz is not None:
        array = pc.local_timestamp(array)
    return array.cast(pa.timestamp("us"), safe=False)


def stamps_to_days(stamps: np.ndarray) -> np.ndarray:
    """datetime64 (n,) to days since 1970-01-01 as float64, NaT to NaN."""
    micros = stamps.astype("datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / (SECONDS_PER_DAY * 1e6))


def absent(array: pa.Array, markers: Sequence[str] = MARKERS) -> np.ndarray:
    """Which cells are missing, bool (n,)."""
    cells = texts(array, markers) if is_text(array) else array
    return np.asarray(cells.is_null(nan_is_null=True).to_numpy(zero_copy_only=False))


def clip_finite(values: np.ndarray) -> np.ndarray:
    """Float64 values with infinities and numbers too large for float32 set to ±`FLOAT_LIMIT` (NaN stays)."""
    return np.clip(values, -FLOAT_LIMIT, FLOAT_LIMIT)


def float_array(array: pa.Array) -> np.ndarray:
    """A writable float64 copy with NaN for nulls."""
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)
