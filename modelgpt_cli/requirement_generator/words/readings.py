"""What each figure of a text limits, if anything: the step from `figures` and `clauses` to facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from modelgpt_cli.requirement_generator.words.clauses import CORRECTED, Clauses
from modelgpt_cli.requirement_generator.words.figures import Figure
from modelgpt_cli.requirement_generator.words.metrics import error_metric, metric_of, only_metric


@dataclass(frozen=True)
class Fact:
    """Something that the words ask for.

    Attributes
    ----------
    key : str
        Block and key of the requirement file, or a key alone: ``limits.size``, ``task``.
    start, end : int
        The words that say so.
    least : bool
        Whether it is a lower bound; what has no bounds is an upper one.
    """

    key: str
    value: object
    start: int
    end: int
    least: bool = False


@dataclass(frozen=True)
class Unclear:
    """Words that look like a limit and are none, or none that can be read for sure."""

    start: int
    end: int
    reason: str


_AT_MOST = frozenset(("quality.mae", "quality.rmse", "quality.log_loss"))
Object = Literal["model", "store", "memory", "data", "device", "graphics", "unknown"]
_OBJECTS: dict[Object, str] = {
    "graphics": r"\bv-?ram\b|\b(?:gpu|video|graphics) (?:memory|ram)\b",
    "memory": r"\b(?:s?d?ram|mem|memory|resident|rss|heap|working set|memory footprint)\b",
    "data": r"\b(?:data|data-?sets?|corpus|images?|pictures?|photos?|photographs?|scans?|logs?|csvs?|tables?"
    r"|spreadsheets?|texts?|reviews?|e-?mails?|mails?|messages?|records?|samples?|recordings?|videos?|clips?"
    r"|archives?|zips?|exports?|uploads?|documents?|pdfs?|jpe?gs?|pngs?|tiffs?|rows|files|folders?|backups?"
    r"|history|entries|database|dumps?|attachments?|frames?|training"
    r"|each|apiece|tickets?|articles?|contracts?|audio|bucket)\b",
    "device": r"\b(?:raspberry|pi|phones?|smartphones?|devices?|boards?|machines?|laptops?|servers?|gpus?|cpus?"
    r"|jetson|nano|mcus?|microcontrollers?|esp32|arduino|cortex[\w-]*|stm32\w*|vms?|containers?|instances?|nodes?"
    r"|cameras?|plcs?|gateways?|computers?|workstations?|tablets?|watch(?:es)?|drones?|cards?|ssds?|disks? drives?"
    r"|routers?|hardware|apps?"
    r"|box(?:es)?|browsers?)\b",
    "store": r"\b(?:disk|flash|storage|rom|eeprom)\b",
    "model": r"\b(?:model|file size|size|network|net|classifier|regressor|detector|predictor|onnx|artifact|artefact"
    r"|binary|download\w*|bundle|package|weigh\w*|weight|exported|deployable|checkpoint|solution"
    r"|big|large|small|tiny|light(?:weight)?|safetensors|export|something|it|filter|footprint on disk)\b",
}
_ALONE = re.compile(r"(?:and |with |in )?[\d.,]+ ?[kmg]i?b (?:of )?(?:peak )?(?:ram|memory)\W*")
_WHOLE = re.compile(
    r" (?:out )?of (?:the|our|its|my|a total of)?(?: total)? ?[\d.,]+ ?[kmg]i?b (?:of )?(?:ram|memory)\b"
)
_PART = re.compile(r"\d ?[kmg]i?b (?:out )?of (?:the|our|its|my|a total of)(?: total)? ?$")
_HAVE = re.compile(
    r"\b(?:we|i|it|there) (?:have|has|got|is|are)(?: (?:got|only|just|still|about))* $|['’]ve (?:got )?$"
)
_ON_CARD = re.compile(r" on (?:the|its|our) (?:(?:sd|memory) )?(?:card|disk|drive|device|phone)\b")
_PLACED = re.compile(r" ?(?:of|worth of|for|in|on)? ?(?:the |our |my |its )?((?:[\w-]+ ?){1,3})")
_OF_DATA = (
    rf"(?:{_OBJECTS['data']})(?: [\w-]+){{0,3}}? (?:is|are|was|were|have|has|come|comes|take|takes|weigh|weighs"
    rf"|averages?|total"
    r"|totals|amounts?|runs?|reach(?:es)?|gets?|of|at|with|up)\b(?:(?!\bmodel\b)[^,;.])*$"
    rf"|(?:{_OBJECTS['data']}) ?[(:] ?(?:[\w~]+ ?){{0,2}}$|\beach (?:[\w~]+ ?){{0,2}}$"
)
"""Words that end in a size of data: "our pictures are about"."""
_OWNED = (
    rf"(?:{_OBJECTS['device']})[^,.;]*\b(?:with|has|have|having|of|got|offers?|which|that|features?|comes?|ships?"
    rf"|provides?)\b[^.;]*$"
    r"|\b(?:free|available|installed|total|main) (?:memory|ram|flash|storage)\b[^.;]*$"
    rf"|(?:{_OBJECTS['device']}) ?(?:\d\w* ?)?\([^)]*$"
)
"""Words that end in what a device has."""
_BUDGET = re.compile(
    r"\b(?:uses?|usage|using|take[sn]?|consum\w*|need(?:s|ed)?|footprint|budget|peak|limit|free|left|available|only)\b"
)
_LATENCY = (
    r"\b(?:latency|latencies|respon\w+|inference|answer\w*|repl(?:y|ies)|predict\w*|reaction|react\w*|runtime|run time"
    r"|tak(?:e|es|ing)|speed|decid\w*|decision|classif\w+|per \w+|a (?:picture|image|row|text|message|frame|photo"
    r"|prediction|record|sample|mail|e-?mail)|each|turnaround|fast|quick\w*|score[sd]?|scoring|verdict|processing"
    r"|forward)\b"
)
_NO_LATENCY = (
    r"\b(?:every|sampl(?:ed|ing)|clips?|windows?|recordings?|recorded|footage|audio|intervals?|long|timeout|warm-?up"
    r"|boot\w*|start-?up|load(?:s|ing|ed)?|cold|train\w*|build\w*|built|deliver\w*|exposure|shutter|history|last|past"
    r"|previous|old|apart|ago|later|meeting|segments?|videos?|ahead|after|horizon|forecast)\b"
)
_HAS = "it is what a device has, not what the model may take"
_PER_ROW = (
    r" ?(?:/|per\s|an?\s|each\s|for (?:each|every|one|a)\s) ?(?:row|record|image|picture|photo|frame|text|message|mail"
    r"|e-mail|sentence|review|ticket|document|sample|example|item|prediction|comment|tweet|post|article|digit|leaf"
    r"|part|piece)\b"
)
_PERCENTILE = r"\b(?:p ?\d{2}|\d{2}(?:th|st)? ?(?:- ?)?percentile|percentile|worst[\s-]case|tail)\b"
_MANY = re.compile(
    r"\d[\d,.]* ?(?:[a-z-]+ ){1,3}(?:in|within|every|per|takes?)\b|\bper (?:\d|thousand|million|hundred|batch)"
)


def read_figure(figure: Figure, clauses: Clauses, previous: int, following: int) -> Fact | Unclear | None:
    """Say what a figure asks for; None where it never looked like a limit.

    Parameters
    ----------
    previous, following : int
        Where the figure before it ends, and the one after it begins.
    """
    lead = clauses.text[max(previous, clauses.sentence(figure.start)[0]) : figure.start]
    tail = clauses.text[figure.end : min(following, clauses.sentence(figure.start)[1])]
    found: Fact | Unclear | None
    error = error_metric(figure, lead, tail)
    if error:
        found = replace(_upper(f"quality.{error}", figure), value=figure.plain)
    elif figure.kind == "bytes":
        found = _bytes(figure, clauses, lead, tail)
    elif figure.kind == "time":
        found = _time(figure, clauses, lead, tail)
    elif figure.kind == "rate":
        found = _rate(figure, clauses, tail)
    elif figure.kind in ("parameters", "flops"):
        said = clauses.text[clauses.sentence(figure.start)[0] : figure.start]
        owned = not figure.bound and re.search(
            rf"(?:{_OBJECTS['device']})[^,.;]*\b(?:with|has|have|of|offers?|does|do)\b", said
        )
        found = Unclear(figure.first, figure.end, _HAS) if owned else _upper(f"limits.{figure.kind}", figure)
    else:
        joined = previous > 0 and re.fullmatch(r"[\s,]*(?:and|but|yet)? ?", clauses.text[previous : figure.first])
        found = _metric(figure, clauses, lead, tail, bool(joined))
    found = found or _counted(figure, clauses, lead)
    if found is None and figure.letter and figure.bound:
        found = Unclear(figure.first, figure.end, "of what is not said")
    if not isinstance(found, Fact):
        return found
    excuse = clauses.excuse(figure.first, figure.end, figure.bound)
    if not excuse and figure.bound == "about":
        excuse = "it is no bound"
    return Unclear(found.start, found.end, excuse) if excuse else found


def corrected(figure: Figure, last: tuple[Figure, Fact], clauses: Clauses) -> Fact | None:
    """The fact that a figure without words of its own sets, where it takes back the one before: "95 %, no, 90 %"."""
    before, fact = last
    numbers = {figure.kind, before.kind} <= {"share", "number"} and isinstance(fact.value, int | float)
    if not numbers or fact.least != (fact.key.startswith("quality.") and fact.key not in _AT_MOST):
        return None
    if clauses.excuse(figure.first, figure.end, figure.bound):
        return None
    value = figure.low
    if fact.key.startswith("limits."):
        return replace(fact, value=int(value), start=figure.first, end=figure.end) if value >= 1 else None
    wrong = isinstance(fact.value, float) and fact.key == "quality.accuracy" and before.high + fact.value == 1
    value = value / 100 if figure.kind == "number" and before.kind == "share" else value
    return replace(fact, value=round(1 - value, 12) if wrong else value, start=figure.first, end=figure.end)


def _upper(key: str, figure: Figure) -> Fact:
    """A limit that is an upper bound by nature."""
    least = figure.bound in ("least", "bad")
    return Fact(key, figure.low if least else figure.high, figure.first, figure.end, least)


def _bytes(figure: Figure, clauses: Clauses, lead: str, tail: str) -> Fact | Unclear | None:
    """File size or memory, of the model rather than of data or devices."""
    of = _object(figure, clauses, lead, tail)
    if of == "data":
        return Unclear(figure.first, figure.end, "it is the size of data, not of the model") if figure.bound else None
    if of == "graphics":
        return Unclear(figure.first, figure.end, "memory of a GPU is not measured")
    if of == "device":
        return Unclear(figure.first, figure.end, _HAS)
    if of == "unknown":
        return Unclear(figure.first, figure.end, "of what is not said")
    return _upper("limits.memory" if of == "memory" else "limits.size", figure)


def _object(figure: Figure, clauses: Clauses, lead: str, tail: str) -> Object:
    """What a size is a size of."""
    if _WHOLE.match(clauses.text, figure.end):
        return "memory"
    if _PART.search(clauses.text, 0, figure.start):
        return "device"
    placed = _PLACED.match(tail)
    behind, ahead = _first_object(placed[1]) if placed else "", _last_object(lead)
    asked = clauses.asks(figure.start)
    bounded = figure.bound not in ("", "about") or figure.low < figure.high
    said = clauses.text[clauses.sentence(figure.start)[0] : figure.start]
    if behind in ("data", "graphics", "model"):
        return behind
    if not bounded and re.match(r" (?:of )?(?:\w+ )?(?:left|free|available)\b", tail) and _HAVE.search(lead):
        return "device"
    if asked and _ON_CARD.match(tail):
        return "store"
    if not bounded and (behind == "device" or (ahead == "device" and not behind)):
        return "device"
    if not asked and re.search(_OWNED, said if not bounded else lead) and {behind, ahead} & {"memory", "store"}:
        return "device"
    if (
        behind == "memory"
        and not re.search(_OBJECTS["device"], clauses.text)
        and _ALONE.fullmatch(" ".join(clauses.text[slice(*clauses.clause(figure.start))].split()))
    ):
        return "memory"
    if "memory" in (behind, ahead):
        bare = not bounded and not asked and ahead != "memory"
        return (
            "device"
            if bare and (re.search(_OBJECTS["device"], said + tail) or not _BUDGET.search(said + tail))
            else "memory"
        )
    if ahead == "graphics":
        return ahead
    if re.search(_OF_DATA, lead):
        return "data"
    alone = clauses.stands_alone(figure.start, figure.end)
    certain = bounded or asked or alone or {behind, ahead} & {"model", "store"}
    return "model" if certain or CORRECTED.search(lead) else "unknown"


def _first_object(words: str) -> Object | Literal[""]:
    found = [(m.start(), kind) for kind, pattern in _OBJECTS.items() for m in re.finditer(pattern, words)]
    return min(found, key=lambda pair: pair[0])[1] if found else ""


def _last_object(words: str) -> Object | Literal[""]:
    found = [(m.end(), kind) for kind, pattern in _OBJECTS.items() for m in re.finditer(pattern, words)]
    return max(found, key=lambda pair: pair[0])[1] if found else ""


def _time(figure: Figure, clauses: Clauses, lead: str, tail: str) -> Fact | Unclear | None:
    """The latency, rather than some other time."""
    before, after = clauses.before(figure.start), tail[:40]
    near = " ".join(before.split()[-6:]) + " " + " ".join(re.split(r"[,.;]", after)[0].split()[:3])
    bounded = figure.bound in ("most", "good", "least", "bad") or re.search(r"\b(?:in|at) (?:only |just )?$", before)
    if not figure.high:
        return None
    if re.search(_NO_LATENCY, near) and not re.search(r"\blatency|respon|inference\b", near):
        return None
    if re.search(_PERCENTILE, before + after[:20]):
        return Unclear(
            figure.first, figure.end, "the latency measured is the median, not a percentile or the worst case"
        )
    if _MANY.search(before) or re.match(r" ?per (?:\d|thousand|hundred|million|dozen)", after):
        return Unclear(figure.first, figure.end, "whether that is for one batch or one by one is not said")
    alone = clauses.stands_alone(figure.start, figure.end)
    certain = bounded or alone or clauses.asks(figure.start) or re.match(_PER_ROW, after)
    certain = certain or re.match(
        r" (?:for (?:that|this|it|each|every|one)\b|to (?:decide|answer|respond|react))", after
    )
    if not certain and not re.search(_LATENCY, f"{before} {after}"):
        return None
    limit = _upper("limits.latency_ms", figure)
    return replace(limit, key="row_ms") if re.match(_PER_ROW, after) else limit


def _rate(figure: Figure, clauses: Clauses, tail: str) -> Fact | Unclear | None:
    """Rows per second, which say how long one may take."""
    if figure.bound == "most":
        return Unclear(figure.first, figure.end, "an upper bound of a rate limits nothing")
    clause = clauses.before(figure.first) + clauses.after(figure.start)
    named = figure.bound or clauses.asks(figure.start)
    if figure.low <= 0 or re.match(rf" ?(?:{_STREAM})", tail) or (not named and re.search(rf"\b(?:{_STREAM})", clause)):
        return None
    if not named and clauses.text[figure.start : figure.end].endswith("hz"):
        return None
    return Fact("rate", figure.low, figure.first, figure.end)


def _metric(figure: Figure, clauses: Clauses, lead: str, tail: str, joined: bool) -> Fact | Unclear | None:
    """A metric's value; `joined` to the figure before it, it may be of the metric named there."""
    wrong = re.search(r"\s(?:errors?|mistakes?|wrong|right|correct)\b", clauses.text[figure.start : figure.end])
    found = metric_of(figure, lead, (wrong[0] if wrong else "") + tail)
    if found is None and figure.kind == "share":
        asked = figure.bound in ("least", "good", "most") or joined or (not figure.bound and clauses.asks(figure.start))
        found = only_metric(figure, clauses.text) if asked else None
    if found is None:
        if figure.kind == "share" and figure.bound in ("least", "good"):
            return Unclear(figure.first, figure.end, "of what is not said")
        return None
    metric, value, least = found
    if value is None:
        return Unclear(figure.first, figure.end, f"{metric} is not among the metrics that a build keeps to")
    return Fact(f"quality.{metric}", value, figure.first, figure.end, least)


