"""From free words to a requirement, without an LLM: what is said of the task, and which limits are stated.

Nothing is guessed: what can't be read for sure is left out, and told in `ParsedRequest.unclear` if it looked like a
limit. What contradicts itself is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.metrics import ERRORS
from modelgpt_cli.core.requirement import BLOCKS, Requirement
from modelgpt_cli.requirement_generator.requirement_file import MAX_SENTENCE
from modelgpt_cli.requirement_generator.words.clauses import Clauses, with_plain_must, without_refused
from modelgpt_cli.requirement_generator.words.deployment import read_deployment
from modelgpt_cli.requirement_generator.words.figures import Figure, find_figures
from modelgpt_cli.requirement_generator.words.labels import read_classes, stated_count
from modelgpt_cli.requirement_generator.words.readings import Fact, Unclear, corrected, read_count, read_figure
from modelgpt_cli.requirement_generator.words.tasks import read_domain, read_target, read_task

_OF_THE_TASK = ("classes", "target", "domain")
_SINGLE = re.compile(r"\bsingle[\s-]thread(?:ed)?\b")
HINT = "Say one of them, or write both as they are meant below a line --- (docs/requirement-file.md)."


class ContradictionError(UsageError):
    """Words that contradict each other (exit 2)."""


@dataclass(frozen=True)
class Remark:
    """Words that looked like a limit and were left out.

    Attributes
    ----------
    words : str
        As they were given.
    reason : str
        Why they set no limit.
    """

    words: str
    reason: str


@dataclass(frozen=True)
class ParsedRequest:
    """What was understood of a request.

    Attributes
    ----------
    requirement : Requirement
        Its sentence is the request as it was given.
    unclear : tuple of Remark
    """

    requirement: Requirement
    unclear: tuple[Remark, ...] = field(default=())


def parse_request(text: str) -> ParsedRequest:
    """Read a request in plain English, by rules.

    Parameters
    ----------
    text : str
        Such as "a model under 2 MB that sorts mails into spam and ham within 20 ms, at least 90 % right, int8".

    Raises
    ------
    ContradictionError
        If it contradicts itself; quotes both places.
    UsageError
        If there are no words, or too many.
    """
    text = " ".join(text.split())
    if len(text) > MAX_SENTENCE or "\0" in text:
        raise UsageError(
            "This is not a request.", f"It has {len(text):,} characters; at most {MAX_SENTENCE:,} are read."
        )
    facts, unclear = _read(text)
    values = merge(text, facts, unclear)
    values["task"] = read_task(without_refused(_lower(text)), values)
    _check_count(text, facts)
    return ParsedRequest(compose(text, values), _remarks(text, unclear))


def compose(sentence: str, values: Mapping[str, Any]) -> Requirement:
    """Make a requirement of what was understood.

    Parameters
    ----------
    values : mapping
        From `merge`, with the task.

    Raises
    ------
    ContradictionError
        If the values can't be one requirement.
    UsageError
        If there is no sentence.
    """
    try:
        return Requirement(
            sentence=sentence,
            task=values.get("task"),
            target=values.get("target"),
            classes=values.get("classes", ()),
            domain=values.get("domain"),
            **_blocks(values),
        )
    except UsageError as error:
        if not sentence:
            raise
        raise ContradictionError(f"These words can't be one requirement: {error.problem}", error.cause, HINT) from None


def with_words(requirement: Requirement, read: Callable[[str], ParsedRequest] | None = None) -> ParsedRequest:
    """Add what the sentence says of limits, quality and deployment, for each of these blocks that the file lacks.

    A sentence that was written by an LLM or from a profile (`author`) is about the data, and says none.

    Parameters
    ----------
    read : callable, optional
        Reads the sentence, where that is not for the rules; not called if nothing is lacking.

    Raises
    ------
    ContradictionError
        As `parse_request`.
    """
    blocks = [block.name for block in BLOCKS]
    lacking = [name for name in blocks if not getattr(requirement, name).to_mapping()]
    if requirement.author is not None or not lacking:
        return ParsedRequest(requirement)
    text = " ".join(requirement.sentence.split())
    if read is None:
        facts, unclear = _read(text)
        said = _blocks(merge(text, [fact for fact in facts if fact.key not in _OF_THE_TASK], unclear))
        remarks = _remarks(text, unclear)
    else:
        found = read(text)
        said, remarks = {name: getattr(found.requirement, name) for name in blocks}, found.unclear
    added = {name: block for name, block in said.items() if name in lacking}
    return ParsedRequest(replace(requirement, **added), remarks if len(lacking) == len(blocks) else ())


def _read(text: str) -> tuple[list[Fact], list[Unclear]]:
    """All facts of a text, and what is unclear."""
    low = with_plain_must(_lower(text))
    clauses = Clauses(low)
    facts, unclear = read_deployment(clauses)
    masked = _blank(low.replace("_", " "), [(f.start, f.end) for f in facts] + [(u.start, u.end) for u in unclear])
    clauses = Clauses(masked)
    figures = find_figures(masked)
    last: tuple[Figure, Fact] | None = None
    for i, figure in enumerate(figures):
        previous = figures[i - 1].end if i else 0
        following = figures[i + 1].first if i + 1 < len(figures) else len(text)
        found = read_count(figure, masked[figure.end :]) or read_figure(figure, clauses, previous, following)
        if not isinstance(found, Fact) and last and clauses.corrected(previous, figure.start, near=True):
            found = corrected(figure, last, clauses) or found
        last = (figure, found) if isinstance(found, Fact) else None
        if isinstance(found, Fact):
            facts.append(found)
        elif found is not None:
            unclear.append(found)
    facts += [Fact("limits.threads", 1, *match.span()) for match in _SINGLE.finditer(masked)]
    wanted = without_refused(text)
    classes = read_classes(wanted)
    if isinstance(classes, Unclear):
        unclear.append(classes)
    facts += [found for found in (classes, read_target(text), read_domain(_lower(wanted))) if isinstance(found, Fact)]
    return facts, unclear


def _lower(text: str) -> str:
    """The text in lower case, at the same length."""
    if len(text.lower()) == len(text):
        return text.lower()
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _blank(text: str, places: Sequence[tuple[int, int]]) -> str:
    """The text with some places blackened, at the same length: their figures are read already."""
    for start, end in places:
        text = text[:start] + "\u00b7" * (end - start) + text[end:]
    return text


def _blocks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The requirement's blocks by name."""
    found = {}
    for block in BLOCKS:
        start = f"{block.name}."
        found[block.name] = block(**{key.removeprefix(start): v for key, v in values.items() if key.startswith(start)})
    return found


