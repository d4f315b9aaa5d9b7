"""The schema of a table: what every later step knows about the columns. First dataclass on the way of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ColumnType = Literal["numeric", "boolean", "categorical", "datetime", "text", "image", "identifier", "constant"]
TaskType = Literal["classification", "regression"]

COLUMN_TYPES: tuple[str, ...] = get_args(ColumnType)
TASK_TYPES: tuple[str, ...] = get_args(TaskType)
USED_TYPES = frozenset({"numeric", "boolean", "categorical", "datetime"})
DOMAINS: tuple[str, ...] = ("tabular", "text", "image")
TEXT_ROLES: tuple[str, ...] = ("text", "pair")
"""What a column can be in the text domain: the text that is judged, or the second text of a pair."""
ROLES: tuple[str, ...] = (*TEXT_ROLES, "image")
"""The image domain has one column with a role: the images' places."""


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
    missing: float = 0.0
    """Share of missing cells, 0 to 1."""
    note: str = ""
    """Why the column is dropped, or what was noticed about it."""
    format: str = ""
    """Datetime: the strptime format of its cells, or "ISO8601"; guessed from the cells where empty."""
    components: int = 0
    """Text in a table: how many numbers its embedding is reduced to; 0 where the column is dropped."""
    role: str = ""
    """Text domain: "text", or "pair" for the second text of a pair; image domain: "image". "" in a table, and where the
    column is dropped."""

    @property
    def used(self) -> bool:
        """Whether the column becomes an input of the model."""
        return self.type in USED_TYPES or self.components > 0 or bool(self.role)

    @property
    def is_float(self) -> bool:
        """Whether its cells are numbers (float32 in the graph) rather than strings."""
        return self.type in ("numeric", "datetime")

    @property
    def is_text(self) -> bool:
        """Whether it holds free text (token ids in the graph)."""
        return self.type == "text"


MAX_LEVELS = 64
TEXT_COMPONENTS = 32
"""Principal components of a text column: half as many cost some points of accuracy, twice as many gain none."""
MAX_TEXT_COLUMNS = 3
"""Each takes a pass of the text encoder per row."""


@dataclass(frozen=True)
class Schema:
    """The input columns, in the file's order, and the target."""

    columns: tuple[Column, ...]
    target: str
    task: TaskType
    classes: tuple[str, ...] = ()
    """Classification: the class names, sorted (numerically where all are numbers). Empty for regression."""
    domain: str = "tabular"
    """One of `DOMAINS`. In the text and image domains the columns with a role are the only ones used."""

    @property
    def texts(self) -> tuple[Column, ...]:
        """Text domain: the text, then the second one of a pair; empty in the others."""
        return tuple(sorted((c for c in self.columns if c.role in TEXT_ROLES), key=lambda c: ROLES.index(c.role)))

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that become inputs of the model."""
        return tuple(c for c in self.columns if c.used)

    @property
    def dropped(self) -> tuple[Column, ...]:
        """The columns left out, each with its `note`."""
        return tuple(c for c in self.columns if not c.used)
