"""Cells that hold any number of labels: as files have them, as a JSON list, as numbers, and tables of them.

Below `label_sets`, which finds where a table has them.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.target import list_words

JOINED = ";"
"""What stands between the labels of a row where they are written."""
YES, NO = frozenset({"1", "true"}), frozenset({"0", "false"})
"""Cells, in small letters, of a column that says whether a row has a label."""


@dataclass(frozen=True)
class LabelSets:
    """Where a table has the labels of its rows.

    Attributes
    ----------
    target : str
        What the target is called.
    columns : tuple of str
        The columns of 0 and 1, each called as its label; empty where the target is a column of lists.
    separator : str
        What stands between labels in a cell that is no JSON list.
    doubt : str
        Why it may be something else; "" where nothing speaks for that.
    """

    target: str
    columns: tuple[str, ...] = ()
    separator: str = JOINED
    doubt: str = ""

    def words(self) -> str:
        """Say what was found."""
        if self.columns:
            return f"Multi-label: each of the columns {list_words(self.columns)} says whether a row has that label."
        return f"Multi-label: the column {self.target!r} holds any number of labels a row."


def parse_labels(cell: str) -> tuple[str, ...]:
    """Read a cell that `format_labels` wrote."""
    return tuple(json.loads(cell))


def format_labels(labels: Sequence[str]) -> str:
    """Write labels as a JSON list: each once, sorted."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def split_cell(cell: str, separator: str) -> tuple[str, ...]:
    """Read a cell of any file: a list as JSON or Python writes it, or labels with something between them."""
    found = read_list(cell)
    return tuple(part for part in map(str.strip, cell.split(separator)) if part) if found is None else found


def read_list(cell: str) -> tuple[str, ...] | None:
    """A list of labels as JSON or Python writes it; None where it is none."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(found, list) or not all(isinstance(part, (str, int)) for part in found):
        return None
    return tuple(str(part).strip() for part in found if str(part).strip())


def multi_hot(cells: Sequence[str] | np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Cells as `format_labels` writes them, (N,), as float32 (N, C); labels not among `labels` are left out."""
    place = {label: k for k, label in enumerate(labels)}
    found = np.zeros((len(cells), len(labels)), dtype=np.float32)
    for row, cell in enumerate(cells):
        found[row, [place[label] for label in parse_labels(cell) if label in place]] = 1
    return found


class _LabelCells:
    """The cells of a table, the target's as JSON lists. Follows `readers.RawCells`."""

    def __init__(self, table: Table, sets: LabelSets) -> None:
        self._table, self._sets = table, sets
        kept = [name for name in table.columns if name not in sets.columns]
        self.columns = [*kept, sets.target] if sets.columns else kept
        self.declared: dict[str, Column] = {name: c for name, c in table.declared.items() if name in kept}
        self.declared.pop(sets.target, None)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows, at most `rows` at a time."""
        sets = self._sets
        own = sets.columns or (sets.target,)
        asked = [name for name in columns if name != sets.target]
        read = [*asked, *own] if sets.target in columns else asked
        for frame in self._table.frames(rows, read):
            if sets.target not in columns:
                yield frame
                continue
            found = frame[asked].copy()
            found[sets.target] = _labels_of(frame, sets)
            yield found[list(columns)]

    def fingerprint(self) -> str:
        """The table's own."""
        return self._table.fingerprint()


def _labels_of(frame: pd.DataFrame, sets: LabelSets) -> pd.Series:
    """The target's cells of some rows; None where one is missing."""
    if not sets.columns:
        cells = texts(to_arrow(frame[sets.target])).to_pylist()
        read = {cell: format_labels(split_cell(cell, sets.separator)) for cell in set(cells) - {None}}
        return pd.Series([read.get(cell) for cell in cells], index=frame.index, dtype=object)
    columns = {name: texts(to_arrow(frame[name])).to_pylist() for name in sets.columns}
    for name, column in columns.items():
        odd = next((c for c in column if c is not None and c.lower() not in YES | NO), None)
        if odd is not None:
            raise ModelGPTError(
                f"The column {name!r} says whether a row has that label, and holds {odd[:40]!r}.",
                "It is 1 or 0.",
                "Mend the cell, or take the column out of the labels.",
            )
    found: list[str | None] = []
    for row in zip(*columns.values(), strict=True):
        if any(cell is None for cell in row):
            found.append(None)
        else:
            given = [name for name, cell in zip(columns, row, strict=True) if cell.lower() in YES]
            found.append(format_labels(given))
    return pd.Series(found, index=frame.index, dtype=object)


def label_table(table: Table, sets: LabelSets) -> Table:
    """Return a table whose target's cells are JSON lists."""
    made = copy.copy(table)
    cells = _LabelCells(table, sets)
    made.cells, made.columns, made.declared = cells, list(cells.columns), cells.declared
    return made


def known_label_table(table: Table, target: str, labels: Sequence[str], separator: str) -> Table:
    """Return a table with the true labels of a model's rows as JSON lists; as it is, where it has none."""
    if target in table.columns:
        return label_table(table, LabelSets(target, separator=separator))
    if all(label in table.columns for label in labels):
        return label_table(table, LabelSets(target, tuple(labels)))
    return table
