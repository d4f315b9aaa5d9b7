"""What ties a table's rows together, as ``--group`` and ``--time`` say. Between `read` and `build`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.source import Scanned, Source
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.folds import ALIKE, GROUP, TIME, Split

KEYS = "tied by?"
"""The column of a dataset's sample that says what its rows are tied by. The question mark keeps it from being a name
that is likely in a file; of the same kind as `data.synthetic.MARK`."""
GROUP_NOTE = "groups the rows in cross-validation"
OPTIONS = (GROUP, TIME)


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
    kind, name = asked
    if name not in source.table.columns or name == source.target:
        why = "It is the target." if name == source.target else f"There are {', '.join(source.table.columns[:20])}."
        raise UsageError(f"--{kind}: {source.table.name} has no such column {name!r}.", why)
    fixed = {column.name: replace(column, role="") for column in source.columns or () if column.name != source.target}
    if not fixed or name in fixed:
        return None
    fixed |= {n: Column(n, source.kinds[n]) for n in source.kinds if n in fixed or n == name}
    return {n: fixed.get(n, Column(n, "identifier")) for n in source.table.columns if n in fixed or n == name}


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
        There is nothing to hold out, or the column of time holds neither dates nor numbers.
    """
    asked = asked_column(source.options)
    if asked is None:
        return dataset
    kind, name = asked
    target, raw = scanned.target, scanned.raw
    cells = raw[name][target.read(raw[target.name]).notna().to_numpy()]
    keys = _times(name, cells) if kind == TIME else _groups(cells)
    Split(GROUP if kind == GROUP else TIME, keys, name).check()
    return replace(dataset, sample=dataset.sample.assign(**{KEYS: keys}))


def read_split(dataset: Dataset, asked: tuple[str, str] | None) -> Split | None:
    """Return what ties the dataset's rows together, from the column that `with_keys` has added."""
    if asked is None or KEYS not in dataset.sample:
        return None
    kind, name = asked
    keys = dataset.sample[KEYS].to_numpy(dtype=np.float64)
    if kind == TIME:
        return Split(TIME, keys, name)
    return Split(GROUP, np.nan_to_num(keys, nan=-1).astype(np.int64), name)


def split_note(split: Split, dataset: Dataset) -> str:
    """Say how the rows are divided, and what becomes of the column that says so; "" for copies, which are told."""
    if split.kind == ALIKE:
        return ""
    note = f"Cross-validated {split.words()}"
    if split.kind == TIME:
        return f"{note}: each part of the rows by models of those before it."
    note += f": {split.n_groups:,} groups, each kept in one fold."
    if any(c.name == split.column and c.used for c in dataset.schema.columns):
        return note
    return f"{note} {split.column!r} is no input; a line '{split.column}: categorical' in a --types FILE makes it one."


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
