"""What rows hold that a model was not made for: counted column by column while they pass. Beside `table`.

Shapes: N rows of a chunk.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import VerificationError

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.core.schema import Column

logger = logging.getLogger("modelgpt")

_SHOWN = 10
_EXAMPLES = 3
_MAX_LEVELS = 1_000
"""So many different unknown levels of a column are kept apart; further ones are counted only."""
MARGIN = 0.1
"""Values that lie beyond those of the build by more than this share of their range are counted as outside."""
_ALIKE = 0.6


@dataclass
class ColumnFindings:
    """What was found in one column.

    Attributes
    ----------
    unknown : int
        Cells with a level that the model doesn't know.
    levels : Counter
        These levels, the first 1,000 of them.
    odd : int
        Cells that are no number or date, where one is wanted; they count as missing.
    odd_cell : str
        One of them.
    outside : int
        Values beyond those of the build by more than a tenth of their range.
    low, high : float
        The smallest and the largest of these.
    """

    unknown: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    odd: int = 0
    odd_cell: str = ""
    outside: int = 0
    low: float = np.inf
    high: float = -np.inf

    def to_dict(self) -> dict[str, Any]:
        """Return what there is, as JSON values."""
        values: dict[str, Any] = {}
        if self.unknown:
            values |= {"unknown_levels": self.unknown, "levels": dict(self.levels.most_common(_SHOWN))}
        if self.odd:
            values |= {"not_of_the_kind": self.odd, "such_as": self.odd_cell}
        if self.outside:
            values |= {"outside_range": self.outside, "from": self.low, "to": self.high}
        return values


@dataclass
class Findings:
    """What was found in all rows.

    Attributes
    ----------
    rows : int
    columns : dict of str to ColumnFindings
        The columns with something to say.
    missing : list of str
        Columns of the model that the data lack; all their cells count as missing.
    superfluous : list of str
        Columns of the data that are none of the model's.
    renamed : dict of str to str
        Column of the model that the data lack → the superfluous one that it may be.
    """

    rows: int = 0
    columns: dict[str, ColumnFindings] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    superfluous: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the rows are what the model was made for; superfluous columns do no harm."""
        return not self.columns and not self.missing

    def compare_columns(self, wanted: Sequence[str], given: Sequence[str], known: Iterable[str]) -> None:
        """Note which columns are missing, superfluous, or probably renamed.

        Parameters
        ----------
        wanted : sequence of str
            The model's inputs.
        given : sequence of str
            The data's columns.
        known : iterable of str
            Further columns of the data that the model was built from.
        """
        self.missing = [name for name in wanted if name not in set(given)]
        passed_over = {*wanted, *known}
        self.superfluous = [name for name in given if name not in passed_over]
        free = list(self.superfluous)
        for name in self.missing:
            likeness = {other: _likeness(name, other) for other in free}
            best = max(likeness, key=lambda other: likeness[other], default="")
            if best and likeness[best] >= _ALIKE:
                self.renamed[name] = best
                free.remove(best)

    def add(self, column: Column, cells: pd.Series, odd: np.ndarray | None, raw: pd.Series) -> None:
        """Look at one column of a chunk.

        Parameters
        ----------
        column : Column
            As the model card has it.
        cells : Series (N,)
            Typed.
        odd : bool (N,), optional
            Numbers and dates: cells that are none, and not missing.
        raw : Series (N,)
            As they are written.
        """
        if not column.is_float:
            if column.levels:
                self._add_levels(column, cells)
            return
        if odd is not None and odd.any():
            found = self._of(column)
            found.odd += int(odd.sum())
            found.odd_cell = found.odd_cell or str(raw[odd].iloc[0]).strip()[:40]
        if column.bounds is None:
            return
        values = cells.to_numpy(dtype=np.float64)
        outside = are_outside(values, column.bounds)
        if outside.any():
            found = self._of(column)
            found.outside += int(outside.sum())
            found.low = min(found.low, float(values[outside].min()))
            found.high = max(found.high, float(values[outside].max()))

    def _add_levels(self, column: Column, cells: pd.Series) -> None:
        unknown = cells[~cells.isin(column.levels) & cells.notna()]
        if not len(unknown):
            return
        found = self._of(column)
        found.unknown += len(unknown)
        for level, count in unknown.value_counts().items():
            if level in found.levels or len(found.levels) < _MAX_LEVELS:
                found.levels[str(level)] += int(count)

    def _of(self, column: Column) -> ColumnFindings:
        return self.columns.setdefault(column.name, ColumnFindings())

    def to_dict(self) -> dict[str, Any]:
        """Return what there is, as JSON values."""
        values: dict[str, Any] = {"rows": self.rows, "fits": self.fits}
        if self.columns:
            values["columns"] = {name: found.to_dict() for name, found in self.columns.items()}
        for name in ("missing", "superfluous", "renamed"):
            if getattr(self, name):
                values[f"{name}_columns"] = getattr(self, name)
        return values

    def messages(self) -> list[str]:
        """Return a line for each thing that was found, worst first."""
        told = []
        if self.missing:
            names = [f"{n} (renamed to {self.renamed[n]}?)" if n in self.renamed else n for n in self.missing]
            told.append(f"{_columns(len(names))} missing, read as empty cells: {_listed(names)}.")
        lines = [line for name, found in self.columns.items() for line in _lines(name, found)]
        more = len(lines) - _SHOWN
        return [*told, *lines[:_SHOWN], *([f"{more} more such lines are in the JSON."] if more > 0 else [])]

    def warn(self) -> None:
        """Log what was found, once all rows are through."""
        for message in self.messages():
            logger.warning("%s", message)

    def require_fit(self, name: str) -> None:
        """Refuse rows that the model was not made for.

        Raises
        ------
        VerificationError
            There is something to say of them.
        """
        if not self.fits:
            raise VerificationError(
                f"{name} holds what the model was not made for.",
                "\n".join(self.messages()),
                "Mend the data, build the model from data like these, or leave out --strict.",
            )


