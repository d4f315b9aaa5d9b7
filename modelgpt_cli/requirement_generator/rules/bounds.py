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

from modelgpt_cli.requirement_generator.quality import ERRORS
from modelgpt_cli.requirement_generator.rules.numbers import Number, find_numbers

_ROWS = (
    r"(?:rows?|records?|images?|pictures?|photos?|frames?|texts?|e?-?mails?|messages?|sentences?|reviews?|comments?"
    r"|tweets?|tickets?|documents?|samples?|items?|predictions?|inferences?|requests?)"
)
_SCALES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "kilo": 1e3, "mega": 1e6, "giga": 1e9, "million": 1e6, "billion": 1e9}
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "millisecond": 1.0, "s": 1e3, "sec": 1e3, "second": 1e3}
_SCALE = r"(?P<scale>[kmbg]|million|billion)? ?"
_UNITS = {
    "rate": re.compile(rf"(?: {_ROWS})? ?(?:/|per|an?|each|every) ?(?P<every>second|sec|s|minute|min)\b| ?fps\b"),
    "bytes": re.compile(r"[ -]?(?P<scale>[kmg]|kilo|mega|giga)(?P<binary>i?)-?b(?:ytes?)?\b(?! ?(?:/|per\b))| bytes\b"),
    "time": re.compile(r"[ -]?(?P<time>millisecond|second|sec|[uµm]?s)s?\b(?! ?/)"),
    "share": re.compile(r" ?(?:%|per ?cent\b)"),
    "flops": re.compile(rf" ?{_SCALE}(?P<what>flops?|macs?)\b(?! ?/)"),
    "parameters": re.compile(rf" ?{_SCALE}(?:parameters?|params?|weights)\b"),
    "threads": re.compile(r" ?(?:cpu )?threads?\b"),
    "number": re.compile(r"(?:(?P<scale>[kmb])\b)?"),
}
"""Kind of figure → the unit behind its number; the first that fits."""
_ONE = re.compile(r"\b(?:an? |one )(?=(?:kilo|mega|giga)byte\b|(?:milli)?second\b)")
_FILE = {
    ("deploy.quantize", "int8"): r"\bint-?8\b|\b8-bit(?: (?:weights|integers?))?\b",
    ("deploy.quantize", "fp16"): r"\b(?:fp|float)-?16\b|\bhalf[ -]precision\b",
    ("deploy.quantize", "none"): r"\b(?:fp|float)-?32\b|\bfull[ -]precision\b|\b(?:un|not |no )quanti[sz](?:ed|ation)\b",
    ("deploy.runtime", "onnxruntime-web"): r"\bonnx ?runtime[ -]web\b",
    ("deploy.runtime", "onnxruntime-mobile"): r"\bonnx ?runtime[ -]mobile\b",
    ("deploy.runtime", "onnxruntime"): r"\bonnx ?runtime\b",
    ("deploy.format", "safetensors"): r"\bsafetensors\b",
    ("deploy.opset", ""): r"\bopset[ :=]*(\d\d?)\b",
    ("deploy.format", "onnx"): r"\bonnx\b",
    ("limits.threads", "1"): r"\bsingle[ -]thread(?:ed)?\b",
    ("limits.batch_size", ""): r"\b(?:in )?batch(?:es of| size(?: of)?)[ :=]*(\d+)\b",
}
"""Key and value → the words that say it; the number in them where no value stands here."""
_METRICS = {
    "balanced_accuracy": r"\bbalanced accuracy\b",
    "f1": r"\b(?:macro[ -])?f-?1(?:[ -]score)?\b",
    "roc_auc": r"\b(?:roc[ -]?auc|auc|auroc)\b",
    "log_loss": r"\blog[ -]?loss\b",
    "rmse": r"\b(?:rmse|root mean squared error)\b",
    "mae": r"\b(?:mae|mean absolute error)\b",
    "r2": r"\br(?:\^?2\b|²)",
    "accuracy": r"\b(?:accuracy|accurate|right|correct(?:ly)?)\b",
    "wrong": r"\b(?:wrong|incorrect)\b",
}
_MORE = r"(?:more|larger|bigger|longer|higher|slower|heavier|greater|better)"
_LESS = r"(?:less|smaller|fewer|shorter|lower|faster|lighter|quicker|worse)"
_NEVER = r"(?:no|not|never|cannot|\w+n['’]t)(?: (?:be|take|have|use|go|get|fall|drop|weigh))*"
_MOST = (
    rf"\b{_NEVER} (?:{_MORE} than|over|above|exceed)\b|\b{_LESS} than\b|\b(?:under|below|up to|at (?:the )?most|within|in"
    r"|into|max(?:imum)?|sub)\b|[<≤]"
)
_LEAST = (
    rf"\b{_NEVER} (?:{_LESS} than|under|below)\b|\b{_MORE} than\b|\b(?:over|above|at (?:the )?least|min(?:imum)?"
    r"|exceed)\b|[>≥]"
)
_MOST_AFTER = r"[ (]*(?:or (?:less|fewer|faster|smaller)|at (?:the )?most|max(?:imum)?|tops)\b"
_LEAST_AFTER = r"[ (]*(?:\+|(?:or (?:more|better|higher|above)|at least|min(?:imum)?)\b)"
_DEVICE = (
    r"\bon (?:(?:an?|the|our|my|one|its|single|slow|old|small|cheap|raspberry|laptop|mobile) )*(?:pi(?: \d)?|phones?|cpu"
    r"|core|laptop|tablet|microcontroller|board|server|gateway|device|machine|browser)\b"
)
_ITEM = rf"(?:\b(?:per|each|every|an?|for (?:each|every|a)) |/ ?){_ROWS}\b"
_OF_ALL = (
    r"\b(?:(?:of|in|out of) (?:(?:all|the|its|these|those) )*(?:time|cases|them|all|rows|records|answers|predictions"
    r"|images|pictures|photos|texts|e?-?mails|messages|labels|reviews|comments|tickets|tweets)|times)\b"
)
_MODEL = (
    r"(?:\b(?:an?|the|this|that|your|our|my|one|any)\s+|^\s*)(?:§\s*|¤\s*|(?:small|tiny|compact|light|lightweight|fast"
    r"|single|final|exported|neural|ml|machine[ -]learning|finished|new|whole|good)\s+)*"
    r"(?:model(?:['’]s)?|classifier|regressor|neural network)\b(?:\s+(?:file|size|itself))?\b"
)
"""The model as a subject: with an article, or at the beginning. "The phone model" is none."""
_LINKS_TEXT = """
a an the this that which it its we us you i please just only so and but with plus also as is are be being must should shall
may might can could will would has have having need needs to want get gets reach reaches achieve achieves give gives come
comes keep keeps stay stays run runs fit fits weigh weighs take takes use uses using make made of on at for by score limit
limits limited requirements constraints not no than peak test overall size file download flash storage disk ram memory
footprint latency inference prediction predictions response answer answers time export exported stored saved quantised
quantized format weights parameters each all respond average
"""
_KNOWN = re.compile(
    "|".join([_MODEL, _DEVICE, _ITEM, _OF_ALL, *_METRICS.values(), _MOST, _LEAST, _MOST_AFTER, _LEAST_AFTER])
    + rf"|\b(?:{'|'.join(_LINKS_TEXT.split())})\b|\W"
)
"""A word of the grammar."""
_KEYS = {
    "limits.size": re.compile(r"\b(?:size|file|download|flash|storage|disk|weighs?|footprint)\b"),
    "limits.latency_ms": re.compile(rf"\b(?:latency|inference|predictions?|response|answers?)\b|{_DEVICE}"),
}
"""What a figure stands by that could be a size or a time of anything."""
_PLAIN = re.compile(
    rf"\b(?:predictions?|inference|export(?:ed)?)\b|\b(?:right|correct)\b.*{_OF_ALL}|{_OF_ALL}.*\b(?:right|correct)\b"
)
"""What only a model does: beside these words a bound is applied, as it is beside "model"."""
_HEDGE = re.compile(
    r"\b(?:ideally|preferabl[ey]|hopefully|(?:if|where|when) possible|about|around|roughly|approximately|maybe|perhaps"
    r"|would be|need(?:s|ed)? not|needn['’]t|n['’]t (?:need|have) to|not (?:needed|necessary)|p\d\d|optional\w*)\b|~"
)
_TAKEN_BACK = re.compile(r"\b(?:no wait|make that|scratch that|correction|i meant?|on second thought)\b|\bsorry,")
_OTHERS = re.compile(r"n['’]t\b|\b(?:not|never|without|old|previous|unlike|than|if|whether|when|which|was|were|had)\b")
"""Words before "a model" that is not the one asked for."""
_TOLD = re.compile(r"\s*(?:was|were|had|did|does|failed|is|are|has)\b")
"""Words behind a bound that make it the subject of another statement: "a model under 2 MB is too weak"."""
_OF_DATA = re.compile(r"\b(?:uploads?|attachments?|files|videos?|clips?|documents|recordings?|downloads)\b")
_CUT = re.compile(
    r"(?P<stop>[;!?\n]|(?<!\bmax)(?<!\bmin)\.(?=\s|$))|,(?=\s|$)|\s[-–—/|+]\s|(?P<colon>:)(?=\s)|(?P<open>[(\[{→]|->)"
    r"|(?P<close>[)\]}])"
)


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
    """A number with its unit; `value` in bytes, milliseconds, rows a second, shares, or the bare number."""

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
    vague: bool = False
    """Whether it would be whole but for a word such as "ideally"."""


