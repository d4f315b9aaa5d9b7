"""Tables that a program holds in memory as frames of raw cells. First step on the way of the data, beside `formats`.

Shapes: N rows, d columns.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.reading import PLAIN
from modelgpt_cli.data.cells import is_text, texts, to_arrow
from modelgpt_cli.data.numbers import numbers

Data: TypeAlias = "str | os.PathLike[str] | pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]] | np.ndarray"
"""What holds labelled rows: a path, or a table in memory."""

NAME = "the table"
"""What messages call a table without a file."""
_ACCEPTED = (
    "Give a path, a pandas DataFrame, a dict of columns, a list of dicts (one a row), "
    "or an array of numbers of shape (rows, columns)."
)
_HASHED_ROWS = 65_536
"""Rows that are hashed together; the fingerprint depends on it."""


class FrameCells:
    """The cells of a DataFrame, which is neither copied nor changed; its index is no column."""

    def __init__(self, frame: pd.DataFrame) -> None:
        if not len(frame.columns):
            raise ModelGPTError("The table is empty.", "It has no columns.", "Give one with a target and some rows.")
        self._frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        self.columns = list(self._frame.columns)
        self.expected_rows = len(self._frame)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        for start in range(0, len(self._frame), rows):
            yield self._frame[list(columns)].iloc[start : start + rows].reset_index(drop=True)

    def fingerprint(self) -> str:
        """The SHA-256 over the names and the cells, as "sha256:<64 hex digits>", whatever types hold the numbers."""
        digest = hashlib.sha256("\x1f".join(self.columns).encode("utf-8", "surrogatepass"))
        for frame in self.frames(_HASHED_ROWS, self.columns):
            for name in self.columns:
                array = to_arrow(frame[name])
                if is_text(array):
                    digest.update("\x1f".join(texts(array).fill_null("\0").to_pylist()).encode())
                else:
                    digest.update(numbers(array, PLAIN).tobytes())
        return f"sha256:{digest.hexdigest()}"


def to_frame(data: object) -> pd.DataFrame:
    """Return a table in memory as a frame of raw cells.

    Parameters
    ----------
    data : DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        An array holds numbers alone, in columns that are called x0, x1 and so on.

    Raises
    ------
    UsageError
        It is none of these, or its columns differ in length.
    """
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        return _of_columns(data)
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, Mapping) for row in data):
        rows: Sequence[Mapping[str, Any]] = data
        names = dict.fromkeys(name for row in rows for name in row)
        return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    if isinstance(data, np.ndarray):
        return _of_array(data)
    what = "an empty list" if isinstance(data, (list, tuple)) and not data else f"a {type(data).__name__}"
    raise UsageError(f"Rows can't be read from {what}.", hint=_ACCEPTED)


def _of_columns(columns: Mapping[str, Any]) -> pd.DataFrame:
    found: dict[str, pd.Series] = {}
    for name, cells in columns.items():
        if not isinstance(cells, (list, tuple, np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
            raise UsageError(
                f"The column {name!r} is a {type(cells).__name__}.",
                "A column is a list, an array or a Series.",
                _ACCEPTED,
            )
        if isinstance(cells, np.ndarray) and cells.ndim != 1:
            raise UsageError(f"The column {name!r} has the shape {cells.shape}.", "A column is (rows,).", _ACCEPTED)
        # Lists keep whole numbers beside missing cells as they are.
        plain = isinstance(cells, (list, tuple))
        found[name] = pd.Series(list(cells), dtype=object) if plain else pd.Series(cells).reset_index(drop=True)
    lengths = {str(name): len(cells) for name, cells in found.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {length:,}" for name, length in list(lengths.items())[:10])
        raise UsageError("The columns differ in length.", f"{shown}.", "Give each of them one cell per row.")
    return pd.DataFrame(found)


def _of_array(array: np.ndarray) -> pd.DataFrame:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(
            f"Rows can't be read from an array of shape {array.shape} and type {array.dtype}.", hint=_ACCEPTED
        )
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
