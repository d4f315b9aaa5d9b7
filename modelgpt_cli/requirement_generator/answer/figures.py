"""Are the figures, counts and units of a sentence the profile's, and none a limit for the model? After `labels`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelgpt_cli.core.units import plain_number
from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.answer.labels import find_labels
from modelgpt_cli.requirement_generator.answer.support import Support
from modelgpt_cli.requirement_generator.answer.words import ALWAYS, COUNTED, UNITS
from modelgpt_cli.requirement_generator.numbers import Number, find_numbers
from modelgpt_cli.requirement_generator.rules.bounds import read_bounds
from modelgpt_cli.requirement_generator.sentences import words

_ROUNDED = 0.01
"""A figure with decimals may be so far from the profile's."""
_ROUNDED_WHOLE = 10
"""And from as much on a whole number may stand for one with decimals."""
_ABOUT = re.compile(r"(?:about|around|roughly|approximately|nearly|almost|some|over)\s*$", re.IGNORECASE)


def check_figures(sentence: str, support: Support) -> None:
    """Make sure that every figure and unit is the profile's, and that none is a limit for the model."""
    text = _without_names(sentence, support)
    facts, _ = read_bounds(text)
    if facts or re.search(
        r"\b(?:int8|fp16|float16|onnx\w*|quanti[sz]\w+|safetensors|latency|megabytes?)\b", text, re.I
    ):
        raise BadAnswerError("the sentence sets a limit for the model; it must say what the model does, and no more.")
    for number in find_numbers(text):
        if number.value == 1 and not text[number.start : number.end].strip().isdigit():
            continue
        _check_number(text, number, support)
    _check_units(text, support)


def _without_names(sentence: str, support: Support) -> str:
    """The sentence without labels, and without names that have digits or signs of their own."""
    p = support.profile
    names = [p.name, p.target, *(column.name for column in p.columns), *(v for c in p.columns for v in c.levels)]
    text = sentence
    for start, end, _ in find_labels(sentence, [*support.labels, *(n for n in names if re.search(r"\d", n))]):
        text = text[:start] + "_" * (end - start) + text[end:]
    return text


def _check_number(text: str, number: Number, support: Support) -> None:
    said = text[number.start : number.end].strip()
    counted = _counted(text[number.end :])
    if counted:
        known = support.counts[counted] | {n.value for n in find_numbers(support.profile.description)}
        if number.value not in known and not (_is_about(text, number) and _near(number.value, known, 0.05)):
            counts = " or ".join(plain_number(n) for n in sorted(known))
            raise BadAnswerError(f"the sentence speaks of {said} {counted}; there are {counts}.")
        return
    if said.isalpha() and number.value <= 2:  # "two texts", "half of them"
        return
    close = 0.05 if _is_about(text, number) else _ROUNDED if number.value != int(number.value) else 1e-9
    places = len(said.partition(".")[2])
    least = 0 if re.match(r"\s*words\b", text[number.end :]) else _ROUNDED_WHOLE  # on average 8 words
    rounded = {round(known, places) for known in support.numbers if places or abs(known) >= least}
    if not _near(number.value, support.numbers | rounded, close):
        raise BadAnswerError(f"the figure {said} is not in the profile; leave it out.")


def _counted(rest: str) -> str:
    """What a number counts: the first of the next three words that is counted anywhere; "" of none."""
    if rest.lstrip().startswith((",", ")")):
        return ""
    for word in words(rest)[:3]:
        for what, stems in COUNTED.items():
            if word.startswith(stems):
                return what
    return ""


def _is_about(text: str, number: Number) -> bool:
    return _ABOUT.search(text[: number.start]) is not None


def _near(value: float, known: Iterable[float], share: float) -> bool:
    return any(abs(value - other) <= share * abs(other) for other in known)


def _check_units(text: str, support: Support) -> None:
    p = support.profile
    columns = [text for column in p.columns for text in (column.name, column.description)]
    known = " ".join([p.name, p.target, p.description, *p.class_counts, *columns]).lower()
    spoken = set(re.findall(r"[€£$₹¥%]|°\w|[^\W_]+", known))
    for unit, names in UNITS.items():
        if any(name in spoken or f"{name}s" in spoken for name in names):
            continue
        for name in names:
            body = re.escape(name) + (r"(?:e?s)?" if name.isalpha() else "")
            edge = r"(?!\w)" if name[-1].isalnum() else ""
            anywhere = name in ALWAYS or (unit in ALWAYS and name == unit)
            lead = (r"(?<!\w)" if name[0].isalnum() else "") if anywhere else r"(?:\d\s*|\b(?:in|per)\s+|\(\s*)"
            match = re.search(lead + body + edge, text, re.IGNORECASE)
            if match and not (
                name in ("second", "foot") and not anywhere and "second" in match[0].lower().split()[-1:]
            ):
                raise BadAnswerError(f"the unit {name!r} is not in the profile; leave it out.")
