"""Tables with cards: which there are, their typed rows, the rows drawn, and how they are split."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from modelgpt_cli.core.schema import Column, TaskType
from modelgpt_cli.domains.tabular.real_tasks import family_held_out

Side = Literal["meta-train", "meta-validation", "neither"]

HOLDOUT = 0.2
"""Share of the families that meta-training keeps out by hash (`TrainConfig.holdout`)."""
EXCLUDED_FAMILIES = ("heart",)
"""Families that meta-training leaves out whatever their hash, because a table of the paper's ten belongs to them."""


@dataclass(frozen=True)
class Card:
    """A table's card, before its rows are read."""

    path: Path
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The table's name, unique among what is measured together."""
        return str(self.values.get("name") or self.path.stem)

    @property
    def family(self) -> str:
        """Tables of one family share rows or patients; a table without one is its own."""
        return str(self.values.get("family") or self.name)

    @property
    def task(self) -> TaskType:
        """Classification or regression."""
        task: TaskType = self.values["task"]
        return task


@dataclass(frozen=True)
class Table:
    """The labelled rows of a table, typed by its card.

    Attributes
    ----------
    frame : DataFrame [n rows, d columns]
        float64, or object columns of `str` with None for missing.
    y : ndarray (n,)
        Class names (str), or float64 targets.
    """

    name: str
    task: TaskType
    frame: pd.DataFrame
    y: np.ndarray
    columns: list[Column]

    def take(self, rows: np.ndarray) -> Table:
        """Some of the rows, renumbered."""
        return Table(self.name, self.task, self.frame.iloc[rows].reset_index(drop=True), self.y[rows], self.columns)


def find_cards(folders: Sequence[Path]) -> list[Card]:
    """Return all cards of the folders, by name.

    Raises
    ------
    SystemExit
        Where a folder holds none, or two tables have one name.
    """
    cards: dict[str, Card] = {}
    for folder in folders:
        found = len(cards)
        for path in sorted(folder.glob("*.yaml")):
            card = Card(path, yaml.safe_load(path.read_text(encoding="utf-8")))
            if not {"task", "file", "columns"} <= set(card.values):
                continue  # some other YAML
            if card.name in cards:
                sys.exit(f"Two tables are called {card.name}: {cards[card.name].path} and {path}. Rename one.")
            cards[card.name] = card
        if len(cards) == found:
            sys.exit(f"No tables with cards in {folder}. Each table needs a card <name>.yaml beside its CSV.")
    return [cards[name] for name in sorted(cards)]


def side(card: Card) -> Side:
    """Return on which side of meta-training's split a table is; a whole family is on one."""
    if card.family in EXCLUDED_FAMILIES:
        return "neither"
    return "meta-validation" if family_held_out(card.family, HOLDOUT) else "meta-train"


def read_table(card: Card) -> Table:
    """Read a table's rows, typed by its card; rows without a target are left out."""
    values = card.values
    columns = [Column(str(c["name"]), c["type"], str(c.get("description") or "")) for c in values["columns"]]
    raw = pd.read_csv(card.path.with_name(values["file"]), dtype=str, keep_default_na=False, na_values=[""])
    raw = raw[raw["target"].notna()]
    frame = pd.DataFrame({c.name: _typed(raw[c.name], c) for c in columns})
    if card.task == "classification":
        y = raw["target"].to_numpy(dtype=object).astype(str)
    else:
        y = pd.to_numeric(raw["target"]).to_numpy(dtype=np.float64)
    return Table(card.name, card.task, frame, y, columns)


def draw_rows(table: Table, limit: int, seed: int) -> Table:
    """Draw at most `limit` rows (0: all), stratified by class; leave out classes of one row, which no split can hold.

    The draw depends on the seed alone, so that every repeat and every method sees the same rows.
    """
    table = _without_single_rows(table)
    if not limit or len(table.y) <= limit:
        return table
    drawn, _ = next(_splitter(table, train_size=limit, test_size=None, seed=seed).split(table.frame, table.y))
    return _without_single_rows(table.take(np.sort(drawn)))


def append_cells(path: Path, cells: Sequence[dict[str, Any]]) -> None:
    """Add rows to a CSV file of cells, which all have the same columns.

    Raises
    ------
    SystemExit
        Those of the file are others.
    """
    if path.exists() and list(pd.read_csv(path, nrows=0)) != list(cells[0]):
        sys.exit(f"{path} was written by another version, with other columns: choose another --out.")
    pd.DataFrame(cells).to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.5g")


def split(table: Table, train_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers of the training and the test part; stratified by class."""
    splitter = _splitter(table, train_size=train_share, test_size=1 - train_share, seed=seed)
    parts: tuple[np.ndarray, np.ndarray] = next(iter(splitter.split(table.frame, table.y)))
    return parts


def _splitter(
    table: Table, *, train_size: float | int, test_size: float | None, seed: int
) -> StratifiedShuffleSplit | ShuffleSplit:
    kind = StratifiedShuffleSplit if table.task == "classification" else ShuffleSplit
    return kind(n_splits=1, train_size=train_size, test_size=test_size, random_state=seed)


def _without_single_rows(table: Table) -> Table:
    if table.task == "regression":
        return table
    classes, counts = np.unique(table.y, return_counts=True)
    return table.take(np.flatnonzero(np.isin(table.y, classes[counts >= 2])))


def _typed(cells: pd.Series, column: Column) -> np.ndarray:
    if column.is_float:
        return pd.to_numeric(cells).to_numpy(dtype=np.float64)
    values = cells.to_numpy(dtype=object, copy=True)
    values[cells.isna().to_numpy()] = None
    return values
