"""One wrapper around all readers of files: whatever a file does to a library below ends in an error for a person."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import ModelGPTError, damaged

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.data.readers import RawCells

_MOST_LINE = 256 << 20
"""Bytes that a line of a packed file may have, and a packed file whose first character opens a JSON list: readers hold
these whole. A gigabyte of blanks packs into one megabyte; the size of a file that isn't packed is there to see."""
_BLOCK = 1 << 20


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what a reader raises into an error that says which file can't be read.

    Parameters
    ----------
    name : str
        What messages call the file.

    Raises
    ------
    ModelGPTError
        Anything was raised, but for a lack of memory.
    """
    try:
        yield
    except (ModelGPTError, MemoryError):
        raise
    except OSError as error:
        if error.strerror is None:
            raise damaged(name, error) from error
        raise ModelGPTError(f"{name} can't be read.", error.strerror, "Check the file.") from error
    except RecursionError as error:
        raise ModelGPTError(f"{name} can't be read.", "It is nested too deeply.", "Flatten it.") from error
    except Exception as error:  # each library has its own kinds, and some raise whatever they stumble over
        raise damaged(name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


class GuardedCells:
    """The cells of a file, whose reader's errors are all explained.

    Parameters
    ----------
    cells : RawCells
    name : str
        What messages call the file.
    """

    def __init__(self, cells: RawCells, name: str) -> None:
        self._cells = cells
        self._name = name
        self.columns = [_text(column) for column in cells.columns]
        self._names = dict(zip(self.columns, cells.columns, strict=True))

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows; see `RawCells`."""
        names = [self._names[column] for column in columns]
        with explained(self._name):
            for frame in self._cells.frames(rows, names):
                yield frame if names == list(columns) else frame.set_axis(list(columns), axis=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cells, name)


def guarded(open_file: Callable[..., RawCells]) -> Callable[..., RawCells]:
    """Wrap the function that finds the reader of a file, and so all readers."""

    @functools.wraps(open_file)
    def opened(file: Path, name: str, *args: Any, **options: Any) -> RawCells:
        with explained(name):
            _check_lines(file, name)
            return GuardedCells(open_file(file, name, *args, **options), name)

    return opened


def _text(column: object) -> str:
    """A column's name without what no model could carry: half a character, or the end mark of C's texts."""
    return str(column).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _check_lines(file: Path, name: str) -> None:
    """Make sure that a packed file of JSON unpacks to lines that fit into memory."""
    with file.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            return
    length, listed, start = 0, False, True
    try:
        with gzip.open(file, "rb") as unpacked:
            while block := unpacked.read(_BLOCK):
                if start and (begin := block.lstrip(b"\xef\xbb\xbf \t\r\n")):
                    start, listed = False, begin.startswith(b"[")
                newline = -1 if listed else block.rfind(b"\n")
                length = length + len(block) if newline < 0 else len(block) - newline - 1
                if length > _MOST_LINE:
                    raise ModelGPTError(
                        f"{name} unpacks to a line of more than {_MOST_LINE >> 20} MB.",
                        "It would fill the memory.",
                        "Unpack it and look; write each row on a line of its own.",
                    )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(name, error) from error
