"""``parse``: free words, or a file of them, in; what is understood out, as a requirement file."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.requirement_generator.parse import ParsedRequest, Reading, Remark, parse_request, with_words
from modelgpt_cli.requirement_generator.requirement_file import format_requirement, parse_requirement, read_requirement

if TYPE_CHECKING:
    from modelgpt_cli.requirement_generator.parse_llm import LLMReader


@dataclass(frozen=True)
class Understanding:
    """What `parse` made of a request."""

    requirement: Requirement
    text: str
    """The requirement file's text."""
    applied: tuple[Reading, ...]
    """Limits, quality and deployment that `build` takes from the words too."""
    proposed: tuple[Reading, ...]
    """Those that count for `build` only once they are written in the file."""
    unclear: tuple[Remark, ...]
    path: Path | None = None
    """The file written, if any."""
    prompt: str | None = None
    """Dry run: JSON of what would be sent to an LLM; None if nothing would."""

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
        return set_values | {
            "applied": [asdict(reading) for reading in self.applied],
            "proposed": [asdict(reading) for reading in self.proposed],
            "unclear": [asdict(remark) for remark in self.unclear],
        }


def parse(
    request: str | Path,
    *,
    output: str | Path | None = None,
    force: bool = False,
    llm: str | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    cache: bool = True,
    redact: bool = False,
    offline: bool = False,
    dry_run: bool = False,
) -> Understanding:
    """Say what is understood of a request: in plain English, by rules; in any language, by an LLM.

    Parameters
    ----------
    request : str or Path
        The words; or a file of them or a requirement file, which is checked and written anew; ``-`` for stdin.
    output : str or Path, optional
        The requirement file to write; nothing is written if absent or ``-``.
    force : bool
        Whether an existing `output` may be replaced.
    llm, provider, base_url : str, optional
        The LLM that reads the words, as for `describe`. Without any of the three nothing is sent anywhere.
    api_key, timeout, retries, cache, redact
        As for `describe`.
    offline : bool
        Ask no LLM, even if one is named.
    dry_run : bool
        Send nothing and write nothing; `Understanding.prompt` is what would be sent.

    Raises
    ------
    ContradictionError
        If the words contradict themselves; quotes both places.
    UnreachableError
        If the LLM is out of reach, or twice gives no usable answer.
    UsageError
        If there is no such file, or it is no requirement file; or there is no server to ask.

    Examples
    --------
    >>> from modelgpt_cli import parse
    >>> found = parse("Sort mails into spam and ham, with a model under 2 MB.")
    >>> found.requirement.classes, found.requirement.limits.size
    (('spam', 'ham'), 2000000)
    >>> print(found.text)
    Sort mails into spam and ham, with a model under 2 MB.
    ---
    domain: text
    task: classification
    classes:
    - spam
    - ham
    limits:
      size: 2 MB
    <BLANKLINE>
    """
    destination = None if output is None or str(output) == "-" else Path(output)
    if destination and not dry_run:
        check_destination(destination, force)
    reader = None
    if not offline and (llm or provider or base_url):
        # Rules alone need nothing of what talks with an LLM.
        from modelgpt_cli.llm.client import LLM
        from modelgpt_cli.requirement_generator.parse_llm import LLMReader

        asked = LLM.from_settings(llm, base_url, api_key, timeout, retries, provider)
        reader = LLMReader.of(asked, cache=cache, hide=redact)
    found, prompt = _read(request, reader, dry_run)
    requirement = found.requirement
    if requirement.data is not None:
        folder = destination.resolve().parent if destination else Path.cwd()
        requirement = replace(requirement, data=os.path.relpath(requirement.data, folder))
    content = format_requirement(requirement)
    if destination and not dry_run:
        with atomic_write(destination, force=force) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")
    path = None if dry_run else destination
    return Understanding(requirement, content, found.applied, found.proposed, found.unclear, path, prompt)


def _read(request: str | Path, reader: LLMReader | None, dry_run: bool) -> tuple[ParsedRequest, str | None]:
    """What is understood of words, or of a file; in a dry run, what an LLM would be sent for it."""
    words = str(request)
    is_file = isinstance(request, Path) or words == "-" or _is_path(words)
    requirement = read_requirement(request) if is_file else parse_requirement(words)
    prompts: list[str] = []

    def plan(text: str) -> ParsedRequest:
        assert reader is not None
        prompts.append(reader.plan(text))
        return ParsedRequest(Requirement(text))

    ask = None if reader is None else plan if dry_run else reader.read
    if requirement == Requirement(requirement.sentence):
        found = (ask or parse_request)(requirement.sentence)
    else:
        found = with_words(requirement, ask)
    return found, next(iter(prompts), None)


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
