"""Tables: what no other domain takes. Behind `load_dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset, make_dataset
from modelgpt_cli.data.label_sets import refuse_label_sets
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.source import Source
from modelgpt_cli.data.target import check_lacking, check_repeats
from modelgpt_cli.domains.shared.split import known_inputs, with_keys, without_group
from modelgpt_cli.domains.tabular import DOMAIN
from modelgpt_cli.domains.tabular.sizes import MAX_COLUMNS

FILES = ""
OPTIONS = {"text_columns": False, "group": False, "time": False, "multi_label": False}
TEXT_COMPONENTS = 32
"""Principal components of a text column: half as many cost some points of accuracy, twice as many gain none."""
MAX_TEXT_COLUMNS = 3
"""Each takes a pass of the text encoder per row."""


def open_path(path: Path) -> Table | None:
    """Return None: what tables are read from, every domain reads."""
    return None


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return None: a row has no file of its own."""
    return None


def detect(source: Source) -> bool:
    """Whether the data are a table: they are whatever is left."""
    return True


def read(source: Source) -> Dataset:
    """Read a table.

    Raises
    ------
    ModelGPTError, UsageError
        As `Reader.read`.
    """
    refuse_label_sets(source)
    scanned = source.scanned(known_inputs(source))
    target = scanned.target
    most = source.options.get("text_columns", MAX_TEXT_COLUMNS if source.all_columns else 0)
    columns = use_text(without_group(scanned.columns, source), most)
    schema = Schema(columns, target.name, target.task, target.classes, DOMAIN.name, target.reading)
    check_repeats(target, source.classes, by_name=False)
    check_lacking(target, by_name=False)
    return with_keys(make_dataset(source, scanned, schema), source, scanned)


def use_text(columns: Sequence[Column], most: int) -> tuple[Column, ...]:
    """The columns, of which the first `most` of free text are to be used; the others' notes say why they are not."""
    found: list[Column] = []
    for column in columns:
        if column.is_text and not column.used and most:
            if sum(c.is_text and c.used for c in found) < most:
                column = replace(column, components=TEXT_COMPONENTS, note="")
            else:
                column = replace(column, note=f"free text, of which at most {most} columns are used")
        found.append(column)
    return tuple(found)


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
