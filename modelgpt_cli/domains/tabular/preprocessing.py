"""Typed frames to arrays: which numeric sources and which level codes a table's columns give.

Shapes: n rows, s numeric sources, c categorical columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.domains.tabular.encoder import MISSING, UNSEEN
from modelgpt_cli.domains.tabular.features import CELL_LIMIT
from modelgpt_cli.domains.tabular.text_columns import TextProjection, fit_projection

DATE_PARTS = ("days", "year", "week", "day")
"""Of a datetime: the days themselves, the phase in the year, the day of the week, the phase in the day."""
YEAR = 365.2425


@dataclass(frozen=True)
class Source:
    """A numeric source: a numeric column, or one part of a datetime column."""

    column: int
    part: str = "value"


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
    """

    columns: tuple[Column, ...]
    levels: tuple[tuple[str, ...], ...]
    texts: tuple[TextProjection, ...] = ()

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
        return found

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
        x = np.zeros((len(frame), len(self.sources)), dtype=np.float32)
        cells: dict[int, np.ndarray] = {}
        parts = {
            (i, part): values
            for i, project in zip(self.textual, self.texts, strict=True)
            for part, values in zip(
                text_parts(self.columns[i]), project(frame[self.columns[i].name].tolist()).T, strict=True
            )
        }
        for j, source in enumerate(self.sources):
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
        return x, codes


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
    columns: Sequence[Column], frame: pd.DataFrame | None = None, texts: tuple[TextProjection, ...] = ()
) -> TablePreprocessor:
    """The preprocessor of used columns.

    Levels are taken from the frame where one is given (most frequent first, at most as many as `Column.levels` may
    hold), else from the columns themselves; so are the projections of text columns, else they are `texts`.
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
        levels.append(tuple(str(v) for v in names[:MAX_LEVELS]))
    if frame is not None:
        texts = tuple(fit_projection(frame[c.name].tolist(), c.components) for c in used if c.is_text)
    return TablePreprocessor(used, tuple(levels), texts)