def _remarks(text: str, unclear: list[Unclear]) -> tuple[Remark, ...]:
    """What is unclear, in the order of the words."""
    remarks = {(u.start, u.end): Remark(text[u.start : u.end].strip(" ,"), u.reason) for u in unclear}
    return tuple(remarks[place] for place in sorted(remarks))


def merge(text: str, facts: list[Fact], unclear: list[Unclear]) -> dict[str, Any]:
    """Key → value; what is said twice must agree.

    Parameters
    ----------
    text : str
        In which the facts have their places.
    unclear : list of Unclear
        What is found to be no limit is added.

    Raises
    ------
    ContradictionError
        It doesn't, or what is wanted at most is less than what is wanted at least.
    """
    values: dict[str, Any] = {}
    facts = _rates_as_latency(facts)
    clauses = Clauses(_lower(text))
    for key in dict.fromkeys(fact.key for fact in facts):
        said = sorted((fact for fact in facts if fact.key == key), key=lambda fact: fact.start)
        least = is_least(key)
        kept = [fact for fact in said if fact.least == least]
        others = [fact for fact in said if fact.least != least]
        # What a later figure takes back contradicts nothing.
        last = max((i for i, (a, b) in enumerate(pairwise(kept), 1) if clauses.corrected(a.end, b.start)), default=0)
        for first, second in pairwise(kept[last:]):
            if first.value != second.value:
                raise _contradiction(text, key, first, second)
        for fact in others:
            if kept and _exclude(fact, kept[-1], least):
                raise _contradiction(text, key, *sorted((fact, kept[-1]), key=lambda f: f.start))
            unclear.append(Unclear(fact.start, fact.end, f"{key.replace('.', ': ')} has no such bound"))
        if kept:
            values[key] = kept[-1].value
    return values


def is_least(key: str) -> bool:
    """Whether the value of a key is a lower bound."""
    block, _, name = key.partition(".")
    return block == "quality" and name not in ERRORS


def _exclude(other: Fact, kept: Fact, least: bool) -> bool:
    """Whether no value lies between the two bounds."""
    low, high = (kept.value, other.value) if least else (other.value, kept.value)
    return float(low) >= float(high)  # type: ignore[arg-type]  # bounds are numbers


def _rates_as_latency(facts: list[Fact]) -> list[Fact]:
    """Rows per second, and milliseconds a row, as milliseconds of a batch."""
    batch: Any = next((fact.value for fact in reversed(facts) if fact.key == "limits.batch_size"), 1)
    found = []
    for fact in facts:
        value: Any = fact.value
        if fact.key == "rate":
            fact = replace(fact, key="limits.latency_ms", value=1000.0 * batch / value)
        elif fact.key == "row_ms":
            fact = replace(fact, key="limits.latency_ms", value=batch * value)
        found.append(fact)
    return found


def _check_count(text: str, facts: list[Fact]) -> None:
    """Make sure that as many classes are listed as are announced."""
    listed = next((fact for fact in facts if fact.key == "classes"), None)
    announced = stated_count(text, listed) if listed else None
    if listed and announced and announced[0] != len(listed.value):  # type: ignore[arg-type]  # a tuple
        raise ContradictionError(
            f"The words contradict each other: {text[announced[1] : announced[2]]!r} classes are announced, and "
            f"{len(listed.value)} are listed.",  # type: ignore[arg-type]
            f"The list is {text[listed.start : listed.end]!r}.",
            HINT,
        )


def _contradiction(text: str, key: str, first: Fact, second: Fact) -> ContradictionError:
    quotes = [text[fact.start : fact.end].strip() for fact in (first, second)]
    return ContradictionError(
        f"The words contradict each other on {key.replace('.', ': ')}: {quotes[0]!r} and {quotes[1]!r}.", hint=HINT
    )
