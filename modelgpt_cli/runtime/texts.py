"""Texts on the command line and on stdin, one a line, as rows of a model of single texts. Beside `feed.open_source`."""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.core.scripts import count_words
from modelgpt_cli.data.encoding import decode_lines, read_facts, warn_encoding
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES
from modelgpt_cli.runtime.feed import Chunk, Source, open_source
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
_FIRST_BYTES = 1 << 20
_MAGIC = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"ARROW1", b"\xff\xfe", b"\xfe\xff")
"""How binary tables, archives and UTF-16 begin."""


def open_given(model: Model, data: Any) -> Source:
    """Open what `predict` is given; as `open_source` does, but texts may stand for themselves.

    Raises
    ------
    UsageError
        There is no such file, or a text is given to a model that doesn't read single texts.
    """
    given = list(data) if isinstance(data, (list, tuple)) else [data]
    column = only_text(model)
    words = [one for one in given if isinstance(one, str) and is_sentence(one)]
    if words and len(words) == len(given) and not model.feeds.FILES:
        if column is None:
            raise _no_texts(model, words[0])
        return open_source(model, {column: words})
    name = given[0] if len(given) == 1 and isinstance(given[0], str) else None
    if column is not None and name == "-" and sys.stdin is not None and not sys.stdin.isatty():
        first = _first_line(sys.stdin.buffer)
        if not _is_table(first, column):
            return Lines(model, column, sys.stdin.buffer)
    if column is not None and name is not None and _is_file_of_lines(name, column):
        return Lines(model, column, Path(name))
    if column is not None and name is not None:
        check_exists(name, _hint(model, name))
    return open_source(model, data)


def is_sentence(text: str) -> bool:
    """Whether a text is words, and neither the name of a file nor of one that may be missing."""
    if count_words(text) < 2 or os.path.exists(text):
        return False
    return not text.lower().removesuffix(".gz").endswith((*TABLE_SUFFIXES, ".zip", ".txt"))


class Lines:
    """The lines of a stream or file, each a text, at constant memory. Follows `runtime.feed.Source` and `HasColumns`.

    Parameters
    ----------
    model : Model
    column : str
        The model's only column.
    source : binary file or Path
        A stream is UTF-8, or in an older encoding that its first lines show.
    """

    total = None

    def __init__(self, model: Model, column: str, source: BinaryIO | Path) -> None:
        self.name, self._encoding = "stdin", "utf-8"
        if isinstance(source, Path):
            self.name = source.name
            self._encoding = read_facts(source, source.name).encoding
        self.target = model.target
        self.columns = [column]
        self.kept_columns: Sequence[str] = ()
        self.findings = Findings()
        self._source = source
        self._read = 0
        self._warned = False

    def keep(self, columns: Sequence[str]) -> None:
        """Hand on the text beside the answer; it is the only column."""
        for name in columns:
            if name not in self.columns:
                only = f"Its lines are texts: {self.columns[0]!r} alone."
                raise UsageError(f"{self.name} has no column {name!r}.", only)
        self.kept_columns = tuple(columns)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the lines, at most so many at a time."""
        with self._source.open("rb") if isinstance(self._source, Path) else nullcontext(self._source) as stream:
            while lines := list(itertools.islice(stream, rows)):
                texts = [text.strip("\r\n") for text in self._decode(lines)]
                if not self._read:
                    texts[0] = texts[0].removeprefix("\ufeff")
                self._read += len(texts)
                self.findings.rows += len(texts)
                yield Chunk(len(texts), {self.columns[0]: texts}, kept=dict.fromkeys(self.kept_columns, texts))

    def _decode(self, lines: list[bytes]) -> list[str]:
        before = self._encoding
        texts, self._encoding = decode_lines(lines, before)
        broken = sum(text.count("\ufffd") for text in texts) if before == "utf-8" else 0
        if (broken or self._encoding != before) and not self._warned:
            self._warned = True
            warn_encoding(self.name, self._encoding, broken)
        return texts

    def report(self) -> None:
        """Say how the lines were read: a table without the model's column would read alike."""
        lines = f"{self._read:,} line{'s'[: self._read != 1]}"
        logger.info("Read %s from %s as texts, one a line.", lines, self.name)


def only_text(model: Model) -> str | None:
    """Return the column of a model that reads single texts and nothing else; None for any other model."""
    if model.feeds.FILES or len(model.inputs) != 1 or model.inputs[0].type != FREE_TEXT:
        return None
    return model.inputs[0].column


def _no_texts(model: Model, text: str) -> UsageError:
    names = [f"{i.column!r}" for i in model.inputs]
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return UsageError(
        f"There is no file {shown!r}, and {model.path} doesn't take a text alone.",
        f"It takes {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}.",
        f"See the model's inputs: modelgpt inspect {model.path}",
    )


def _hint(model: Model, name: str) -> str:
    """What to do where there is no such file: it may be meant as a text."""
    if os.sep in name or "." in name:
        return "Check the path."
    return f"For a text of one word: echo {name} | modelgpt predict {model.path} -"


def _first_line(stream: BinaryIO) -> bytes:
    """The beginning of a stream without taking it away: a line, or as much of it as lies ready."""
    peek = getattr(stream, "peek", None)
    return b"" if peek is None else peek(1).partition(b"\n")[0]


def _is_file_of_lines(name: str, column: str) -> bool:
    """Whether this is a .txt file that doesn't begin as a table does."""
    path = Path(name)
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    from modelgpt_cli.data.readers import is_own_format  # which loads pandas

    if is_own_format(path):
        return False
    with path.open("rb") as file:
        first = file.readline(_FIRST_BYTES)
    return b"\t" not in first and not _is_table(first, column)


def _is_table(line: bytes, column: str) -> bool:
    """Whether a stream that begins so is a table: binary, JSON, or with the model's column in its header."""
    if not line.strip() or line.startswith((b"{", b"[", *_MAGIC)):
        return True
    header = line.decode("utf-8", errors="replace").removeprefix("\ufeff")
    for mark in ",;\t|":
        header = header.replace(mark, "\n")
    return column.casefold() in {cell.strip().strip("\"'").casefold() for cell in header.split("\n")}
