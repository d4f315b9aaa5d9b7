"""Files to raw tables: whatever a user points at becomes a `Table` that streams. Start of the way of the data.

What a file is, its content says first, its name second. Cells stay as they were written; `typing` gives them types.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pandas as pd

from modelgpt_cli.core.domain import all_domains
from modelgpt_cli.core.errors import ModelGPTError, UsageError, damaged
from modelgpt_cli.core.files import sha256
from modelgpt_cli.core.paths import expand
from modelgpt_cli.core.schema import Column
from modelgpt_cli.core.temporary import remove_leftovers
from modelgpt_cli.data.address import read_address
from modelgpt_cli.data.arff_file import ArffFile
from modelgpt_cli.data.csv_file import CsvFile
from modelgpt_cli.data.encoding import open_bytes, unknown_type
from modelgpt_cli.data.fasttext_file import PREFIX, FastTextFile
from modelgpt_cli.data.folder_names import ABOUT, CLASS_LISTS, TABLE_SUFFIXES, TEST_NAMES, TRAIN_NAMES
from modelgpt_cli.data.guarded import guarded
from modelgpt_cli.data.in_memory import NAME, Data, FrameCells, to_frame
from modelgpt_cli.data.json_file import JsonFile
from modelgpt_cli.data.parquet_file import ParquetFile
from modelgpt_cli.data.sheets import SheetFile
from modelgpt_cli.data.vectors import VectorCells, with_vectors

if TYPE_CHECKING:
    from modelgpt_cli.data.source import Reader

log = logging.getLogger("modelgpt")

_FRAME_CELLS = 4_000_000
_MIN_FRAME_ROWS = 64
_WORKBOOKS = (b"\xd0\xcf\x11\xe0", b"PK\x03\x04")
"""How workbooks begin, and zip archives, in which one may be."""


class RawCells(Protocol):
    """What each format provides; `expected_rows` and `declared` (see `Table`) too, where it knows them."""

    columns: list[str]

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows, at most `rows` at a time."""


@runtime_checkable
class Fingerprinted(Protocol):
    """What a format provides beside `RawCells` whose data are not one file."""

    def fingerprint(self) -> str:
        """The SHA-256 over all of the data, as "sha256:<64 hex digits>"."""


class Table:
    """A table that streams: from a file or folder, or out of memory.

    Parameters
    ----------
    cells : RawCells
        Reads them.
    name : str
        A short name for messages: the file's or the folder's, or "stdin", or "the table".
    file : Path or None
        What is read; None for a table in memory.
    path : Path or None
        `file` as the user knows it, a file or a folder of data; None for stdin and for a table in memory.
    description : str
        The text of a README beside the table in a folder, else "".
    test_path : Path or None
        The test file beside the table in a folder, or the folder of test data.
    folder : Path or None
        The folder that was given, where the table was found in one.
    domain : str
        Of a format whose cells mean nothing to any other domain: this domain's name; else "". `cells` may have it as
        their ``domain``, and as ``domains`` all that can read them.

    Attributes
    ----------
    domains : tuple of str
        All domains to which the cells mean something, where `domain` says that they mean nothing to others.
    columns : list of str
        The column names, in the file's order.
    is_folder : bool
        Whether it is a folder of data.
    expected_rows : int or None
        How many rows there are, or about so many; None where only reading them tells.
    declared : mapping of str to Column
        What a format that gives columns types says of some: type, and for categories the levels and the reading rule,
        for dates the reading rule.
    """

    def __init__(
        self,
        cells: RawCells,
        name: str,
        file: Path | None,
        path: Path | None,
        description: str = "",
        test_path: Path | None = None,
        folder: Path | None = None,
        domain: str = "",
    ) -> None:
        self.cells = cells
        self.name = name
        self.path = path
        self.description = description
        self.test_path = test_path
        self.folder = folder
        self.domain = domain or getattr(cells, "domain", "")
        self.domains: tuple[str, ...] = getattr(cells, "domains", (self.domain,))
        self._file = file
        self.is_folder = file is not None and file.is_dir()
        self.columns = list(cells.columns)
        self.expected_rows: int | None = getattr(cells, "expected_rows", None)
        self.declared: Mapping[str, Column] = getattr(cells, "declared", {})
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
        yield from self.cells.frames(rows, wanted)

    def fingerprint(self) -> str:
        """The SHA-256 of the file's bytes, all files' of a folder, or a frame's cells: "sha256:<64 hex digits>"."""
        origin = self.cells.origin if isinstance(self.cells, VectorCells) else self.cells
        if isinstance(origin, Fingerprinted):
            return origin.fingerprint()
        assert self._file is not None
        return f"sha256:{sha256(self._file)}"


