"""Bounds beside key words: what a sentence says of a model's size, speed, quality and file. After `numbers`.

The text is cut into clauses. What stands right behind the word "model" is read as far as every word belongs to the
grammar; any other clause is read only if all of its words do. So "a model under 2 MB that ..." sets a limit, and "songs
under 3 minutes" or "files larger than 2 MB are rejected" set none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from modelgpt_cli.core.metrics import ERRORS
from modelgpt_cli.core.quality import IN_UNITS
from modelgpt_cli.requirement_generator.numbers import Number, find_numbers
from modelgpt_cli.requirement_generator.rules import vocabulary as v


@dataclass(frozen=True)
class Fact:
    """What a text says, and where: ``text[start:end]``.

    Attributes
    ----------
    key : str
        Of the requirement file: ``limits.size``; or ``rate`` (rows a second), ``row_ms`` (milliseconds a row).
    least : bool
        Whether the value is a lower bound.
    applied : bool
        Whether the model is plainly the subject, so that a build keeps to it.
    """

    key: str
    value: object
    start: int
    end: int
    least: bool = False
    applied: bool = False


@dataclass(frozen=True)
class Unclear:
    """What looks like a bound and sets none, where it stands, and why."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class _Figure:
    """A number with its unit; `value` in bytes, milliseconds, shares, or the bare number."""

    start: int
    end: int
    kind: str
    value: float


@dataclass(frozen=True)
class _Clause:
    """A stretch of the text; what is read of it lies from `start` to `end`."""

    start: int
    end: int
    opener: str
    sentence: int
    whole: bool = False
    """Whether every word belongs to the grammar."""
    model: bool = False
    """Whether the model is its subject."""
    plain: bool = False
    """Whether it is, or a word stands there that goes with models alone."""
    begins: bool = False
    """Whether nothing unknown stands before what is read."""
    vague: bool = False
    """Whether it would be whole but for a word such as "ideally"."""

    @property
    def read(self) -> bool:
        """Whether anything of it belongs to the grammar for sure."""
        return self.whole or self.model


def read_bounds(text: str) -> tuple[list[Fact], list[Unclear]]:
    """Find what a text says of the model's size, speed, quality and file.

    Returns
    -------
    list of Fact, list of Unclear
        The latter are wishes, and choices such as "int8 or fp16".
    """
    low = _lower(_without_numbered(text)).replace("_", " ")
    low, on_file = _find_file_words(low)
    figures = list(_find_figures(low))
    for figure in figures:
        low = _mask(low, figure.start, figure.end, "§")
    clauses = list(_clauses(low))
    unread = " ".join(low[clause.start : clause.end] for clause in clauses if not clause.read)
    facts: list[Fact] = []
    bare: list[Fact] = []
    unclear: list[Unclear] = []
    for i, clause in enumerate(clauses):
        found = [fact for fact in on_file if clause.start <= fact.start < clause.end]
        inside = [figure for figure in figures if clause.start <= figure.start < clause.end]
        if clause.vague and (found or any(_facts(low, clause, inside))):
            unclear.append(Unclear(clause.start, clause.end, "it is vague, or a wish"))
        for word, reason in v.OPEN.items():
            if inside and clause.read and re.search(rf"\b{word}\b", low[clause.start : clause.end]):
                unclear.append(Unclear(clause.start, clause.end, reason))
        if not clause.read or (not clause.model and _is_alternative(low, clauses, i)):
            continue
        for fact, figure, bound in _facts(low, clause, inside):
            if not clause.model and _is_topic(fact, clause, unread):
                continue
            if clause.model or fact.key not in v.KEYS or v.KEYS[fact.key].search(low, clause.start, clause.end):
                found.append(fact)
            elif _is_alone(clauses, i, figure, figures):
                (found if bound else bare).append(fact)
        facts += [replace(fact, applied=clause.plain) for fact in found]
    # A bare "1 MB" is a limit only in a list of limits.
    facts = _without_thresholds([*facts, *(bare if facts else [])])
    if facts and v.TAKEN_BACK.search(low):
        return [], [Unclear(0, len(text), "something is taken back: say it once")]
    return _without_choices(low, facts, unclear)


def _without_numbered(text: str) -> str:
    """The text with a word of letters in the place of each metric whose name holds numbers, at the same length."""
    for pattern, word in v.NUMBERED:
        for found in pattern.finditer(text):
            text = text[: found.start()] + word.ljust(len(found[0]), "·") + text[found.end() :]
    return text


