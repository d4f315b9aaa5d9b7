"""Typed frames to arrays: which numeric sources and which level codes a table's columns give.

Shapes: n rows, s numeric sources, c categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.domains.tabular.encoder import MISSING, UNSEEN
from modelgpt_cli.domains.tabular.features import CELL_LIMIT
from modelgpt_cli.domains.tabular.text_columns import TextProjection, fit_projection

DATE_PARTS = ("days", "year", "week", "day")
"""Of a datetime: the days themselves, the phase in the year, the day of the week, the phase in the day."""
YEAR = 365.2425
LEVELS = "levels."
"""So begin the names of the look-ups in an artifact."""
MOST_LEVELS = 25_000
"""Levels of a column that a look-up holds. A build's sample of 50,000 rows has no more of two rows or more, and of a
level with one row no other row tells. Each takes some 60 bytes of the file, most of them its name."""


@dataclass(frozen=True)
class Source:
    """A numeric source: a numeric column, or one part of a datetime column."""

    column: int
    part: str = "value"


@dataclass(frozen=True)
class LevelStatistics:
    """Numbers of each level of a column; see `level_statistics`.

    Attributes
    ----------
    table : float32 (L + 2, S)
        Of each level, then of a missing cell, then of an unseen level.
    """

    table: np.ndarray

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Numbers of level codes (n,), float32 (n, S)."""
        L = len(self.table) - 2
        found: np.ndarray = self.table[np.where(codes < 0, L - 1 - codes, codes)]
        return found


