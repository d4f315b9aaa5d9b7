"""Is an LLM's answer what a request says? Each figure has to quote the request; the rest of the way is that of `parse`.

Nothing the LLM says is used before it has passed here: keys and values are those of the requirement file, quotes and
labels stand in the words, each figure is what its words demand (`parse_figures`), and what the rules for plain English
find in the words besides is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from modelgpt_cli.core.block import Block
from modelgpt_cli.core.domain import domain_names
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import BLOCKS
from modelgpt_cli.core.schema import TASK_TYPES
from modelgpt_cli.core.units import MILLISECONDS, measure, share
from modelgpt_cli.llm.asking import BadAnswerError, read_object
from modelgpt_cli.llm.redact import PLACEHOLDERS
from modelgpt_cli.requirement_generator.parse import (
    HINT,
    ContradictionError,
    ParsedRequest,
    Remark,
    compose,
    is_least,
    merge,
    own_task,
    rates_as_latency,
    readings,
)
from modelgpt_cli.requirement_generator.parse_figures import check_figure, figure_kinds
from modelgpt_cli.requirement_generator.quotes import Quoted
from modelgpt_cli.requirement_generator.rules.bounds import Fact, read_bounds
from modelgpt_cli.requirement_generator.rules.classes import read_classes

_MAX_SAID = 300
"""Characters of what an LLM says in its own words that are shown."""


def _rate(key: str, seconds: float) -> tuple[str, Callable[[object], float]]:
    return "rate", lambda value: measure(f"limits: {key}", value, {"": 1}, "30") / seconds


_CONVERTED: Mapping[str, Mapping[str, tuple[str, Callable[[object], float]]]] = {
    "limits": {
        "rows_per_second": _rate("rows_per_second", 1),
        "rows_per_minute": _rate("rows_per_minute", 60),
        "latency_per_row": (
            "row_ms",
            lambda value: measure("limits: latency_per_row", value, MILLISECONDS, "5 ms or 0.5 s"),
        ),
    },
    "quality": {
        "error_rate": ("quality.accuracy", lambda value: round(1 - share("quality: error_rate", value), 12)),
    },
}
"""Block → key that only an answer has → the fact it makes, and what reads it: the arithmetic is ours, not an LLM's."""

KEYS: Mapping[str, tuple[str, ...]] = {
    block.name: (*block.readers, *_CONVERTED.get(block.name, {})) for block in BLOCKS
}
"""Block → the keys that an answer may have in it."""
ANSWER_KEYS = ("domain", "task", "target", "classes", *KEYS, "unclear", "contradiction")
"""The keys of an answer."""


