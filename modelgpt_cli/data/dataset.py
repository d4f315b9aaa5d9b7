"""The dataset: a table with its schema, counts and sample. What `data` hands on to every later step."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.background import ahead, begin
from modelgpt_cli.data.infer import Shape, infer_column, shape_of, use_text
from modelgpt_cli.data.picture_dataset import PictureTable, find_pictures, read_picture_table
from modelgpt_cli.data.picture_source import PictureSource
from modelgpt_cli.data.readers import Table, no_such_column, open_table
from modelgpt_cli.data.scan import scan_table
from modelgpt_cli.data.schema import TASK_TYPES, Column, ColumnType, Schema, TaskType
from modelgpt_cli.data.synthetic import MARK, SYNTHETIC, find_mark, read_mark, tell_marks
from modelgpt_cli.data.target import Target, check_lacking, check_repeats, choose_target, plan_target
from modelgpt_cli.data.telling import few, header_warning, skipped_warning, tell
from modelgpt_cli.data.text_roles import as_texts, asked_roles, check_texts, infer_roles, wanted_roles, with_others
from modelgpt_cli.data.typing import read_types, typed
from modelgpt_cli.errors import ModelGPTError, UsageError

log = logging.getLogger("modelgpt")

MAX_COLUMNS = 2_000
"""Used columns of a table; the time to build, and the model's size, grow with them."""
_SHOWN = 12
_TARGET_TASKS: dict[str, TaskType] = {
    "numeric": "regression",
    "categorical": "classification",
    "boolean": "classification",
}


@dataclass
class Dataset:
    """A table that is ready to learn from."""

    name: str
    path: Path | None
    """The file, or the folder of texts or pictures; None for stdin."""
    schema: Schema
    n_rows: int
    """Rows with a target."""
    class_counts: dict[str, int]
    """Classification: rows per class, in the order of the classes."""
    sample: pd.DataFrame
    """Typed rows (the used columns and the target) in the file's order: all of them, or a stratified sample. Of
    pictures always all up to a million: their places and classes, and a column "domain" where they have domains."""
    warnings: list[str]
    """What the user must know; each has been logged once."""
    fingerprint: str
    """"sha256:" and 64 hex digits, over the file's bytes, or the files' of a folder."""
    description: str = ""
    test_path: Path | None = None
    pictures: PictureSource | None = None
    """Image domain: what opens the places of the sample; see `read_pictures`."""
    _table: Table | None = field(default=None, repr=False)
    _target: Target | None = field(default=None, repr=False)
    _generated: pd.DataFrame | None = field(default=None, repr=False)
    """Rows of `with_generated`, which no file holds."""

    @property
    def synthetic(self) -> np.ndarray | None:
        """Which rows of the sample were generated, bool (n,); None where there are none."""
        return self.sample[MARK].to_numpy(dtype=bool) if MARK in self.sample else None

    @property
    def n_synthetic(self) -> int:
        """How many of `n_rows` were generated: as many as in the sample, or their share where that is not all."""
        marks = self.synthetic
        return 0 if marks is None else round(float(marks.mean()) * self.n_rows)

    @property
    def real_rows(self) -> pd.DataFrame:
        """The rows of the sample that were not generated, where there are any; else all."""
        marks = self.synthetic
        return self.sample if marks is None or marks.all() else self.sample[~marks]

    def frames(self, rows: int = 65536, share: float = 1.0, seed: int = 0) -> Iterator[pd.DataFrame]:
        """All rows that have a target, typed as `sample` is, at constant memory, from the first row at each call.

        With a `share` below 1 every row is drawn with that probability; the same seed draws the same rows.
        """
        if self._table is None or self._target is None:
            yield self.sample
            return
        names = [*(column.name for column in self.schema.used), self.schema.target]
        raw = ahead(self._table.frames(rows, names))
        for frame in raw if share >= 1 else _drawn(raw, rows, share, seed):
            typed_rows = _typed_rows(frame, self.schema.used, self._target)
            if len(typed_rows):
                yield typed_rows
        if self._generated is not None:
            yield self._generated

    def with_generated(self, rows: pd.DataFrame) -> Dataset:
        """Add generated rows to the real ones, marked as such.

        Parameters
        ----------
        rows : DataFrame
            Raw cells: the used columns and the target.
        """
        assert self._target is not None
        new = _typed_rows(rows, self.schema.used, self._target)
        marks = self.synthetic if self.synthetic is not None else np.zeros(len(self.sample), dtype=bool)
        sample = pd.concat([self.sample.assign(**{MARK: marks}), new.assign(**{MARK: True})], ignore_index=True)
        counts = new[self.schema.target].value_counts()
        return replace(
            self,
            n_rows=self.n_rows + len(new),
            class_counts={label: n + int(counts.get(label, 0)) for label, n in self.class_counts.items()},
            sample=sample,
            _generated=new,
        )


