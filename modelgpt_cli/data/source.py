"""What is to be read, and how: what the caller asked for, and the opened table. Between `readers` and `dataset`.

Each domain is offered a `Source` in turn (`Reader.detect`); the first that takes it makes the dataset. However many
look at it, the table is scanned once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from modelgpt_cli.core.background import begin
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import FREE_TEXT, Column, ColumnType, TaskType
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.infer import infer_column
from modelgpt_cli.data.label_cells import LabelSets
from modelgpt_cli.data.label_sets import plan_label_sets
from modelgpt_cli.data.readers import RawCells, Table, no_such_column, open_table
from modelgpt_cli.data.scan import Scan, scan_table
from modelgpt_cli.data.synthetic import SYNTHETIC, find_mark
from modelgpt_cli.data.target import Target, choose_target, plan_target
from modelgpt_cli.data.typing import read_types

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

log = logging.getLogger("modelgpt")

_SHOWN = 12
_TARGET_TASKS: dict[str, TaskType] = {
    "numeric": "regression",
    "categorical": "classification",
    "boolean": "classification",
}
_DECLARED_TASKS: dict[str, TaskType] = {
    "numeric": "regression",
    "categorical": "classification",
    FREE_TEXT: "classification",
}
"""A target's type, as its file declares it → the task, where nobody asks for another."""


class Reader(Protocol):
    """The part ``read`` of a domain. `open_path` and `single_item` need nothing beyond what `data` needs itself."""

    FILES: str
    """What the domain reads from a folder with a sub-folder per class, in the plural; "" where it reads none."""
    OPTIONS: Mapping[str, bool]
    """Option of `load_dataset` that this domain understands → whether giving it says that the data are its own."""

    def open_path(self, path: Path) -> Table | None:
        """Open a folder without tables, or an archive, that holds data of this domain alone; None where it doesn't.

        A folder with files that end as `Domain.beside` says, too.

        Raises
        ------
        ModelGPTError
            It does, and they can't be read.
        """

    def open_file(self, path: Path, name: str) -> RawCells | None:
        """Open a file of a form that this domain alone reads; asked of files that end as `Domain.suffixes` say alone.

        Parameters
        ----------
        name : str
            What messages call the file.

        Raises
        ------
        ModelGPTError
            It is of such a form, and can't be read.
        """

    def single_item(self, name: str, start: bytes) -> ModelGPTError | None:
        """Return the error for a binary file that is an item of such data, rather than a table; None where it is none.

        Parameters
        ----------
        name : str
            What messages call the file.
        start : bytes
            Its first ones.
        """

    def detect(self, source: Source) -> bool:
        """Whether the data are of this domain."""

    def read(self, source: Source) -> Dataset:
        """Read data that are of this domain, or are said to be.

        Raises
        ------
        ModelGPTError
            They can't be read, or there is nothing in them to learn.
        UsageError
            They contradict what was asked for.
        """


@dataclass(eq=False)
class Source:
    """The data that the caller asked for; see `load_dataset` for the parameters."""

    data: Data | Table
    target: str | None = None
    task: TaskType | None = None
    columns: Sequence[Column] | None = None
    target_reading: ReadingRule = PLAIN
    classes: Sequence[str] | None = None
    labels: Sequence[str] = ()
    types: str | Path | None = None
    merge_labels: bool = False
    keep_na: bool = False
    sample_rows: int = 20_000
    all_columns: bool = False
    domain: str | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """What a domain alone understands; see `Reader.OPTIONS`."""
    found: dict[str, Any] = field(default_factory=dict, repr=False)
    """Domain → what its `detect` found out and its `read` needs."""
    label_sets: LabelSets | None = None
    """Where the labels are, of rows that have any number of them; the table has them as `label_sets` writes them."""
    _scanned: dict[tuple[str, ...], Scanned] = field(default_factory=dict, repr=False)

    def use_table(self, table: Table, target: str | None, label_sets: LabelSets | None) -> None:
        """Put another table in the place of the opened one."""
        self.__dict__["table"] = table
        self.target, self.label_sets = target, label_sets
        self._scanned.clear()

    @cached_property
    def table(self) -> Table:
        """The opened data."""
        return open_table(self.data)

    @property
    def target_rule(self) -> ReadingRule:
        """How the target is known to be written."""
        return replace(self.target_reading, missing=()) if self.keep_na else self.target_reading

    @cached_property
    def kinds(self) -> dict[str, ColumnType]:
        """The types that a types file gives, by column."""
        kinds = read_types(self.types) if self.types is not None else {}
        for name in kinds:
            if name not in self.table.columns:
                raise no_such_column(name, self.table)
        return kinds

    def scanned(self, only: Mapping[str, Column] | None = None) -> Scanned:
        """Read all rows once, and infer what the columns are.

        Parameters
        ----------
        only : mapping, optional
            The inputs by name, where they are known. No other columns are read.

        Raises
        ------
        ModelGPTError, UsageError
            As `load_dataset`.
        """
        key = tuple(only or ())
        if key not in self._scanned:
            self._scanned[key] = _scan(self, only or {})
        return self._scanned[key]


