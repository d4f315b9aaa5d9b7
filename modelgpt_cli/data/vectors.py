"""Cells that are vectors become columns of numbers. Between the readers of a format and `Table`.

Shapes: k numbers in a vector.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError

if TYPE_CHECKING:
    from modelgpt_cli.data.readers import RawCells

log = logging.getLogger("modelgpt")

_LOOKED_ROWS = 200
_MAX_LENGTH = 4096


class VectorCells:
    """The cells of another reader, with a column of vectors of k numbers as k columns ``name_0`` to ``name_{k-1}``."""

    def __init__(self, cells: RawCells, lengths: dict[str, int], name: str) -> None:
        self.origin = cells
        self.expected_rows: int | None = getattr(cells, "expected_rows", None)
        self._lengths = lengths
        self.name = name
        self.columns: list[str] = []
        self._parts: dict[str, tuple[str, int]] = {}
        for column in cells.columns:
            parts = [f"{column}_{i}" for i in range(lengths[column])] if column in lengths else [column]
            self.columns += parts
            self._parts.update({part: (column, i) for i, part in enumerate(parts)})
        for column, length in lengths.items():
            log.info("%s: the %d numbers of %s are columns of their own.", name, length, column)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        wanted = list(dict.fromkeys(self._parts[column][0] for column in columns))
        for frame in self.origin.frames(rows, wanted):
            arrays = {column: self._stack(frame[column], column) for column in wanted if column in self._lengths}
            found: dict[str, Any] = {}
            for part in columns:
                column, i = self._parts[part]
                found[part] = arrays[column][:, i] if column in arrays else frame[column]
            yield pd.DataFrame(found)

    def _stack(self, cells: pd.Series, column: str) -> np.ndarray:
        """The vectors as float64 (n, k), NaN where one is missing."""
        length = self._lengths[column]
        empty = np.full(length, np.nan)
        rows = [empty if cell is None or cell is pd.NA or isinstance(cell, float) else cell for cell in cells]
        try:
            return np.array([[np.nan if v is None else v for v in row] for row in rows], float).reshape(-1, length)
        except (ValueError, TypeError) as error:
            raise ModelGPTError(
                f"{self.name}: the lists of {column} differ in length or hold more than numbers.",
                f"The first ones hold {length} numbers each.",
                "Make them equally long, or leave the column out.",
            ) from error


def with_vectors(cells: RawCells, name: str) -> RawCells:
    """Return a reader's cells, with columns of vectors taken apart where the first rows have some.

    A column is one of vectors where each of its filled cells holds equally many numbers, two at least.
    """
    if len(set(cells.columns)) < len(cells.columns):  # an error that `Table` reports
        return cells
    first = next(iter(cells.frames(_LOOKED_ROWS, cells.columns)), None)
    if first is None:
        return cells
    lengths = {column: length for column in cells.columns if (length := _vector_length(first[column]))}
    return VectorCells(cells, lengths, name) if lengths else cells


def _vector_length(cells: pd.Series) -> int:
    if cells.dtype != object:
        return 0
    filled = [cell for cell in cells if cell is not None and not isinstance(cell, float)]
    if not filled or not all(isinstance(cell, (list, tuple, np.ndarray)) for cell in filled):
        return 0
    lengths = {len(cell) for cell in filled if np.ndim(cell) == 1}
    if len(lengths) != 1 or not 2 <= max(lengths) <= _MAX_LENGTH:
        return 0
    numeric = all(
        v is None or (isinstance(v, (int, float, np.number)) and type(v) is not bool) for c in filled for v in c
    )
    return max(lengths) if numeric else 0
