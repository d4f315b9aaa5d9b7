"""Where the rows of a sheet of cells begin and end: titles, header, units, no header at all, totals. Used by `csv_file`
and `sheets`.

Nothing is left out without a warning that names it, and where the signs disagree the first row is the header.
Shapes: n rows, w columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from modelgpt_cli.core.errors import UsageError

Row: TypeAlias = Sequence[Any]
"""Cells as text, or as a sheet holds them; None or "" where one is empty."""
Evidence: TypeAlias = Literal[-1, 0, 1]
"""What a cell says of its row, beside the cells below it: a header (-1), nothing (0), data (1)."""

_HEAD_ROWS = 1_000
_HEAD_CELLS = 50_000
"""Cells that are looked at, so that a wide table is opened in a tenth of a second."""
_LOOKED_COLUMNS = 200
_MAX_TITLES = 20
_MAX_UNIT_ROWS = 2
_MAX_FOOTERS = 3
_MIN_BODY = 8
"""With fewer rows a value of the first row is too often the only one of its kind."""
_FEW_FILLED = 5
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "--", "."})
_NUMBER = re.compile(
    r"[^\w\s]{0,3}\s?(?=[.,]?\d)[\d.,'\u2019\u00a0\u202f :/-]*\d[.)]?([eE][+-]?\d+)?\s?([^\W\d]{0,4}|\W{1,3})"
)
"""A number, date or time, perhaps with a currency before it or a short unit behind."""
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_LONGEST_NUMBER = 40
_PLAIN = re.compile(r"[+-]?\d*[.,]?\d+([eE][+-]?\d+)?")
_YEAR = re.compile(r"(19|20)\d\d")
_COMMENT = ("#", "%", "//")
_UNIT = re.compile(
    r"[\[(<{].{0,30}[\])>}]|[%€$£°‰]|°[CFK]|(k|m|c|d|n|µ|M|G)?(m|g|s|l|L|V|A|W|Hz|Pa|J|mol)[²³23]?|t|h|min|km/h|m/s|kWh?|bar|ppm"
    r"|EUR|USD|GBP|CHF|years?|Jahre|Stück|pcs"
)
_TOTAL = re.compile(
    r"(grand |sub)?totals?|summe|sum|gesamt(summe|betrag|ergebnis)?|insgesamt|overall|average|mean|mittelwert"
    r"|durchschnitt|totale?s?|total g[eé]n[eé]ral|somme|suma|razem|totaal",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """Where a table lies among rows.

    Attributes
    ----------
    names : list of str
        The columns, stripped; ``unnamed_2`` where the header has none.
    start : int
        The first row of data.
    notes : list of str
        What was found other than a header in the first row, each a sentence.
    """

    names: list[str]
    start: int
    notes: list[str] = field(default_factory=list)


def text_of(cell: Any) -> str:
    """Return a cell as a header or a label has it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _is_missing(cell: Any) -> bool:
    return text_of(cell).lower() in _MISSING


def _is_number(cell: Any) -> bool:
    if not isinstance(cell, str):
        return True
    text = cell.strip()
    return len(text) <= _LONGEST_NUMBER and bool(_NUMBER.fullmatch(text) or _INFINITE.fullmatch(text))


def _value(cell: Any) -> float | None:
    text = text_of(cell)
    return float(text.replace(",", ".")) if _PLAIN.fullmatch(text) else None


def _filled(row: Row) -> list[str]:
    return [text for cell in row if (text := text_of(cell))]


def column_width(rows: Sequence[Row]) -> int:
    """Return the number of cells that most rows have, the first row's where it is as frequent."""
    counts = Counter(len(row) for row in rows)
    most = max(counts.values())
    return len(rows[0]) if counts[len(rows[0])] == most else max(counts, key=lambda width: counts[width])


def _kept(rows: Sequence[Row], width: int, header: Row) -> list[Row]:
    """The rows that have this many cells, without copies of the header."""
    return [row for row in rows if len(row) == width and row != header]


def _column(kept: Sequence[Row], j: int) -> list[Any]:
    return [row[j] for row in kept if not _is_missing(row[j])]


def _body(rows: Sequence[Row], width: int, header: Row) -> list[list[Any]]:
    """The filled cells of each column, of the rows that `_kept` gives, (w, ≤ n)."""
    kept = _kept(rows, width, header)
    return [_column(kept, j) for j in range(min(width, _LOOKED_COLUMNS))]


def _evidence(cell: Any, column: Sequence[Any]) -> Evidence:
    """What a cell says of its row, given the filled cells below it."""
    if _is_missing(cell) or len(column) < _FEW_FILLED:
        return 0
    numbers = sum(map(_is_number, column))
    if numbers >= 0.9 * len(column):
        return _number_evidence(cell, column) if _is_number(cell) else -1
    text = text_of(cell)
    levels = Counter(map(text_of, column))
    few = 4 * len(levels) <= len(column)
    if text in levels:
        return 1 if few else 0
    if few:
        return -1
    words = sum(len(text_of(other).split()) for other in column) / len(column)
    return -1 if words >= 4 and len(text.split()) <= 2 else 0


