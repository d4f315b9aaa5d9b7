"""Marked texts as a table: a column of texts, and one with the JSON of each text's spans. What all readers give.

From files in forms of their own (`open_file`), or from a table that has such a column (`marked_table`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.annotations import PROBE, find_tool
from modelgpt_cli.data.encoding import open_bytes
from modelgpt_cli.data.json_file import JsonRecords
from modelgpt_cli.data.readers import Table
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.domains.text.spans.conll import Marked, is_conll, may_be_conll, read_conll
from modelgpt_cli.domains.text.spans.marks import Faults, parse_spans
from modelgpt_cli.domains.text.spans.records import Form, find_form, read_records

log = logging.getLogger("modelgpt")
SPANS, DOCUMENT = "spans", "document"
"""What the column of spans is called, and that of the document that a text is part of."""
_JSON = (".json", ".jsonl", ".ndjson")
_TEXTS = (".txt", ".tsv", ".json", ".jsonl", ".ndjson")
"""Endings that say nothing: whether such a file is columns of tags its lines decide alone."""
_HINT = re.compile(rb'"(start|start_offset|entities|spans|ents)"|_tags"|"(labels?|tags|ner)"\s*:\s*\[')
_START_BYTES = 1 << 16
_PROBE_ROWS = 200


class MarkedCells:
    """Marked texts in memory, as frames of raw cells.

    Parameters
    ----------
    texts : sequence of Marked
    column : str
        What the texts' column is called.
    faults : Faults
        What was wrong with them so far.
    """

    domain = DOMAIN.name

    def __init__(self, texts: Sequence[Marked], column: str, faults: Faults) -> None:
        self.texts, self.faults = texts, faults
        documents = [DOCUMENT] if any(one.document >= 0 for one in texts) else []
        self.columns = [column, SPANS, *documents]
        self.expected_rows = len(texts)

    @property
    def marked(self) -> MarkedCells:
        """These cells, also of what wraps them; see `marked_cells`."""
        return self

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The texts, at most `rows` at a time; spans as JSON."""
        for start in range(0, len(self.texts), rows):
            part = self.texts[start : start + rows]
            cells = {
                self.columns[0]: [one.text for one in part],
                SPANS: [json.dumps(one.spans, ensure_ascii=False) for one in part],
                DOCUMENT: [str(one.document) for one in part],
            }
            yield pd.DataFrame({name: pd.Series(cells[name], dtype=object) for name in columns})


def marked_cells(table: Table) -> MarkedCells | None:
    """Return the marked texts that a table holds; None where it is another one."""
    found: MarkedCells | None = getattr(table.cells, "marked", None)
    return found


def open_file(path: Path, name: str) -> MarkedCells | None:
    """Open a file of marked texts; None where it holds none. See `Reader.open_file`.

    A build asks for it several times, to tell what it is; it is read once, until it changes.

    Raises
    ------
    ModelGPTError
        It does, and they can't be read.
    """
    now = path.stat()
    found = _read(path, name, now.st_mtime_ns, now.st_size)
    return None if found is None else MarkedCells(found.texts, found.columns[0], found.faults.copy())


@lru_cache(maxsize=1)
def _read(path: Path, name: str, changed: int, size: int) -> MarkedCells | None:
    with open_bytes(path) as raw:
        start = raw.read(_START_BYTES)
    faults = Faults()
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        found = _open_records(path, name, faults) if _HINT.search(start) else None
        return None if found is None else MarkedCells(*found, faults)
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    text = start.decode("utf-8", errors="replace").removeprefix("\ufeff")
    if is_conll(text) or (suffix not in _TEXTS and may_be_conll(text)):
        texts = read_conll(path, name, faults)
        log.debug("%s: read as tokens with tags, %s texts.", name, f"{len(texts):,}")
        return MarkedCells(texts, "text", faults)
    if suffix not in _TEXTS:
        raise ModelGPTError(
            f"{name} is no file of tokens and tags.",
            "Each line should have a token and, last, its tag (O, B-PER, I-PER), and a blank line end a text.",
            "Correct the file, or give spans as JSON.",
        )
    return None


def _open_records(path: Path, name: str, faults: Faults) -> tuple[list[Marked], str] | None:
    """The texts of a JSON file, and what they are called; None where it holds no spans, or classes beside them."""
    records = JsonRecords(path, name)
    first = list(islice(records.raw(), PROBE))
    if not first or find_tool(first) is not None or any(isinstance(r.get("label"), (str, int)) for r in first):
        return None
    form = find_form(first)
    if form is None:
        return None
    if form.tool:
        log.debug("%s: read as records of %s.", name, form.tool)
    return read_records(records.raw(), form, name, faults), form.text


def marked_table(table: Table, target: str | None = None) -> Table | None:
    """Return a table of marked texts as they are read; None where it has no column of spans, or tags.

    Parameters
    ----------
    target : str, optional
        The column with the spans, where it is named.
    """
    if marked_cells(table) is not None:
        return table
    if table.domain or table.is_folder:
        return None
    probe = next(iter(table.frames(_PROBE_ROWS)), pd.DataFrame())
    form = _form_of(probe, target)
    if form is None:
        return None
    faults = Faults()
    records = (record for frame in table.frames() for record in _records(frame))
    texts = read_records(records, form, table.name, faults)
    cells = MarkedCells(texts, form.text, faults)
    return Table(cells, table.name, table._file, table.path, table.description, table.test_path, table.folder)


def _form_of(probe: pd.DataFrame, target: str | None) -> Form | None:
    names = [str(name) for name in probe]
    listed = [name for name in names if any(_is_list(cell) for cell in probe[name].head(20))]
    if not listed or (target is not None and target not in listed):
        return None
    first = list(_records(probe if target is None else probe[[n for n in names if n not in listed or n == target]]))
    found = find_form(first)
    others = [name for name in names if name not in listed]
    # Beside the text no other column may hold what could be the target.
    if found is None or (target is None and not _only_text(probe, others, found.text)):
        return None
    return found


def _only_text(probe: pd.DataFrame, others: Sequence[str], text: str) -> bool:
    """Whether a table's further columns are notes: none is called label or the like."""
    return not any(name.lower() in ("label", "class", "target", "category") for name in others if name != text)


def _is_list(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell[:1] == "[" and cell.rstrip()[-1:] == "]"
    return isinstance(cell, (list, tuple)) or (hasattr(cell, "tolist") and getattr(cell, "ndim", 0) == 1)


def _records(frame: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    for row in frame.to_dict("records"):
        yield {str(name): _opened(cell) for name, cell in row.items()}


def _opened(cell: Any) -> Any:
    """A cell with a list as this list; others as they are."""
    if not _is_list(cell):
        return cell
    if not isinstance(cell, str):
        return cell.tolist() if hasattr(cell, "tolist") else list(cell)
    spans = parse_spans(cell)
    if spans is not None:
        return spans
    try:
        found = json.loads(cell)
    except ValueError:
        return cell
    return found if isinstance(found, list) else cell