def read_bounds(text: str) -> tuple[list[Fact], list[Unclear]]:
    """Find what a text says of the model's size, speed, quality and file.

    Returns
    -------
    list of Fact, list of Unclear
        The latter are wishes, and choices such as "int8 or fp16".
    """
    low = lower(text)
    if _TAKEN_BACK.search(low):
        return [], [Unclear(0, len(text), "something is taken back; say it once")]
    masked, words = _find_file_words(low)
    figures = list(_find_figures(masked))
    masked = _mask(masked, [(figure.start, figure.end) for figure in figures], "§")
    clauses = list(_clauses(masked))
    facts: list[Fact] = []
    unclear: list[Unclear] = []
    for i, clause in enumerate(clauses):
        inside = [figure for figure in figures if clause.start <= figure.start < clause.end]
        found = [fact for fact in words if clause.start <= fact.start < clause.end]
        if clause.vague:
            unclear += [Unclear(clause.start, clause.end, "it is vague, or a wish")] if inside or found else []
        elif clause.model or (clause.whole and not _is_alternative(masked, clauses, i)):
            for fact, figure in _facts(masked, clause, inside):
                if clause.model or _has_key(masked, clause, fact) or _is_alone(clauses, i, figure, figures):
                    found.append(fact)
            applied = clause.model or _PLAIN.search(masked, clause.start, clause.end) is not None
            facts += [replace(fact, applied=applied) for fact in found]
    if _OF_DATA.search(low):
        facts = [fact for fact in facts if fact.applied or fact.key != "limits.size"]
    return _without_choices(masked, _without_thresholds(facts), unclear)