def _number_evidence(cell: Any, column: Sequence[Any]) -> Evidence:
    value, others = _value(cell), [value for other in column if (value := _value(other)) is not None]
    if value is None or len(others) < _FEW_FILLED:
        return 0
    if _YEAR.fullmatch(text_of(cell)) and not all(_YEAR.fullmatch(text_of(other)) for other in column):
        return 0  # columns are often called after years
    low, high = min(others), max(others)
    return 1 if 2 * low - high <= value <= 2 * high - low else 0


def _is_sequence(row: Row) -> bool:
    """Whether the numbers of a header row count up evenly, as numbered columns and wavelengths do."""
    values = [value for cell in row if (value := _value(cell)) is not None]
    if len(values) < 2:
        return False
    steps = [b - a for a, b in pairwise(values)]
    even = all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)
    return even and (steps[0] == 1 if len(values) == 2 else steps[0] > 0)


def _is_data(row: Row, rows: Sequence[Row], width: int) -> bool:
    """Whether a row is one of data rather than the header of the rows below it."""
    if len(rows) < _MIN_BODY or len(row) != width or _is_sequence(row):
        return False
    kept = _kept(rows, width, row)
    found = 0
    for j in range(min(width, _LOOKED_COLUMNS)):
        sign = _evidence(row[j], _column(kept, j))
        if sign < 0:
            return False
        found += sign
    return 2 * found >= min(width, _LOOKED_COLUMNS)


def _is_title(row: Row, width: int) -> bool:
    filled = _filled(row)
    if not filled:
        return True
    if filled[0].startswith(_COMMENT) and len(row) != width:
        return True
    one = len(set(filled)) == 1 and bool(text_of(row[0]))
    pair = len(filled) <= 2 and width >= 4 and bool(text_of(row[0]))
    return one or pair


def _count_titles(rows: Sequence[Row], width: int) -> int:
    """Rows above the header; 0 where no row below them is a proper header."""
    for i, row in enumerate(rows[: _MAX_TITLES + 1]):
        if not _is_title(row, width):
            names = _filled(row)
            if i == 0:
                return 0
            proper = len(row) == width and len(names) >= max(2, 0.8 * width) and len(set(names)) == len(names)
            return i if proper and not _is_data(row, rows[i + 1 :], width) else 0
    return 0


def _unit_rows(rows: Sequence[Row], header: Row, width: int) -> int:
    """Rows of units or remarks right below the header, which contradict every column of numbers."""
    found = 0
    while found < min(_MAX_UNIT_ROWS, len(rows) - _MIN_BODY) and len(rows[found]) == width:
        row = rows[found]
        if any(text_of(cell) and _is_number(cell) for cell in row):
            break
        columns = _body(rows[found + 1 :], width, header)
        numeric = [j for j, cells in enumerate(columns) if cells and sum(map(_is_number, cells)) >= 0.9 * len(cells)]
        filled = [j for j in range(len(columns)) if not _is_missing(row[j])]
        against = [j for j in filled if j in numeric]
        units = [j for j in filled if _UNIT.fullmatch(text_of(row[j]))]
        if not all(j in against or j in units or _evidence(row[j], columns[j]) < 0 for j in filled):
            break
        # One word in a column of numbers, or the same in all, may be a missing value, whatever it is called.
        words = {text_of(row[j]) for j in against if j not in units}
        if not against or (len(words) < 2 and not any(j in units for j in against)):
            break
        found += 1
    return found


def _join_names(upper: Row, lower: Row) -> list[str]:
    """The names of a header in two rows, the upper of which holds the groups."""
    names, group = [], ""
    for above, below in zip(map(text_of, upper), map(text_of, lower), strict=True):
        group = above or group
        names.append(f"{group} {below}".strip() if below and below != group else group)
    return names


def _has_groups(row: Row) -> bool:
    """Whether a header row has gaps or repeats behind its names, as one of groups has."""
    names = [text_of(cell) for cell in row]
    return bool(names[0]) and len(set(names) - {""}) < len(names) and len(set(names) - {""}) >= 2


def _names(row: Row, width: int) -> list[str]:
    cells = [text_of(cell) for cell in row]
    return [cell or f"unnamed_{i + 1}" for i, cell in enumerate(cells + [""] * (width - len(cells)))]


