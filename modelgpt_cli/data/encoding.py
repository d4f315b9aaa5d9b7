"""Bytes of a text file: which encoding they are in, and how the file ends. The lowest step of the readers of text."""

from __future__ import annotations

import codecs
import gzip
import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from modelgpt_cli.core.errors import ModelGPTError, damaged

log = logging.getLogger("modelgpt")

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file in one of these encodings begins with, longer marks before those that they begin with."""
_BLOCK_BYTES = 1 << 20
_TAIL_BYTES = 1 << 16
_SAMPLE_BYTES = 1 << 16
_STRAY_SHARE = 0.01
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_HIGH_WITHIN = re.compile(rb"[A-Za-z][\x80-\xff]+|[\x80-\xff]+[A-Za-z]")
_BETWEEN_WORDS = re.compile(rb"[\x00-\x3f]+")
_LONG_RUN = 4
_NOT_LATIN_RUN = 1.6
"""Letters beyond ASCII stand alone in Latin words (mean run 1.0 to 1.2 in German, French, Polish, Turkish samples) and
side by side in other scripts (2 and more), but for Japanese katakana, which `_KANA` finds."""
_KANA = (b"\x81", b"\x82", b"\x83")
_KANA_SHARE = 0.25
_KANA_LETTERS = re.compile("[\u3041-\u30fe]")
_NOT_LATIN = ("cp1251", "cp1253", "cp1256", "gb18030", "big5", "cp932", "cp949")
"""What charset-normalizer tells apart in samples of 20 lines, 8 of 8 each (2026-11-29). Not here: KOI8-R, EUC-JP and
Hebrew, which it took for others, and the Latin ones, which it confuses (cp1252 as cp1250 in 22 of 24)."""
_LATIN = {
    "cp1252": frozenset("äöüßéèàçñáíóúâêîôûëïæøåœãõìòùÄÖÜÉÈÀÇÑÅØÁÍÓÚ€“”„‘’–—…°²³µ·½§«»£©®¡¿ª"),
    "cp1250": frozenset("ąćęłńóśźżĄĆĘŁŃÓŚŹŻčďěňřšťůžáéíýúÁÉÍÝÚČĎĚŇŘŠŤŮŽőűöüäßôľĺŕđ€“”„‘’–—…°"),
    "cp1254": frozenset("ğışçöüĞİŞÇÖÜâîû€“”„‘’–—…°"),
}
"""Letters and signs that are common in the languages of each encoding; the first wins a tie."""
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile)


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading bytes, unpacked where it is gzip."""
    if is_gzip(path):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def is_gzip(path: Path) -> bool:
    """Whether the file starts as gzip does, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unknown_type(name: str) -> ModelGPTError:
    """The error for a file that is no table."""
    return ModelGPTError(
        f"{name} is not a table that ModelGPT can read.",
        "Its content is binary and of no known type.",
        "Give a CSV or TSV (also .gz or .zip), JSON, Parquet, ARFF, Excel or OpenDocument (.ods) file.",
    )


@dataclass(frozen=True)
class TextFacts:
    """What one pass over the bytes of a text file shows.

    Attributes
    ----------
    encoding : str
        As Python calls it.
    clean : bool
        Whether the whole file is valid UTF-8. Where not, it has to be decoded with replacement characters.
    tail : str
        The last 64 kB, from the start of a line on.
    quotes : int
        Double quotes in the file.
    lines : int
        Lines in the file; about so many where they end in another way than by a line feed.
    """

    encoding: str
    clean: bool
    tail: str
    quotes: int
    lines: int


class _Pass:
    """One pass over the bytes, with what it has to count."""

    def __init__(self) -> None:
        self.tail = b""
        self.quotes = self.lines = 0
        self.broken = self.multibyte = 0
        self.odd_lines: list[bytes] = []
        self._sampled = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, block: bytes, final: bool = False) -> None:
        self.tail = (self.tail + block)[-_TAIL_BYTES:]
        self.quotes += block.count(b'"')
        self.lines += block.count(b"\n") + (final and not block.endswith(b"\n"))
        if block.isascii() and not self._decoder.getstate()[0]:
            return
        text = self._decoder.decode(block, final)
        replaced = text.count("\ufffd")
        if replaced:
            self.broken += replaced - block.count("\ufffd".encode())
        self.multibyte += len(text) - len(text.encode("ascii", "ignore")) - replaced
        if self._sampled < _SAMPLE_BYTES:
            lines = [line for line in block.splitlines() if not line.isascii()]
            self.odd_lines += lines
            self._sampled += sum(map(len, lines))


def read_facts(path: Path, name: str) -> TextFacts:
    """Find out a text file's encoding from all of its bytes, and how it ends.

    By its mark; else UTF-8 where most characters beyond ASCII are valid in it, with a warning if not all are; else the
    likeliest of the older encodings, with a warning.

    Raises
    ------
    ModelGPTError
        The file is binary, or its compressed stream is damaged.
    """
    found = _Pass()
    encoding = ""
    try:
        with open_bytes(path) as file:
            block = file.read(_BLOCK_BYTES)
            encoding = next((label for mark, label in BOMS if block.startswith(mark)), "")
            if not encoding and b"\0" in block and not _has_stray_zeros(block):
                encoding = _utf16_without_mark(block, name)
            while block:
                following = file.read(_BLOCK_BYTES)
                found.add(block, final=not following)
                block = following
    except _DAMAGES as error:
        raise damaged(name, error) from error
    clean = found.broken == 0
    if not encoding:
        encoding = "utf-8" if found.multibyte > found.broken or clean else _legacy(found.odd_lines)
        if not clean:
            warn_encoding(name, encoding, found.broken)
    clean = clean and encoding in ("utf-8", "utf-8-sig")
    return TextFacts(encoding, clean, _last_lines(found.tail, encoding), found.quotes, found.lines)


def decode_lines(lines: Sequence[bytes], encoding: str) -> tuple[list[str], str]:
    """Decode lines of a stream, and return with them the encoding of the next ones.

    It is UTF-8 until most of the lines that aren't ASCII are not in it; then one of the older encodings.

    Parameters
    ----------
    encoding : str
        "utf-8", or what was returned for the lines before.
    """
    if encoding == "utf-8":
        beyond = [line for line in lines if not line.isascii()]
        broken = [line for line in beyond if "\ufffd" in line.decode("utf-8", "replace")]
        encoding = _legacy(broken) if 2 * len(broken) > len(beyond) else encoding
    return [line.decode(encoding, "replace") for line in lines], encoding


def warn_encoding(name: str, encoding: str, broken: int) -> None:
    """Say that a text isn't all UTF-8."""
    if encoding == "utf-8":
        count = f"{broken:,} broken character{'s' if broken > 1 else ''}"
        log.warning("%s is UTF-8 with %s, read as \ufffd. Mend them if they matter.", name, count)
    else:
        log.warning("%s is not UTF-8: read as %s. If letters look wrong, save it as UTF-8.", name, encoding)


