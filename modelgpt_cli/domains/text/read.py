"""Texts: a folder of .txt files, or a table with nothing but texts to learn from. Behind `load_dataset`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.option_fields import options_of
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.dataset import Dataset, make_dataset
from modelgpt_cli.data.label_sets import OPTION as MULTI_LABEL
from modelgpt_cli.data.label_sets import with_label_sets
from modelgpt_cli.data.readers import Table, readme
from modelgpt_cli.data.shapes import Shape, shape_of
from modelgpt_cli.data.source import Scanned, Source, check_two_columns
from modelgpt_cli.data.synthetic import SYNTHETIC
from modelgpt_cli.data.target import check_lacking, check_repeats
from modelgpt_cli.domains.shared.folds import GROUP
from modelgpt_cli.domains.shared.split import OPTIONS as SPLITS
from modelgpt_cli.domains.shared.split import asked_column, known_inputs, with_keys, with_split_column, without_group
from modelgpt_cli.domains.text import DOMAIN
from modelgpt_cli.domains.text.folder import TextFolder, find_text_folder
from modelgpt_cli.domains.text.likeness import equal_contradictions
from modelgpt_cli.domains.text.options import BuildOptions
from modelgpt_cli.domains.text.requirement import texts_of
from modelgpt_cli.domains.text.roles import (
    as_texts,
    asked_texts,
    check_texts,
    infer_roles,
    wanted_roles,
    with_others,
)

FILES = ".txt files"
OPTIONS = {
    name: name not in (*SPLITS, MULTI_LABEL) for name, known in options_of(BuildOptions).items() if known.about.reading
}


def open_path(path: Path) -> Table | None:
    """Open a folder of .txt files, or of sub-folders of them; None where it holds none."""
    found = find_text_folder(path) if path.is_dir() else None
    if found is None:
        return None
    folder, test = found
    name = os.path.basename(os.path.abspath(folder))
    return Table(TextFolder(folder, name), name, folder, folder, readme(path), test, path)


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return None: a text is no binary file."""
    return None


def detect(source: Source) -> bool:
    """Whether texts were asked for, or the columns are one or two of free text and the target."""
    return bool(_roles(source))


def read(source: Source) -> Dataset:
    """Read texts.

    Raises
    ------
    ModelGPTError, UsageError
        As `Reader.read`.
    """
    roles = _roles(source)
    asked = asked_texts(source)
    scanned = source.scanned(with_split_column(asked, source) if asked else known_inputs(source))
    target = scanned.target
    columns = as_texts(without_group(scanned.columns, source), roles)
    if asked:
        columns = with_others(columns, source.table, target.name)
        columns = tuple(c for c in columns if not (scanned.marked and c.name == SYNTHETIC))
    schema = Schema(columns, target.name, target.task, target.classes, DOMAIN.name, target.reading, target.multi_label)
    check_repeats(target, source.classes, by_name=True)
    lacking = check_lacking(target, by_name=True)
    warnings = [*lacking, *check_texts(schema, scanned.scan, source.table), *_contradictions(scanned, schema)]
    return with_keys(make_dataset(source, scanned, schema, warnings), source, scanned)


def _contradictions(scanned: Scanned, schema: Schema) -> list[str]:
    """The words about equal texts of different classes."""
    if schema.task == "regression":
        return []
    labels = scanned.target.read(scanned.raw[schema.target])
    raw = scanned.raw[labels.notna().to_numpy()]
    columns = [texts(to_arrow(raw[column.name])).fill_null("").to_pylist() for column in texts_of(schema.columns)]
    return equal_contradictions(columns, labels.dropna().tolist())


def _roles(source: Source) -> dict[str, str]:
    """Which columns are texts, and what each is; none in a table."""
    if DOMAIN.name not in source.found:
        with_label_sets(source, lambda: _look_for_roles(source))
    roles: dict[str, str] = source.found[DOMAIN.name]
    return roles


def _look_for_roles(source: Source) -> bool:
    """Find the roles in the source's table as it is now; whether there are any."""
    _check_folder(source.table)
    check_two_columns(source.table)
    asked = asked_texts(source)
    named = {name: column.role for name, column in asked.items()}
    source.found[DOMAIN.name] = named or _find_roles(source, source.scanned(known_inputs(source)))
    return bool(source.found[DOMAIN.name])


def _find_roles(source: Source, scanned: Scanned) -> dict[str, str]:
    """Which columns are texts, where nobody has named them.

    A column with components is one that a model of tables has: what it is tuned on is a table too.
    """
    fixed: dict[str, Column] = scanned.fixed
    if any(column.components for column in fixed.values()):
        return {}

    @cache
    def shape(name: str) -> Shape:
        return shape_of(scanned.raw[name])

    grouping = asked_column(source.options)
    columns = [c for c in scanned.columns if grouping is None or grouping != (GROUP, c.name) or c.name in source.kinds]
    if source.domain == DOMAIN.name:
        return wanted_roles(columns, shape, fixed, source.table)
    return infer_roles(columns, shape, fixed)


def _check_folder(table: Table) -> None:
    """A folder of texts needs classes."""
    if isinstance(table.cells, TextFolder) and len(table.columns) < 2:
        raise ModelGPTError(
            f"The folder {table.name} holds texts, but no classes.",
            "Each class needs a sub-folder of its name, with the .txt files of that class in it.",
            "Sort the files into sub-folders, or give a table with a column of texts and a column of labels.",
        )
