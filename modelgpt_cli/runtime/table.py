"""The rows of a table, chunk by chunk, as the model's columns: the source of all domains that read tables."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data
    from modelgpt_cli.data.readers import Table
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")


class Rows:
    """A table, or a folder that reads like one, as a model sees it: one pass after another at constant memory.

    Follows `runtime.feed.Source`, `HasColumns` and `Parted`.

    Parameters
    ----------
    model : Model
        Names the columns that are wanted.
    data : path-like, DataFrame, mapping, sequence of mappings, or ndarray
        Anything that `open_table` reads.
    labelled : bool
        Whether the true values are wanted; of a folder, its test file is taken then, where it has one.
    target : str, optional
        The column of true values; the model's own by default.

    Raises
    ------
    ModelGPTError
        The table can't be read, or lacks most of the model's columns.
    UsageError
        It lacks the column of true values, or that is one of the model's inputs.
    """

    def __init__(self, model: Model, data: Data | Table, *, labelled: bool = False, target: str | None = None) -> None:
        from modelgpt_cli.data.readers import open_table

        self.findings = Findings()
        self._table = open_table(data)
        if labelled and self._table.test_path is not None:
            logger.info("Measured on %s.", self._table.test_path)
            self._table = open_table(self._table.test_path)
        if labelled and model.multi_label:
            from modelgpt_cli.data.label_cells import known_label_table

            self._table = known_label_table(self._table, target or model.target, model.labels, model.separator)
        self.name = self._table.name
        self.columns = list(self._table.columns)
        self.target = target or model.target
        present = set(self.columns)
        self._inputs = [i.as_column for i in model.inputs if i.column in present]
        self._names = [i.column for i in model.inputs], self.columns
        self._known = {self.target, *known_columns(model)}
        self.kept_columns: Sequence[str] = ()
        self.total = self._table.expected_rows
        check_columns(model, self.columns, self.name)
        self._truth: Column | None = None
        if labelled:
            self._check_target(model)
            kind = "numeric" if model.task == "regression" else "categorical"
            levels = () if model.multi_label else model.labels  # the cells are lists of these
            self._truth = Column(self.target, kind, levels=levels, reading=model.target_reading)

    def keep(self, columns: Sequence[str]) -> None:
        """Hand on the raw cells of these columns as `Chunk.kept`."""
        from modelgpt_cli.data.readers import no_such_column

        for name in columns:
            if name not in self.columns:
                raise no_such_column(name, self._table)
        self.kept_columns = tuple(columns)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the typed rows, at most so many at a time.

        The next chunk is read in a second thread while the caller works on this one.
        """
        frames = self._frames(rows, [*self._inputs, *([self._truth] if self._truth else [])])
        with ThreadPoolExecutor(max_workers=1) as pool:
            upcoming = pool.submit(next, frames, None)
            while (found := upcoming.result()) is not None:
                upcoming = pool.submit(next, frames, None)
                n_rows, columns, kept = found
                if n_rows:
                    yield Chunk(n_rows, columns, truth=columns[self._truth.name] if self._truth else None, kept=kept)

    def _frames(self, rows: int, columns: list[Column]) -> Iterator[tuple[int, dict[str, np.ndarray], dict[str, Any]]]:
        from modelgpt_cli.data.typing import typed_and_odd

        self.findings = Findings()
        self.findings.compare_columns(*self._names, self._known)
        names = dict.fromkeys([*(column.name for column in columns), *self.kept_columns])
        for frame in self._table.frames(rows, list(names)):
            cells, odd = typed_and_odd(frame, columns)
            self.findings.rows += len(cells)
            for column in columns:
                raw, read = frame[column.name], cells[column.name]
                known = column if column is not self._truth else _kind_alone(column)
                self.findings.add(known, read, odd.get(column.name), raw)
            kept = {name: frame[name].tolist() for name in self.kept_columns}
            yield len(cells), {column.name: cells[column.name].to_numpy() for column in columns}, kept

    def parts(self, sizes: Sequence[int]) -> tuple[Chunk, list[Findings]]:
        """Type all rows at once, and count what each part of them holds; see `runtime.feed.Parted`."""
        import pandas as pd

        from modelgpt_cli.data.typing import typed_and_odd

        self.findings = whole = Findings()
        whole.compare_columns(*self._names, self._known)
        frames = list(self._table.frames(max(1, sum(sizes)), [column.name for column in self._inputs]))
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        cells, odd = typed_and_odd(frame, self._inputs)
        whole.rows = len(cells)
        for column in self._inputs:
            whole.add(column, cells[column.name], odd.get(column.name), frame[column.name])
        chunk = Chunk(len(cells), {column.name: cells[column.name].to_numpy() for column in self._inputs})
        found, start = [], 0
        for size in sizes:
            end = start + size
            part = replace(whole, rows=size, columns={})
            for column in self._inputs:
                if column.name in whole.columns:  # else no part has anything to tell
                    own = None if column.name not in odd else odd[column.name][start:end]
                    part.add(column, cells[column.name].iloc[start:end], own, frame[column.name].iloc[start:end])
            found.append(part)
            start = end
        return chunk, found

    def report(self) -> None:
        """Warn of what the model was not made for, once all chunks are through."""
        self.findings.warn()

    def _check_target(self, model: Model) -> None:
        if self.target in {i.column for i in model.inputs}:
            raise UsageError(f"'{self.target}' is one of the model's inputs.", "Its true values are in another column.")
        if self.target in self.columns:
            return
        near = difflib.get_close_matches(self.target, self.columns, n=1)
        raise UsageError(
            f"{self.name} has no column '{self.target}'.",
            f"It has: {', '.join(self.columns[:20])}{', ...' if len(self.columns) > 20 else ''}.",
            (f"Did you mean '{near[0]}'? " if near else "") + "Name the column of true values with --target.",
        )


def known_columns(model: Model) -> set[str]:
    """Return the columns that a model's data had beside its inputs."""
    return {model.target, *(c["name"] for c in model.metadata.get("dropped", ()))}


def check_columns(model: Model, columns: Sequence[str], name: str) -> None:
    """Make sure that data have at least half of a model's columns.

    Raises
    ------
    ModelGPTError
        They lack more.
    """
    present = set(columns)
    missing = [i.column for i in model.inputs if i.column not in present]
    if 2 * len(missing) <= len(model.inputs):
        return
    names = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
    raise ModelGPTError(
        f"{name} lacks {len(missing)} of the model's {len(model.inputs)} columns: {names}.",
        f"It has: {', '.join(columns[:20])}{', ...' if len(columns) > 20 else ''}.",
        f"See the model's inputs: modelgpt inspect {model.path}",
    )


def _kind_alone(truth: Column) -> Column:
    """The column of true values without what it may hold: unknown labels are told of apart, and no range is wanted."""
    return replace(truth, levels=(), low=None, high=None)
