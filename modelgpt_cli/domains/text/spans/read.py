"""Marked texts: from files of their own forms, or a table with a column of spans. Behind `load_dataset`."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import FREE_TEXT, Column, Schema
from modelgpt_cli.data.dataset import Dataset, name_of, tell
from modelgpt_cli.data.folder_names import TEST_NAMES, TRAIN_NAMES
from modelgpt_cli.data.readers import Table, is_own_format, readme
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.domains.text.spans.marks import Faults, Span, clean_spans, parse_spans, spans_cell
from modelgpt_cli.domains.text.spans.table import DOCUMENT, SPANS, MarkedCells, marked_cells, marked_table, open_file

__all__ = ["FILES", "OPTIONS", "detect", "open_file", "open_path", "read", "single_item"]
FILES = ""
OPTIONS: dict[str, bool] = {}
ROLE = next(iter(DOMAIN.roles))
_FEW_SPANS = 2
_SHOWN = 5


def open_path(path: Path) -> Table | None:
    """Open a folder with files of tokens and tags, one of which is called train; None where it holds none."""
    if not path.is_dir():
        return None
    files = [file for file in sorted(path.iterdir()) if file.name.lower().endswith(DOMAIN.suffixes)]
    found = [file for file in files if is_own_format(file)]
    train = next((f for name in TRAIN_NAMES for f in found if name in _parts(f)), found[0] if len(found) == 1 else None)
    if train is None:
        return None
    test = next((f for name in TEST_NAMES for f in found if name in _parts(f) and f != train), None)
    cells = open_file(train, train.name)
    if cells is None:
        return None
    name = os.path.basename(os.path.abspath(path))
    return Table(cells, name, train, train, readme(path), test, path)


def _parts(file: Path) -> list[str]:
    return file.name.lower().replace("-", ".").replace("_", ".").split(".")


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return None: a text is no binary file."""
    return None


def detect(source: Source) -> bool:
    """Whether the data are marked texts: a file of such a form, or a table with a column of spans."""
    if source.table.domain == DOMAIN.name:
        return True
    if source.table.domain or source.task not in (None, DOMAIN.task) or source.classes:
        return False
    return _use_marked(source)


def _use_marked(source: Source) -> bool:
    target = source.target if source.target in source.table.columns else None
    found = marked_table(source.table, target)
    if found is not None:
        source.use_table(found, SPANS, None)
    return found is not None


def read(source: Source) -> Dataset:
    """Read marked texts.

    Raises
    ------
    ModelGPTError
        There are none, none of them has a span, or too many spans lie outside of their texts.
    UsageError
        The requirement names other classes, or another kind of task.
    """
    if marked_cells(source.table) is None and not _use_marked(source):
        raise ModelGPTError(
            f"{source.table.name} holds no marked texts.",
            "It has no column with a list of spans, and is no file of tokens and tags.",
            'Give text and spans: {"text": "Ann is in", "spans": [{"start": 0, "end": 3, "label": "name"}]}.',
        )
    if source.task not in (None, DOMAIN.task):
        raise UsageError(f"{source.table.name} holds marked texts, and the task is to be {source.task}.")
    cells = marked_cells(source.table)
    assert cells is not None
    name = source.table.name
    faults = cells.faults.copy()
    texts: list[str] = []
    marks: list[list[Span]] = []
    documents: list[int] = []
    empty = 0
    for one in cells.texts:
        if not one.text.strip():
            empty += 1
            continue
        texts.append(one.text)
        marks.append(clean_spans(one.text, one.spans, faults))
        documents.append(one.document)
    faults.check(name)
    classes, counts = _classes(marks, source.classes, name)
    warnings = _warnings(marks, counts, faults, empty)
    frame = pd.DataFrame({cells.columns[0]: pd.Series(texts, dtype=object), SPANS: [spans_cell(m) for m in marks]})
    if max(documents, default=-1) >= 0:
        frame[DOCUMENT] = documents
    schema = Schema((Column(cells.columns[0], FREE_TEXT, role=ROLE),), SPANS, "spans", classes, DOMAIN.name)
    tell(schema, warnings, source.table)
    return Dataset(
        name=name_of(source.table),
        path=source.table.path,
        schema=schema,
        n_rows=len(frame),
        class_counts={label: counts[label] for label in classes},
        sample=_drawn(frame, source.sample_rows, source.seed),
        warnings=warnings,
        fingerprint=_fingerprint(cells),
        description=source.table.description,
        test_path=source.table.test_path,
    )


def _classes(
    marks: Sequence[Sequence[Span]], asked: Sequence[str] | None, name: str
) -> tuple[tuple[str, ...], Counter[str]]:
    counts = Counter(span.label for spans in marks for span in spans)
    if not counts:
        raise ModelGPTError(
            f"{name}: none of its {len(marks):,} texts has a span.",
            "Nothing is marked in them, so there is nothing to learn.",
            "Mark some, each class a few times.",
        )
    if asked is None:
        return tuple(sorted(counts)), counts
    unknown = sorted(set(counts) - set(asked))
    if unknown:
        raise UsageError(
            f"{name} has spans of classes that the requirement doesn't name: {', '.join(unknown[:10])}.",
            f"Its classes: {', '.join(list(asked)[:30])}.",
            "Give data that fit the requirement, or run modelgpt describe on these.",
        )
    missing = [label for label in asked if not counts[label]]
    if missing:
        raise UsageError(
            f"{name} has no span of the classes {', '.join(missing[:10])}.", hint="Mark some, or drop them."
        )
    return tuple(asked), counts


def _warnings(marks: Sequence[Sequence[Span]], counts: Counter[str], faults: Faults, empty: int) -> list[str]:
    """What there is to tell of marked texts: spans that were mended or left out, and what there is too little of."""
    found = faults.lines()
    if empty:
        found.append(f"Skipped {empty:,} of {len(marks) + empty:,} texts, which are empty.")
    bare = sum(not spans for spans in marks)
    if bare:
        have = "has" if bare == 1 else "have"
        found.append(f"{bare:,} of {len(marks):,} texts {have} no span: read as ones in which nothing is to be found.")
    few = [label for label, n in sorted(counts.items()) if n < _FEW_SPANS]
    if few:
        more = f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
        found.append(f"A single span is all there is of {', '.join(few[:_SHOWN])}{more}: that is little to learn from.")
    return found


def _drawn(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    rows = np.sort(np.random.default_rng([seed, 17]).permutation(len(frame))[:most])
    drawn: pd.DataFrame = frame.iloc[rows].reset_index(drop=True)
    return drawn


def _fingerprint(cells: MarkedCells) -> str:
    """The SHA-256 of texts and spans, whatever the form of the file."""
    found = hashlib.sha256()
    for one in cells.texts:
        found.update(repr((one.text, [tuple(span.values()) for span in one.spans])).encode("utf-8", "surrogatepass"))
    return f"sha256:{found.hexdigest()}"


def read_truth(text: str, cell: object) -> list[Span]:
    """Return the spans of a text, as `evaluate` compares with them."""
    return clean_spans(text, parse_spans(cell) or [], Faults())