def lower(text: str) -> str:
    """Give the text in lower case, at the same length."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _mask(text: str, places: list[tuple[int, int]], sign: str) -> str:
    for start, end in places:
        text = text[:start] + sign.ljust(end - start) + text[end:]
    return text


def _find_file_words(text: str) -> tuple[str, list[Fact]]:
    """The text without the words on format, operator set, quantisation, runtime, threads and batch, and their facts."""
    facts = []
    for (key, value), pattern in _FILE.items():
        for match in re.finditer(pattern, text):
            number = value or match[1]
            facts.append(Fact(key, int(number) if number.isdigit() else number, *match.span()))
            text = _mask(text, [match.span()], "¤")
    return text, sorted(facts, key=lambda fact: fact.start)


def _find_figures(text: str) -> Iterator[_Figure]:
    """The numbers of a text with their units; "9 of 10" is a share."""
    ones = [Number(match.start(), match.end(), 1.0) for match in _ONE.finditer(text)]
    numbers = sorted([*find_numbers(text), *ones], key=lambda number: number.start)
    ratio = None
    for number, following in pairwise([*numbers, Number(len(text), len(text), 0.0)]):
        if ratio is not None:
            ratio = None
            continue
        if re.fullmatch(r"(?: times)? (?:out of|of|in) ", text[number.end : following.start]):
            if 0 < number.value < following.value:
                ratio = number.value / following.value
                yield _Figure(number.start, following.end, "share", ratio)
                continue
        if not re.search(r"\d ?(?:-|–|to) ?$", text[: number.start]):  # of a range nothing is read
            yield _with_unit(text, number)


def _with_unit(text: str, number: Number) -> _Figure:
    kind, match = next((kind, found) for kind, unit in _UNITS.items() if (found := unit.match(text, number.end)))
    named = match.groupdict()
    factor = _SCALES.get(named.get("scale") or "", 1.0)
    if named.get("binary"):
        factor = 1024.0 ** ("kmg".index(named["scale"]) + 1)
    if kind == "time":
        factor = _MILLISECONDS[named["time"]]
    elif kind == "share":
        factor = 0.01
    elif kind == "rate" and (named["every"] or "").startswith("min"):
        factor = 1 / 60
    elif kind == "flops" and named["what"].startswith("mac"):
        factor *= 2
    return _Figure(number.start, match.end(), kind, number.value * factor)


def _clauses(text: str) -> Iterator[_Clause]:
    """The clauses of a text in which figures and words on the file are masked."""
    start, opener, sentence, model = 0, "", 0, False
    readable = True
    for cut in [*_CUT.finditer(text), None]:
        end = cut.start() if cut else len(text)
        kind = (cut.lastgroup or "comma") if cut else "stop"
        if kind == "colon" and text[start:end].strip() and _known(text[start:end]) == end - start:
            continue
        clause = _judge(text, _Clause(start, end, opener, sentence), model)
        # What a bracket or a colon opens is about what stands before it.
        if opener in ("colon", "open") and not readable and not clause.model:
            clause = replace(clause, whole=False, vague=False)
        yield clause
        readable, model = clause.whole or clause.model, clause.model
        start, opener = cut.end() if cut else end, kind
        if kind == "stop":
            sentence, model, readable = sentence + 1, False, True


def _judge(text: str, clause: _Clause, carried: bool) -> _Clause:
    """How much of a clause belongs to the grammar; `carried`, the model is the subject of the one before."""
    words = text[clause.start : clause.end]
    if _HEDGE.search(words):
        plain = _HEDGE.sub(" ", words)
        return replace(clause, vague=_known(plain) == len(plain))
    subjects = [m.start() for m in re.finditer(_MODEL, words) if not _OTHERS.search(words[: m.start()])]
    if _known(words) == len(words):
        return replace(clause, whole=True, model=bool(subjects) or carried)
    for first in subjects:
        end = first + _known(words[first:])
        if not _TOLD.match(words[end:]) and not re.search(r"\b(?:is|are|was|has|does)\s*$", words[first:end]):
            return replace(clause, start=clause.start + first, end=clause.start + end, model=True)
    return clause


def _known(words: str) -> int:
    """How far words belong to the grammar."""
    place = 0
    while match := _KNOWN.match(words, place):
        place = max(match.end(), place + 1)
    # The last one is read whole, or not at all.
    return place


def _is_alternative(text: str, clauses: list[_Clause], i: int) -> bool:
    """Whether a clause is one of several that something is told apart by: "fast, under 100 ms, or slow"."""
    near = [other for other in clauses[i : i + 2] if other.sentence == clauses[i].sentence]
    return any(re.match(r"\s*or\b", text[clause.start : clause.end]) for clause in near)


def _has_key(text: str, clause: _Clause, fact: Fact) -> bool:
    """Whether a word says what a figure is a figure of."""
    return fact.key not in _KEYS or _KEYS[fact.key].search(text, clause.start, clause.end) is not None


def _is_alone(clauses: list[_Clause], i: int, figure: _Figure, figures: list[_Figure]) -> bool:
    """Whether a bare size or time closes a sentence that has no other figure of its kind: "..., under 2 MB, int8"."""
    rest = [clause for clause in clauses[i:] if clause.sentence == clauses[i].sentence and clause.start < clause.end]
    others = [other for other in figures if other.kind == figure.kind and other is not figure]
    short = figure.kind != "time" or figure.value <= 1000  # what takes longer is hardly a prediction
    return short and not others and all(clause.whole for clause in rest)


def _facts(text: str, clause: _Clause, figures: list[_Figure]) -> Iterator[tuple[Fact, _Figure]]:
    """What the figures of a clause say."""
    for i, figure in enumerate(figures):
        first = figures[i - 1].end if i else clause.start
        last = figures[i + 1].start if i + 1 < len(figures) else clause.end
        lead, tail = text[first : figure.start], text[figure.end : last]
        found = _fact(figure, lead, tail, _bound(lead, tail), clause.model)
        if found:
            key, value, least = found
            yield Fact(key, value, first, last, least), figure


def _bound(lead: str, tail: str) -> str:
    """The bound nearest to a figure: "most", "least", or none."""
    if re.match(_MOST_AFTER, tail):
        return "most"
    if re.match(_LEAST_AFTER, tail):
        return "least"
    found = [(m.end(), -m.start(), bound) for bound, p in (("most", _MOST), ("least", _LEAST)) for m in re.finditer(p, lead)]
    return max(found)[2] if found else ""


def _fact(figure: _Figure, lead: str, tail: str, bound: str, model: bool) -> tuple[str, object, bool] | None:
    """Key, value, and whether that is a lower bound."""
    value, kind = figure.value, figure.kind
    if kind in ("share", "number"):
        return _metric(figure, lead, tail, bound)
    if kind == "bytes":
        memory = re.search(r"\b(?:ram|memory)\b", lead) or re.match(r"(?: of)?(?: peak)? (?:ram|memory)\b", tail)
        said = bound or (not memory and (model or re.search(r"\b(?:size|file|download)\b", lead)))
        return ("limits.memory" if memory else "limits.size", int(value), bound == "least") if said else None
    if kind == "time":
        said = bound or model or re.search(r"\b(?:latency|inference|time)\b", lead + tail) or re.match(f" ?{_ITEM}", tail)
        key = "row_ms" if re.match(f" ?{_ITEM}", tail) else "limits.latency_ms"
        return (key, value, bound == "least") if said else None
    if kind == "rate":
        return ("rate", value, False) if bound == "least" or (model and not bound) else None
    if kind == "threads":
        return "limits.threads", int(value), False
    return (f"limits.{kind}", int(value), bound == "least") if bound or model or value >= 1000 else None


def _metric(figure: _Figure, lead: str, tail: str, bound: str) -> tuple[str, object, bool] | None:
    """The same of a share or a bare number, by the metric that stands beside it."""
    places = [(m.start(), m.end(), name) for name, p in _METRICS.items() for m in re.finditer(p, tail)]
    before = [(-m.end(), m.start(), name) for name, p in _METRICS.items() for m in re.finditer(p, lead)]
    if not (places or before):
        return None
    name, value = min(before or places)[2], figure.value
    if name == "wrong":
        return ("quality.accuracy", round(1 - value, 12), True) if figure.kind == "share" and bound == "most" else None
    if name in ERRORS:
        return (f"quality.{name}", value, bound == "least") if figure.kind == "number" else None
    if figure.kind == "number" and 1 < value <= 100:
        value /= 100  # a share above 1 can only be a percentage
    return (f"quality.{name}", round(value, 12), bound != "most") if 0 < value <= 1 else None


def _without_thresholds(facts: list[Fact]) -> list[Fact]:
    """Leave out what is no limit: bounds on both sides that no model is named by, and settings without a measure."""
    sides: dict[str, set[bool]] = {}
    for fact in facts:
        sides.setdefault(fact.key, set()).add(fact.least)
    measured = {"limits.latency_ms", "limits.memory", "rate", "row_ms"} & sides.keys()
    kept = []
    for fact in facts:
        costs = not fact.key.startswith("quality.")
        if not fact.applied and (len(sides[fact.key]) > 1 or (costs and fact.least)):
            continue
        if measured or fact.key not in ("limits.threads", "limits.batch_size"):
            kept.append(fact)
    return kept


def _without_choices(text: str, facts: list[Fact], unclear: list[Unclear]) -> tuple[list[Fact], list[Unclear]]:
    """Leave out what is offered as a choice."""
    dropped: set[Fact] = set()
    for first, second in pairwise(sorted(facts, key=lambda fact: fact.start)):
        between = text[first.end : second.start].strip()
        if first.key == second.key and first.value != second.value and between in ("or", "/"):
            dropped |= {first, second}
            unclear = [*unclear, Unclear(first.start, second.end, "either would do, so neither is asked for")]
    return [fact for fact in facts if fact not in dropped], unclear
