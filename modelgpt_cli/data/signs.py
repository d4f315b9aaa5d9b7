"""What a cell says of its row, beside the cells of its column: a name, or data. Used by `layout` and `footer`.

Shapes: n rows, w columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from modelgpt_cli.core.reading import MARKERS, NO_NUMBER
from modelgpt_cli.core.scripts import count_words

Row: TypeAlias = Sequence[Any]
"""Cells as text, or as a sheet holds them; None or "" where one is empty."""
Evidence: TypeAlias = Literal[-1, 0, 1]
"""What a cell says of its row, beside the cells below it: a header (-1), nothing (0), data (1)."""

_HEAD_ROWS = 1_000
_HEAD_CELLS = 50_000
"""Cells that are looked at, so that a wide table is opened in a tenth of a second."""
LOOKED_COLUMNS = 200
MAX_TITLES = 20
MIN_BODY = 8
"""With fewer rows a value of the first row is too often the only one of its kind."""
FEW_FILLED = 5
_MISSING = frozenset(word.lower() for word in (*MARKERS, *NO_NUMBER))
_NUMBER = re.compile(
    r"[^\w\s]{0,3}\s?(?=[.,]?\d)[\d.,'\u2019\u00a0\u202f :/-]*\d[.)]?([eE][+-]?\d+)?\s?([^\W\d]{0,4}|\W{1,3})"
)
"""A number, date or time, perhaps with a currency before it or a short unit behind."""
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
LONGEST_NUMBER = 40
_PLAIN = re.compile(r"[+-]?\d*[.,]?\d+([eE][+-]?\d+)?")
_YEAR = re.compile(r"(19|20)\d\d")
COMMENT = ("#", "%", "//")


def text_of(cell: Any) -> str:
    """Return a cell as a header or a label has it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty, or marked as missing in one of the usual ways."""
    return text_of(cell).lower() in _MISSING


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, a date or a time, a unit or a currency beside it or not."""
    if not isinstance(cell, str):
        return True
    text = cell.strip()
    return len(text) <= LONGEST_NUMBER and bool(_NUMBER.fullmatch(text) or _INFINITE.fullmatch(text))


def value_of(cell: Any) -> float | None:
    """Return a cell that is a plain number as one, else None."""
    text = text_of(cell)
    return float(text.replace(",", ".")) if _PLAIN.fullmatch(text) else None


def filled_texts(row: Row) -> list[str]:
    """Return the texts of a row's filled cells."""
    return [text for cell in row if (text := text_of(cell))]


def column_width(rows: Sequence[Row]) -> int:
    """Return the number of cells that most rows have, the first row's where it is as frequent."""
    counts = Counter(len(row) for row in rows)
    most = max(counts.values())
    return len(rows[0]) if counts[len(rows[0])] == most else max(counts, key=lambda width: counts[width])


def kept_rows(rows: Sequence[Row], width: int, header: Row) -> list[Row]:
    """The rows that have this many cells, without copies of the header."""
    return [row for row in rows if len(row) == width and row != header]


def filled_cells(kept: Sequence[Row], j: int) -> list[Any]:
    """Return a column's filled cells."""
    return [row[j] for row in kept if not is_missing(row[j])]


def body_columns(rows: Sequence[Row], width: int, header: Row) -> list[list[Any]]:
    """The filled cells of each column, of the rows that `kept_rows` gives, (w, ≤ n)."""
    kept = kept_rows(rows, width, header)
    return [filled_cells(kept, j) for j in range(min(width, LOOKED_COLUMNS))]


def evidence(cell: Any, column: Sequence[Any]) -> Evidence:
    """What a cell says of its row, given the filled cells below it."""
    if is_missing(cell) or len(column) < FEW_FILLED:
        return 0
    numbers = sum(map(is_number, column))
    if numbers >= 0.9 * len(column):
        return _number_evidence(cell, column) if is_number(cell) else -1
    text = text_of(cell)
    levels = Counter(map(text_of, column))
    few = 4 * len(levels) <= len(column)
    if text in levels:
        return 1 if few else 0
    if few:
        return -1
    words = sum(count_words(text_of(other)) for other in column) / len(column)
    return -1 if words >= 4 and count_words(text) <= 2 else 0


def _number_evidence(cell: Any, column: Sequence[Any]) -> Evidence:
    value, others = value_of(cell), [value for other in column if (value := value_of(other)) is not None]
    if value is None or len(others) < FEW_FILLED:
        return 0
    if _YEAR.fullmatch(text_of(cell)) and not all(_YEAR.fullmatch(text_of(other)) for other in column):
        return 0  # columns are often called after years
    low, high = min(others), max(others)
    return 1 if 2 * low - high <= value <= 2 * high - low else 0


def head_rows(width: int) -> int:
    """Return how many of the first rows say how a table of so many columns lies."""
    return max(MAX_TITLES + 2 * MIN_BODY, min(_HEAD_ROWS, _HEAD_CELLS // max(1, min(LOOKED_COLUMNS, width))))


def looked_at(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first rows, fewer of wide ones."""
    return rows[: head_rows(len(rows[0]) if rows else 1)]