def answer_schema(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the requirement file's keys and words into the template's schema of an answer."""
    properties = dict(frame["properties"])
    for name, known in (("domain", domain_names()), ("task", TASK_TYPES)):
        properties[name] = {**properties[name], "type": ["string", "null"], "enum": [*known, None]}
    for name, keys in KEYS.items():
        item = {
            "type": "object",
            "properties": {
                "key": {"type": "string", "enum": list(keys)},
                "value": {"type": "string"},
                "words": {"type": "string"},
            },
            "required": ["key", "value", "words"],
            "additionalProperties": False,
        }
        properties[name] = {**properties[name], "type": "array", "items": item, "maxItems": len(keys)}
    return {**frame, "properties": properties, "required": list(properties)}


def read_reading(answer: str, shown: str, sentence: str) -> ParsedRequest | ContradictionError:
    """Give what an answer says of a request.

    Parameters
    ----------
    answer : str
        JSON, as the template's schema has it; what it lacks counts as not said.
    shown : str
        The request as the LLM saw it.
    sentence : str
        The request as it was given.

    Returns
    -------
    ParsedRequest or ContradictionError
        The latter if the words contradict themselves: an answer that can be used, too.

    Raises
    ------
    BadAnswerError
        If it can't be used.
    """
    values = read_object(answer)
    unknown = [key for key in values if key not in ANSWER_KEYS]
    if unknown:
        raise BadAnswerError(f"there is no key called {unknown[0]!r}; the keys are {', '.join(ANSWER_KEYS)}.")
    quoted = Quoted(shown)
    conflict = _conflict(values.get("contradiction"), quoted)
    if conflict is not None:
        return conflict
    named, hidden = _named(values, quoted)
    facts = [fact for block in BLOCKS for fact in _facts(block, values.get(block.name), quoted)]
    remarks = _remarks(values.get("unclear"))
    _check_beside(facts, remarks, quoted)
    try:
        found = merge(quoted.text, facts)
    except ContradictionError as error:
        return error
    try:
        requirement = compose(sentence, {**found, **named, **own_task(found)})
    except ContradictionError as error:
        raise BadAnswerError(
            f"{error.problem} {error.cause} If the words themselves say so, tell it under contradiction."
        ) from None
    # The user sees an LLM's reading first: all of it is proposed.
    proposed = readings(quoted.text, facts)
    return ParsedRequest(requirement, proposed=proposed, unclear=(*remarks, *hidden))


def _named(values: Mapping[str, Any], quoted: Quoted) -> tuple[dict[str, Any], list[Remark]]:
    """Domain, task, target and classes; and what can't be told of the latter, as it was hidden."""
    found: dict[str, Any] = {key: _word(key, values.get(key)) for key in ("domain", "task", "target")}
    classes = values.get("classes") or []
    if not isinstance(classes, list) or not all(isinstance(label, str) and label.strip() for label in classes):
        raise BadAnswerError("classes must be a list of labels.")
    found["classes"] = tuple(label.strip() for label in classes)
    hidden = []
    for key, names in (("target", [found["target"]] if found["target"] else []), ("classes", found["classes"])):
        for name in names:
            if quoted.find(name) is None:
                raise BadAnswerError(
                    f"{key}: {name!r} does not stand in the words; take it as it stands there, or leave it out."
                )
        if key == "classes":
            _check_classes(found["classes"], quoted)
        if any(mark in name for mark in PLACEHOLDERS for name in names):
            hidden.append(Remark(", ".join(names), f"{key} were hidden by --redact"))
            found[key] = None if key == "target" else ()
    return found, hidden


def _word(key: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadAnswerError(f"{key} must be a word or null.")
    return (value or "").strip() or None


def _facts(block: type[Block], items: object, quoted: Quoted) -> Iterator[Fact]:
    """What a block of an answer says."""
    name = block.name
    if items is not None and not isinstance(items, list):
        raise BadAnswerError(f"{name} must be a list.")
    for item in items or []:
        if not isinstance(item, dict) or set(item) != {"key", "value", "words"}:
            raise BadAnswerError(f"each of {name} must be an object with exactly key, value and words.")
        key, value, words = item["key"], item["value"], item["words"]
        if key not in KEYS[name]:
            raise BadAnswerError(f"{name}: there is no key called {key!r}; the keys are {', '.join(KEYS[name])}.")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise BadAnswerError(f"{name}: {key}: its value must be a text.")
        place = quoted.find(words) if isinstance(words, str) else None
        if place is None:
            raise BadAnswerError(
                f"{name}: {key}: {words!r} does not stand in the request; quote the words that say it, or leave it out."
            )
        fact, read = _read(block, key, value)
        check_figure(name, key, value, read, quoted.text, place)
        yield Fact(fact, read, *place, least=is_least(fact))


def _read(block: type[Block], key: str, value: str | float) -> tuple[str, Any]:
    """The key of the fact that a figure makes, and its value, as the requirement file reads it."""
    try:
        if key in _CONVERTED.get(block.name, {}):
            fact, reader = _CONVERTED[block.name][key]
            return fact, reader(value)
        return f"{block.name}.{key}", getattr(block.from_mapping({key: value}), key)
    except UsageError as error:
        raise BadAnswerError(f"{error.problem} {error.cause}") from None


_TOO_SHORT_TEXT = """
a an the and or of to in is it as at by o e y i u et ou un une la le les el los las der die das und oder ein eine en de
do da du di il lo gli em no na os um uma och eller og w z и или а в на с не это
"""
_TOO_SHORT = frozenset(_TOO_SHORT_TEXT.split())
"""Words that every text has, and that are labels only where they are marked as such."""
_LIST_GAP = 60
"""Characters between two labels of a list, at most: each may be explained in brackets."""


def _check_classes(classes: tuple[str, ...], quoted: Quoted) -> None:
    """Make sure that labels are words that are listed, and no others than the rules for plain English find."""
    if not classes:
        return
    for label in classes:
        if label.casefold() in _TOO_SHORT and not re.search(
            rf"[\"'“”‘’«»`]{re.escape(label)}[\"'“”‘’«»`]", quoted.text
        ):
            raise BadAnswerError(f"classes: {label!r} is no label, but a word of the sentence.")
    places = sorted(place for label in classes if (place := quoted.find(label)) is not None)
    for (_, end), (start, _) in pairwise(places):
        if start - end > _LIST_GAP:
            between = quoted.text[end:start].strip()
            raise BadAnswerError(f"classes: they are not listed together; {between!r} stands between two of them.")
    listed = read_classes(quoted.text)
    if listed is not None and {label.casefold() for label in listed[0]} != {label.casefold() for label in classes}:
        raise BadAnswerError(f"classes: the words list {', '.join(map(repr, listed[0]))}; take these, all of them.")


def _conflict(told: object, quoted: Quoted) -> ContradictionError | None:
    """The contradiction that an answer tells of: two places of the words, and why they exclude each other."""
    if told is None or told == "":
        return None
    if not isinstance(told, dict) or set(told) != {"first", "second", "reason"}:
        raise BadAnswerError('contradiction must be null, or an object with exactly "first", "second" and "reason".')
    first, second, reason = (_said(told[key]) for key in ("first", "second", "reason"))
    places = [quoted.find(words) for words in (first, second)]
    for words, place in zip((first, second), places, strict=True):
        if place is None:
            raise BadAnswerError(f"contradiction: {words!r} does not stand in the request; quote both places.")
    one, two = sorted(place for place in places if place is not None)
    if two[0] < one[1]:
        raise BadAnswerError("contradiction: the two quotes are one place; it takes two that exclude each other.")
    facts, _ = read_bounds(quoted.text)
    keys = [{fact.key for fact in facts if _overlap((fact.start, fact.end), place)} for place in (one, two)]
    blocks = [{key.partition(".")[0] for key in some} for some in keys]
    both_metrics = all("quality" in some for some in blocks) or all("deploy" in some for some in blocks)
    if all(keys) and not keys[0] & keys[1] and not both_metrics:
        raise BadAnswerError(
            f"contradiction: {first!r} and {second!r} are about different things, and exclude nothing."
        )
    if all(keys) and keys[0] == keys[1] and len({str(fact.value) for fact in facts if fact.key in keys[0]}) == 1:
        raise BadAnswerError(f"contradiction: {first!r} and {second!r} say the same.")
    if not all(keys) and _differ_in_kind(first, second):
        raise BadAnswerError(
            f"contradiction: {first!r} and {second!r} are about different things, and exclude nothing."
        )
    why = f" {reason.rstrip('.')}." if reason else ""
    return ContradictionError(f"The words contradict each other: {first!r} and {second!r}.{why}", hint=HINT)


def _differ_in_kind(first: str, second: str) -> bool:
    """Whether one quote gives a size and the other a time, as far as their units can be read."""
    kinds = [figure_kinds(words) for words in (first, second)]
    return all(kinds) and not kinds[0] & kinds[1]


def _check_beside(facts: list[Fact], remarks: tuple[Remark, ...], quoted: Quoted) -> None:
    """Hold a reading against what the rules for plain English find: nothing is left out, or taken from a wish.

    Raises
    ------
    BadAnswerError
        A figure that a build would keep to is neither given nor told as unclear, or has another value; or words that
        set no limit are taken for one.
    """
    found, unclear = read_bounds(quoted.text)
    told = [place for remark in remarks if (place := quoted.find(remark.words)) is not None]
    given = merged(facts)
    for key, value in merged([fact for fact in found if fact.applied]).items():
        place = next((one.start, one.end) for one in found if one.applied and _key_of(one) == key)
        if key in given:
            known = {_text_of(one) for one in found if _key_of(one) == key}
            if _text_of_value(given[key]) not in known | {_text_of_value(value)}:
                words = quoted.text[slice(*place)].strip()
                raise BadAnswerError(f"{key.replace('.', ': ')}: the words {words!r} give another value.")
        elif not any(_overlap(place, other) for other in told):
            words = quoted.text[slice(*place)].strip(" ,.;")
            raise BadAnswerError(
                f"{words!r} states {key.replace('.', ': ')}, which you left out; give it, or tell under unclear why "
                "not."
            )
    if not _is_english(quoted.text):
        return
    for fact in facts:
        place = (fact.start, fact.end)
        if any(_overlap(place, (one.start, one.end)) for one in found):
            continue
        for one in unclear:
            if _overlap(place, (one.start, one.end)):
                words = quoted.text[slice(*place)]
                raise BadAnswerError(f"{words!r} sets no limit: {one.reason}; tell it under unclear.")


def merged(facts: list[Fact]) -> dict[str, Any]:
    """Key → value of facts, rates as latencies; of a key that is said twice the last."""
    found: dict[str, Any] = {}
    for fact in rates_as_latency(facts):
        if fact.least == is_least(fact.key):
            found[fact.key] = fact.value
    return found


def _key_of(fact: Fact) -> str:
    return "limits.latency_ms" if fact.key in ("rate", "row_ms") else fact.key


def _text_of(fact: Fact) -> str:
    return _text_of_value(rates_as_latency([fact])[0].value)


def _text_of_value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


_ENGLISH_TEXT = "the of that with and to must under be should for from which need not model it at most within"
_ENGLISH = frozenset(_ENGLISH_TEXT.split())


def _is_english(text: str) -> bool:
    """Whether a text has enough English in it for the rules to know what it leaves open."""
    return len(_ENGLISH & set(re.findall(r"[a-z]+", text.lower()))) >= 2


def _remarks(items: object) -> tuple[Remark, ...]:
    if items is not None and not isinstance(items, list):
        raise BadAnswerError("unclear must be a list.")
    remarks = []
    for item in items or []:
        if not isinstance(item, dict) or set(item) != {"words", "reason"}:
            raise BadAnswerError("each of unclear must be an object with exactly words and reason.")
        words, reason = _said(item["words"]), _said(item["reason"]).rstrip(".")
        if words and reason:
            remarks.append(Remark(words, reason))
    return tuple(remarks)


def _said(value: object) -> str:
    """Words of an LLM's own, on one line and without power over a terminal."""
    if value is not None and not isinstance(value, str):
        raise BadAnswerError("words and reasons must be texts.")
    text = " ".join("".join(char if char.isprintable() else " " for char in value or "").split())
    return text if len(text) <= _MAX_SAID else text[: _MAX_SAID - 1] + "…"
