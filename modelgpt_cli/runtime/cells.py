"""A few rows in memory as a model's columns, many times faster than `table`, which is made for many. Beside it.

Requests to a server are such rows. Cells are typed and findings counted by the same code. Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.schema import Column
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings, are_outside
from modelgpt_cli.runtime.table import check_columns, known_columns

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model


class CellRows:
    """Rows as lists of plain cells by column. Follows `runtime.feed.Parted`.

    Parameters
    ----------
    model : Model
    columns : mapping of str to sequence (N,)
        Texts, numbers, yes and no, and None.

    Raises
    ------
    ModelGPTError
        They lack most of the model's columns.
    """

    def __init__(self, model: Model, columns: Mapping[str, Sequence[Any]]) -> None:
        from modelgpt_cli.data.in_memory import NAME  # which loads pandas

        names = list(columns)
        check_columns(model, names, NAME)
        self._columns = columns
        self._inputs = [i.as_column for i in model.inputs if i.column in columns]
        self._whole = Findings()
        self._whole.compare_columns([i.column for i in model.inputs], names, known_columns(model))

    def read(self, sizes: Sequence[int]) -> tuple[Chunk, list[Findings]]:
        """Type all rows at once, and count what each part of them holds; see `runtime.feed.Parted`."""
        from modelgpt_cli.data.cells import list_to_arrow
        from modelgpt_cli.data.typing import typed_cells

        ends = np.cumsum(sizes)
        found = [replace(self._whole, rows=size, columns={}) for size in sizes]
        typed: dict[str, np.ndarray] = {}
        for column in self._inputs:
            raw = self._columns[column.name]
            cells, odd = typed_cells(list_to_arrow(raw), column)
            typed[column.name] = cells
            doubtful = np.flatnonzero(_are_doubtful(column, cells, odd))
            for part in np.unique(np.searchsorted(ends, doubtful, side="right")).tolist():
                rows = slice(int(ends[part]) - sizes[part], int(ends[part]))
                _add(found[part], column, cells[rows], None if odd is None else odd[rows], raw[rows])
        return Chunk(int(ends[-1]), typed), found


def _are_doubtful(column: Column, cells: np.ndarray, odd: np.ndarray | None) -> np.ndarray:
    """Which cells, (N,) bool, `Findings.add` has something to tell of."""
    if odd is not None:
        return odd if column.bounds is None else odd | are_outside(cells, column.bounds)
    if not column.levels:
        return np.zeros(0, dtype=bool)
    known = {None, *column.levels}
    return np.array([cell not in known for cell in cells.tolist()], dtype=bool)


def _add(findings: Findings, column: Column, cells: np.ndarray, odd: np.ndarray | None, raw: Sequence[Any]) -> None:
    import pandas as pd

    findings.add(column, pd.Series(cells), odd, pd.Series(list(raw), dtype=object))
