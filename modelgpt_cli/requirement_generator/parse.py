"""From free words to a requirement, without an LLM. After `rules`.

What a sentence says plainly of the model itself is *applied*: `build` keeps to it. What is less plain is *proposed*:
`parse` shows and writes it, and `build` only tells of it. What contradicts itself is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from modelgpt_cli.core.domain import all_domains
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.metrics import ERRORS
from modelgpt_cli.core.quality import OWN_TASKS, REGRESSION
from modelgpt_cli.core.requirement import BLOCKS, Requirement
from modelgpt_cli.requirement_generator.requirement_file import MAX_SENTENCE
from modelgpt_cli.requirement_generator.rules.bounds import Fact, Unclear, read_bounds
from modelgpt_cli.requirement_generator.rules.classes import (
    announced_classes,
    read_classes,
    read_domain,
    read_objects,
    read_task,
)

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
class Reading:
    """A limit, metric or demand on the file that words state.

    Attributes
    ----------
    key : str
        As the requirement file has it: ``limits: size``.
    value : object
        As the requirement file has it: ``"2 MB"``.
    words : str
        That say so, as they were given.
    """

    key: str
    value: object
    words: str

    def __str__(self) -> str:
        return f"{self.key} {self.value} ({self.words!r})"


@dataclass(frozen=True)
class ParsedRequest:
    """What was understood of a request.

    Attributes
    ----------
    requirement : Requirement
        Its sentence is the request as it was given; it has all that is applied and proposed.
    applied : tuple of Reading
        What is plainly said of the model: a build keeps to it.
    proposed : tuple of Reading
        What may be meant: a build keeps to it once it stands below the ``---``.
    unclear : tuple of Remark
    """

    requirement: Requirement
    applied: tuple[Reading, ...] = ()
    proposed: tuple[Reading, ...] = ()
    unclear: tuple[Remark, ...] = ()


def parse_request(text: str) -> ParsedRequest:
    """Read a request in plain English, by rules.

    Parameters
    ----------
    text : str
        Such as "a model under 2 MB that sorts mails into spam and ham, predictions within 20 ms, int8".

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
    facts, unclear = read_bounds(text)
    values = merge(text, facts)
    values |= _read_task_and_classes(text) | own_task(values)
    if values["task"] is None and any(key.startswith("quality.") for key in values):
        of_numbers = any(key.removeprefix("quality.") in REGRESSION for key in values)
        values["task"] = "regression" if of_numbers else "classification"
    return _parsed(compose(text, values), text, facts, unclear)


def with_words(requirement: Requirement, read: Callable[[str], ParsedRequest] | None = None) -> ParsedRequest:
    """Add what the sentence says of limits, quality and deployment, for each of these blocks that the file lacks.

    Where the file has neither data nor columns, the sentence's classes and kind of data are added too. A sentence that
    was written by an LLM or from a profile (`author`) is about the data, and says none.

    Parameters
    ----------
    read : callable, optional
        Reads the sentence, where that is not for the rules; not called if no block is lacking, and for these alone.

    Raises
    ------
    ContradictionError
        As `parse_request`.
    """
    if read is None:
        return _with_rules(requirement, data=requirement.data is not None)
    lacking = _lacking_blocks(requirement)
    if requirement.author is not None or not lacking:
        return ParsedRequest(requirement)
    found = read(requirement.sentence)
    added = {name: getattr(found.requirement, name) for name in lacking}
    applied, proposed = (
        tuple(reading for reading in some if reading.key.partition(":")[0] in lacking)
        for some in (found.applied, found.proposed)
    )
    unclear = found.unclear if len(lacking) == len(BLOCKS) else ()
    return ParsedRequest(replace(requirement, **added), applied, proposed, unclear)


def with_applied_words(requirement: Requirement, *, data: bool, ignore: bool = False) -> ParsedRequest:
    """Add what a build keeps to: what `with_words` adds by rules, but of the three blocks what is applied alone.

    Parameters
    ----------
    data : bool
        Whether there are data, which decide on domain and classes.
    ignore : bool
        Add nothing of the three blocks.

    Raises
    ------
    ContradictionError
        If what is applied contradicts itself or the file.
    """
    return _with_rules(requirement, data=data, proposed=False, ignore=ignore)


def _with_rules(requirement: Requirement, *, data: bool, proposed: bool = True, ignore: bool = False) -> ParsedRequest:
    lacking = [] if ignore else _lacking_blocks(requirement)
    if requirement.author is not None:
        return ParsedRequest(requirement)
    text = " ".join(requirement.sentence.split())
    facts, unclear = read_bounds(text) if lacking else ([], [])
    facts = [fact for fact in facts if fact.key.partition(".")[0] in lacking]
    values = merge(text, [fact for fact in facts if proposed or fact.applied])
    added: dict[str, Any] = {}
    if not data and not requirement.columns:
        said = _read_task_and_classes(text) | own_task(values)
        keys = ("domain",) if requirement.task == "regression" else ("domain", "classes")
        added = {key: said[key] for key in keys if said.get(key) and not getattr(requirement, key)}
    try:
        blocks = _blocks(values)
        found = replace(requirement, **added, **{name: blocks[name] for name in lacking})
    except UsageError as error:
        hint = "Write below a line --- what is meant, or leave the words' limits out with --ignore-words."
        raise ContradictionError(f"The words don't fit: {error.problem}", error.cause, hint) from None
    return _parsed(found, text, facts, unclear)


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


