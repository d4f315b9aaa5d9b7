"""The schema of a table: what every later step knows about the columns. First dataclass on the way of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from modelgpt_cli.core.domain import all_domains, default_domain
from modelgpt_cli.core.reading import PLAIN, ReadingRule

TaskType = str
"""One of `task_types`."""
TASK_TYPES = ("classification", "regression")
"""Those that models of several domains have."""

ColumnType = str
"""One of `column_types`."""
USED_TYPES = ("numeric", "boolean", "categorical", "datetime")
FREE_TEXT: Final = "text"
"""The type of a column of free text."""
DROPPED_TYPES = ("identifier", "constant")
MAX_LEVELS = 64


@dataclass(frozen=True)
class Column:
    """One input column.

    A *typed frame* holds numeric and datetime columns as float64 (NaN = missing; datetimes as days since 1970-01-01,
    fractions for the time of day) and all others as object columns of `str` (None = missing).
    """

    name: str
    type: ColumnType
    description: str = ""
    levels: tuple[str, ...] = ()
    """Boolean and categorical: the levels seen, most frequent first, at most `MAX_LEVELS`."""
    n_levels: int = 0
    """Boolean and categorical: how many different levels the scan saw."""
    mean: float | None = None
    """Numeric and datetime: mean over the sample's present values."""
    std: float | None = None
    """Numeric and datetime: standard deviation over the sample's present values."""
    low: float | None = None
    """Numeric and datetime: the smallest value of the sample."""
    high: float | None = None
    """Numeric and datetime: the largest value of the sample."""
    missing: float = 0.0
    """Share of missing cells, 0 to 1."""
    note: str = ""
    """Why the column is dropped, or what was noticed about it."""
    reading: ReadingRule = PLAIN
    """How its cells are written."""
    components: Annotated[int, range(1 << 16)] = 0
    """Free text among other columns: how many numbers its embedding is reduced to; 0 where the column is dropped."""
    role: str = ""
    """What the column is to the domain's models: one of `Domain.roles`. "" in domains that have none, and where the
    column is dropped."""

    @property
    def used(self) -> bool:
        """Whether the column becomes an input of the model."""
        return self.type in USED_TYPES or self.components > 0 or bool(self.role)

    @property
    def is_known(self) -> bool:
        """Whether its cells have been looked at, or it says how they are written: then its rule holds."""
        return self.reading != PLAIN or bool(self.levels) or self.mean is not None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """`low` and `high`; None where they are not known."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def is_float(self) -> bool:
        """Whether its cells are numbers (float32 in the graph) rather than strings."""
        return self.type in ("numeric", "datetime")

    @property
    def is_text(self) -> bool:
        """Whether it holds free text (token ids in the graph)."""
        return self.type == FREE_TEXT


@dataclass(frozen=True)
class Schema:
    """The input columns, in the file's order, and the target."""

    columns: tuple[Column, ...]
    target: str
    task: TaskType
    classes: tuple[str, ...] = ()
    """Classification: the class names, sorted (numerically where all are numbers). Empty for regression."""
    domain: str = field(default_factory=default_domain)
    """The name of a `Domain`. Where it has roles, the columns with one are the only ones used."""
    target_reading: ReadingRule = PLAIN
    """How the cells of the target are written."""
    multi_label: bool = False
    """Whether a row has any number of the classes; the target's cells are then JSON lists of them."""

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that become inputs of the model."""
        return tuple(c for c in self.columns if c.used)

    @property
    def dropped(self) -> tuple[Column, ...]:
        """The columns left out, each with its `note`."""
        return tuple(c for c in self.columns if not c.used)


def task_types() -> tuple[str, ...]:
    """Return all kinds of tasks: those of several domains, and those that a domain alone has."""
    return (*TASK_TYPES, *(domain.task for domain in all_domains() if domain.task))


def column_types() -> tuple[str, ...]:
    """Return all types that a column can have: those of tables, and those that a domain's columns alone have."""
    common = (*USED_TYPES, FREE_TEXT)
    own = (kind for domain in all_domains() for kind in domain.roles.values())
    return (*common, *dict.fromkeys(kind for kind in own if kind not in common), *DROPPED_TYPES)