@dataclass(frozen=True)
class Scanned:
    """What is known of a source when its rows have been read once.

    Attributes
    ----------
    target : Target
    scan : Scan
    raw : DataFrame
        The sample's raw cells.
    columns : list of Column
        The inputs, in the file's order.
    fixed : dict
        Of these, the ones whose type was given, as it was.
    warnings : list of str
        About cells that don't fit their column.
    marked : bool
        Whether a column says which rows were generated.
    fingerprint : callable
        Waits for the dataset's.
    """

    target: Target
    scan: Scan
    raw: pd.DataFrame
    columns: list[Column]
    fixed: dict[str, Column]
    warnings: list[str]
    marked: bool
    fingerprint: Callable[[], str]


def _scan(source: Source, only: Mapping[str, Column]) -> Scanned:
    table, kinds = source.table, source.kinds
    check_two_columns(table)
    marked = find_mark(table, source.target, kinds)
    marks = [SYNTHETIC] if marked else []
    target = choose_target(table, source.target, [*only, *marks])
    task = _overridden(source.task, target, kinds[target]) if target in kinds else source.task
    declared = {name: column for name, column in table.declared.items() if name not in kinds}
    if task is None and source.classes is None and target in declared:
        task = _DECLARED_TASKS.get(declared[target].type)
    names, fixed = _inputs(source, target, only)
    names = [name for name in names if name not in marks]
    fingerprint = begin(table.fingerprint)
    declared = {name: column for name, column in declared.items() if name not in fixed}
    rules = {name: column.reading for name, column in declared.items()}
    rules |= {name: column.reading for name, column in fixed.items() if column.is_known}
    if source.target_rule != PLAIN:
        rules[target] = source.target_rule
    scan = scan_table(table, [*names, *marks], target, source.sample_rows, source.seed, rules)
    labels = source.labels or (declared[target].levels if target in declared else ())
    plan = plan_any_target(source, scan, target, task, labels=labels)
    raw = scan.sampler.result(stratified=plan.task == "classification")
    warnings: list[str] = []
    columns = [
        infer_column(
            name, raw[name], scan.facts[name], scan.n_rows, fixed.get(name), warnings.append, declared.get(name)
        )
        for name in names
    ]
    return Scanned(plan, scan, raw, columns, fixed, warnings, marked, fingerprint)


def plan_any_target(
    source: Source, scan: Scan, target: str, task: TaskType | None, what: str = "row", labels: Sequence[str] = ()
) -> Target:
    """Decide the task and the classes, of rows with one target or with any number of labels; see `plan_target`.

    Raises
    ------
    ModelGPTError, UsageError
        As `plan_target` and `plan_label_sets`; or labels are to be merged of rows that have several.
    """
    if source.label_sets is None:
        return plan_target(scan, target, source.table.name, task, source.classes, source.merge_labels, what, labels)
    if source.merge_labels:
        raise UsageError("--merge-labels is for rows of one label.", "These have several.", "Leave it out.")
    return plan_label_sets(scan, source.table, source.label_sets, source.classes, what)


def check_two_columns(table: Table) -> None:
    """Make sure that there are a target and something to predict it from.

    Raises
    ------
    ModelGPTError
        There is one column.
    """
    if len(table.columns) < 2:
        raise ModelGPTError(
            f"{table.name} has one column only: {table.columns[0][:80] if table.columns else ''!r}.",
            "A table needs a target and at least one input column, separated by a comma, semicolon, tab or |.",
            "Check the delimiter.",
        )


def _overridden(task: TaskType | None, target: str, kind: ColumnType) -> TaskType:
    """The task that a target of this type calls for; it has to be the one asked for, if any."""
    called = _TARGET_TASKS.get(kind)
    if called is None:
        raise UsageError(
            f"The types file says that the target {target!r} is {kind}, which can't be predicted.",
            "",
            f"A target is {', '.join(_TARGET_TASKS)}.",
        )
    if task not in (None, called):
        raise UsageError(
            f"The types file says that the target {target!r} is {kind}, but the task is {task}.",
            "",
            "Take the target out of the types file, or change the task in the requirement file.",
        )
    return called


def _inputs(source: Source, target: str, only: Mapping[str, Column]) -> tuple[list[str], dict[str, Column]]:
    """The input columns to read, in the file's order, and the types that are fixed beforehand."""
    table, kinds = source.table, {} if only else source.kinds
    present = set(table.columns)
    fixed = dict(only) or {c.name: replace(c, role="") for c in source.columns or () if c.name != target}
    absent = [column.name for column in fixed.values() if column.used and column.name not in present]
    if absent:
        raise UsageError(
            f"{table.name} lacks columns that the requirement names: {', '.join(absent[:_SHOWN])}.",
            f"Its columns: {', '.join(table.columns[:30])}{', …' if len(table.columns) > 30 else ''}.",
            "Give data that fit the requirement, or run modelgpt describe on these.",
        )
    names = [name for name in table.columns if name != target and (not fixed or name in fixed)]
    extra = [name for name in table.columns if name != target and name not in names]
    if extra and not only:
        shown = ", ".join(extra[:_SHOWN]) + (f" and {len(extra) - _SHOWN} more" if len(extra) > _SHOWN else "")
        log.info("Left out of %s, as they are no inputs: %s.", table.name, shown)
    for name, kind in kinds.items():
        if name in names:
            description = fixed[name].description if name in fixed else ""
            fixed[name] = Column(name, kind, description, note="" if name not in fixed else fixed[name].note)
    return names, fixed