@dataclass(frozen=True)
class TablePreprocessor:
    """The used columns, with the levels of the categorical ones.

    Attributes
    ----------
    columns : tuple of Column
        Used columns alone, in the schema's order.
    levels : tuple of tuple of str
        Of each boolean or categorical column, in order.
    texts : tuple of TextProjection
        Of each text column, in order.
    statistics : tuple of LevelStatistics or None
        Of each boolean or categorical column, in order; empty where none has any.
    """

    columns: tuple[Column, ...]
    levels: tuple[tuple[str, ...], ...]
    texts: tuple[TextProjection, ...] = ()
    statistics: tuple[LevelStatistics | None, ...] = ()

    @property
    def sources(self) -> list[Source]:
        """The numeric sources, in order."""
        found = []
        for i, column in enumerate(self.columns):
            if column.type == "numeric":
                found.append(Source(i))
            elif column.type == "datetime":
                found += [Source(i, part) for part in DATE_PARTS]
            elif column.is_text:
                found += [Source(i, part) for part in text_parts(column)]
        return found + self._level_sources

    @property
    def _level_sources(self) -> list[Source]:
        """The statistics of categorical columns, which come last."""
        pairs = zip(self.categorical, self.statistics, strict=True) if self.statistics else ()
        return [Source(i, f"level {k}") for i, found in pairs if found is not None for k in range(found.table.shape[1])]

    @property
    def categorical(self) -> list[int]:
        """Indices of the boolean and categorical columns."""
        return [i for i, c in enumerate(self.columns) if not c.is_float and not c.is_text]

    @property
    def textual(self) -> list[int]:
        """Indices of the text columns."""
        return [i for i, c in enumerate(self.columns) if c.is_text]

    def arrays(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """A typed frame's rows.

        Returns
        -------
        x : float32 (n, s)
            NaN = missing, clipped to what the graph can hold.
        codes : int64 (n, c)
            Level codes, `MISSING` or `UNSEEN`.
        """
        sources = self.sources[: len(self.sources) - len(self._level_sources)]
        x = np.zeros((len(frame), len(sources)), dtype=np.float32)
        cells: dict[int, np.ndarray] = {}
        parts = {
            (i, part): values
            for i, project in zip(self.textual, self.texts, strict=True)
            for part, values in zip(
                text_parts(self.columns[i]), project(frame[self.columns[i].name].tolist()).T, strict=True
            )
        }
        for j, source in enumerate(sources):
            if self.columns[source.column].is_text:
                x[:, j] = parts[source.column, source.part]
                continue
            if source.column not in cells:
                raw = frame[self.columns[source.column].name].to_numpy(dtype=np.float64, na_value=np.nan)
                cells[source.column] = np.clip(raw, -CELL_LIMIT, CELL_LIMIT).astype(np.float32)
            x[:, j] = date_part(cells[source.column], source.part)
        codes = np.zeros((len(frame), len(self.levels)), dtype=np.int64)
        for j, (i, levels) in enumerate(zip(self.categorical, self.levels, strict=True)):
            codes[:, j] = level_codes(frame[self.columns[i].name], levels)
        looked_up = [found(codes[:, j]) for j, found in enumerate(self.statistics) if found is not None]
        return np.concatenate([x, *looked_up], axis=1) if looked_up else x, codes


def text_parts(column: Column) -> list[str]:
    """The numeric sources of a text column: its components, and whether there is a text."""
    return [*(f"component {j}" for j in range(column.components)), "present"]


def date_part(days: np.ndarray, part: str) -> np.ndarray:
    """One part of dates given as float32 days since 1970-01-01; the same float32 arithmetic as in the graph."""
    whole = np.floor(days)
    parts = days
    if part == "year":
        parts = days - np.floor(days / np.float32(YEAR)) * np.float32(YEAR)
    elif part == "week":
        shifted = whole + np.float32(3)  # 1970-01-01 was a Thursday; 0 = Monday
        parts = shifted - np.floor(shifted / np.float32(7)) * np.float32(7)
    elif part == "day":
        parts = days - whole
    return parts


def level_codes(cells: pd.Series, levels: Sequence[str]) -> np.ndarray:
    """Level codes of one column, int64 (n,)."""
    vocabulary = pd.Index(np.asarray(levels, dtype=object))
    codes: np.ndarray = vocabulary.get_indexer(pd.Index(cells.to_numpy(dtype=object))).astype(np.int64)
    codes[codes < 0] = UNSEEN
    codes[cells.isna().to_numpy()] = MISSING
    return codes


def make_preprocessor(
    columns: Sequence[Column],
    frame: pd.DataFrame | None = None,
    texts: tuple[TextProjection, ...] = (),
    statistics: tuple[LevelStatistics | None, ...] = (),
    *,
    many_levels: bool = False,
) -> TablePreprocessor:
    """The preprocessor of used columns.

    Levels are taken from the frame where one is given (most frequent first, at most `MAX_LEVELS`), else from the
    columns themselves; so are the projections of text columns, else they are `texts`.

    Parameters
    ----------
    many_levels : bool
        Keep more levels of a frame, for `level_statistics.add_statistics`: those of two rows or more.
    """
    used = tuple(c for c in columns if c.used)
    levels = []
    for column in used:
        if column.is_float or column.is_text:
            continue
        if frame is None:
            levels.append(column.levels)
            continue
        counts = frame[column.name].value_counts()
        names = sorted(counts.index, key=lambda v: (-counts[v], v))
        most = MAX_LEVELS
        if many_levels and len(names) > most:
            most = max(most, min(MOST_LEVELS, int((counts > 1).sum())))
        levels.append(tuple(str(v) for v in names[:most]))
    if frame is not None:
        texts = tuple(fit_projection(frame[c.name].tolist(), c.components) for c in used if c.is_text)
    return TablePreprocessor(used, tuple(levels), texts, statistics)


def statistics_state(statistics: Sequence[LevelStatistics | None]) -> dict[str, Tensor]:
    """Return the look-ups as tensors, named as in the artifact."""
    return {f"{LEVELS}{j}": torch.from_numpy(s.table) for j, s in enumerate(statistics) if s is not None}


def read_statistics(state: Mapping[str, Tensor], columns: int) -> tuple[LevelStatistics | None, ...]:
    """Return the look-ups in a model's constants, one of each categorical column that has one."""
    names = [f"{LEVELS}{j}" for j in range(columns)]
    if not any(name in state for name in names):
        return ()
    return tuple(LevelStatistics(state[name].numpy()) if name in state else None for name in names)
