"""What ties rows together, as ``--group`` and ``--time`` say. Between the parts ``read`` and ``build`` of a domain."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.source import Scanned, Source
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.folds import ALIKE, GROUP, TIME, Split

log = logging.getLogger("modelgpt")
KEYS = "tied by?"
"""The column of a dataset's sample that says what its rows are tied by. The question mark keeps it from being a name
that is likely in a file; of the same kind as `data.synthetic.MARK`."""
GROUP_NOTE = "groups the rows in cross-validation"
TIME_NOTE = "orders the rows in cross-validation"
OPTIONS = (GROUP, TIME)
"""The options that name a column, of builds and of tuning."""


def asked_column(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is asked for, ``"group"`` or ``"time"``, and the column; None where nothing is.

    Raises
    ------
    UsageError
        Both are.
    """
    given = [(kind, str(options[kind])) for kind in OPTIONS if options.get(kind)]
    if len(given) > 1:
        raise UsageError(
            "--group and --time can't be given together.",
            "Folds go by groups or forward in time.",
            "Leave out one of them.",
        )
    return given[0] if given else None


def known_inputs(source: Source) -> dict[str, Column] | None:
    """Return the inputs that a requirement fixes, and with them the column that ties rows together.

    None where the requirement fixes none, or holds the column already.

    Raises
    ------
    UsageError
        As `asked_column`; or the column is absent, or the target.
    """
    asked = asked_column(source.options)
    if asked is None:
        return None
    name = asked[1]
    _check_column(source, *asked)
    fixed = {column.name: replace(column, role="") for column in source.columns or () if column.name != source.target}
    if not fixed or name in fixed:
        return None
    fixed |= {n: Column(n, source.kinds[n]) for n in source.kinds if n in fixed or n == name}
    return {n: fixed.get(n, Column(n, "identifier")) for n in source.table.columns if n in fixed or n == name}


def with_split_column(only: Mapping[str, Column], source: Source) -> dict[str, Column]:
    """Return the inputs that are to be read, and with them the column that ties rows together, which is none.

    Raises
    ------
    UsageError
        As `known_inputs`; or the column is one of the inputs.
    """
    asked = asked_column(source.options)
    if asked is None:
        return dict(only)
    kind, name = asked
    _check_column(source, kind, name)
    if name in only:
        raise UsageError(f"--{kind} {name}: it is what the model reads.", hint="Name another column.")
    return {**only, name: Column(name, "identifier", note=GROUP_NOTE if kind == GROUP else TIME_NOTE)}


def _check_column(source: Source, kind: str, name: str) -> None:
    """Make sure that there is such a column, and that it is not the target."""
    table = source.table
    if name == source.target:
        raise UsageError(f"--{kind}: {table.name} has no such column {name!r}.", "It is the target.")
    if name in table.columns:
        return
    if table.is_folder or table.domain:
        raise UsageError(
            f"--{kind} {name} names a column, and {table.name} is no table.",
            "Files in folders belong to their class and to nothing else that is known.",
            f"Give a table with a row for each file, and a column {name!r}.",
        )
    raise UsageError(
        f"--{kind}: {table.name} has no such column {name!r}.", f"There are {', '.join(table.columns[:20])}."
    )


def without_group(columns: Sequence[Column], source: Source) -> tuple[Column, ...]:
    """Return the columns, of which the group's is no input, unless a types file says what it is."""
    asked = asked_column(source.options)
    if asked is None or asked[0] != GROUP or asked[1] in source.kinds:
        return tuple(columns)
    return tuple(replace(c, type="identifier", note=GROUP_NOTE) if c.name == asked[1] else c for c in columns)


def with_keys(dataset: Dataset, source: Source, scanned: Scanned) -> Dataset:
    """Return the dataset with `KEYS` in its sample.

    Raises
    ------
    UsageError
        There is nothing to hold out, the column of time holds neither dates nor numbers, or it is the target.
    """
    asked = asked_column(source.options)
    if asked is None:
        return dataset
    target, raw = scanned.target, scanned.raw
    if asked[1] == target.name:
        raise UsageError(f"--{asked[0]} {asked[1]}: it is the target.", hint="Name another column.")
    cells = raw[asked[1]][target.read(raw[target.name]).notna().to_numpy()]
    return replace(dataset, sample=dataset.sample.assign(**{KEYS: _keys(*asked, cells)}))


