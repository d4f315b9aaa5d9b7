"""ARFF (Weka's format) as frames of raw cells. First step on the way of the data, beside `csv_file`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.reading import MARKERS, PLAIN, ReadingRule
from modelgpt_cli.core.schema import FREE_TEXT, Column
from modelgpt_cli.data.dates import ISO
from modelgpt_cli.data.encoding import open_bytes, read_facts

_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+)\s+(.+)", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<letters>([A-Za-z])\2*)|'(?P<quoted>[^']*)'|(?P<sign>.)")
"""A part of Java's format of a date."""
_NUMBERS = ("numeric", "real", "integer")
_JAVA_DATES = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%b", "MMM": "%b", "MM": "%m", "M": "%m", "dd": "%d", "d": "%d", "HH": "%H",
    "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "ss": "%S", "SSS": "%f", "a": "%p",
}  # fmt: skip
"""Letters of Java's date formats → strptime's; months' names as `dates` has them."""


class ArffFile:
    """A dense ARFF file, read as text cells; null where a cell is ``?``.

    Attributes
    ----------
    columns : list of str
        The attributes.
    declared : dict of str to Column
        What the file says of them; see `Table.declared`.
    expected_rows : int
        How many there are, unless comments stand between them.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        facts = read_facts(path, name)
        self.encoding = facts.encoding
        self.columns: list[str] = []
        self.declared: dict[str, Column] = {}
        for number, line in self._lines():
            if line.lower().startswith("@data"):
                self.expected_rows = facts.lines - number
                break
            found = _ATTRIBUTE.match(line)
            if found:
                column = _unquote(found[1])
                self.columns.append(column)
                if known := _declared(column, found[2].strip()):
                    self.declared[column] = known
        else:
            raise ModelGPTError(f"{name} is an ARFF file without @data.", "", "Copy or download the file again.")

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers, without comments and empty ones."""
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.startswith("%"):
                    yield number, line.strip()

    def _rows(self) -> Iterator[list[str | None]]:
        lines = self._lines()
        for _, line in lines:
            if line.lower().startswith("@data"):
                break
        for number, line in lines:
            if line.startswith("{"):
                raise ModelGPTError(
                    f"{self.name} is a sparse ARFF file, which can't be read.", "", "Save it as CSV and give that."
                )
            cells = _split(line)
            if len(cells) != len(self.columns):
                raise ModelGPTError(
                    f"{self.name}: line {number} has {len(cells)} cells for {len(self.columns)} attributes.",
                    f"It reads: {line[:80]}",
                    "Mend or remove the line.",
                )
            yield [None if cell in ("", "?") else cell for cell in cells]

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        places = {name: self.columns.index(name) for name in columns}
        lines = self._rows()
        while chunk := list(islice(lines, rows)):
            yield pd.DataFrame({name: pd.Series([r[j] for r in chunk], dtype=object) for name, j in places.items()})


def _split(line: str) -> list[str]:
    """The cells of a line, or the values of a list of them."""
    quote = '"' if '"' in line and "'" not in line else "'"
    cells = next(csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True))
    return [cell.strip() for cell in cells]


def _unquote(name: str) -> str:
    if name[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def _declared(name: str, kind: str) -> Column | None:
    """What an attribute is declared to be; None where that is nothing known."""
    if kind.startswith("{"):
        levels = tuple(dict.fromkeys(level for level in _split(kind[1:].rpartition("}")[0]) if level))
        missing = tuple(marker for marker in MARKERS if marker and marker not in levels)
        return Column(name, "categorical", levels=levels, reading=_rule(missing))
    word, _, form = kind.partition(" ")
    if word.lower() in _NUMBERS:
        return Column(name, "numeric")
    if word.lower() == "string":
        return Column(name, FREE_TEXT)
    if word.lower() == "date":
        return Column(name, "datetime", reading=ReadingRule(format=_strptime(form.strip().strip("\"'"))))
    return None


def _rule(missing: tuple[str, ...]) -> ReadingRule:
    """The rule by which these cells are missing; the plain one where they are those that always are."""
    return PLAIN if ("", *missing) == MARKERS else ReadingRule(missing=missing)


def _strptime(form: str) -> str:
    """Java's format of a date as the one of a reading rule; "" where there is none. ARFF's default is ISO 8601."""
    if not form or form.startswith("yyyy-MM-dd"):
        return ISO
    found = ""
    for token in _TOKEN.finditer(form):
        letters = token["letters"]
        if letters and letters not in _JAVA_DATES:
            return ""
        found += _JAVA_DATES[letters] if letters else token["quoted"] or token["sign"] or ""
    return re.sub(" ?%p", " %p", re.sub("[,T ]+(?=%[HI])", " ", found))  # as `dates` unifies cells