def no_such_column(name: str, table: Table, what: str = "column") -> UsageError:
    """The error for a column that the table lacks, with the nearest name and the list."""
    lower = {column.lower(): column for column in table.columns}
    near = get_close_matches(name.lower(), list(lower), n=1)
    shown = ", ".join(table.columns[:30]) + (f", … ({len(table.columns)} in all)" if len(table.columns) > 30 else "")
    guess = f"Did you mean {lower[near[0]]!r}?" if near else "Give one of these names."
    return UsageError(f"{table.name} has no {what} {name!r}.", f"Its columns: {shown}.", guess)


def open_table(data: Data | Table) -> Table:
    """Open a file, a folder with a table in it, stdin ("-"), data in a format that one domain alone reads, or a table
    in memory.

    Parameters
    ----------
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, ndarray (N, d), or Table
        See `address.read_address` for what may follow the name of a file, `in_memory.to_frame` for what is no path.
        A table that is open already is returned.

    Raises
    ------
    ModelGPTError
        The file is absent, empty, unreadable, damaged, of unknown type or has duplicate column names.
    UsageError
        It is no data at all.
    """
    if isinstance(data, Table):
        return data
    if not isinstance(data, (str, os.PathLike)):
        return Table(with_vectors(FrameCells(to_frame(data)), NAME), NAME, None, None)
    text = os.fspath(data)
    address = read_address(text)
    if address.path == "-":
        file = _spool_stdin()
        return Table(_open_file(file, "stdin", address.sheet, address.header), "stdin", file, None)
    path = expand(address.path)
    if path.is_file() and (path.suffix.lower() != ".zip" or _is_zipped_table(path)):
        return _open_named(path, sheet=address.sheet, header=address.header)
    tables = _tables(path) if path.is_dir() else []
    if found := _of_a_domain(path, tables):
        if address.sheet:
            raise _no_workbook(found.name, address.sheet)
        return found
    if not path.exists():
        near = get_close_matches(path.name, os.listdir(path.parent) if path.parent.is_dir() else [], n=1)
        hint = f"Did you mean {path.parent / near[0]}?" if near else "Check the path."
        raise UsageError(f"There is no file {path}.", "", hint)
    if path.is_file():
        return _open_named(path, sheet=address.sheet, header=address.header)
    if not path.is_dir():  # a pipe or a device can be read once only, and a table is read several times
        raise UsageError(
            f"{path} is not an ordinary file.", "", "Give a file, or pipe the table in and write - for it."
        )
    table, test_path = _train_and_test(path, tables)
    if test_path is not None:  # of which the same sheet is meant
        test_path = Path(f"{test_path}{text[len(address.path) :]}")
    return _open_named(table, readme(path), test_path, path, sheet=address.sheet, header=address.header)


def _open_named(
    file: Path,
    description: str = "",
    test_path: Path | None = None,
    folder: Path | None = None,
    *,
    sheet: str = "",
    header: str = "auto",
) -> Table:
    name = os.path.basename(os.path.abspath(file))
    return Table(_open_file(file, name, sheet, header), name, file, file, description, test_path, folder)


def _of_a_domain(path: Path, tables: Sequence[Path]) -> Table | None:
    """The data of a folder or archive, as the first domain opens them that knows what they are.

    Where there are tables, the domains are asked whose data may have such files beside them.
    """
    for domain in all_domains():
        if any(not table.name.lower().endswith(domain.beside or ("/",)) for table in tables):
            continue
        reader: Reader = domain.part("read")
        if table := reader.open_path(path):
            return table
    return None


def stem_of(path: Path) -> str:
    """Return a file's name without any of its endings, in lower case."""
    return path.name.lower().split(".")[0]


def is_table_name(name: str) -> bool:
    """Whether a file's name ends like a table's; "sample_submission.csv" is what competitions want to be given."""
    name = name.rsplit("/", 1)[-1]
    if name.lower().startswith("sample_submission") or name.lower() in CLASS_LISTS:
        return False
    name = name.lower().removesuffix(".gz")
    return not name.startswith((".", "~$")) and name.endswith(TABLE_SUFFIXES)


def _tables(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and is_table_name(file.name))


