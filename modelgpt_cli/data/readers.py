"""Files to raw tables: whatever a user points at becomes a `Table` that streams. Start of the way of the data.

What a file is, its content says first, its name second. Cells stay as they were written; `typing` gives them types.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.csv_file import CsvSource, open_bytes, unknown_type
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES, TEST_NAMES, TRAIN_NAMES
from modelgpt_cli.data.formats import ExcelSource, JsonSource, ParquetSource
from modelgpt_cli.domains.image.folder import (
    ImageFolder,
    about_zip,
    find_image_folder,
    find_image_zip,
    open_image_folder,
    open_image_zip,
)
from modelgpt_cli.domains.image.zip_archive import not_a_zip, split_zip
from modelgpt_cli.domains.text.folder import TextFolder, find_text_folder, is_about

log = logging.getLogger("modelgpt")

_FRAME_CELLS = 4_000_000
_MIN_FRAME_ROWS = 64


class Source(Protocol):
    """What each file format provides."""

    columns: list[str]

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows, at most `rows` at a time."""


class Table:
    """A table on disk, not in memory.

    Attributes
    ----------
    name : str
        A short name for messages: the file's or the folder's, or "stdin".
    path : Path or None
        The file, or the folder of texts or images, as the user knows it; None for stdin.
    columns : list of str
        The column names, in the file's order.
    description : str
        The text of a README beside the table in a folder, else "".
    test_path : Path or None
        The test file beside the table in a folder, or the folder of test texts or images.
    is_folder : bool
        Whether it is a folder of .txt files or images.
    images : ImageSource or None
        What opens the images of a folder or archive of them; None for all else.
    folder : Path or None
        The folder that was given, where the table was found in one.
    """

    def __init__(
        self,
        file: Path,
        name: str,
        path: Path | None,
        description: str,
        test_path: Path | None,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.description = description
        self.test_path = test_path
        self._file = file
        self.is_folder = file.is_dir()
        self._source: Source = _open_folder(file, name) if self.is_folder else _open_source(file, name)
        self.images = self._source.images if isinstance(self._source, ImageFolder) else None
        self.columns = list(self._source.columns)
        repeated = [column for column, count in Counter(self.columns).items() if count > 1]
        if repeated:
            raise ModelGPTError(
                f"{name}: duplicate column names: {', '.join(repeated[:10])}.",
                "Each column needs a name of its own.",
                "Rename them in the header line; if the file has no header line, put one in.",
            )

    def frames(self, rows: int = 65536, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Raw cells, from the first row on at each call.

        Parameters
        ----------
        rows : int
            At most so many rows in a frame; fewer where the table is so wide that memory would grow.
        columns : sequence of str, optional
            Only these, in this order; all where omitted.
        """
        wanted = self.columns if columns is None else list(columns)
        known = set(self.columns)
        for name in wanted:
            if name not in known:
                raise no_such_column(name, self)
        rows = max(1, min(rows, max(_MIN_FRAME_ROWS, _FRAME_CELLS // max(1, len(self.columns)))))
        yield from self._source.frames(rows, wanted)

    def fingerprint(self) -> str:
        """The SHA-256 of the file's bytes, or of all files' of a folder, as "sha256:<64 hex digits>"."""
        if isinstance(self._source, (TextFolder, ImageFolder)):
            return self._source.fingerprint()
        digest = hashlib.sha256()
        with self._file.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return f"sha256:{digest.hexdigest()}"


def no_such_column(name: str, table: Table, what: str = "column") -> UsageError:
    """The error for a column that the table lacks, with the nearest name and the list."""
    lower = {column.lower(): column for column in table.columns}
    near = get_close_matches(name.lower(), list(lower), n=1)
    shown = ", ".join(table.columns[:30]) + (f", … ({len(table.columns)} in all)" if len(table.columns) > 30 else "")
    guess = f"Did you mean {lower[near[0]]!r}?" if near else "Give one of these names."
    return UsageError(f"{table.name} has no {what} {name!r}.", f"Its columns: {shown}.", guess)


def open_table(path: str | Path) -> Table:
    """Open a file, a folder with a table or with sub-folders of .txt files or images in it, a zip archive of such
    images, or stdin ("-").

    Raises
    ------
    ModelGPTError
        The file is absent, empty, unreadable, damaged, of unknown type or has duplicate column names.
    """
    if str(path) == "-":
        return Table(_spool_stdin(), "stdin", None, "", None)
    path = Path(path).expanduser()
    if inside := split_zip(path):
        return _zip_table(path, *inside)
    if not path.exists():
        near = get_close_matches(path.name, os.listdir(path.parent) if path.parent.is_dir() else [], n=1)
        hint = f"Did you mean {path.parent / near[0]}?" if near else "Check the path."
        raise ModelGPTError(f"There is no file {path}.", "", hint)
    if path.is_file():
        return Table(path, path.name, path, "", None)
    if not path.is_dir():  # a pipe or a device can be read once only, and a table is read several times
        raise UsageError(
            f"{path} is not an ordinary file.", "", "Give a file, or pipe the table in and write - for it."
        )
    file, test_path = _table_in_folder(path)
    return Table(file, os.path.basename(os.path.abspath(file)), file, _readme(path), test_path, path)


def _zip_table(path: Path, archive: Path, inside: str) -> Table:
    """The images of an archive, or of a folder inside it."""
    found = (path, None) if inside else find_image_zip(archive)
    if found is None:
        raise ModelGPTError(
            f"{archive.name} is a ZIP archive without images.",
            "",
            "Unpack it and give the folder or the table in it.",
        )
    return Table(found[0], found[0].name, found[0], about_zip(archive), found[1])


def _stem(path: Path) -> str:
    return path.name.lower().split(".")[0]


def _is_table_name(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return path.is_file() and not name.startswith((".", "~$")) and name.endswith(TABLE_SUFFIXES)


def _table_in_folder(folder: Path) -> tuple[Path, Path | None]:
    """The training table of a folder, and its test table where there is one; or its folders of texts or images."""
    files = sorted(file for file in folder.iterdir() if _is_table_name(file))
    test = next((file for stem in TEST_NAMES for file in files if _stem(file) == stem), None)
    for stem in TRAIN_NAMES:
        named = [file for file in files if _stem(file) == stem]
        if named:
            return named[0], test
    others = [file for file in files if file != test]
    if len(others) == 1:
        return others[0], test
    if not files and (found := find_image_folder(folder) or find_text_folder(folder)):
        return found
    if not others:
        raise ModelGPTError(
            f"There is no table in the folder {folder}.",
            f"Looked for files that end in {', '.join(TABLE_SUFFIXES[:9])} (also .gz), and for .txt files or images "
            "in one sub-folder per class.",
            "Put a train.csv into it, or give the file itself.",
        )
    raise ModelGPTError(
        f"The folder {folder} holds several tables: {', '.join(file.name for file in others[:10])}.",
        "None of them is called train or data.",
        f"Give one of them, for example {others[0]}.",
    )


def _readme(folder: Path) -> str:
    """The text of README* or description.txt in a folder, else ""."""
    for file in sorted(folder.iterdir()):
        if is_about(file):
            return file.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _spool_stdin() -> Path:
    """Copy stdin to a temporary file, which is removed when the process ends."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            '"-" reads the table from stdin, and nothing is piped in.', "", "For example: cat data.csv | …"
        )
    handle, name = tempfile.mkstemp(prefix="modelgpt-stdin-")
    spool = Path(name)
    atexit.register(_remove, spool)
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return spool


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _open_folder(folder: Path, name: str) -> Source:
    """The reader for a folder that is itself the data."""
    return open_image_folder(folder, name) or TextFolder(folder, name)


def _open_source(file: Path, name: str) -> Source:
    """The reader for a file, by its first bytes, then by its name."""
    if inside := split_zip(file):
        return open_image_zip(*inside, name)
    if name.lower().endswith(".zip"):
        raise not_a_zip(name)
    try:
        with file.open("rb") as raw:
            magic = raw.read(8)
        if not magic:
            raise ModelGPTError(f"{name} is empty.", "", "Give a file with a header line and at least two rows.")
        start = b""
        with contextlib.suppress(EOFError), open_bytes(file) as raw:  # one that is cut short is told of by its reader
            start = raw.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise ModelGPTError(f"{name} can't be read.", error.strerror or str(error), "Check the file.") from error
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    if magic.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
        return ParquetSource(file, name)
    if magic.startswith(b"\xd0\xcf\x11\xe0"):
        raise ModelGPTError(f"{name} is an old Excel file.", "", "Save it as .xlsx or CSV and give that.")
    if magic.startswith(b"PK\x03\x04"):
        return ExcelSource(file, name)
    if suffix in (".jsonl", ".ndjson", ".json") or start.startswith((b'{"', b'[{"')):
        return JsonSource(file, name)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        raise ModelGPTError(
            f"{name} is an image, not a table.",
            "Many are needed, and the class of each.",
            "Give a folder with a sub-folder of images per class, or a table of their paths and classes.",
        )
    if start.startswith(b"%PDF"):
        raise unknown_type(name)
    return CsvSource(file, name)
