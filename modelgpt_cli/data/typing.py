"""Raw frames to typed frames: on the way of the data between `readers` and `dataset`, and again at prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column, ColumnType, column_types
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.data.cells import clip_finite, days, numbers, texts, to_arrow

_TRUTH = {"true", "false"}


def typed(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Give a raw frame its types: the named columns alone, in the order of `columns`.

    Numeric and datetime columns become float64 (NaN = missing, infinities clipped to ±3e38), all others object columns
    of `str` (None = missing). A column that the frame lacks is filled with missing cells.
    """
    series = {column.name: _typed_column(frame, column) for column in columns}
    return pd.DataFrame(series, index=frame.index)


def _typed_column(frame: pd.DataFrame, column: Column) -> pd.Series:
    n = len(frame)
    if column.name not in frame.columns:
        blank = np.full(n, np.nan) if column.is_float else np.full(n, None, dtype=object)
        return pd.Series(blank, index=frame.index, dtype=blank.dtype)
    array = to_arrow(frame[column.name])
    if column.type == "numeric":
        return pd.Series(clip_finite(numbers(array)), index=frame.index)
    if column.type == "datetime":
        return pd.Series(clip_finite(days(array, column.format)), index=frame.index)
    cells = _as_spelled(texts(array), column.levels)
    return pd.Series(cells.to_numpy(zero_copy_only=False), index=frame.index, dtype=object)


def _as_spelled(cells: pa.Array, levels: Sequence[str]) -> pa.Array:
    """Yes and no as a column's levels spell them: a CSV file's True is true in memory and in Parquet."""
    spelled = {level.lower(): level for level in levels}
    if len(levels) != len(_TRUTH) or spelled.keys() != _TRUTH:
        return cells
    lower = pc.utf8_lower(cells)
    for word, level in spelled.items():
        cells = pc.if_else(pc.equal(lower, word), pa.scalar(level, cells.type), cells)
    return cells


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
        content = parse_yaml(Path(path).read_text(encoding="utf-8"))
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
