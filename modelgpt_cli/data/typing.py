"""Raw frames to typed frames: on the way of the data between `readers` and `dataset`, and again at prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column, ColumnType, column_types
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.data.cells import clip_finite, is_text, texts, to_arrow
from modelgpt_cli.data.dates import days, measure_dates
from modelgpt_cli.data.levels import canonical
from modelgpt_cli.data.numbers import measure_numbers, numbers


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
    series = {column.name: _typed_column(frame, column) for column in columns}
    return pd.DataFrame(series, index=frame.index)


def _typed_column(frame: pd.DataFrame, column: Column) -> pd.Series:
    n = len(frame)
    if column.name not in frame.columns:
        blank = np.full(n, np.nan) if column.is_float else np.full(n, None, dtype=object)
        return pd.Series(blank, index=frame.index, dtype=blank.dtype)
    array = to_arrow(frame[column.name])
    rule = column.reading
    if column.type == "numeric":
        return pd.Series(clip_finite(numbers(array, rule, column.bounds)), index=frame.index)
    if column.type == "datetime":
        try:
            return pd.Series(clip_finite(days(array, rule)), index=frame.index)
        except UsageError as error:
            raise UsageError(f"Column {column.name!r}: {error.problem}", error.cause, error.hint) from None
    cells = texts(array, rule.markers)
    if column.is_text or not column.levels:
        return pd.Series(cells.to_numpy(zero_copy_only=False), index=frame.index, dtype=object)
    return canonical(cells, column.levels, rule).set_axis(frame.index)


def odd_cells(raw: pd.Series, column: Column) -> np.ndarray:
    """Which raw cells of a column of numbers or dates hold something that is none, bool (n,)."""
    array = to_arrow(raw)
    if not is_text(array):
        return np.zeros(len(array), dtype=bool)
    if column.type == "datetime":
        return measure_dates(array, column.reading).odd
    return measure_numbers(array, column.reading).odd


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