_STREAM = (
    r"com(?:e|es|ing)\b|gets?\b|receiv|camera|video|stream|footage|feed|sampl|sensor|record|arriv|film|screen"
    r"|monitor|display"
)
_AHEAD = {
    "limits.batch_size": r"\bbatch(?:es)?(?:[\s_-]*size)?(?: (?:of|is|at))? ?[:=]? ?$",
    "limits.threads": r"\bthreads? ?[:=] ?$",
    "limits.parameters": r"\b(?:parameters?|params?)(?: (?:count|budget|limit|number))?(?: (?:of|is|at|to|below"
    r"|under|than|max"
    r"|maximum|most|over|not|no|more|up|at most|capped|limited))* ?[:=<≤]* ?$",
    "limits.flops": r"\b(?:flops?)(?: (?:count|budget|limit))?(?: (?:of|is|at|to|below|under|than|max|maximum"
    r"|most|over|not"
    r"|no|more|up|at most))* ?[:=<≤]* ?$",
}
_TRAINING = r"\b(?:train(?:ed|ing)?|epochs?|learning rate)\b"
_BEHIND = {
    "limits.batch_size": r" ?(?:[a-z]+ ){0,2}?(?:at (?:a time|once)|in (?:a|one|each|every"
    r"|the same) batch|per batch"
    r"|together\b|in parallel)| ?(?:- ?)?(?:[a-z]+ )?batch(?:es)?\b",
    "limits.threads": r"[\s-]*(?:cpu )?threads?\b",
}


def _counted(figure: Figure, clauses: Clauses, lead: str) -> Fact | Unclear | None:
    """Batch, threads, parameters or operations, where the noun stands apart from the number."""
    if figure.kind != "number" or re.search(_TRAINING, lead + clauses.after(figure.end)):
        return None
    for key, pattern in _AHEAD.items():
        if re.search(pattern, lead):
            large = key in ("limits.parameters", "limits.flops")
            return _upper(key, figure) if large else Fact(key, int(figure.high), figure.first, figure.end)
    return None


def read_count(figure: Figure, tail: str) -> Fact | None:
    """Rows a batch, or threads, where the noun follows the number."""
    if figure.kind == "number" and figure.high == int(figure.high) >= 1:
        for key, pattern in _BEHIND.items():
            if re.match(pattern, tail):
                return Fact(key, int(figure.high), figure.start, figure.end)
    return None
