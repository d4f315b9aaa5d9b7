"""Raw frames to typed frames: on the way of the data between `readers` and `dataset`, and again at prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column, ColumnType, column_types
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.data.cells import clip_finite, texts, to_arrow
from modelgpt_cli.data.dates import measure_dates
from modelgpt_cli.data.levels import Spelling
from modelgpt_cli.data.numbers import Measured, measure_numbers


def typed(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Give a raw frame its types: the named columns alone, in the order of `columns`.

    Numeric and datetime columns become float64 (NaN = missing, infinities clipped to ±3e38), all others object columns
    of `str` (None = missing), in the canonical spelling of the column's levels. A column that the frame lacks is filled
    with missing cells.

    Raises
    ------
    UsageError
        A date may be two, and the column's rule doesn't say which.
    """
    return typed_and_odd(frame, columns)[0]


def typed_and_odd(frame: pd.DataFrame, columns: Sequence[Column]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Give a raw frame its types as `typed` does, and say which cells hold something that their column can't.

    Returns
    -------
    DataFrame
    dict of str to bool (n,)
        Of each column of numbers or dates that the frame has: the cells that are neither missing nor one.

    Raises
    ------
    UsageError
        As `typed`.
    """
    series: dict[str, pd.Series] = {}
    odd: dict[str, np.ndarray] = {}
    for column in columns:
        if column.name not in frame.columns:
            blank = np.full(len(frame), np.nan if column.is_float else None, dtype=None if column.is_float else object)
            series[column.name] = pd.Series(blank, index=frame.index, dtype=blank.dtype)
            continue
        cells, strange = typed_cells(to_arrow(frame[column.name]), column)
        series[column.name] = pd.Series(cells, index=frame.index, dtype=cells.dtype)
        if strange is not None:
            odd[column.name] = strange
    return pd.DataFrame(series, index=frame.index), odd


def typed_cells(array: pa.Array, column: Column) -> tuple[np.ndarray, np.ndarray | None]:
    """Give one column's raw cells their type.

    Parameters
    ----------
    array : Array (n,)
        As `cells.to_arrow` gives it.
    column : Column

    Returns
    -------
    ndarray (n,)
        float64, or object of `str`; see `typed`.
    bool (n,) or None
        See `typed_and_odd`; None where the column has neither numbers nor dates.
    """
    if not column.is_float:
        return _levels(array, column), None
    measured = _measured(array, column)
    return clip_finite(measured.values), measured.odd


def _measured(array: pa.Array, column: Column) -> Measured:
    if column.type == "numeric":
        return measure_numbers(array, column.reading, column.bounds)
    try:
        return measure_dates(array, column.reading)
    except UsageError as error:
        raise UsageError(f"Column {column.name!r}: {error.problem}", error.cause, error.hint) from None


def _levels(array: pa.Array, column: Column) -> np.ndarray:
    cells = texts(array, column.reading.markers)
    if column.is_text or not column.levels:
        return np.asarray(cells.to_numpy(zero_copy_only=False), dtype=object)
    return Spelling(column.levels, column.reading).apply(cells)


def read_types(path: str | Path) -> dict[str, ColumnType]:
    """Read a ``--types`` file: YAML lines of ``column: type``.

    Raises
    ------
    UsageError
        No such file, no mapping in it, or a type that does not exist.
    """
    kinds = column_types()
    known = f"The types are {', '.join(kinds)}."
    try:
        # Every value is a text: a column may be called no, on or 1.
        content = parse_yaml(Path(path).read_text(encoding="utf-8"), yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The types file {path} can't be read.", str(error), "Check the path.") from error
    except yaml.YAMLError as error:
        raise UsageError(
            f"The types file {path} is not valid YAML.", str(error), "Write lines like: age: numeric"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"The types file {path} holds no columns.", known, "Write lines like: age: numeric")
    for name, kind in content.items():
        if kind not in kinds:
            raise UsageError(f"{path}: {kind!r} is not a type of column ({name}).", known, "Change that line.")
    return {str(name): str(kind) for name, kind in content.items()}
