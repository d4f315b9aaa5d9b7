"""CSV and its relatives: encoding and delimiter are found, then rows stream out as text cells.

First step on the way of the data, for text tables: bytes → frames of raw cells.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from modelgpt_cli.core.errors import ModelGPTError, damaged

log = logging.getLogger("modelgpt")

DELIMITERS = (",", ";", "\t", "|")
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file in one of these encodings begins with, longer marks before those that they begin with."""
_HEAD_CHARS = 4 << 20
_BLOCK_BYTES = 8 << 20
_FRAME_BYTES = 256 << 20
_MAX_CELL = 1 << 30
_SNIFF_RECORDS = 50
_STRAY_SHARE = 0.01
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading bytes, unpacked where it is gzip."""
    if is_gzip(path):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def is_gzip(path: Path) -> bool:
    """Whether the file starts as gzip does, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def find_encoding(path: Path, name: str) -> str:
    """The text encoding of a whole file: by its mark, as UTF-8 where every byte fits, else latin-1 with a note.

    Raises
    ------
    ModelGPTError
        The file is binary, or its compressed stream is damaged.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_bytes(path) as file:
            block = file.read(1 << 20)
            for mark, encoding in BOMS:
                if block.startswith(mark):
                    return encoding
            if b"\0" in block and not _has_stray_zeros(block):
                return _utf16_without_mark(block, name)
            while block:
                if not (block.isascii() and not decoder.getstate()[0]):
                    decoder.decode(block)
                block = file.read(1 << 20)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        log.info("%s is not UTF-8: read as latin-1. If letters look wrong, save it as UTF-8.", name)
        return "latin-1"
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(name, error) from error
    return "utf-8"


def unknown_type(name: str) -> ModelGPTError:
    """The error for a file that is no table."""
    return ModelGPTError(
        f"{name} is not a table that ModelGPT can read.",
        "Its content is binary and of no known type.",
        "Give a CSV or TSV (also .gz), JSON lines, Parquet or Excel (.xlsx) file.",
    )


def _has_stray_zeros(block: bytes) -> bool:
    """Whether this is UTF-8 text in which a few zeros and other control characters got lost, as scraped texts are."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False
    return len(_CONTROL.findall(text)) <= _STRAY_SHARE * len(text)


def _utf16_without_mark(block: bytes, name: str) -> str:
    """UTF-16 text of mostly Latin letters has a zero in every second byte; anything else with zeros is binary."""
    half = max(1, len(block) // 2)
    for encoding, high in (("utf-16-le", block[1::2]), ("utf-16-be", block[0::2])):
        text = block[: 2 * half].decode(encoding, "replace")
        if high.count(0) > 0.5 * half and not _CONTROL.search(text):
            return encoding
    raise unknown_type(name)


def _records(text: str, delimiter: str, limit: int) -> list[list[str]]:
    """The first records of a piece of CSV text, blank lines left out."""
    rows: list[list[str]] = []
    csv.field_size_limit(_MAX_CELL)  # its default refuses cells beyond 128 kB
    try:
        for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), limit):
            if row:
                rows.append(row)
    except csv.Error:  # a zero in a line, which older Pythons refuse: what was read so far must do
        pass
    return rows


def find_delimiter(text: str) -> str:
    """The delimiter under which the first records agree best with the header, more columns winning a tie."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        rows = _records(text, delimiter, _SNIFF_RECORDS)
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        score = (sum(len(row) == width for row in rows) / len(rows), width)
        if score > best_score:
            best, best_score = delimiter, score
    return best


class CsvFile:
    """A delimited text file, read as text cells as they are written, without their quotes; null where one is empty.

    Parameters
    ----------
    path : Path
        The file, plain or gzip.
    name : str
        What messages call it.

    Attributes
    ----------
    columns : list of str
        The column names, in the file's order.
    delimiter : str
        The sign between cells.
    encoding : str
        Of the text, as Python calls it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.encoding = find_encoding(path, name)
        text = self._head()
        if not text.strip():
            raise ModelGPTError(f"{name} is empty.", "", "Give a file with a header line and at least two rows.")
        self.delimiter = find_delimiter(text)
        header = _records(text, self.delimiter, 1 + text.count("\n"))[0]
        self.columns = [cell.strip() or f"unnamed_{i + 1}" for i, cell in enumerate(header)]

    def _head(self) -> str:
        try:
            with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace", newline="") as file:
                return file.read(_HEAD_CHARS)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise damaged(self.name, error) from error

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB, header left out, the named columns as ordered."""
        place = {name: i for i, name in enumerate(self.columns)}
        keys = [f"f{place[name]}" for name in columns]
        held: list[pa.RecordBatch] = []
        count, first = 0, True
        for batch in self._batches(keys):
            held.append(batch.slice(1) if first else batch)
            first = False
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
        # An open quote in the last column swallows whole lines, so that column is always looked at.
        last_key = f"f{len(self.columns) - 1}"
        read_keys = keys if last_key in keys else [*keys, last_key]
        encoding = "utf8" if self.encoding in ("utf-8", "utf-8-sig") else self.encoding
        read = pacsv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK_BYTES, encoding=encoding)
        # in a file of one column an empty line is a missing cell
        parse = pacsv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=len(self.columns) > 1
        )
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(read_keys, pa.string()),
            include_columns=read_keys,
            strings_can_be_null=True,
            null_values=[""],
        )
        try:
            stream = pa.input_stream(str(self.path), compression="gzip" if is_gzip(self.path) else None)
            with stream, pacsv.open_csv(stream, read, parse, convert) as reader:
                last: pa.RecordBatch | None = None
                for batch in reader:
                    last = batch if batch.num_rows else last
                    yield batch.select(keys)
            if last is not None:
                self._check_quotes(last.slice(last.num_rows - 1))
        except pa.ArrowInvalid as error:
            raise self._explain(error) from error
        except OSError as error:
            raise damaged(self.name, error) from error

    def _check_quotes(self, last_row: pa.RecordBatch) -> None:
        """A quote that is never closed swallows the rest of the file into one cell without any complaint."""
        if not any("\n" in (column[0].as_py() or "") for column in last_row.columns):
            return
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace", newline="") as file:
            quotes = sum(block.count('"') for block in iter(lambda: file.read(_HEAD_CHARS), ""))
        if quotes % 2:
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
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, self.encoding, "replace", newline="") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            try:
                start = 1
                for row in reader:
                    if row and len(row) != width:
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