def keys_of(source: Source, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return `KEYS` of a frame of raw cells that has the column asked for, by its name; nothing where none is.

    Raises
    ------
    UsageError
        As `with_keys`.
    """
    asked = asked_column(source.options)
    return {} if asked is None else {KEYS: _keys(*asked, frame[asked[1]])}


def _keys(kind: str, name: str, cells: pd.Series) -> np.ndarray:
    keys = _times(name, cells) if kind == TIME else _groups(cells)
    Split(GROUP if kind == GROUP else TIME, keys, name).check()
    return keys


def read_split(sample: pd.DataFrame, asked: tuple[str, str] | None) -> Split | None:
    """Return what ties the rows of a dataset's sample together; None where nothing does that is known.

    By `KEYS`, which are there where the column is no input; else by the cells of the input.
    """
    if asked is None or (KEYS not in sample and asked[1] not in sample):
        return None
    kind, name = asked
    keys = sample[KEYS].to_numpy(dtype=np.float64) if KEYS in sample else _keys(kind, name, sample[name])
    if kind == TIME:
        return Split(TIME, keys, name)
    return Split(GROUP, np.nan_to_num(keys, nan=-1).astype(np.int64), name)


def tuning_column(blueprint: Blueprint, table: Table, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what rows are held out by in tuning: what is asked for, else what the build was cross-validated by.

    Parameters
    ----------
    blueprint : Blueprint
        The model's; its provenance has the column.
    table : Table
        The data. Where they lack the build's column, rows are held out at random, with a warning.
    given : mapping
        The options ``group`` and ``time``.

    Raises
    ------
    UsageError
        As `asked_column`.
    """
    asked = asked_column(given)
    if asked is not None:
        return asked
    built = blueprint.provenance.get("split") or {}
    kind, name = built.get("by"), built.get("column")
    if kind not in OPTIONS or not name:
        return None
    if name not in table.columns:
        how = f"The model was cross-validated {blueprint.validated}, and {table.name} has no such column"
        log.warning("%s: rows are held out at random. --group or --time names another.", how)
        return None
    log.info("Rows are held out %s, as in the build. --group or --time names another column.", blueprint.validated)
    return kind, name


def tuning_options(blueprint: Blueprint, asked: tuple[str, str] | None) -> dict[str, Any]:
    """Return the options that the data are read with: none where the column is an input, which is read anyway."""
    return {} if asked is None or any(c.name == asked[1] for c in blueprint.used) else dict([asked])


def split_note(split: Split) -> str:
    """Say how the rows are divided; "" for copies, which are told."""
    if split.kind == ALIKE:
        return ""
    note = f"Cross-validated {split.words()}"
    if split.kind == TIME:
        return f"{note}: each part of the rows by models of those before it."
    return f"{note}: {split.n_groups:,} groups, each kept in one fold."


def _groups(cells: pd.Series) -> np.ndarray:
    """Group numbers, -1 where the cell is missing."""
    codes, _ = pd.factorize(typed(cells.to_frame("group"), [Column("group", "categorical")])["group"])
    return codes.astype(np.int64)


def _times(name: str, cells: pd.Series) -> np.ndarray:
    """Points in time: numbers as they are, dates in days; NaN where the cell is missing."""
    best = np.full(len(cells), np.nan)
    for kind in ("numeric", "datetime"):
        found = typed(cells.to_frame(name), [Column(name, kind)])[name].to_numpy(dtype=np.float64)
        if np.isfinite(found).sum() > np.isfinite(best).sum():
            best = found
    if 2 * np.isfinite(best).sum() < len(cells):
        example = next((str(cell) for cell in cells.dropna()), "")
        raise UsageError(
            f"--time {name}: most of its cells are neither dates nor numbers.",
            f"For example {example[:40]!r}.",
            "Name a column that orders the rows.",
        )
    return np.where(np.isfinite(best), best, np.nan)
