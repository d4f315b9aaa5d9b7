"""How the cells of a text table are kept apart: delimiter, quotes, an Excel ``sep=`` line. Used by `csv_file`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from modelgpt_cli.core.scripts import count_words

NO_DELIMITER = "\x1f"
"""A control character that separates units and is found in no text."""
DELIMITERS = (",", ";", "\t", "|")
_RARE = ";\t|"
_MAX_CELL = 1 << 30
_SNIFF_RECORDS = 200
_SEP_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """A record of a text table.

    Attributes
    ----------
    line, end : int
        The lines that it is on, from the first, counted from 0, to the one behind the last.
    cells : list of str
        Without quotes.
    """

    line: int
    end: int
    cells: list[str]


@dataclass(frozen=True)
class Dialect:
    """How cells are kept apart.

    Attributes
    ----------
    delimiter : str
        The sign between cells.
    quoted : bool
        Whether a double quote at the start of a cell quotes it. Else quotes are letters like others.
    skip : int
        Lines before the table that only name the delimiter: 0 or 1.
    """

    delimiter: str
    quoted: bool = True
    skip: int = 0

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a `csv.reader` of lines."""
        csv.field_size_limit(_MAX_CELL)  # its default refuses cells beyond 128 kB
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE)


def read_records(text: str, dialect: Dialect, limit: int) -> list[Record]:
    """Read the first records of a piece of text; blank lines are left out."""
    records: list[Record] = []
    reader = dialect.reader(io.StringIO(text, newline=""))
    line = 0
    try:
        for cells in reader:
            if cells and line >= dialect.skip:
                records.append(Record(line, reader.line_num, cells))
            line = reader.line_num
            if len(records) >= limit:
                break
    except csv.Error:  # a zero in a line, which older Pythons refuse: what was read so far must do
        pass
    return records


def find_dialect(text: str, quotes: int) -> Dialect:
    """Find out how cells are kept apart.

    Parameters
    ----------
    text : str
        The head of the file.
    quotes : int
        Double quotes in the whole file.
    """
    named = _SEP_LINE.match(text)
    if named:
        delimiter, skip = named[1], 1
        text = text[named.end() :]
    else:
        delimiter, skip = find_delimiter(text), 0
    quoted = not (quotes and _are_strays(text, delimiter, quotes))
    return Dialect(delimiter, quoted, skip)


def is_lines(text: str) -> bool:
    """Whether a text is one text a line: no delimiter agrees on 9 of 10 lines, and lines have 3 words on average."""
    lines = [line for line in text.splitlines()[:_SNIFF_RECORDS] if line.strip()]
    if not lines or sum(map(count_words, lines)) < 3 * len(lines):
        return False
    for delimiter in DELIMITERS:
        counts = [line.count(delimiter) for line in lines]
        if counts[0] and counts.count(counts[0]) >= 0.9 * len(counts):
            return False
    return True


def find_delimiter(text: str) -> str:
    """The delimiter under which most records have equally many cells.

    In a tie, the one whose cells hold fewer of the other delimiters (a comma may be a decimal sign or part of a text,
    the others are rare in cells); then the one that gives more columns.
    """
    best, best_score = ",", (0.0, 0.0, 0)
    for delimiter in DELIMITERS:
        rows = [record.cells for record in read_records(text, Dialect(delimiter), _SNIFF_RECORDS)]
        if not rows:
            continue
        width = _common_width(rows)
        if width < 2:
            continue
        agree = sum(len(row) == width for row in rows) / len(rows)
        others = _RARE.replace(delimiter, "")
        cells = [cell for row in rows for cell in row]
        mixed = sum(any(sign in cell for sign in others) for cell in cells) / len(cells)
        score = (agree, -mixed, width)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _common_width(rows: Sequence[Sequence[str]]) -> int:
    """The header's width, unless nearly all rows have another: titles above a table are narrower than it."""
    widths = [len(row) for row in rows]
    most = max(set(widths), key=widths.count)
    return most if widths.count(most) >= 0.8 * len(widths) else widths[0]


def _are_strays(text: str, delimiter: str, quotes: int) -> bool:
    """Whether quotes are part of the cells: without them every line is a record, with them lines would be swallowed."""
    whole = text.rpartition("\n")[0] or text
    plain = read_records(whole, Dialect(delimiter, quoted=False), 1 + whole.count("\n"))
    if not plain:
        return False
    width = len(plain[0].cells)
    if width < 2 or any(len(record.cells) != width for record in plain):
        return False
    if quotes % 2:  # where quoting is the rule, one that is never closed is an error, which `csv_file` reports
        return delimiter == "\t"
    return len(read_records(whole, Dialect(delimiter), len(plain))) < len(plain)
