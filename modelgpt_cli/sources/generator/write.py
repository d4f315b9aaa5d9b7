"""Generated rows to files, each marked as generated. End of the package's way."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.data.cells import format_number
from modelgpt_cli.data.synthetic import MARKED, SYNTHETIC, TRUE
from modelgpt_cli.sources.generator.form import TEXT, Cell, Form
from modelgpt_cli.sources.generator.novelty import Row

SUFFIXES = (".csv", ".jsonl")
_SAFE = re.compile(r"[^/\\\x00]+")


def is_folder(output: Path) -> bool:
    """Whether a folder of texts is to be written: a name without an ending, or a folder that is there."""
    return output.is_dir() or not output.suffix


def check_output(output: Path, form: Form, force: bool) -> None:
    """Make sure, before anything is asked for, that the rows can be written.

    Raises
    ------
    UsageError, ModelGPTError
        If the ending is unknown, the rows don't fit a folder, or something is there already.
    """
    if not is_folder(output):
        if output.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{output} is no name for rows.", f"It should end in {' or '.join(SUFFIXES)}, or be a folder for texts."
            )
        check_destination(output, force)
        return
    if not form.classes or [field.kind for field in form.inputs] != [TEXT]:
        raise UsageError(
            f"{output} would be a folder of texts.",
            "A folder has a sub-folder of .txt files per class, which only single texts with classes fit.",
            "Give a file: -o data.csv or -o data.jsonl.",
        )
    odd = [label for label in form.classes if not _SAFE.fullmatch(label) or label.startswith(".") or len(label) > 120]
    if odd:
        raise UsageError(f"The class {odd[0]!r} can't be the name of a folder.", hint="Give a file: -o data.csv")
    if output.is_dir() and any(output.iterdir()) and not force:
        raise UsageError(
            f"{output} already exists.",
            hint=f"Give another name, or --force: texts are added, {MARKED}*.txt from before are replaced.",
        )
    if not output.is_dir():
        check_destination(output)


def write_rows(output: Path, form: Form, rows: Sequence[Row], force: bool) -> None:
    """Write CSV, JSON lines or a folder."""
    if is_folder(output):
        _write_folder(output, form, rows)
        return
    names = [field.name for field in form.fields]
    with atomic_write(output, force=force) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        if output.suffix.lower() == ".csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*names, SYNTHETIC])
            writer.writerows([*(_text(row[name]) for name in names), TRUE] for row in rows)
        else:
            for row in rows:
                file.write(
                    json.dumps({**{n: _plain(row[n]) for n in names}, SYNTHETIC: True}, ensure_ascii=False) + "\n"
                )


def raw_frame(form: Form, rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a file's raw cells, without the mark."""
    frame: pd.DataFrame = pd.DataFrame(
        {f.name: pd.Series([_text(row[f.name]) or None for row in rows], dtype=object) for f in form.fields}
    )
    return frame


def _write_folder(output: Path, form: Form, rows: Sequence[Row]) -> None:
    """A sub-folder per class; a new folder appears whole."""
    column, target = form.inputs[0].name, form.target.name
    exists = output.is_dir()
    folder = output if exists else output.with_name(f".tmp-{os.getpid()}-{output.name}")
    try:
        for label in form.classes:
            (folder / label).mkdir(parents=True, exist_ok=True)
            for old in (folder / label).glob(f"{MARKED}*.txt"):
                old.unlink()
        count: Counter[str] = Counter()
        for row in rows:
            label = str(row[target])
            count[label] += 1
            path = folder / label / f"{MARKED}{count[label]:05}.txt"
            path.write_text(str(row[column]), encoding="utf-8", newline="\n")
        if not exists:
            folder.rename(output)
    finally:
        if not exists:
            shutil.rmtree(folder, ignore_errors=True)


def _text(cell: Cell) -> str:
    return "" if cell is None else format_number(cell) if isinstance(cell, float) else cell


def _plain(cell: Cell) -> Any:
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15 else cell
