"""Sheets of a workbook (Excel .xlsx, .xlsm, .xlsb, .xls, OpenDocument .ods) as frames of raw cells.

First step on the way of the data, beside `csv_file`.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError, damaged
from modelgpt_cli.data.footer import can_repeat, count_footers, is_header_of_another, repeated_rows
from modelgpt_cli.data.layout import find_layout
from modelgpt_cli.data.signs import text_of

log = logging.getLogger("modelgpt")

_TABLE_ROWS = 10
"""A sheet with so many rows of two or more cells is a table, and no other sheet is looked at."""
_LAST_ROWS = 3


class SheetFile:
    """One sheet of a workbook, held in memory: a sheet has a million rows at most.

    Cells come as numbers, booleans, times or text, None where one is empty; rows without any cell are left out, and all
    cells of a merged range hold its value.

    Parameters
    ----------
    path : Path
        The workbook.
    name : str
        What messages call it.
    sheet : str
        The name or the number, from 1 on, of the sheet; the first that looks like a table where empty.
    header : str
        See `layout.find_layout`.
    """

    def __init__(self, path: Path, name: str, sheet: str = "", header: str = "auto") -> None:
        self.name = name
        rows, gaps = _read(path, name, sheet)
        if not rows:
            raise ModelGPTError(f"{name} is empty.", "", "Give a sheet with a header line and at least two rows.")
        layout = find_layout(rows, header, name)
        for note in layout.notes:
            log.warning("%s", note)
        self.columns = layout.names
        self._rows = rows[layout.start :]
        if header == "auto":
            self._check_one_table([i - layout.start for i in gaps if i > layout.start])
            self._drop_rest()
        self.expected_rows = len(self._rows)

    def _check_one_table(self, gaps: list[int]) -> None:
        for i in gaps:
            if is_header_of_another(self._rows[i], self._rows[:i], self.columns):
                raise ModelGPTError(
                    f"{self.name} holds two tables in one sheet: a header stands below empty rows.",
                    f"It reads: {', '.join(map(text_of, self._rows[i]))[:80]}",
                    "Put each table in a sheet of its own.",
                )

    def _drop_rest(self) -> None:
        """Leave out totals and remarks at the end, and copies of the header."""
        count = count_footers(self._rows, self._rows[-_LAST_ROWS:], whole=True)
        for row in self._rows[len(self._rows) - count :]:
            shown = ", ".join(filter(None, map(text_of, row)))[:80]
            log.warning("%s: left out the last row, which is a total or a remark: %s", self.name, shown)
        rows = self._rows[: len(self._rows) - count]
        kept = [row for row in rows if row[0] is None or [text_of(cell) for cell in row] != self.columns]
        if len(kept) < len(rows) and can_repeat(self.columns, rows):
            log.warning("%s: left out %s the header.", self.name, repeated_rows(len(rows) - len(kept)))
            rows = kept
        self._rows = rows

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        places = {name: self.columns.index(name) for name in columns}
        for start in range(0, len(self._rows), rows):
            chunk = self._rows[start : start + rows]
            yield pd.DataFrame({name: pd.Series([r[j] for r in chunk], dtype=object) for name, j in places.items()})


def _read(path: Path, name: str, sheet: str) -> tuple[list[list[Any]], list[int]]:
    """The rows of the sheet that is meant, and where empty rows were left out between them."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook, PasswordError  # takes 10 ms
    except ImportError as error:
        raise ModelGPTError(
            f"{name} is a workbook.", "python-calamine reads it, and is not installed.", "pip install python-calamine"
        ) from error
    try:
        with path.open("rb") as file:
            book = CalamineWorkbook.from_filelike(file)
            names = [found.name for found in book.sheets_metadata if "WorkSheet" in str(found.typ)]
            if sheet:
                return _cells(book, _sheet_called(sheet, names, name))
            shown = [found.name for found in book.sheets_metadata if "Visible" in str(found.visible)]
            return _first_table(book, [found for found in names if found in shown] or names, name)
    except PasswordError as error:
        raise ModelGPTError(f"{name} is locked by a password.", "", "Save it without one.") from error
    except (CalamineError, OSError, ValueError) as error:
        raise damaged(name, error) from error


def _sheet_called(sheet: str, names: Sequence[str], name: str) -> str:
    if sheet in names:
        return sheet
    if sheet.isdigit() and 1 <= int(sheet) <= len(names):
        return names[int(sheet) - 1]
    near = get_close_matches(sheet, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Give one of these names, or a number from 1 on."
    raise UsageError(f"{name} has no sheet {sheet!r}.", f"Its sheets: {', '.join(names[:20])}.", hint)


def _first_table(book: Any, names: Sequence[str], name: str) -> tuple[list[list[Any]], list[int]]:
    """The first sheet that looks like a table; a cover has a few rows where another sheet has many."""
    found: list[tuple[list[list[Any]], list[int]]] = []
    for sheet in names:
        found.append(_cells(book, sheet))
        if _table_rows(found[-1][0]) >= _TABLE_ROWS:
            break
    if not found:
        return [], []
    sizes = [_table_rows(rows) for rows, _ in found]
    enough = min(_TABLE_ROWS, max(sizes) / 2)
    chosen = next(i for i, size in enumerate(sizes) if size >= enough)
    if chosen:
        log.warning(
            "%s: read the sheet %r, the first that looks like a table. For another, give --sheet NAME, or %s#NAME.",
            name,
            names[chosen],
            name,
        )
    elif len(names) > 1:
        log.info("%s: read the first of %d sheets, %s.", name, len(names), names[0])
    return found[chosen]


def _table_rows(rows: Sequence[Sequence[Any]]) -> int:
    """The rows with two or more filled cells."""
    return sum(sum(cell is not None for cell in row) >= 2 for row in rows)


def _cells(book: Any, sheet: str) -> tuple[list[list[Any]], list[int]]:
    found = book.get_sheet_by_name(sheet)
    rows = [[_cell(cell) for cell in row] for row in found.to_python()]
    if not rows or found.start is None:
        return [], []
    _fill_merged(rows, found.merged_cell_ranges or [], found.start)
    width = max((j + 1 for row in rows for j in range(len(row) - 1, -1, -1) if row[j] is not None), default=0)
    kept: list[list[Any]] = []
    gaps: list[int] = []
    was_empty = False
    for row in rows:
        if all(cell is None for cell in row):
            was_empty = True
            continue
        if was_empty and kept:
            gaps.append(len(kept))
        was_empty = False
        kept.append(row[:width])
    return kept, gaps


def _cell(cell: Any) -> Any:
    if type(cell) is str:
        return cell if cell.strip() else None
    if type(cell) is dt.date:  # beside times of day in the same column
        return dt.datetime(cell.year, cell.month, cell.day)
    return cell


def _fill_merged(rows: list[list[Any]], ranges: Sequence[Any], start: tuple[int, int]) -> None:
    top, left = start
    for (first, left_edge), (last, right_edge) in ranges:
        if not (0 <= first - top < len(rows) and 0 <= left_edge - left < len(rows[0])):
            continue
        value = rows[first - top][left_edge - left]
        for i in range(first - top, min(last - top + 1, len(rows))):
            for j in range(left_edge - left, min(right_edge - left + 1, len(rows[i]))):
                rows[i][j] = value