def _drawn(frames: Iterator[pd.DataFrame], rows: int, share: float, seed: int) -> Iterator[pd.DataFrame]:
    """Some of the rows, each drawn with probability `share`, gathered into frames of about `rows` rows."""
    rng = np.random.default_rng([seed, 13])
    held: list[pd.DataFrame] = []
    for frame in frames:
        held.append(frame.take(np.flatnonzero(rng.random(len(frame)) < share)))
        if sum(map(len, held)) >= rows:
            yield pd.concat(held, ignore_index=True)
            held = []
    if held:
        yield pd.concat(held, ignore_index=True)


def _typed_rows(raw: pd.DataFrame, columns: Sequence[Column], target: Target, marked: bool = False) -> pd.DataFrame:
    """Typed columns and target, with the marks where there are some; rows without a target left out."""
    values = target.read(raw[target.name])
    present = values.notna().to_numpy()
    frame = typed(raw, columns)
    frame = pd.concat([frame, values.rename(target.name)], axis=1)
    if marked:
        frame[MARK] = read_mark(raw[SYNTHETIC])
    return frame if present.all() else frame[present].reset_index(drop=True)


def load_dataset(
    path: str | Path,
    *,
    target: str | None = None,
    task: TaskType | None = None,
    columns: Sequence[Column] | None = None,
    classes: Sequence[str] | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    sample_rows: int = 20_000,
    text_columns: int = 0,
    text: str | None = None,
    text_pair: str | None = None,
    domain: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Read a table, texts or pictures once and find out what is in it.

    Parameters
    ----------
    path : str or Path
        A file, a folder (of a table, or of .txt files or pictures in a sub-folder per class), a zip archive of
        pictures, or "-" for stdin.
    target : str, optional
        The column to predict; found by its name, else the last.
    task : {"classification", "regression"}, optional
        Found from the target where omitted.
    columns : sequence of Column, optional
        The input columns with their types and roles, as a requirement file fixes them; other columns are left out.
    classes : sequence of str, optional
        The classes, as a requirement file fixes them; the data must hold these and no others.
    types : str or Path, optional
        A YAML file of ``column: type``.
    merge_labels : bool
        Make one class of labels that differ only in case, blanks or final punctuation.
    sample_rows : int
        So many rows are held in `sample` at most (fewer in very wide tables).
    text_columns : int
        Of a table: so many columns of free text are to be used at most.
    text, text_pair : str, optional
        Text domain: the column of the text, and of the second one of a pair; before what `columns` say.
    domain : {"tabular", "text", "image"}, optional
        Where omitted: image for a folder of pictures, or a column of paths to some; text if there is nothing but one or
        two columns of free text to learn from; else tabular.
    seed : int
        For the sample.

    Raises
    ------
    ModelGPTError
        The table can't be read, or there is nothing in it to learn.
    UsageError
        The data contradict what was asked for.
    """
    if task is not None and task not in TASK_TYPES:
        raise UsageError(f"There is no task {task!r}.", "", f"Use one of {', '.join(TASK_TYPES)}.")
    table = open_table(path)
    overrides = _overrides(table, types)
    if pictures := find_pictures(table, target, columns, overrides, text, domain):
        pictured = read_picture_table(
            table,
            pictures,
            target=target,
            task=task,
            columns=columns,
            classes=classes,
            merge_labels=merge_labels,
            seed=seed,
        )
        return _of_pictures(table, pictures.source, pictured)
    _check_two_columns(table)
    roles = asked_roles(table, target, text, text_pair, columns, domain)
    marked = find_mark(table, target, overrides)
    marks = [SYNTHETIC] if marked else []
    target = choose_target(table, target, [*roles, *marks])
    if target in overrides:
        task = _overridden(task, target, overrides[target])
    names, fixed = _inputs(table, target, columns, overrides, roles)
    names = [name for name in names if name not in marks]
    fingerprint = begin(table.fingerprint)
    scan = scan_table(table, [*names, *marks], target, sample_rows, seed)
    plan = plan_target(scan, target, table.name, task, classes, merge_labels)
    raw = scan.sampler.result(stratified=plan.task == "classification")
    cells: list[str] = []
    inferred = [
        infer_column(name, raw[name], scan.facts[name], scan.n_rows, fixed.get(name), cells.append) for name in names
    ]
    found = roles or _find_roles(inferred, raw, fixed, table, domain)
    kept = as_texts(inferred, found) if found else use_text(inferred, text_columns)
    kept = tuple(c for c in with_others(kept, table, target) if c.name not in marks) if roles else kept
    schema = Schema(kept, target, plan.task, plan.classes, "text" if found else "tabular")
    check_repeats(plan, classes, schema.domain)
    lacking = check_lacking(plan, schema.domain)
    empty = check_texts(schema, scan, table) if found else []
    warnings = [*header_warning(table), *skipped_warning(scan, plan), *plan.warnings, *lacking, *empty, *few(cells)]
    tell(schema, warnings, table)
    sample = _typed_rows(raw, schema.used, plan, marked)
    if marked:
        sample = tell_marks(sample, table.name)
    return Dataset(
        name=_short_name(table),
        path=table.path,
        schema=schema,
        n_rows=plan.n_rows,
        class_counts=plan.counts,
        sample=sample,
        warnings=warnings,
        fingerprint=fingerprint(),
        description=table.description,
        test_path=table.test_path,
        _table=table,
        _target=plan,
    )


def _of_pictures(table: Table, source: PictureSource, found: PictureTable) -> Dataset:
    return Dataset(
        name=_short_name(table),
        path=table.path,
        schema=found.schema,
        n_rows=found.plan.n_rows,
        class_counts=found.plan.counts,
        sample=found.sample,
        warnings=found.warnings,
        fingerprint=found.fingerprint,
        description=table.description,
        test_path=table.test_path,
        pictures=source,
    )


def _check_two_columns(table: Table) -> None:
    """A target and something to predict it from."""
    if len(table.columns) > 1:
        return
    if table.is_folder:
        raise ModelGPTError(
            f"The folder {table.name} holds texts, but no classes.",
            "Each class needs a sub-folder of its name, with the .txt files of that class in it.",
            "Sort the files into sub-folders, or give a table with a column of texts and a column of labels.",
        )
    raise ModelGPTError(
        f"{table.name} has one column only: {table.columns[0][:80] if table.columns else ''!r}.",
        "A table needs a target and at least one input column, separated by a comma, semicolon, tab or |.",
        "Check the delimiter.",
    )


def _find_roles(
    columns: Sequence[Column], raw: pd.DataFrame, fixed: Mapping[str, Column], table: Table, domain: str | None
) -> dict[str, str]:
    """Which columns are texts, where nobody has named them; none in a table.

    A column with components is one that a model of tables has: what it is tuned on is a table too.
    """
    if domain == "tabular" or any(column.components for column in fixed.values()):
        return {}

    @cache
    def shape(name: str) -> Shape:
        return shape_of(raw[name])

    return wanted_roles(columns, shape, fixed, table) if domain == "text" else infer_roles(columns, shape, fixed)


def _short_name(table: Table) -> str:
    """The file's name without its endings; the folder's where the file is called train or data."""
    if table.path is None:
        return table.name
    stem = table.name.removesuffix(".gz")
    stem = stem.rsplit(".", 1)[0] if "." in stem[1:] and not table.is_folder else stem
    if stem.lower() in ("train", "training", "data", "dataset"):
        return table.path.resolve().parent.name.removesuffix(".zip") or stem
    return stem


def _overrides(table: Table, types: str | Path | None) -> dict[str, ColumnType]:
    overrides = read_types(types) if types is not None else {}
    for name in overrides:
        if name not in table.columns:
            raise no_such_column(name, table)
    return overrides


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


def _inputs(
    table: Table,
    target: str,
    columns: Sequence[Column] | None,
    overrides: dict[str, ColumnType],
    roles: Mapping[str, str],
) -> tuple[list[str], dict[str, Column]]:
    """The input columns to read, in the file's order, and the types that are fixed beforehand."""
    present = set(table.columns)
    fixed = {c.name: replace(c, role=roles.get(c.name, "")) for c in columns or () if c.name != target}
    if roles:  # only these are read, whatever else a requirement or a types file says
        fixed = {name: fixed.get(name, Column(name, "text")) for name in roles}
        fixed = {name: Column(name, "text", c.description, role=roles[name]) for name, c in fixed.items()}
        overrides = {}
    absent = [column.name for column in fixed.values() if column.used and column.name not in present]
    if absent:
        raise UsageError(
            f"{table.name} lacks columns that the requirement names: {', '.join(absent[:_SHOWN])}.",
            f"Its columns: {', '.join(table.columns[:30])}{', …' if len(table.columns) > 30 else ''}.",
            "Give data that fit the requirement, or run modelgpt describe on these.",
        )
    names = [name for name in table.columns if name != target and (not fixed or name in fixed)]
    extra = len(table.columns) - 1 - len(names)
    if extra and not roles:
        # The requirement may name them, as constant or as identifiers.
        columns_of = "column" if extra == 1 else "columns"
        log.info("Left out %d %s of %s that the requirement does not use.", extra, columns_of, table.name)
    for name, kind in overrides.items():
        if name in names:
            description = fixed[name].description if name in fixed else ""
            fixed[name] = Column(name, kind, description, note="" if name not in fixed else fixed[name].note)
    return names, fixed


def check_width(dataset: Dataset) -> None:
    """Make sure that a model can be made of so many columns.

    Raises
    ------
    ModelGPTError
        There are more than `MAX_COLUMNS`. They are not chosen from by the target: that would flatter every later
        figure, so the user has to choose.
    """
    used = len(dataset.schema.used)
    if used > MAX_COLUMNS:
        raise ModelGPTError(
            f"{dataset.name} has {used:,} columns to learn from; a model takes {MAX_COLUMNS:,} at most.",
            "",
            "Give a table with fewer, or leave columns out with --types FILE (lines like: age: identifier).",
        )
