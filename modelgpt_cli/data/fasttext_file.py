"""Texts as fastText reads them: ``__label__x`` before each text, one a line. First step on the way of the data."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.data.encoding import open_bytes, read_facts

PREFIX = "__label__"
_LABEL = "label"
_PROBE = 10_000


class FastTextFile:
    """Lines that begin with a label, or with several, each ``__label__`` and a word. Follows `readers.RawCells`.

    Parameters
    ----------
    path : Path
    name : str
        What messages call it.
    """

    def __init__(self, path: Path, name: str) -> None:
        facts = read_facts(path, name)
        self.columns = [FREE_TEXT, _LABEL]
        self.encoding, self.expected_rows = facts.encoding, facts.lines
        self._path, self._name = path, name
        self._several = any(len(labels) > 1 for _, labels in islice(self._rows(), _PROBE))

    def _rows(self) -> Iterator[tuple[str, list[str]]]:
        with open_bytes(self._path) as raw, io.TextIOWrapper(raw, self.encoding, "replace") as file:
            for line in file:
                if line.strip():
                    yield read_line(line)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows, at most `rows` at a time; labels are lists where a row may have several.

        Raises
        ------
        ModelGPTError
            A late line has several labels where the first ones have one.
        """
        lines = self._rows()
        while chunk := list(islice(lines, rows)):
            late = next((labels for _, labels in chunk if len(labels) > 1), None)
            if late and not self._several:
                raise ModelGPTError(
                    f"{self._name}: a late line has several labels: {', '.join(late)[:80]}.",
                    f"The first {_PROBE:,} lines have one each.",
                    "Put a line with several among the first.",
                )
            cells = {
                FREE_TEXT: [text for text, _ in chunk],
                _LABEL: [labels if self._several else next(iter(labels), None) for _, labels in chunk],
            }
            yield pd.DataFrame({name: pd.Series(cells[name], dtype=object) for name in columns})


def read_line(line: str) -> tuple[str, list[str]]:
    """Return the text of a line, and its labels.

    Examples
    --------
    >>> read_line("__label__warm __label__funny , a film to see again")
    ('a film to see again', ['warm', 'funny'])
    """
    labels = []
    rest = line.strip()
    while rest.startswith(PREFIX):
        first, _, rest = rest.partition(" " if "\t" not in rest.split(" ")[0] else "\t")
        labels.append(first.removeprefix(PREFIX).rstrip(","))
        rest = rest.lstrip()
        if rest.startswith(", "):
            rest = rest[2:].lstrip()
    return rest, labels
