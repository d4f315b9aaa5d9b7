"""Figures in running text: numbers with their unit and the bound that the words around them set. After `numerals`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from modelgpt_cli.requirement_generator.words.numerals import Number, find_numbers

Kind = Literal["bytes", "time", "rate", "share", "parameters", "flops", "number"]
Bound = Literal["most", "least", "good", "bad", "about", ""]
"""`good` and `bad`: the one that is better or worse for whatever is measured ("better than", "worse than")."""

_COSTS = {"bytes", "time", "parameters", "flops"}
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_WORDY = {"kilo": "k", "mega": "m", "giga": "g", "million": "m", "billion": "b", "thousand": "k"}
_SECONDS = {
    r"µs|us|usecs?|micro-?seconds?": 0.001,
    r"ms|msecs?|millis|milli-?sec(?:ond)?s?": 1.0,
    r"s|secs?|seconds?": 1000.0,
    r"mins?|minutes?": 60_000.0,
    r"h|hrs?|hours?|days?|weeks?|months?|years?": 0.0,
}
"""Milliseconds of each; what is longer than minutes is never a latency."""
_ITEM = r"(?!(?:[kmg]i?b|ms|s|bytes|seconds?|%|in|under|within)\b)[a-z][a-z'-]*"
_UNITS: dict[Kind, str] = {
    "rate": rf"(?: {_ITEM}){{0,3}} ?(?:/|\b(?:per|an?|each|every|in (?:an?|one|1))\b) ?(?:second|sec|s|minute"
    rf"|min)\b"
    r"| ?(?:fps|hz|qps|rps|ips)\b",
    "bytes": r"[\s-]*(?:(?P<size>[kmgt]|kilo|mega|giga)(?P<binary>i|bi)?-?b(?:ytes?|s)?|(?P<colloquial>meg|gig)s?"
    r"|bytes?)\b(?! ?(?:/|per\b) ?s|ps\b)",
    "time": rf"[\s-]*(?P<time>{'|'.join(_SECONDS)})\b",
    "share": r"\+?[\s-]*(?:%|per ?cent\b|pct\b|percentage points?\b)",
    "flops": r"[\s-]*(?:(?P<flops>[kmgt]|kilo|mega|giga|million|billion)[\s-]*)?"
    r"(?P<what>flops?|macs?|madds?|multiply-(?:adds?|accumulates?)|(?:floating[\s-]point )?operations)\b(?! ?/)",
    "parameters": r"[\s-]*(?:(?P<count>[kmb]|million|billion|thousand)[\s-]*)?"
    r"(?:(?:trainable|learnable|model|total|free|network) )?(?:parameters?|params?|weights)\b",
    "number": r"(?: ?(?P<scale>[kmb])\b)?",
}
_AFTER = {kind: re.compile(pattern) for kind, pattern in _UNITS.items()}
_ONE_OF = re.compile(
    r"(?:\ba|\ban|\bone single|\ba single|\bsub)[\s-]+(?=(?:kilo|mega|giga)byte|[kmg]b\b|(?:milli)?second\b)"
)
_AHEAD = re.compile(r"\b(ms|milliseconds|seconds|[kmg]i?b)\)? ?(?:[:=<≤] ?)+$")
_JOINED = re.compile(r"(?: (?:of )?[a-z]+){0,3} ?(?:,|\band\b|&|\bplus\b)+ ?(?:an? )?")
"""Between two figures that share a bound: "at most 2 MB of flash and 1 MB of RAM"."""
_OUT_OF = re.compile(r" (?:[a-z]+ ){0,2}?(?:out of|in|of)(?: every)? ")
_RANGE = re.compile(r" ?(?:-|–|—|to|and|\.\.\.?) ?$")

_FILLER = (
    r"(?:[\s:=($€£]|\b(?:an?|the|just|only|of|some|mere|total|is|be|at|to|than|exactly|about|around|roughly|say"
    r"|its?|like"
    r"|approximately|approx\.?)(?![\w-])|~)*$"
)
_NOUNS = r"(?:[\s-]+(?!than\b)[a-z][\w-]*){0,4}?"
_BOUNDS: dict[Bound, str] = {
    "most": r"\b(?:less|fewer|lower|smaller|lighter|shorter|tinier) (?:[\w-]+ )?th[ae]n\b|\bunder|\bbelow|\bbeneath"
    r"|\bup to|\bat (?:the )?(?:very )?most|\bat max(?:imum)?\.?|\bwithin|\binside|< ?=?|≤|=<|⩽"
    rf"|\b(?:max(?:imum|imal|imally)?\.?|limit(?:ed)?|cap(?:ped)?|ceiling|budget|upper bound|restricted){_NOUNS}"
    r"|\b(?:fit|fits|fitting|squeeze[ds]?|squeezing|cram\w*|run|runs|running|live|lives) (?:with)?in(?:to)?"
    r"|\b(?:fit|fits)(?: on)?|\bsub(?=[\s-])-?",
    "least": r"\b(?:more|greater|higher|larger|bigger|longer|heavier) (?:[\w-]+ )?th[ae]n\b"
    r"|\bat (?:the )?(?:very )?least|\bat min(?:imum)?\.?|\bover|\babove|\bexceed(?:s|ing)?|\bbeyond|\bpast|> ?=?|≥|=>"
    r"|⩾|\bupwards? of"
    rf"|\b(?:min(?:imum|imal|imally)?\.?|lower bound|floor){_NOUNS}|\bnorth of",
    "good": r"\b(?:better|faster|quicker|stronger) (?:[\w-]+ )?than|\bbeat(?:s|ing)?|\boutperform\w*|\bsurpass\w*"
    r"|\bimprove(?:s|d)? (?:up)?on|\bas good as",
    "bad": r"\b(?:worse|slower|weaker) (?:[\w-]+ )?than",
    "about": r"\b(?:about|around|roughly|approximately|approx\.?|circa|ca\.?|in the (?:region|order) of|maybe"
    r"|perhaps|nearly|almost)|~|≈",
}
_BEFORE = {bound: re.compile(rf"(?:{pattern}){_FILLER}") for bound, pattern in _BOUNDS.items()}
_AFTERWARDS: dict[Bound, re.Pattern[str]] = {
    "most": re.compile(
        r" ?(?:\(? ?)(?:or|and) (?:less|fewer|smaller|under|below|lower|faster|quicker|shorter|better less)\b"
        r"|[\s,(]*(?:max(?:imum)?\b|tops\b|at (?:the )?(?:very )?most|at worst|at max)|(?: [\w-]+){0,4} (?:is|are"
        r"|being) (?:the|my|our|its|a|an) (?:\w+ )?(?:limit|max(?:imum)?|cap|ceiling|budget|most)"
        r"|(?: [\w-]+){0,3} (?:is|are) (?:all|as much as|the most)\b| (?:\w+ )?(?:limit|cap|ceiling|budget"
        r"|max(?:imum)?)\b"
    ),
    "least": re.compile(
        r" ?\+| ?(?:\(? ?)(?:or|and) (?:more|higher|above|over|up|larger|bigger)\b|[\s,(]*(?:min(?:imum)?\b(?!\w)"
        r"|at (?:the )?(?:very )?least|at min\b|upwards?\b)|(?: [\w-]+){0,4} (?:is|are|being) (?:the|my|our|a"
        r"|an) (?:\w+ )?(?:minimum|min|least|floor)| (?:minimum|floor)\b"
    ),
    "good": re.compile(r" ?\(? ?(?:or|and) better\b"),
    "about": re.compile(r" ?(?:or so\b|-?ish\b|give or take|more or less)"),
}
_NOT = re.compile(
    r"(?:\bno|\bnot(?! only)|n['’]t|\b(?:ca|wo|do|does|should|must|could)nt|\bnever|\bcannot|\bwithout"
    r"|\bnothing|\bnone|\bnor|\bneither|\bnobody|\bno one"
    r"|\bhardly|\brarely|\bnotice[sd]?|\breject\w*|\brefus\w+|\bhates?|\bcomplain\w*)(?: (?:(?!but\b)[\w-]+)){0,4} ?$"
)
_TOO = re.compile(
    r"(?: [\w-]+){0,3}? (?:(?:is|are|would be|'s|was) (?:too\b|not (?:ok|okay|acceptable|good|possible|an? option)"
    r"|unacceptable|useless|out\b|no (?:good|use)|impossible|a no-?go|unusable|forbidden|banned|rejected)|(?:won't"
    r"|will not|doesn't|does not|can't|cannot|can not) (?:either|fit|do|work|be|go|pass|load))"
)
_FLIPPED: dict[Bound, Bound] = {"most": "least", "least": "most", "good": "bad", "bad": "good"}


@dataclass(frozen=True)
class Figure:
    """A number with its unit, and the bound that it sets.

    Attributes
    ----------
    start, end : int
        Number and unit: ``text[start:end]``.
    low, high : float
        Bytes, milliseconds, rows per second, shares (of 1), parameters, operations, or the bare number; two ends of a
        range, else the same.
    letter : str
        A scale that nothing was said of: the ``M`` of "under 2M".
    first : int
        Where the bound's words begin; `start` where there are none.
    part : bool
        Whether it is a part of something: "a tenth of".
    plain : float
        The number as it stands, without its unit.
    """

    start: int
    end: int
    low: float
    high: float
    kind: Kind
    bound: Bound = ""
    letter: str = ""
    first: int = 0
    plain: float = 0.0
    part: bool = False


def find_figures(text: str) -> list[Figure]:
    """Find the figures of a text in lower case, in order."""
    numbers = find_numbers(text)
    taken = [(n.start, n.end) for n in numbers]
    single: set[int] = set()
    for match in _ONE_OF.finditer(text):
        if not any(a < match.end() and match.start() < b for a, b in taken):
            first = match.end() if match[0].startswith("sub") else match.start()
            numbers.append(Number(first, match.end(), 1.0))
            single.add(first)
    figures: list[Figure] = []
    for number in sorted(numbers, key=lambda n: n.start):
        if figures and number.start < figures[-1].end:
            continue  # it belongs to the unit before: "100 a second"
        figure = _with_unit(text, number)
        before = figures[-1] if figures else None
        joined = _RANGE.fullmatch(text, before.end, figure.start) if before else None
        if before and joined and figure.kind != "number" and before.kind in (figure.kind, "number"):
            factor = 1.0 if before.kind == figure.kind else figure.high / number.value if number.value else 1.0
            if before.low * factor <= figure.high:
                figures[-1] = Figure(before.start, figure.end, before.low * factor, figure.high, figure.kind)
                continue
        figures.append(figure)
    figures = _ratios(text, figures)
    found: list[Figure] = []
    for i, figure in enumerate(figures):
        after = figures[i - 1].end if i else 0
        bounded = _bounded(text, figure, after, figures[i + 1].start if i + 1 < len(figures) else len(text))
        if found and not bounded.bound and _JOINED.fullmatch(text, after, figure.start):
            same = figure.kind == found[-1].kind
            costs = {figure.kind, found[-1].kind} <= _COSTS and found[-1].bound == "most"
            bounded = replace(bounded, bound=found[-1].bound if same or costs else "")
        found.append(bounded)
    # "A second" may be another one: it is a time where a bound says so.
    return [f for f in found if f.bound or f.kind != "time" or f.start not in single]


def _ratios(text: str, figures: list[Figure]) -> list[Figure]:
    """The figures with each "nine out of ten" as a share."""
    found: list[Figure] = []
    for figure in figures:
        before = found[-1] if found else None
        both = before and before.kind == figure.kind == "number" and 0 < before.high < figure.high
        if before and both and _OUT_OF.fullmatch(text, before.end, figure.start):
            share = before.high / figure.high
            found[-1] = Figure(before.start, figure.end, share, share, "share")
        else:
            found.append(figure)
    return found


def _with_unit(text: str, number: Number) -> Figure:
    """The number in its unit's base."""
    ahead = _unit_ahead(text, number)
    for kind, pattern in _AFTER.items():
        match = pattern.match(text, number.end)
        if ahead and kind in ("bytes", "time") and not match:
            match = pattern.match(" " + ahead)
            if match:
                value = number.value * _factor(kind, match)
                return Figure(number.start, number.end, value, value, kind, plain=number.value, part=number.part)
        if match is None or (
            kind == "flops" and match["what"].startswith("mac") and not match["flops"] and number.value < 1000
        ):
            continue
        letter = (match["scale"] or "") if kind == "number" else ""
        value = number.value * _factor(kind, match)
        return Figure(
            number.start, match.end(), value, value, kind, letter=letter, plain=number.value, part=number.part
        )
    raise AssertionError("the last pattern takes everything")