def are_outside(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Return which values, (N,) bool, lie far outside those of the build; NaN does not."""
    low, high = bounds
    room = MARGIN * (high - low)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (values < low - room) | (values > high + room)
    return found


def _likeness(one: str, other: str) -> float:
    """How alike two names are, 0 to 1; 1 where only case and signs differ, and high where one holds the other."""
    a, b = ("".join(filter(str.isalnum, name.casefold())) for name in (one, other))
    if a == b:
        return 1.0
    if min(len(a), len(b)) >= 3 and (a in b or b in a):
        return 0.9
    return SequenceMatcher(None, a, b).ratio()


def _lines(name: str, found: ColumnFindings) -> list[str]:
    lines = []
    if found.unknown:
        shown = _listed([f"{level!r} ({n:,})" for level, n in found.levels.most_common(_EXAMPLES)], len(found.levels))
        cells = "1 cell has a level" if found.unknown == 1 else f"{found.unknown:,} cells have levels"
        lines.append(f"Column '{name}': {cells} that the model doesn't know: {shown}.")
    if found.odd:
        cells = "1 cell is" if found.odd == 1 else f"{found.odd:,} cells are"
        lines.append(f"Column '{name}': {cells} no number or date, taken as missing, such as {found.odd_cell!r}.")
    if found.outside:
        values = "1 value lies" if found.outside == 1 else f"{found.outside:,} values lie"
        span = f"{found.low:.6g}" if found.low == found.high else f"{found.low:.6g} to {found.high:.6g}"
        lines.append(f"Column '{name}': {values} far outside the values that the model was built from ({span}).")
    return lines


def _columns(n: int) -> str:
    return "1 column of the model is" if n == 1 else f"{n} columns of the model are"


def _listed(names: Sequence[str], total: int | None = None) -> str:
    shown = names[:_SHOWN]
    more = (len(names) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