def _lower(text: str) -> str:
    """The text in lower case, at the same length."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _mask(text: str, start: int, end: int, sign: str) -> str:
    return text[:start] + sign.ljust(end - start) + text[end:]


def _find_file_words(text: str) -> tuple[str, list[Fact]]:
    """The text with its words on format, operator set, quantisation and runtime masked, and what these say."""
    facts = []
    for (key, value), pattern in v.FILE_WORDS.items():
        for match in re.finditer(pattern, text):
            if not v.REFUSED.search(text[: match.start()]):
                facts.append(Fact(key, value or int(match[1]), *match.span()))
            text = _mask(text, *match.span(), "¤")
    return text, sorted(facts, key=lambda fact: fact.start)


def _find_figures(text: str) -> Iterator[_Figure]:
    """The numbers of a text with their units; "9 of 10" is a share, and of a range nothing is read."""
    ones = [Number(match.start(), match.end(), 1.0) for match in v.ONE.finditer(text)]
    numbers = sorted([*find_numbers(text), *ones], key=lambda number: number.start)
    end = 0
    for number, following in pairwise([*numbers, Number(len(text), len(text), 0.0)]):
        if number.start < end or re.search(r"\d ?(?:-|–|to) ?$", text[: number.start]):
            continue
        between = text[number.end : following.start]
        if 0 < number.value < following.value and re.fullmatch(r"(?: times)? (?:out of|of|in) ", between):
            figure = _Figure(number.start, following.end, "share", number.value / following.value)
        else:
            figure = _with_unit(text, number)
        yield figure
        end = figure.end


def _with_unit(text: str, number: Number) -> _Figure:
    kind, match = next((kind, found) for kind, unit in v.UNITS.items() if (found := unit.match(text, number.end)))
    named = match.groupdict()
    factor = v.SCALES[named.get("scale") or ""]
    if named.get("binary"):
        factor = 1024.0 ** ("kmg".index(named["scale"]) + 1)
    if kind == "time":
        factor = v.MILLISECONDS[named["time"]]
    elif kind == "share":
        factor = 0.01
    elif kind == "flops" and named["what"].startswith("mac"):
        factor *= 2
    return _Figure(number.start, match.end(), kind, number.value * factor)


def _clauses(text: str) -> Iterator[_Clause]:
    """The clauses of a masked text, and how much of each belongs to the grammar."""
    start, opener, sentence = 0, "", 0
    before: _Clause | None = None
    for cut in [*v.CUT.finditer(text), None]:
        end = cut.start() if cut else len(text)
        kind = (cut.lastgroup or "comma") if cut else "stop"
        if kind == "colon" and text[start:end].strip() and _known(text[start:end]) == end - start:
            continue  # "size: 2 MB" is one clause
        clause = _judge(text, _Clause(start, end, opener, sentence), before)
        yield clause
        before = None if kind == "stop" else clause
        start, opener, sentence = cut.end() if cut else end, kind, sentence + (kind == "stop")


def _judge(text: str, clause: _Clause, before: _Clause | None) -> _Clause:
    """How much of a clause belongs to the grammar; `before` stands in the same sentence."""
    words = text[clause.start : clause.end]
    subjects = [m.start() for m in re.finditer(v.MODEL, words) if not v.OTHERS.search(words[: m.start()])]
    # What a bracket or a colon opens is about what stands before it: "fast (under 100 ms)".
    opened = clause.opener in ("colon", "open") and before is not None and not before.read
    if v.HEDGE.search(words):
        plain = v.HEDGE.sub(" ", words)
        return replace(clause, vague=_known(plain) == len(plain) and not opened)
    if _known(words) == len(words):
        if opened and not subjects:
            return clause
        model = bool(subjects) or (before is not None and before.model)
        plain_words = v.PLAIN.search(words) is not None
        return replace(clause, whole=True, begins=True, model=model, plain=model or plain_words)
    for first in subjects:
        end = first + _known(words[first:])
        if not v.TOLD.match(words[end:]) and not re.search(r"\b(?:is|are|was|has|does)\s*$", words[first:end]):
            place = replace(clause, start=clause.start + first, end=clause.start + end)
            return replace(place, begins=_known(words[:first]) == first, model=True, plain=True)
    for match in v.WITH_METRIC.finditer(words):
        if _known(words[match.start() :]) == len(words) - match.start():
            return replace(clause, start=clause.start + match.start(), whole=True)
    return clause


def _known(words: str) -> int:
    """How far words belong to the grammar."""
    place = 0
    while match := v.KNOWN.match(words, place):
        place = match.end()
    return place


def _is_alternative(text: str, clauses: list[_Clause], i: int) -> bool:
    """Whether a clause is one of several that something is told apart by: "fast, under 100 ms, or slow"."""
    near = [clause for clause in clauses[i : i + 2] if clause.sentence == clauses[i].sentence]
    return any(re.match(r"\s*or\b", text[clause.start : clause.end]) for clause in near)


def _is_topic(fact: Fact, clause: _Clause, unread: str) -> bool:
    """Whether the task itself is about such figures, by the words that are not read."""
    if clause.plain and fact.key == "limits.latency_ms":
        return False
    return fact.key in v.TOPICS and v.TOPICS[fact.key].search(unread) is not None


def _is_alone(clauses: list[_Clause], i: int, figure: _Figure, figures: list[_Figure]) -> bool:
    """Whether a size or time closes a sentence, and no other clause has one: "..., under 2 MB, int8"."""
    vague = [clause for clause in clauses if clause.vague]
    others = [other for other in figures if other.kind == figure.kind and other is not figure]
    others = [other for other in others if not any(clause.start <= other.start < clause.end for clause in vague)]
    short = figure.kind != "time" or figure.value <= 1000  # what takes longer is hardly a prediction
    return short and not others and all(c.whole for c in clauses[i:] if c.sentence == clauses[i].sentence)


def _facts(text: str, clause: _Clause, figures: list[_Figure]) -> Iterator[tuple[Fact, _Figure, str]]:
    """What the figures of a clause say, and their bounds."""
    first = clause.start
    for figure in figures:
        lead, tail = text[first : figure.start], text[figure.end : clause.end].split("§")[0]
        tail = re.split(r"[,\s]+(?:and|but|with|plus|that|which|for|so)\b", tail)[0].rstrip()
        bound = _bound(lead, tail, v.MOST if figure.kind in ("share", "number") else v.MOST_COST)
        certain = bool(bound) or (clause.model and clause.begins) or not re.search(r"\w", lead + tail)
        found = _fact(figure, lead, tail, bound, certain)
        if found:
            key, value, least = found
            yield Fact(key, value, first, figure.end + len(tail), least), figure, bound
        first = figure.end + len(tail)


def _bound(lead: str, tail: str, most: str) -> str:
    """The bound nearest to a figure: "most", "least", or none."""
    if re.match(v.MOST_AFTER, tail):
        return "most"
    if re.match(v.LEAST_AFTER, tail):
        return "least"
    bounds = (("most", most), ("least", v.LEAST))
    found = [(m.end(), -m.start(), bound) for bound, words in bounds for m in re.finditer(words, lead)]
    return max(found)[2] if found else ""


def _fact(figure: _Figure, lead: str, tail: str, bound: str, certain: bool) -> tuple[str, object, bool] | None:
    """Key, value, and whether that is a lower bound; `certain`, the figure is a demand whatever stands beside it."""
    value, kind = figure.value, figure.kind
    if kind in ("share", "number"):
        return _metric(figure, lead, tail, bound)
    if kind == "bytes":
        memory = re.search(r"\b(?:ram|memory)\b", lead) or re.match(r"(?: of)?(?: peak)? (?:ram|memory)\b", tail)
        said = bound if memory else certain or re.search(r"\b(?:size|file|download)\b", lead)
        return ("limits.memory" if memory else "limits.size", int(value), bound == "least") if said else None
    if kind == "time":
        said = certain or re.match(f" ?{v.ITEM}", tail) or re.search(r"\b(?:latency|inference|time)\b", lead + tail)
        return ("limits.latency_ms", value, bound == "least") if said else None
    # Few parameters without a bound are those of something else.
    return (f"limits.{kind}", int(value), bound == "least") if bound or value >= 1000 else None


def _metric(figure: _Figure, lead: str, tail: str, bound: str) -> tuple[str, object, bool] | None:
    """The same of a share or a bare number, by the metric that stands beside it."""
    places = [(m.start(), m.end(), name) for name, p in v.METRICS.items() for m in re.finditer(p, tail)]
    before = [(-m.end(), m.start(), name) for name, p in v.METRICS.items() for m in re.finditer(p, lead)]
    if not (places or before):
        return None
    name, value = min(before or places)[2], figure.value
    if name == "open":
        return None
    if name == "wrong":
        return ("quality.accuracy", round(1 - value, 12), True) if figure.kind == "share" and bound == "most" else None
    if name in IN_UNITS:
        return (f"quality.{name}", value, bound == "least") if figure.kind == "number" else None
    if name in ERRORS:
        return (f"quality.{name}", round(value, 12), bound == "least") if 0 < value <= 1 else None
    return (f"quality.{name}", round(value, 12), bound != "most") if 0 < value <= 1 else None


def _without_thresholds(facts: list[Fact]) -> list[Fact]:
    """Leave out what bounds something from both sides, or a cost from below, and is not said of a model."""
    sides: dict[str, set[bool]] = {}
    for fact in facts:
        sides.setdefault(fact.key, set()).add(fact.least)
    costs = [fact for fact in facts if fact.least and not fact.key.startswith("quality.")]
    return [fact for fact in facts if fact.applied or (len(sides[fact.key]) == 1 and fact not in costs)]


def _without_choices(text: str, facts: list[Fact], unclear: list[Unclear]) -> tuple[list[Fact], list[Unclear]]:
    """Leave out what is offered as a choice: "int8 or fp16", "opset 15 or higher"."""
    kept = []
    for fact in facts:
        if fact.key.startswith("deploy.") and re.search(r"(?:\bor|/) ?(?:in |as )?$", text[: fact.start]):
            continue  # told with the first
        if fact.key.startswith("deploy.") and (other := re.match(r"\s*(?:or|/)\s+(?:[¤§]\s*|\w+)", text[fact.end :])):
            unclear.append(Unclear(fact.start, fact.end + other.end(), "which one is left open"))
        else:
            kept.append(fact)
    return kept, unclear