def _unit_ahead(text: str, number: Number) -> str:
    """The unit that stands before a number: "size_mb: 5", "latency (ms) = 20"."""
    match = _AHEAD.search(text, 0, number.start)
    return match[1] if match else ""


def _factor(kind: Kind, match: re.Match[str]) -> float:
    """What a unit is worth in its kind's base."""
    named = match.groupdict()
    if kind == "rate":
        return 1 / 60 if re.search(r"min(?:ute)?$", match[0]) else 1.0
    if kind == "time":
        return next(worth for words, worth in _SECONDS.items() if re.fullmatch(words, match["time"]))
    if kind == "share":
        return 0.01
    prefix = named.get("size") or (named.get("colloquial") or "")[:1] or named.get("flops") or named.get("count")
    prefix = prefix or named.get("scale") or ""
    prefix = _WORDY.get(prefix, prefix)
    if named.get("binary"):
        return 1024.0 ** "kmgt".index(prefix[0]) * 1024
    twice = 2 if kind == "flops" and re.match(r"mac|madd|multiply", match["what"]) else 1
    return _SCALES[prefix] * twice


def _bounded(text: str, figure: Figure, after: int, before: int) -> Figure:
    """The figure with the bound that stands before it (not before `after`) or behind it (not behind `before`)."""
    lead = text[after : figure.start]
    cut = max(
        (m.end() for m in re.finditer(r"[;!?]|(?<!\bmax)(?<!\bmin)(?<!\bca)(?<!\bapprox)\.\s|,\s", lead)), default=0
    )
    lead, shift = lead[cut:], after + cut
    bound, first = _bound_before(lead)
    tail = text[figure.end : min(before, figure.end + 60)]
    if bound in ("", "about"):
        bound = next((b for b, pattern in _AFTERWARDS.items() if pattern.match(tail)), bound)
    denied = _NOT.search(lead, 0, first if first is not None else len(lead))
    if bound in _FLIPPED and (denied or _TOO.match(tail)):
        bound = _FLIPPED[bound]
    place = figure.start if first is None else shift + first
    return replace(figure, bound=bound, first=place)


def _bound_before(lead: str) -> tuple[Bound, int | None]:
    """The bound whose words end where the figure begins, and where they begin; the one that stands nearest."""
    found: list[tuple[int, Bound]] = []
    for bound, pattern in _BEFORE.items():
        matches = [match.start() for match in pattern.finditer(lead)]
        if matches:
            found.append((matches[-1], bound))
    exact = [pair for pair in found if pair[1] != "about"] or found
    if not exact:
        return "", None
    place, bound = max(exact)
    return bound, place
