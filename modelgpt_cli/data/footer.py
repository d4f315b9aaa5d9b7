"""Rows behind the header that are no data: its copies, a second header, totals and remarks at the end.

Used by `csv_file` and `sheets`, which warn of what they leave out. Shapes: n rows, w columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from modelgpt_cli.data.signs import (
    COMMENT,
    FEW_FILLED,
    LONGEST_NUMBER,
    MIN_BODY,
    Row,
    body_columns,
    column_width,
    filled_texts,
    is_number,
    looked_at,
    text_of,
    value_of,
)

_MAX_FOOTERS = 3
_TOTAL = re.compile(
    r"(grand |sub)?totals?|summe|sum|gesamt(summe|betrag|ergebnis)?|insgesamt|overall|average|mean|mittelwert"
    r"|durchschnitt|totale?s?|total g[eé]n[eé]ral|somme|suma|razem|totaal",
    re.IGNORECASE,
)


def repeated_rows(n: int) -> str:
    """Return the words for so many copies of the header."""
    return "a row that repeats" if n == 1 else f"{n:,} rows that repeat"


def can_repeat(names: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether a copy of the header among the rows would be known as one: a name is no cell of its column elsewhere."""
    if len(names) < 2:
        return False
    kept = [texts for row in looked_at(rows) if len(row) == len(names) and (texts := [*map(text_of, row)]) != [*names]]
    return any(all(texts[j] != name for texts in kept) for j, name in enumerate(names))


def is_header_of_another(row: Row, above: Sequence[Row], names: Sequence[str]) -> bool:
    """Whether a row behind a gap contradicts all columns of numbers above it, as the header of a second table does."""
    width = len(names)
    if len(row) != width or [text_of(cell) for cell in row] == list(names) or len(above) < FEW_FILLED:
        return False
    columns = body_columns(looked_at(above), width, row)
    signs = [
        is_number(cell)
        for cell, column in zip(row, columns, strict=False)
        if len(column) >= FEW_FILLED and sum(map(is_number, column)) >= 0.9 * len(column)
    ]
    return bool(signs) and not any(signs) and all(filled_texts([cell]) for cell in row)


def count_footers(rows: Sequence[Row], last: Sequence[Row], whole: bool) -> int:
    """Count the rows at the end that are no data: a total, or a remark.

    Parameters
    ----------
    rows : sequence of rows
        The first rows of data.
    last : sequence of rows
        The last ones, in their order.
    whole : bool
        Whether `rows` are all that there are.
    """
    rows = looked_at(rows)
    if len(rows) < MIN_BODY:
        return 0
    width = column_width(rows)
    if width < 2:
        return 0
    best = 0
    for count in range(1, min(_MAX_FOOTERS, len(last)) + 1):
        if not _may_be_footer(last[-count]):
            break
        body = rows[:-count] if whole else rows
        columns = body_columns(body, width, last[-count])
        least = min((len(filled_texts(row)) for row in body if len(row) == width), default=0)
        if not _is_footer(last[-count], columns, width, least, len(body)):
            break
        best = count
    return best


def _may_be_footer(row: Row) -> bool:
    """Whether a row is worth a look at the others: nearly empty, or with a word for a total."""
    return len(filled_texts(row)) <= 1 or any(_is_total_word(cell) for cell in row)


def _is_total_word(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) <= LONGEST_NUMBER and bool(_TOTAL.fullmatch(cell.strip().rstrip(":. ")))


def _is_footer(row: Row, columns: Sequence[Sequence[Any]], width: int, least: int, n: int) -> bool:
    filled = filled_texts(row)
    if any("\n" in text for text in filled):  # an open quote, which has swallowed rows
        return False
    if _is_total(row, columns, width, n):
        return True
    if len(filled) > 1 or (len(row) == width and (width < 3 or least <= 1)):
        return False
    if not filled:
        return len(row) != width
    at = next(j for j, cell in enumerate(row) if text_of(cell))
    if at >= len(columns):
        return False
    words = sum(len(text_of(cell).split()) for cell in columns[at]) / max(1, len(columns[at]))
    wordy = len(filled[0].split()) >= 3 or ":" in filled[0] or filled[0].startswith(("(", *COMMENT))
    return words < 3 and wordy and filled[0] not in set(map(text_of, columns[at]))


def _is_total(row: Row, columns: Sequence[Sequence[Any]], width: int, n: int) -> bool:
    """Whether a row is called a total, and differs from the rows of data in more than that."""
    if len(row) > width:
        return False
    places = [j for j, cell in enumerate(row[: len(columns)]) if _is_total_word(cell)]
    if len(places) != 1:
        return False
    at = places[0]
    if text_of(row[at]) in set(map(text_of, columns[at])):
        return False
    in_numbers = sum(map(is_number, columns[at])) > 0.9 * len(columns[at])
    if len(row) < width or in_numbers:
        return True
    for j, cell in enumerate(row[: len(columns)]):
        if j == at:
            continue
        if not text_of(cell) and len(columns[j]) == n:
            return True
        value, others = value_of(cell), [value for other in columns[j] if (value := value_of(other)) is not None]
        if value is not None and len(others) >= FEW_FILLED and abs(value) > 2 * max(map(abs, others)):
            return True
    return False