def head_rows(width: int) -> int:
    """Return how many of the first rows say how a table of so many columns lies."""
    return max(_MAX_TITLES + 2 * _MIN_BODY, min(_HEAD_ROWS, _HEAD_CELLS // max(1, min(_LOOKED_COLUMNS, width))))


def looked_at(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first rows, fewer of wide ones."""
    return rows[: head_rows(len(rows[0]) if rows else 1)]


def find_layout(rows: Sequence[Row], header: str, name: str) -> Layout:
    """Find the header and the first row of data.

    Parameters
    ----------
    rows : sequence of rows
        The first ones, at least one, none of them empty.
    header : str
        "auto"; "none" where all rows are data; or the number of the header's row among them, from 1 on.
    name : str
        What messages call the table.
    """
    rows = looked_at(rows)
    if header not in ("auto", "none"):
        return _fixed_layout(rows, int(header), name)
    width = column_width(rows)
    if header == "none":
        return Layout([f"column_{j + 1}" for j in range(width)], 0)
    if width < 2:
        return Layout(_names(rows[0], len(rows[0])), 1)
    titles = _count_titles(rows, width)
    if titles == 0 and _is_data(rows[0], rows[1:], width):
        note = (
            f"{name} has no header line, by its first row: the columns are called column_1 to column_{width}. "
            "If that row is a header, give {name}#header=1."
        )
        return Layout([f"column_{j + 1}" for j in range(width)], 0, [note])
    notes = []
    if titles:
        shown = "; ".join(" ".join(dict.fromkeys(_filled(row)))[:40] for row in rows[:titles] if _filled(row))
        notes.append(f"{name}: left out {_count(titles, 'line')} above the header: {shown}.")
    return _with_units(rows, titles, width, name, notes)


def _with_units(rows: Sequence[Row], at: int, width: int, name: str, notes: list[str]) -> Layout:
    head = rows[at]
    names = _names(head, len(head))
    units = _unit_rows(rows[at + 1 :], head, width) if len(head) == width else 0
    if units:
        below = rows[at + 1]
        if _has_groups(head):
            names = _names(_join_names(head, below), width)
            notes.append(f"{name}: joined the two rows of its header: {', '.join(names[:4])}{', …' * (width > 4)}.")
        else:
            shown = ", ".join(text[:20] for text in _filled(below)[:4])
            rest = "row" if units == 1 else f"{units} rows"
            notes.append(f"{name}: left out the {rest} below the header, which is no data: {shown}.")
    return Layout(names, at + 1 + units, notes)


def _fixed_layout(rows: Sequence[Row], number: int, name: str) -> Layout:
    if number > len(rows):
        raise UsageError(f"{name} has no row {number} for a header.", f"It has {len(rows)} rows or more.")
    return Layout(_names(rows[number - 1], len(rows[number - 1])), number)


def _count(n: int, what: str) -> str:
    return f"a {what}" if n == 1 else f"{n} {what}s"


def can_repeat(names: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether a copy of the header among the rows would be known as one: a name is no cell of its column elsewhere."""
    if len(names) < 2:
        return False
    kept = [texts for row in looked_at(rows) if len(row) == len(names) and (texts := [*map(text_of, row)]) != [*names]]
    return any(all(texts[j] != name for texts in kept) for j, name in enumerate(names))


def repeated_rows(n: int) -> str:
    """Return the words for so many copies of the header."""
    return "a row that repeats" if n == 1 else f"{n:,} rows that repeat"


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
    if len(rows) < _MIN_BODY:
        return 0
    width = column_width(rows)
    if width < 2:
        return 0
    best = 0
    for count in range(1, min(_MAX_FOOTERS, len(last)) + 1):
        if not _may_be_footer(last[-count]):
            break
        body = rows[:-count] if whole else rows
        columns = _body(body, width, last[-count])
        least = min((len(_filled(row)) for row in body if len(row) == width), default=0)
        if not _is_footer(last[-count], columns, width, least, len(body)):
            break
        best = count
    return best


def _may_be_footer(row: Row) -> bool:
    """Whether a row is worth a look at the others: nearly empty, or with a word for a total."""
    return len(_filled(row)) <= 1 or any(_is_total_word(cell) for cell in row)


def _is_total_word(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) <= _LONGEST_NUMBER and bool(_TOTAL.fullmatch(cell.strip().rstrip(":. ")))


def _is_footer(row: Row, columns: Sequence[Sequence[Any]], width: int, least: int, n: int) -> bool:
    filled = _filled(row)
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
    wordy = len(filled[0].split()) >= 3 or ":" in filled[0] or filled[0].startswith(("(", *_COMMENT))
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
    in_numbers = sum(map(_is_number, columns[at])) > 0.9 * len(columns[at])
    if len(row) < width or in_numbers:
        return True
    for j, cell in enumerate(row[: len(columns)]):
        if j == at:
            continue
        if not text_of(cell) and len(columns[j]) == n:
            return True
        value, others = _value(cell), [value for other in columns[j] if (value := _value(other)) is not None]
        if value is not None and len(others) >= _FEW_FILLED and abs(value) > 2 * max(map(abs, others)):
            return True
    return False


def is_header_of_another(row: Row, above: Sequence[Row], names: Sequence[str]) -> bool:
    """Whether a row behind a gap contradicts all columns of numbers above it, as the header of a second table does."""
    width = len(names)
    if len(row) != width or [text_of(cell) for cell in row] == list(names) or len(above) < _FEW_FILLED:
        return False
    columns = _body(looked_at(above), width, row)
    signs = [
        _is_number(cell)
        for cell, column in zip(row, columns, strict=False)
        if len(column) >= _FEW_FILLED and sum(map(_is_number, column)) >= 0.9 * len(column)
    ]
    return bool(signs) and not any(signs) and all(_filled([cell]) for cell in row)
