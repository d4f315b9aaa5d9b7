"""Where the rows of a sheet of cells begin: titles, header, units, no header at all. Used by `csv_file` and `sheets`.

Nothing is left out without a warning that names it, and where the signs disagree the first row is the header.
Shapes: n rows, w columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.signs import (
    COMMENT,
    LOOKED_COLUMNS,
    MAX_TITLES,
    MIN_BODY,
    Row,
    body_columns,
    column_width,
    evidence,
    filled_cells,
    filled_texts,
    is_missing,
    is_number,
    kept_rows,
    looked_at,
    text_of,
    value_of,
)

_MAX_UNIT_ROWS = 2
_UNIT = re.compile(
    r"[\[(<{].{0,30}[\])>}]|[%€$£°‰]|°[CFK]|(k|m|c|d|n|µ|M|G)?(m|g|s|l|L|V|A|W|Hz|Pa|J|mol)[²³23]?|t|h|min|km/h|m/s|kWh?|bar|ppm"
    r"|EUR|USD|GBP|CHF|years?|Jahre|Stück|pcs"
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


def _is_sequence(row: Row) -> bool:
    """Whether the numbers of a header row count up evenly, as numbered columns and wavelengths do."""
    values = [value for cell in row if (value := value_of(cell)) is not None]
    if len(values) < 2:
        return False
    steps = [b - a for a, b in pairwise(values)]
    even = all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)
    return even and (steps[0] == 1 if len(values) == 2 else steps[0] > 0)


def _is_data(row: Row, rows: Sequence[Row], width: int) -> bool:
    """Whether a row is one of data rather than the header of the rows below it."""
    if len(rows) < MIN_BODY or len(row) != width or _is_sequence(row):
        return False
    kept = kept_rows(rows, width, row)
    found = 0
    for j in range(min(width, LOOKED_COLUMNS)):
        sign = evidence(row[j], filled_cells(kept, j))
        if sign < 0:
            return False
        found += sign
    return 2 * found >= min(width, LOOKED_COLUMNS)


def _is_title(row: Row, width: int) -> bool:
    filled = filled_texts(row)
    if not filled:
        return True
    if filled[0].startswith(COMMENT) and len(row) != width:
        return True
    one = len(set(filled)) == 1 and bool(text_of(row[0]))
    pair = len(filled) <= 2 and width >= 4 and bool(text_of(row[0]))
    return one or pair


def _count_titles(rows: Sequence[Row], width: int) -> int:
    """Rows above the header; 0 where no row below them is a proper header."""
    for i, row in enumerate(rows[: MAX_TITLES + 1]):
        if not _is_title(row, width):
            names = filled_texts(row)
            if i == 0:
                return 0
            proper = len(row) == width and len(names) >= max(2, 0.8 * width) and len(set(names)) == len(names)
            return i if proper and not _is_data(row, rows[i + 1 :], width) else 0
    return 0


def _unit_rows(rows: Sequence[Row], header: Row, width: int) -> int:
    """Rows of units or remarks right below the header, which contradict every column of numbers."""
    found = 0
    while found < min(_MAX_UNIT_ROWS, len(rows) - MIN_BODY) and len(rows[found]) == width:
        row = rows[found]
        if any(text_of(cell) and is_number(cell) for cell in row):
            break
        columns = body_columns(rows[found + 1 :], width, header)
        numeric = [j for j, cells in enumerate(columns) if cells and sum(map(is_number, cells)) >= 0.9 * len(cells)]
        filled = [j for j in range(len(columns)) if not is_missing(row[j])]
        against = [j for j in filled if j in numeric]
        units = [j for j in filled if _UNIT.fullmatch(text_of(row[j]))]
        if not all(j in against or j in units or evidence(row[j], columns[j]) < 0 for j in filled):
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
            f"{name} has no header line, by its first row: the columns are called {_called(width)}. "
            f"If that row is a header, give {name}#header=1."
        )
        return Layout([f"column_{j + 1}" for j in range(width)], 0, [note])
    notes = []
    if titles:
        shown = "; ".join(" ".join(dict.fromkeys(filled_texts(row)))[:40] for row in rows[:titles] if filled_texts(row))
        notes.append(f"{name}: left out {_count(titles, 'line')} above the header: {shown}.")
    return _with_units(rows, titles, width, name, notes)


def _called(width: int) -> str:
    return f"column_1 {'and' if width == 2 else 'to'} column_{width}"


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
            shown = ", ".join(text[:20] for text in filled_texts(below)[:4])
            rest = "row" if units == 1 else f"{units} rows"
            notes.append(f"{name}: left out the {rest} below the header, which is no data: {shown}.")
    return Layout(names, at + 1 + units, notes)


def _fixed_layout(rows: Sequence[Row], number: int, name: str) -> Layout:
    if number > len(rows):
        raise UsageError(f"{name} has no row {number} for a header.", f"It has {len(rows)} rows or more.")
    return Layout(_names(rows[number - 1], len(rows[number - 1])), number)


def _count(n: int, what: str) -> str:
    return f"a {what}" if n == 1 else f"{n} {what}s"
