"""``parse``: free words, or a file of them, in; what is understood out, as a requirement file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelgpt_cli.errors import UsageError
from modelgpt_cli.files import atomic_write, check_destination
from modelgpt_cli.requirement_generator.parse import ParsedRequest, Remark, parse_request, with_words
from modelgpt_cli.requirement_generator.requirement import (
    Requirement,
    format_requirement,
    parse_requirement,
    read_requirement,
)


@dataclass(frozen=True)
class Understanding:
    """What `parse` made of a request."""

    requirement: Requirement
    text: str
    """The requirement file's text."""
    unclear: tuple[Remark, ...]
    path: Path | None = None
    """The file written, if any."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``: what is set, with bytes, milliseconds and shares as numbers."""
        r = self.requirement
        values: dict[str, Any] = {
            "sentence": r.sentence,
            "domain": r.domain,
            "task": r.task,
            "target": r.target,
            "classes": list(r.classes),
            "columns": [{"name": c.name, "type": c.type} for c in r.columns],
            "data": r.data,
        }
        for block in (r.limits, r.quality, r.deploy):
            values[block.name] = {key: getattr(block, key) for key in block.to_mapping()}
        set_values = {key: value for key, value in values.items() if value not in (None, [], {})}
        return set_values | {"unclear": [{"words": u.words, "reason": u.reason} for u in self.unclear]}


def parse(request: str | Path, *, output: str | Path | None = None, force: bool = False) -> Understanding:
    """Say what is understood of a request in plain English; nothing is sent anywhere.

    Parameters
    ----------
    request : str or Path
        The words; or a file of them or a requirement file, which is checked and written anew; ``-`` for stdin.
    output : str or Path, optional
        The requirement file to write; nothing is written if absent or ``-``.
    force : bool
        Whether an existing `output` may be replaced.

    Raises
    ------
    ContradictionError
        If the words contradict themselves; quotes both places.
    UsageError
        If there is no such file, or it is no requirement file.
    """
    destination = None if output is None or str(output) == "-" else Path(output)
    if destination:
        check_destination(destination, force)
    found = _read(request)
    requirement = found.requirement
    if requirement.data is not None:
        folder = destination.resolve().parent if destination else Path.cwd()
        requirement = replace(requirement, data=os.path.relpath(requirement.data, folder))
    content = format_requirement(requirement)
    if destination:
        with atomic_write(destination, force=force) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")
    return Understanding(requirement, content, found.unclear, destination)


def _read(request: str | Path) -> ParsedRequest:
    """What is understood of words, or of a file."""
    words = str(request)
    is_file = isinstance(request, Path) or words == "-" or _is_path(words)
    requirement = read_requirement(request) if is_file else parse_requirement(words)
    if requirement == Requirement(requirement.sentence):
        return parse_request(requirement.sentence)
    return with_words(requirement)


def _is_path(words: str) -> bool:
    """Whether words are the name of a file: there is one, or they look like nothing else."""
    if not words.strip():
        raise UsageError("There are no words to read.", hint='For instance: modelgpt parse "sort mails, under 2 MB"')
    try:
        if os.path.exists(words):
            return True
    except ValueError:  # a NUL character, say
        return False
    return len(words.split()) == 1 and (os.sep in words or Path(words).suffix in (".txt", ".md", ".yaml", ".req"))
