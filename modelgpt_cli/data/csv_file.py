"""CSV and its relatives: encoding, delimiter and header are found, then rows stream out as text cells.

First step on the way of the data, for text tables: bytes → frames of raw cells.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from modelgpt_cli.core.errors import ModelGPTError, damaged
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.data.dialect import NO_DELIMITER, Dialect, Record, find_dialect, is_lines, read_records
from modelgpt_cli.data.encoding import is_gzip, open_bytes, read_facts
from modelgpt_cli.data.footer import can_repeat, count_footers, is_header_of_another, repeated_rows
from modelgpt_cli.data.layout import Layout, find_layout
from modelgpt_cli.data.signs import head_rows

log = logging.getLogger("modelgpt")

_HEAD_CHARS = 4 << 20
_BLOCK_BYTES = 8 << 20
_FRAME_BYTES = 256 << 20
_TAIL_RECORDS = 3
_ONE_TEXT = "%s: each line is a text, the first too; the column is called text."


class CsvFile:
    """A delimited text file, read as text cells as they are written, without their quotes; null where one is empty.

    Parameters
    ----------
    path : Path
        The file, plain or gzip.
    name : str
        What messages call it.
    header : str
        See `layout.find_layout`.

    Attributes
    ----------
    columns : list of str
        The column names, in the file's order.
    delimiter : str
        The sign between cells.
    encoding : str
        Of the text, as Python calls it.
    expected_rows : int
        About how many rows there are: the lines of the file, as many a row as in the first ones.
    """

    def __init__(self, path: Path, name: str, header: str = "auto") -> None:
        self.path = path
        self.name = name
        self._facts = read_facts(path, name)
        self.encoding = self._facts.encoding
        text = self._head()
        if not text.strip():
            raise ModelGPTError(f"{name} is empty.", "", "Give a file with a header line and at least two rows.")
        as_lines = header != "1" and path.suffix.lower() == ".txt" and is_lines(text)
        self._dialect = Dialect(NO_DELIMITER, False) if as_lines else find_dialect(text, self._facts.quotes)
        self.delimiter = self._dialect.delimiter
        if not self._dialect.quoted and not as_lines:
            log.warning("%s: quotes that are never closed are read as part of the text.", name)
        records, whole = self._first_records(text)
        cells = [record.cells for record in records]
        layout = Layout([FREE_TEXT], 0, [_ONE_TEXT % name]) if as_lines else find_layout(cells, header, name)
        for note in layout.notes:
            log.warning("%s", note)
        self.columns = layout.names
        body = records[layout.start :]
        self._skip = records[layout.start - 1].end if layout.start else records[0].line
        self._is_empty = whole and not body
        self._footers: list[list[str]] = []
        if header == "auto":
            self._check_one_table(body)
            self._footers = self._find_footers(body, whole)
        self.expected_rows = self._count_rows(body, whole)
        self._may_repeat = header == "auto" and can_repeat(self.columns, [record.cells for record in body])
        self._reported = False

    def _head(self) -> str:
        with open_bytes(self.path) as raw, self._text(raw) as file:
            return file.read(_HEAD_CHARS)

    def _text(self, raw: BinaryIO) -> io.TextIOWrapper:
        return io.TextIOWrapper(raw, self.encoding, "replace", newline="")

    def _first_records(self, text: str) -> tuple[list[Record], bool]:
        """The records that say how the table lies, and whether they are all that there are."""
        first = read_records(text, self._dialect, 1)
        limit = head_rows(len(first[0].cells)) if first else 1
        records = read_records(text, self._dialect, limit)
        if not records:
            raise ModelGPTError(f"{self.name} is empty.", "", "Give a file with a header line and at least two rows.")
        whole = len(text) < _HEAD_CHARS and len(records) < limit
        cut = len(text) == _HEAD_CHARS and 1 < len(records) < limit
        return records[:-1] if cut else records, whole

    def _check_one_table(self, body: list[Record]) -> None:
        for i, (before, record) in enumerate(pairwise(body), 1):
            if record.line > before.end and is_header_of_another(
                record.cells, [other.cells for other in body[:i]], self.columns
            ):
                raise ModelGPTError(
                    f"{self.name} holds two tables: line {record.line + 1} is the header of another.",
                    f"It reads: {self.delimiter.join(record.cells)[:80]}",
                    "Put each table in a file of its own.",
                )

    def _find_footers(self, body: list[Record], whole: bool) -> list[list[str]]:
        """The records at the end that are no data."""
        tail = read_records(self._facts.tail, replace(self._dialect, skip=0), 1 + self._facts.tail.count("\n"))
        last = [record.cells for record in tail[-_TAIL_RECORDS:]]
        count = count_footers([record.cells for record in body], last, whole)
        for cells in last[len(last) - count :]:
            shown = self.delimiter.join(cells)[:80]
            log.warning("%s: left out the last row, which is a total or a remark: %s", self.name, shown)
        return last[len(last) - count :]

    def _count_rows(self, body: list[Record], whole: bool) -> int:
        if whole or not body:
            return len(body) - len(self._footers)
        lines = (body[-1].end - body[0].line) / len(body)
        return round((self._facts.lines - body[0].line) / lines) - len(self._footers)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB, the named columns in this order."""
        place = {name: i for i, name in enumerate(self.columns)}
        keys = [f"f{place[name]}" for name in columns]
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self._batches(keys):
            held.append(batch)
            count += held[-1].num_rows
            while count >= rows:
                table = pa.Table.from_batches(held)
                yield _to_frame(table.slice(0, rows), columns)
                held, count = table.slice(rows).to_batches(), count - rows
            if sum(piece.nbytes for piece in held) > _FRAME_BYTES and count:
                yield _to_frame(pa.Table.from_batches(held), columns)
                held, count = [], 0
        if count:
            yield _to_frame(pa.Table.from_batches(held), columns)

    def _batches(self, keys: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows of data as batches of these columns."""
        if self._is_empty:
            return
        # An open quote in the last column swallows whole lines, and a header that is repeated is known by its ends, so
        # the outer columns are always looked at.
        all_keys = [f"f{i}" for i in range(len(self.columns))]
        read_keys = list(dict.fromkeys([*keys, all_keys[0], all_keys[-1]]))
        full_footers = sum(len(cells) == len(self.columns) for cells in self._footers)
        repeats = 0
        held: pa.RecordBatch | None = None  # what may hold the footers
        last: pa.RecordBatch | None = None
        try:
            for batch in self._stream(all_keys, read_keys):
                if not batch.num_rows:
                    continue
                last = batch
                batch, dropped = self._without_headers(batch)
                repeats += dropped
                if full_footers:
                    batch = pa.concat_batches([held, batch]) if held is not None else batch
                    held = batch.slice(max(0, batch.num_rows - full_footers))
                    batch = batch.slice(0, batch.num_rows - held.num_rows)
                yield batch.select(keys)
            if last is not None and self._dialect.quoted:
                self._check_quotes(last.slice(last.num_rows - 1))
        except pa.ArrowInvalid as error:
            raise self._explain(error) from error
        except OSError as error:
            raise damaged(self.name, error) from error
        if repeats and not self._reported:
            self._reported = True
            log.warning("%s: left out %s the header.", self.name, repeated_rows(repeats))

    def _stream(self, all_keys: list[str], read_keys: list[str]) -> Iterator[pa.RecordBatch]:
        read = pacsv.ReadOptions(column_names=all_keys, skip_rows=self._skip, block_size=_BLOCK_BYTES)
        parse = pacsv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self._dialect.quoted else False,
            newlines_in_values=self._dialect.quoted,
            # in a file of one column an empty line is a missing cell
            ignore_empty_lines=len(self.columns) > 1,
            invalid_row_handler=self._skip_footer if self._footers else None,
        )
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(read_keys, pa.string()),
            include_columns=read_keys,
            strings_can_be_null=True,
            null_values=[""],
        )
        stream = pa.input_stream(str(self.path), compression="gzip" if is_gzip(self.path) else None)
        if not self._facts.clean:
            decoder = codecs.getincrementaldecoder(self.encoding)("replace")
            stream = pa.TransformInputStream(stream, lambda block: decoder.decode(bytes(block)).encode())
        with stream, pacsv.open_csv(stream, read, parse, convert) as reader:
            yield from reader

    def _skip_footer(self, row: pacsv.InvalidRow) -> str:
        cells = read_records(row.text, replace(self._dialect, skip=0), 1)
        return "skip" if not cells or cells[0].cells in self._footers else "error"

    def _without_headers(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
        """A batch without rows that repeat the header in all columns that were read, and their number."""
        if not self._may_repeat:
            return batch, 0
        names = [self.columns[int(key[1:])] for key in batch.schema.names]
        same = pc.equal(pc.utf8_trim_whitespace(batch.column(0)), names[0])
        if not pc.any(same).as_py():
            return batch, 0
        for column, name in zip(batch.columns[1:], names[1:], strict=True):
            same = pc.and_(same, pc.equal(pc.utf8_trim_whitespace(column), name))
        same = pc.fill_null(same, False)
        return batch.filter(pc.invert(same)), pc.sum(same).as_py() or 0

    def _check_quotes(self, last_row: pa.RecordBatch) -> None:
        """A quote that is never closed swallows the rest of the file into one cell without any complaint."""
        if not any("\n" in (column[0].as_py() or "") for column in last_row.columns):
            return
        if self._facts.quotes % 2:
            text = next(cell for column in last_row.columns if "\n" in (cell := column[0].as_py() or ""))
            raise ModelGPTError(
                f"{self.name}: a quote is opened and never closed, so the rest of the file is one cell.",
                f"The cell begins: {text[:60].splitlines()[0]}",
                "Close the quote or remove it.",
            )

    def _explain(self, error: Exception) -> ModelGPTError:
        """Arrow's parse error as the line that a person has to look at."""
        if "straddling" in str(error):
            return ModelGPTError(
                f"{self.name} has a row of more than {_BLOCK_BYTES >> 20} MB.",
                "",
                "Shorten the text in it, or close the quote that makes it so long.",
            )
        width = len(self.columns)
        with open_bytes(self.path) as raw, self._text(raw) as file:
            reader = self._dialect.reader(file)
            try:
                start = 1
                for row in reader:
                    if row and len(row) != width and start > self._skip and row not in self._footers:
                        count = f"{len(row)} cell{'s' if len(row) > 1 else ''}"
                        lines = self.delimiter.join(row).splitlines() or [""]
                        hint = 'Mend or remove the line. A cell that holds the delimiter goes in quotes: "a, b".'
                        if len(lines) > 1:
                            hint = "A quote in it runs over several lines: close or remove it."
                        return ModelGPTError(
                            f"{self.name}: line {start} has {count} where the header has {width}.",
                            f"It reads: {lines[0][:80]}{'…' if len(lines) > 1 or len(lines[0]) > 80 else ''}",
                            hint,
                        )
                    start = reader.line_num + 1
            except csv.Error:  # a zero in a line, which older Pythons refuse; Arrow's own words have to do
                pass
        return ModelGPTError(
            f"{self.name} can't be read as a table.",
            str(error)[:300],
            "Look for a quote that is opened and never closed.",
        )


def _to_frame(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    return table.rename_columns(list(columns)).to_pandas()
