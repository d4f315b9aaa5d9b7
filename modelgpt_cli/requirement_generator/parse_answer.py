"""Is an LLM's answer what a request says? Each figure has to quote the request; the rest of the way is that of `parse`.

Nothing the LLM says is used before it has passed here: keys and values are those of the requirement file, quotes and
labels stand in the words, and so does each figure's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
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
    readings,
)
from modelgpt_cli.requirement_generator.quotes import Quoted, has_number
from modelgpt_cli.requirement_generator.rules.bounds import Fact

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
        properties[name] = {**properties[name], "type": "array", "items": item}
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
    conflict = _said(values.get("contradiction"))
    if conflict:
        return ContradictionError(f"The words contradict each other: {conflict}", hint=HINT)
    quoted = Quoted(shown)
    named, hidden = _named(values, quoted)
    facts = [fact for block in BLOCKS for fact in _facts(block, values.get(block.name), quoted)]
    try:
        found = merge(quoted.text, facts)
    except ContradictionError as error:
        return error
    try:
        requirement = compose(sentence, {**found, **named})
    except ContradictionError as error:
        raise BadAnswerError(
            f"{error.problem} {error.cause} If the words themselves say so, tell it under contradiction."
        ) from None
    # The user sees an LLM's reading first: all of it is proposed.
    proposed = readings(quoted.text, facts)
    return ParsedRequest(requirement, proposed=proposed, unclear=(*_remarks(values.get("unclear")), *hidden))


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
        if not isinstance(read, str) and not _is_said(value, quoted.text[slice(*place)]):
            raise BadAnswerError(
                f"{name}: {key}: the number of {value!r} does not stand in its words, {words!r}; quote the words of "
                "this figure alone, and write their number and unit."
            )
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


def _is_said(value: str | float, words: str) -> bool:
    """Whether a figure's number, without its unit, stands in the words that it quotes."""
    number = re.search(r"\d*\.?\d+(?:[eE][+]?\d+)?", str(value))
    return number is not None and has_number(words, float(number[0]))


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
        raise BadAnswerError("contradiction, and words and reason of unclear, must be texts.")
    text = " ".join("".join(char if char.isprintable() else " " for char in value or "").split())
    return text if len(text) <= _MAX_SAID else text[: _MAX_SAID - 1] + "…"
