"""Tokens and tags in columns, as the CoNLL tasks have them: a blank line ends a text. Beside `records`.

The first column is the token (the second, where the lines of a text are numbered, as in CoNLL-U), the last the tag.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.encoding import open_bytes, read_facts
from modelgpt_cli.domains.text.spans.marks import Faults

TAG = re.compile(r"([BILUESM])[-_](\S.*)|O")
_BEGIN, _SINGLE = "B", "US"
_DOCUMENT = "-DOCSTART-"
_PROBE_LINES = 200
_LEAST_LINES = 3


@dataclass
class Marked:
    """A text as a file has it, with its spans unchecked.

    Attributes
    ----------
    spans : list of dict
        ``start``, ``end``, ``label`` of each.
    document : int
        Which of the file's documents it is part of; -1 where the file has none.
    """

    text: str
    spans: list[dict[str, Any]]
    document: int = -1


def is_conll(start: str) -> bool:
    """Whether the beginning of a file is columns of tokens and tags."""
    lines = start.split("\n")[:_PROBE_LINES]
    if len(start.split("\n")) > 1:
        lines = lines[: max(1, len(lines) - (not start.endswith("\n")))]  # the last one may be cut
    rows = [_cells(line) for line in lines if _is_row(line)]
    if len(rows) < _LEAST_LINES or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return False
    return all(TAG.fullmatch(row[-1]) for row in rows) and any(len(row[-1]) > 1 for row in rows)


def may_be_conll(start: str) -> bool:
    """Whether most lines of a beginning end in a tag: then what doesn't is an error rather than another format."""
    rows = [_cells(line) for line in start.split("\n")[:_PROBE_LINES] if _is_row(line)]
    tagged = sum(len(row) > 1 and bool(TAG.fullmatch(row[-1])) for row in rows)
    return len(rows) >= _LEAST_LINES and tagged > 0.8 * len(rows) and any(len(row[-1]) > 2 for row in rows)


def read_conll(path: Path, name: str, faults: Faults) -> list[Marked]:
    """Read all texts; a blank stands between their tokens.

    Raises
    ------
    ModelGPTError
        A line has no tag, or one of no known kind; names the line.
    """
    facts = read_facts(path, name)
    found: list[Marked] = []
    rows: list[list[str]] = []
    document = -1

    def close() -> None:
        if rows:
            numbered = len(rows[0]) > 2 and all(row[0] == str(i) for i, row in enumerate(rows, 1))
            tokens = [row[1 if numbered else 0] for row in rows]
            found.append(from_tokens(tokens, [row[-1] for row in rows], faults, document))
            rows.clear()

    with open_bytes(path) as raw, io.TextIOWrapper(raw, facts.encoding, "replace") as file:
        width = 0
        for number, line in enumerate(file, 1):
            if line.startswith(_DOCUMENT):
                close()
                document += 1
                continue
            if not _is_row(line):
                if not line.strip():
                    close()
                continue
            cells = _cells(line)
            width = width or len(cells)
            if len(cells) != width or len(cells) < 2:
                raise ModelGPTError(
                    f"{name}: line {number} has {len(cells)} columns, and those before have {width}.",
                    f"It reads: {line.strip()[:80]}",
                    "Each line is a token and its tag; a blank line ends a text.",
                )
            if not TAG.fullmatch(cells[-1]):
                raise unknown_tag(f"{name}: line {number}", cells[-1])
            rows.append(cells)
    close()
    return found


def unknown_tag(where: str, tag: object) -> ModelGPTError:
    """The error for a tag of no known kind."""
    return ModelGPTError(
        f"{where}: the tag {str(tag)[:40]!r} is of no known kind.",
        "Tags are O, or B- or I- (of BIOES and BILOU also E-, S-, L-, U-) and the name of a class, such as B-PER.",
        "Correct the tag, or give spans as JSON.",
    )


def from_tokens(tokens: Sequence[str], tags: Iterable[str], faults: Faults, document: int = -1) -> Marked:
    """Join tokens into a text, and their tags into its spans.

    Parameters
    ----------
    tags : iterable of str
        In BIO, BIOES or BILOU. A span that doesn't begin with B- (or S-, U-) is counted.
    """
    text, spans = "", []
    opened: dict[str, Any] | None = None
    for token, tag in zip(tokens, tags, strict=True):
        start = len(text) + bool(text)
        text = f"{text} {token}" if text else token
        if tag == "O":
            opened = None
            continue
        part, label = tag[0], tag[2:]
        if opened is None or opened["label"] != label or part in _BEGIN + _SINGLE:
            faults.counts["begun"] += part not in _BEGIN + _SINGLE
            opened = {"start": start, "end": len(text), "label": label}
            spans.append(opened)
        else:
            opened["end"] = len(text)
        if part in "ELUS":
            opened = None
    return Marked(text, spans, document)


def _is_row(line: str) -> bool:
    """Whether a line is a token: no blank one, none of a document's beginning, and no comment of CoNLL-U."""
    return bool(line.strip()) and not line.startswith((_DOCUMENT, "# "))


def _cells(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    return line.split("\t") if "\t" in line else line.split()