def _train_and_test(folder: Path, files: list[Path]) -> tuple[Path, Path | None]:
    """The training table among a folder's tables, and its test table where there is one."""
    test = next((file for stem in TEST_NAMES for file in files if stem_of(file) == stem), None)
    for stem in TRAIN_NAMES:
        named = [file for file in files if stem_of(file) == stem]
        if named:
            return named[0], test
    others = [file for file in files if file != test]
    if len(others) == 1:
        return others[0], test
    if not others:
        readers: list[Reader] = [domain.part("read") for domain in all_domains()]
        kinds = " or ".join(reader.FILES for reader in readers if reader.FILES)
        raise ModelGPTError(
            f"There is no table in the folder {folder}.",
            f"Looked for files that end in {', '.join(TABLE_SUFFIXES[:9])} (also .gz), and for {kinds} "
            "in one sub-folder per class.",
            "Put a train.csv into it, or give the file itself.",
        )
    raise ModelGPTError(
        f"The folder {folder} holds several tables: {', '.join(file.name for file in others[:10])}.",
        "None of them is called train or data.",
        f"Give one of them, for example {others[0]}.",
    )


def is_about(path: Path) -> bool:
    """Whether a file describes the data beside it, rather than being part of them."""
    return path.is_file() and path.name.lower().startswith(ABOUT)


def readme(folder: Path) -> str:
    """Return the text of README* or description.txt in a folder, else ""."""
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
    remove_leftovers(Path(tempfile.gettempdir()))
    spool = Path(tempfile.gettempdir(), f"modelgpt-stdin-{secrets.token_hex(8)}")
    atexit.register(_remove, spool)  # before it is there, so that no signal can come between
    with open(spool, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:  # for no one else
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return spool


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@guarded
def _open_file(file: Path, name: str, sheet: str = "", header: str = "auto") -> RawCells:
    """The reader for a file, by its first bytes, then by its name."""
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
    if sheet and not magic.startswith(_WORKBOOKS):
        raise _no_workbook(name, sheet)
    if magic.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
        return with_vectors(ParquetFile(file, name), name)
    if magic.startswith(b"PK\x03\x04") and (inner := _zipped_table(file, name)):
        return _open_file(inner, inner.name, sheet, header)
    if magic.startswith(_WORKBOOKS):
        return SheetFile(file, name, sheet, header)
    if (own := _own_format(file, name)) is not None:
        return own
    if suffix in (".jsonl", ".ndjson", ".json") or start.startswith((b'{"', b'[{"')):
        return with_vectors(JsonFile(file, name), name)
    if start.startswith(PREFIX.encode()):
        return FastTextFile(file, name)
    if suffix == ".arff" or start.lower().startswith(b"@relation"):
        return ArffFile(file, name)
    if b"\0" in start:
        for domain in all_domains():
            reader: Reader = domain.part("read")
            if found := reader.single_item(name, start):
                raise found
    if start.startswith(b"%PDF"):
        raise unknown_type(name)
    return CsvFile(file, name, header)


def _own_format(file: Path, name: str) -> RawCells | None:
    """The reader of a file of a form that one domain alone has; None where there is none."""
    ending = name.lower().removesuffix(".gz")
    for domain in all_domains():
        if domain.suffixes and ending.endswith(domain.suffixes):
            reader: Reader = domain.part("read")
            if (found := reader.open_file(file, name)) is not None:
                return found
    return None


def is_own_format(path: Path) -> bool:
    """Whether a file is of a form that one domain alone reads, and no table; one that is broken counts too."""
    try:
        return path.is_file() and _own_format(path, path.name) is not None
    except ModelGPTError:
        return True


def _no_workbook(name: str, sheet: str) -> UsageError:
    """The error for a sheet of what has none."""
    return UsageError(f"{name} is no workbook, so it has no sheet {sheet!r}.", "", "Leave the sheet out.")


def _is_zipped_table(path: Path) -> bool:
    """Whether a zip holds nothing but one table, perhaps with a text about it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    except (zipfile.BadZipFile, OSError):
        return False
    files = [Path(name).name for name in names if not Path(name).name.lower().startswith((".", *ABOUT))]
    return len(files) == 1 and is_table_name(files[0])


def _zipped_table(file: Path, name: str) -> Path | None:
    """The one table in a zip, unpacked to a file that is removed when the process ends; None for a workbook."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "[Content_Types].xml" in names or "mimetype" in names:
                return None
            tables = [found for found in names if is_table_name(Path(found).name) and not found.startswith("__MACOSX")]
            if len(tables) != 1:
                raise ModelGPTError(
                    f"{name} holds {len(tables) or 'no'} tables.",
                    f"It holds: {', '.join(names[:10])}.",
                    "Unpack it, and give one of its tables.",
                )
            folder = Path(tempfile.mkdtemp(prefix="modelgpt-zip-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            inner = folder / Path(tables[0]).name
            with archive.open(tables[0]) as source, inner.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return inner
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged(name, error) from error
