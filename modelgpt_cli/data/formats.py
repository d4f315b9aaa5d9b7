"""JSON lines, Parquet and Excel as frames of raw cells. First step on the way of the data, beside `csv_file`."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelgpt_cli.core.errors import ModelGPTError, damaged
from modelgpt_cli.data.encoding import open_bytes, read_facts

log = logging.getLogger("modelgpt")

_KEY_LINES = 10_000
_MAX_PARQUET_BATCH = 65_536
_FRAME_BYTES = 256 << 20
_PARQUET_BUFFER = 1 << 20
_TWO_OBJECTS = "Give a file with at least two JSON objects."


class JsonFile:
    """JSON lines (an object per line), or one JSON array of objects; keys are the columns.

    The columns are the keys of the first 10,000 lines; a key that first appears later is left out with a warning.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.encoding = read_facts(path, name).encoding
        self._told = False
        keys: dict[str, None] = {}
        for record in islice(self._records(), _KEY_LINES):
            keys.update(dict.fromkeys(record))
        if not keys:
            raise ModelGPTError(f"{name} is empty.", "It holds no object with a key.", _TWO_OBJECTS)
        self.columns = list(keys)

    def _records(self) -> Iterator[dict[str, Any]]:
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace") as file:
            first = next((line for line in file if line.strip()), "")
            if not first:
                raise ModelGPTError(f"{self.name} is empty.", "", _TWO_OBJECTS)
            file.seek(0)
            if first.lstrip().startswith("["):
                yield from self._array(file.read())
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield self._object(line, number)

    def _array(self, text: str) -> Iterator[dict[str, Any]]:
        try:
            records = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelGPTError(f"{self.name} is not valid JSON.", str(error), "Mend the file.") from error
        for number, record in enumerate(records, 1):
            if not isinstance(record, dict):
                raise ModelGPTError(
                    f"{self.name}: item {number} is not a JSON object.", "", 'Each row is an object: {"column": value}.'
                )
            yield record

    def _object(self, line: str, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            cause = f"{error.msg} at character {error.pos + 1}: {line.strip()[:80]}"
            hint = 'Each line is one object: {"column": value, …}.'
            raise ModelGPTError(f"{self.name}: line {number} is not valid JSON.", cause, hint) from error
        if not isinstance(record, dict):
            raise ModelGPTError(
                f"{self.name}: line {number} is not a JSON object.",
                f"It reads: {line.strip()[:80]}",
                'Each line is one object: {"column": value, …}.',
            )
        return record

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB of text; an absent key is a missing cell."""
        records = self._records()
        known = set(self.columns)
        while chunk := _take(records, rows):
            late = {key for record in chunk for key in record if key not in known}
            if late and not self._told:
                self._told = True
                log.warning(
                    "%s: left out %s, which first appear after line %d.", self.name, ", ".join(sorted(late)), _KEY_LINES
                )
            yield pd.DataFrame({name: pd.Series([r.get(name) for r in chunk], dtype=object) for name in columns})


def _take(records: Iterator[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """The next `rows` records, fewer where they hold very long texts."""
    taken: list[dict[str, Any]] = []
    size = 0
    for record in islice(records, rows):
        taken.append(record)
        size += sum(len(cell) for cell in record.values() if type(cell) is str)
        if size > _FRAME_BYTES:
            break
    return taken


class ParquetFile:
    """A Parquet file, read batch by batch."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        with self._open() as file:
            names = file.schema_arrow.names
        self.columns = [name for name in names if not name.startswith("__index_level_")]  # pandas' nameless index

    def _open(self) -> pq.ParquetFile:
        # Arrow's default keeps what it has read ahead until the file is closed: in the end, the whole file.
        try:
            return pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_PARQUET_BUFFER)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.name, error) from error

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB."""
        with self._open() as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
            batch_rows = max(1, min(rows, _MAX_PARQUET_BATCH, int(_FRAME_BYTES / max(1, row_bytes))))
            try:
                for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns)):
                    # pandas' own notes in the file would turn a column into the frame's index; split blocks are not
                    # copied together
                    yield batch.select(list(columns)).replace_schema_metadata(None).to_pandas(split_blocks=True)
            except (pa.ArrowException, OSError) as error:
                raise damaged(self.name, error) from error


class ExcelFile:
    """The first sheet of an Excel workbook (.xlsx), held in memory: a sheet has a million rows at most."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        try:
            with pd.ExcelFile(path, engine="openpyxl") as book:
                sheets = [str(sheet) for sheet in book.sheet_names]
                cells = pd.read_excel(book, sheet_name=sheets[0], header=None, dtype=object, keep_default_na=False)
        except Exception as error:  # openpyxl raises many kinds, all of which mean the same to the user
            raise damaged(name, error) from error
        if len(sheets) > 1:
            log.info("%s: read the first of %d sheets, %s.", name, len(sheets), sheets[0])
        if cells.empty:
            raise ModelGPTError(f"{name} is empty.", "", "Give a sheet with a header line and at least two rows.")
        names = [str(cell).strip() for cell in cells.iloc[0]]
        self.columns = [cell or f"unnamed_{i + 1}" for i, cell in enumerate(names)]
        self._cells = cells.iloc[1:].reset_index(drop=True)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows."""
        frame = self._cells.set_axis(self.columns, axis=1)[list(columns)]
        for start in range(0, len(frame), rows):
            yield frame.iloc[start : start + rows].reset_index(drop=True)
