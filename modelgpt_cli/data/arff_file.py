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
from modelgpt_cli.data.encoding import open_bytes, read_facts

_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+)\s+(.+)", re.IGNORECASE)


class ArffFile:
    """A dense ARFF file, read as text cells; null where a cell is ``?``.

    Attributes
    ----------
    columns : list of str
        The attributes.
    categorical : set of str
        Those that are declared with a list of values.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.encoding = read_facts(path, name).encoding
        self.columns: list[str] = []
        self.categorical: set[str] = set()
        for _, line in self._lines():
            if line.lower().startswith("@data"):
                break
            found = _ATTRIBUTE.match(line)
            if found:
                column = _unquote(found[1])
                self.columns.append(column)
                if found[2].startswith("{"):
                    self.categorical.add(column)
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
            quote = '"' if '"' in line and "'" not in line else "'"
            cells = next(csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True))
            if len(cells) != len(self.columns):
                raise ModelGPTError(
                    f"{self.name}: line {number} has {len(cells)} cells for {len(self.columns)} attributes.",
                    f"It reads: {line[:80]}",
                    "Mend or remove the line.",
                )
            yield [None if cell.strip() in ("", "?") else cell.strip() for cell in cells]

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        places = {name: self.columns.index(name) for name in columns}
        lines = self._rows()
        while chunk := list(islice(lines, rows)):
            yield pd.DataFrame({name: pd.Series([r[j] for r in chunk], dtype=object) for name, j in places.items()})


def _unquote(name: str) -> str:
    if name[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name