def _last_lines(tail: bytes, encoding: str) -> str:
    width = 4 if "32" in encoding else 2 if "16" in encoding else 1
    codec = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    text = tail[len(tail) % width :].decode(codec, "replace")
    return text if len(tail) < _TAIL_BYTES else text.partition("\n")[2]


def _legacy(lines: list[bytes]) -> str:
    """The likeliest encoding of lines (of text that is not UTF-8), as Python calls it."""
    sample = b"\n".join(lines)[:_SAMPLE_BYTES]
    runs = _HIGH_RUN.findall(sample)
    high = b"".join(runs)
    if _is_not_latin(sample, runs) or sum(map(high.count, _KANA)) > _KANA_SHARE * len(high):
        if _has_kana(sample):
            return "cp932"
        from charset_normalizer import from_bytes  # takes 50 ms, and few files need it

        words = _BETWEEN_WORDS.sub(b" ", sample)  # figures and delimiters make it give up
        best = from_bytes(words, cp_isolation=list(_NOT_LATIN)).best()
        if best is not None:
            return best.encoding
    return max(_LATIN, key=lambda encoding: _commonness(sample, encoding))


def _has_kana(sample: bytes) -> bool:
    """Whether this is Japanese in cp932, which charset-normalizer takes for Korean where there are a few lines."""
    text = sample.decode("cp932", "replace")
    beyond = sum(not char.isascii() for char in text)
    return text.count("\ufffd") <= 1 and len(_KANA_LETTERS.findall(text)) > _KANA_SHARE * beyond


def _is_not_latin(sample: bytes, runs: list[bytes]) -> bool:
    """Whether letters beyond ASCII make up words of their own, rather than stand within words as in "größe"."""
    within = len(_HIGH_WITHIN.findall(sample))
    long = sum(map(len, runs)) >= _NOT_LATIN_RUN * len(runs)
    return long and (2 * within < len(runs) or max(map(len, runs)) >= _LONG_RUN)


def _commonness(sample: bytes, encoding: str) -> float:
    """The share of the characters beyond ASCII that are common in the languages of a Latin encoding."""
    beyond = [char for char in sample.decode(encoding, "replace") if not char.isascii()]
    return sum(char in _LATIN[encoding] for char in beyond) / max(1, len(beyond))


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
