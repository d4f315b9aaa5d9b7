"""The dataset: a table with its schema, counts and sample. What `data` hands on to every later step."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.background import ahead
from modelgpt_cli.core.domain import Domain, all_domains, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.paths import expand
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import Column, Schema, TaskType, task_types
from modelgpt_cli.data.folder_names import TRAIN_NAMES
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.label_cells import JOINED
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.source import Reader, Scanned, Source
from modelgpt_cli.data.synthetic import MARK, SYNTHETIC, read_mark, tell_marks
from modelgpt_cli.data.target import Target
from modelgpt_cli.data.typing import typed

log = logging.getLogger("modelgpt")

_SHOWN = 12
_VAGUE_FOLDERS = frozenset(
    {*TRAIN_NAMES, "", "datasets", "tmp", "temp", "input", "inputs", "files", "downloads", "desktop", "documents"}
    | {"home", "work", "workspace"}
)
"""Folders whose names say no more of a file in them than that it holds data."""


@dataclass
class Dataset:
    """A table that is ready to learn from."""

    name: str
    path: Path | None
    """The file or folder; None for stdin and for a table in memory."""
    schema: Schema
    n_rows: int
    """Rows with a target."""
    class_counts: dict[str, int]
    """Classification: rows per class, in the order of the classes."""
    sample: pd.DataFrame
    """Typed rows (the used columns and the target) in the file's order: all of them, or a stratified sample."""
    warnings: list[str]
    """What the user must know; each has been logged once."""
    fingerprint: str
    """"sha256:" and 64 hex digits, over the bytes of the file or the folder's files, or a frame's cells."""
    description: str = ""
    test_path: Path | None = None
    separator: str = JOINED
    """What stands between the labels of a row, where it has any number of them."""
    source: object | None = None
    """What opens the places of the sample, where its cells name files rather than hold the data themselves."""
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

    def of_rows(self, rows: pd.DataFrame) -> Dataset:
        """Return the dataset that some rows of the sample are; where classes are counted by rows, they are anew."""
        counts, labels = self.class_counts, self.schema.target
        if self.schema.task == "classification" and not self.schema.multi_label:
            found = rows[labels].value_counts()
            counts = {label: int(found.get(label, 0)) for label in counts}
        return replace(self, sample=rows, n_rows=len(rows), class_counts=counts, _table=None, _generated=None)

    def with_generated(self, rows: pd.DataFrame) -> Dataset:
        """Add generated rows to the real ones, marked as such. Not for rows of any number of labels.

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
    data: Data | Table,
    *,
    target: str | None = None,
    task: TaskType | None = None,
    columns: Sequence[Column] | None = None,
    target_reading: ReadingRule = PLAIN,
    classes: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    types: str | Path | None = None,
    merge_labels: bool = False,
    keep_na: bool = False,
    sample_rows: int = 20_000,
    all_columns: bool = False,
    domain: str | None = None,
    seed: int = 0,
    **options: Any,
) -> Dataset:
    """Read data once and find out what is in them.

    Parameters
    ----------
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        A file; a folder with a table in it, or with .txt files or images in a sub-folder per class; a zip archive of
        images; "-" for stdin; or a table in memory: a DataFrame, a dict of columns, a list of dicts (records), or an
        array of numbers, whose columns are called x0, x1 and so on. Or any of these as `open_table` has opened it.
    target : str, optional
        The column to predict; found by its name, else the last.
    task : {"classification", "regression"}, optional
        Found from the target where omitted.
    columns : sequence of Column, optional
        The input columns with their types, roles and reading rules, as a requirement file fixes them; other columns are
        left out.
    target_reading : ReadingRule
        How the target is written, as a requirement file fixes it; found from the cells by default.
    classes : sequence of str, optional
        The classes, as a requirement file fixes them; the data must hold these and no others.
    labels : sequence of str
        Classes as a model spells them. Where the data hold these they are spelled so, whatever the file writes.
    types : str or Path, optional
        A YAML file of ``column: type``.
    merge_labels : bool
        Make one class of labels that differ only in case, blanks or final punctuation.
    keep_na : bool
        Whether cells such as NA or null in the target are a class.
    sample_rows : int
        So many rows are held in `sample` at most (fewer in very wide tables).
    all_columns : bool
        Use all columns that a model can, even those that cost it much: free text in a table.
    domain : str, optional
        The name of a `Domain`, which alone is asked. Where omitted, all are, in the order of the registry: images are
        a folder of them, or a table with a column of paths to some; texts, where there is nothing but one or two
        columns of free text to learn from; else it is a table.
    seed : int
        For the sample.
    **options
        What one domain understands; None stands for the default. Of a table, ``text_columns``: so many columns of free
        text are used at most, by default none, or as many as can be with `all_columns`. Of texts, ``text`` and
        ``text_pair``: the column of the text, and of the second one of a pair; they go before what `columns` say.

    Raises
    ------
    ModelGPTError
        The data can't be read, or there is nothing in them to learn.
    UsageError
        They contradict what was asked for.
    TypeError
        No domain understands an option.
    """
    if task is not None and task not in task_types():
        raise UsageError(f"There is no task {task!r}.", "", f"Use one of {', '.join(task_types())}.")
    source = Source(
        data, target, task, columns, target_reading, classes, labels, types, merge_labels, keep_na, sample_rows,
        all_columns, domain, seed,
        {name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    asked = _asked_domain(source, options)
    for other in (asked,) if asked else all_domains():
        reader: Reader = other.part("read")
        if asked or reader.detect(source):
            return reader.read(source)
    raise ModelGPTError(f"{source.table.name} holds data of no known domain.")


def _asked_domain(source: Source, options: dict[str, Any]) -> Domain | None:
    """The one domain that is asked: the one that was named, or that an option is for."""
    asked = find_domain(source.domain) if source.domain is not None else None
    known: set[str] = set()
    for domain in all_domains():
        reader: Reader = domain.part("read")
        known |= set(reader.OPTIONS)
        for name, decides in reader.OPTIONS.items():
            if not decides or name not in source.options:
                continue
            if asked is not None and asked.name != domain.name:
                flag = f"--{name.replace('_', '-')} {source.options[name]}"
                raise UsageError(
                    f"{flag} is for the {domain.name} domain, and the domain is to be {asked.name}.", "", "Drop one."
                )
            asked = domain
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(f"load_dataset() got an unexpected keyword argument {unknown[0]!r}")
    if asked is not None and source.table.domain and asked.name not in source.table.domains:
        raise UsageError(
            f"{source.table.name} holds {find_domain(source.table.domain).title}, and {asked.title} are asked for.",
            "",
            "Give data that fit the requirement, or run modelgpt describe on these.",
        )
    return asked


def make_dataset(source: Source, scanned: Scanned, schema: Schema, warnings: Sequence[str] = ()) -> Dataset:
    """Make the dataset of a scanned source, whose columns have become a schema.

    Parameters
    ----------
    warnings : sequence of str
        What the domain has to say of the data.

    Raises
    ------
    ModelGPTError
        No column can be used.
    """
    table, target = source.table, scanned.target
    told = [*_header_warning(table), *_skipped_warning(scanned), *target.warnings, *warnings, *_few(scanned.warnings)]
    tell(schema, told, table)
    sample = _typed_rows(scanned.raw, schema.used, target, scanned.marked)
    if scanned.marked:
        sample = tell_marks(sample, table.name)
    return Dataset(
        name=name_of(table),
        path=table.path,
        schema=schema,
        n_rows=target.n_rows,
        class_counts=target.counts,
        sample=sample,
        warnings=told,
        fingerprint=scanned.fingerprint(),
        description=table.description,
        test_path=table.test_path,
        separator=source.label_sets.separator if source.label_sets is not None else JOINED,
        _table=table,
        _target=target,
    )


def name_of(table: Table) -> str:
    """Return what a dataset is called: its file's name without endings.

    A file called train, data, labels or the like is named after its folder, where the folder's name says more.
    """
    if table.path is None:
        return table.name
    stem = table.name.removesuffix(".gz")
    stem = stem.rsplit(".", 1)[0] if "." in stem[1:] and not table.is_folder else stem
    folder = table.path.resolve().parent
    if stem.lower() not in (*TRAIN_NAMES, "labels", "annotations") or _is_vague(folder):
        return stem
    return folder.name.removesuffix(".zip")


def _is_vague(folder: Path) -> bool:
    """Whether a folder's name says nothing of the data in it: a person's, a temporary or a general one, or a number."""
    temporary = Path(tempfile.gettempdir()).resolve()
    is_general = folder.name.lower() in _VAGUE_FOLDERS or not any(map(str.isalpha, folder.name))
    made_up = folder.parent == temporary and folder.name.startswith("tmp")
    return is_general or made_up or folder in (temporary, expand("~").resolve())


def _header_warning(table: Table) -> list[str]:
    """A header of numbers with decimals is a row of data, in all likelihood."""
    decimals = sum(name.replace(".", "", 1).lstrip("-").isdigit() and "." in name for name in table.columns)
    if decimals < 0.3 * len(table.columns):
        return []
    shown = ", ".join(table.columns[:4])
    return [f"{table.name}: the first line ({shown}, …) looks like data, not like column names. Put a header line in."]


def _skipped_warning(scanned: Scanned) -> list[str]:
    """Rows without a target."""
    skipped, scan = scanned.target.skipped, scanned.scan
    if not skipped:
        return []
    words = f"Skipped {skipped:,} of {scan.n_rows + scan.skipped:,} rows without a target"
    if scan.markers and scanned.target.task == "classification":
        marked = " and ".join(f"{n:,} say {cell!r}" for cell, n in scan.markers.most_common(2))
        return [f"{words}: {marked}. --keep-na makes that a class."]
    return [f"{words}."]


def _few(warnings: list[str]) -> list[str]:
    """The first warnings and how many more there are: a wide table must not flood the screen."""
    if len(warnings) <= _SHOWN:
        return warnings
    return [*warnings[:_SHOWN], f"{len(warnings) - _SHOWN} more columns have such cells."]


def tell(schema: Schema, warnings: list[str], table: Table) -> None:
    """Log what was found; a table without any usable column is an error."""
    dropped = [f"{column.name} ({column.note})" for column in schema.dropped]
    shown = ", ".join(dropped[:_SHOWN]) + (f" and {len(dropped) - _SHOWN} more" if len(dropped) > _SHOWN else "")
    if not schema.used:
        raise ModelGPTError(
            f"{table.name} has no column to predict {schema.target!r} from.",
            f"Left out: {shown}.",
            "Say what they are with --types FILE (lines like: age: numeric), or give a table with more columns.",
        )
    if dropped:
        log.info("Left out: %s.", shown)
    for warning in warnings:
        log.warning("%s", warning)