def merge(text: str, facts: Sequence[Fact]) -> dict[str, Any]:
    """Key → value; what is said twice must agree.

    Parameters
    ----------
    text : str
        In which the facts have their places.

    Raises
    ------
    ContradictionError
        It doesn't, or what is wanted at most is less than what is wanted at least.
    """
    values: dict[str, Any] = {}
    facts = rates_as_latency(facts)
    for key in dict.fromkeys(fact.key for fact in facts):
        said = sorted((fact for fact in facts if fact.key == key), key=lambda fact: fact.start)
        least = is_least(key)
        kept = [fact for fact in said if fact.least == least]
        for first, second in pairwise(kept):
            if first.value != second.value:
                raise _contradiction(text, key, first, second)
        for fact in said:
            if fact.least != least and kept and _exclude(fact, kept[-1], least):
                raise _contradiction(text, key, *sorted((fact, kept[-1]), key=lambda f: f.start))
        if kept:
            values[key] = kept[-1].value
    return values


def own_task(values: Mapping[str, Any]) -> dict[str, str]:
    """Domain and task of the metrics in values from `merge`, where one domain alone measures them; else nothing."""
    asked = {key.removeprefix("quality.") for key in values if key.startswith("quality.")} & set(OWN_TASKS)
    own = next((domain for domain in all_domains() if asked & set(domain.metrics)), None)
    return {} if own is None else {"domain": own.name, "task": own.task}


def is_least(key: str) -> bool:
    """Whether the value of a key is a lower bound."""
    block, _, name = key.partition(".")
    return block == "quality" and name not in ERRORS


def readings(text: str, facts: Sequence[Fact]) -> tuple[Reading, ...]:
    """Give facts as the requirement file has them, with their words, in the order of the words."""
    found = []
    for fact in sorted(rates_as_latency(facts), key=lambda fact: fact.start):
        block, _, key = fact.key.partition(".")
        if fact.least == is_least(fact.key):
            found.append(Reading(f"{block}: {key}", _in_file(fact), _quote(text, fact)))
    return tuple(found)


def _in_file(fact: Fact) -> object:
    """A fact's value as the requirement file has it."""
    block, _, key = fact.key.partition(".")
    try:
        return _blocks({fact.key: fact.value})[block].to_mapping().get(key, fact.value)
    except UsageError:  # such as opset 9, which matters only where it is applied
        return fact.value


def _read_task_and_classes(text: str) -> dict[str, Any]:
    """Domain, task and classes that a sentence states plainly.

    Raises
    ------
    ContradictionError
        If another number of classes is announced than listed.
    """
    listed = read_classes(text)
    if listed is None and (asked := read_objects(text)) is not None:
        domain, objects = asked
        return {"domain": domain.name, "task": domain.task, "classes": objects}
    values: dict[str, Any] = {"domain": read_domain(text), "task": read_task(text)}
    if listed is None:
        return values
    announced = announced_classes(text)
    if announced and announced[0] != len(listed[0]):
        raise ContradictionError(
            f"The words contradict each other: {announced[1]!r} classes are announced, and {len(listed[0])} are "
            "listed.",
            f"The list is {text[listed[1] : listed[2]]!r}.",
            HINT,
        )
    return values | {"classes": listed[0], "task": values["task"] or "classification"}


def _parsed(requirement: Requirement, text: str, facts: Sequence[Fact], unclear: Sequence[Unclear]) -> ParsedRequest:
    return ParsedRequest(
        requirement,
        readings(text, [fact for fact in facts if fact.applied]),
        readings(text, [fact for fact in facts if not fact.applied]),
        (
            *(Remark(_quote(text, one), one.reason) for one in unclear),
            *(
                Remark(_quote(text, fact), f"{fact.key.replace('.', ': ')} has no such bound")
                for fact in facts
                if fact.least != is_least(fact.key)
            ),
        ),
    )


def _quote(text: str, place: Fact | Unclear) -> str:
    return re.sub(r"^(?:and|but|with|so) ", "", text[place.start : place.end].strip(" ,;:.-(["))


def _lacking_blocks(requirement: Requirement) -> list[str]:
    return [block.name for block in BLOCKS if not getattr(requirement, block.name).to_mapping()]


def _exclude(other: Fact, kept: Fact, least: bool) -> bool:
    """Whether no value lies between the two bounds."""
    low, high = (kept.value, other.value) if least else (other.value, kept.value)
    return float(low) >= float(high)  # type: ignore[arg-type]  # bounds are numbers


def rates_as_latency(facts: Sequence[Fact]) -> list[Fact]:
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


def _blocks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The requirement's blocks by name."""
    found = {}
    for block in BLOCKS:
        start = f"{block.name}."
        found[block.name] = block(**{key.removeprefix(start): v for key, v in values.items() if key.startswith(start)})
    return found


def _contradiction(text: str, key: str, first: Fact, second: Fact) -> ContradictionError:
    quotes = [_quote(text, fact) for fact in (first, second)]
    return ContradictionError(
        f"The words contradict each other on {key.replace('.', ': ')}: {quotes[0]!r} and {quotes[1]!r}.", hint=HINT
    )
