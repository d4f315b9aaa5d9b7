"""Texts that the generator of spans learns from: drawn from templates, and real ones that rules mark in part.

Of real texts rules mark what they know: dates, amounts, addresses by their form, and names by lists and by what stands
beside them. What may be a name and is not known is unknown, and nothing is learned from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Mark = tuple[int, int, str]
"""Start and end of a span, characters, and its kind."""
UNKNOWN = "?"
"""The kind of what may be anything."""
_SLOT = re.compile(r"\{(\w+)\}")
PLAIN = 0.06
"""Share of texts in which nothing is marked, beside what templates leave unmarked."""
LOWERED, UNSTOPPED = 0.12, 0.15
"""Shares of texts that are written in small letters, and without the last stop."""


@dataclass
class Marked:
    """A text with what is marked in it.

    Attributes
    ----------
    drawn : bool
        Whether all is known of it, as it comes from a template.
    """

    text: str
    marks: list[Mark] = field(default_factory=list)
    drawn: bool = True


class Templates:
    """Draws texts.

    Parameters
    ----------
    known : mapping
        As ``weights/marked/training.yaml`` has it.
    without : collection of str
        Fillers that are left out, in small letters.
    """

    def __init__(self, known: Mapping[str, Any], without: Iterable[str] = ()) -> None:
        out = set(without)

        def kept(fillers: Sequence[str]) -> list[str]:
            return [one for one in fillers if one.lower() not in out]

        self._templates, self._plain = known["templates"], known["plain"]
        self.fillers = {name: kept(kind["fillers"]) for name, kind in known["kinds"].items()}
        self.parts = {name: kept(values) for name, values in known["parts"].items()}

    def draw(self, n: int, rng: np.random.Generator) -> list[Marked]:
        """Draw texts, each template once before any comes again."""
        found: list[Marked] = []
        order: list[str] = []
        while len(found) < n:
            order = order or list(rng.permutation(self._templates))
            plain = rng.random() < PLAIN
            one = self._filled(str(rng.choice(self._plain)) if plain else str(order.pop()), rng)
            found.append(_changed(one, rng))
        return found

    def _filled(self, template: str, rng: np.random.Generator) -> Marked:
        made, place = Marked(""), 0
        for slot in _SLOT.finditer(template):
            made.text += template[place : slot.start()]
            known = slot[1] in self.fillers
            filler = self._filler(str(rng.choice((self.fillers if known else self.parts)[slot[1]])), rng)
            if known:
                made.marks.append((len(made.text), len(made.text) + len(filler), slot[1]))
            made.text += filler
            place = slot.end()
        made.text += template[place:]
        return made

    def _filler(self, text: str, rng: np.random.Generator) -> str:
        while slot := _SLOT.search(text):
            text = text[: slot.start()] + str(rng.choice(self.parts[slot[1]])) + text[slot.end() :]
        text = re.sub("#", lambda _: str(rng.integers(1, 10)), text)
        return re.sub(r"(?<!\w)@|@(?![a-z])", lambda _: chr(rng.integers(65, 91)), text)  # not in an e-mail address


def _changed(one: Marked, rng: np.random.Generator) -> Marked:
    """Write a text in small letters, or without its last stop, at times."""
    if rng.random() < LOWERED and len(one.text.lower()) == len(one.text):
        one = Marked(one.text.lower(), one.marks)
    if rng.random() < UNSTOPPED and one.text[-1:] in ".?!":
        text = one.text[:-1].rstrip()
        one = Marked(text, [(start, min(end, len(text)), kind) for start, end, kind in one.marks])
    return one


_MONTH = (
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\b\.?"
    r"|January|February|March|April|June|July|August|September|October|November|December"
)
_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_COUNT = r"(?:\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty)"
_SPAN = r"(?:minutes?|hours?|days?|weeks?|months?|years?|seconds?|mins|hrs)"
_UNIT = (
    r"(?:kg|mg|km|miles?|metres?|meters?|feet|inches|pounds|lbs?|tons|tonnes|cm|mm|GB|MB|gallons|barrels|acres|mph"
    r"|degrees|litres|liters|ounces|oz)"
)
_SCALE = r"(?:\s?(?:million|billion|trillion|mil|bn|m|mn|k|thousand))?"
_RULES: tuple[tuple[str, str], ...] = (
    ("email", r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    ("url", r"\bhttps?://[^\s<>\"]+[\w/]|\bwww\.[^\s<>\",]+[\w/]|\b[\w-]+\.(?:com|net|org|co\.uk)(?:/[\w/.-]*)?\b"),
    ("money", rf"(?:US|C|A|HK|euro )?\s?[$€£¥]\s?\d[\d,]*(?:\.\d+)?-?{_SCALE}\b"),
    ("money", rf"\b\d[\d,.]*{_SCALE}\s(?:dollars|euros|pounds|yen|cents|rupees|pence|bucks|EUR|USD|GBP)\b"),
    ("percentage", r"\b\d[\d,.]*\s?(?:%|percent\b|per\scent\b|pct\b)"),
    ("date", rf"\b(?:{_DAY},?\s)?(?:{_MONTH})\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s(?:19|20)\d\d)?\b"),
    ("date", rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTH})(?:,?\s(?:19|20)\d\d)?\b"),
    ("date", rf"\b(?:next |last |this )?{_DAY}\b|\b(?:{_MONTH})(?:\s(?:19|20)\d\d)?(?=\W|$)"),
    (
        "date",
        r"\b(?:today|yesterday|tomorrow|(?:next|last|this)\s(?:week|month|year|weekend|spring|summer|autumn|winter|season))\b",
    ),
    ("date", r"\b(?:19[3-9]\d|20[01]\d)s?\b(?![-,.]\d)|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}/\d{1,2}/(?:\d\d|\d{4})\b"),
    (
        "time",
        r"\b\d{1,2}(?::\d\d|\.\d\d)?\s?(?:am|pm|a\.m\.|p\.m\.)(?=\W|$)|\b[012]?\d:[0-5]\d\b|\b\d{1,2} o'clock\b"
        r"|\bmidnight\b|\bnoon\b",
    ),
    ("phone", r"\+?\(?\b\d{3,5}\)?[ -]\d{3}[ -]?\d{3,4}\b|\b0\d{9,10}\b"),
    ("duration", rf"\b{_COUNT}(?:-|\s){_SPAN}\b|\b(?:a few|several|a couple of) {_SPAN}\b"),
    ("quantity", rf"\b\d[\d,.]*(?:\s|-)?{_UNIT}\b"),
)
_CAPITAL = r"[A-Z][\w'’-]*"
_COMPANY = (
    rf"(?:\b{_CAPITAL}(?:\s&)?\s){{1,4}}(?:Inc|Corp|Ltd|LLC|GmbH|PLC|Plc|Co|AG|SA|NV|Group|Holdings|Airlines|Airways|Bank|"
    r"University|Association|Council|Committee|Commission|Department|Ministry|Institute|Party|Union|Agency)\b\.?"
    rf"|\bUniversity\sof\s{_CAPITAL}|\bBank\sof\s{_CAPITAL}"
)
_NUMBER = re.compile(
    r"\b\d[\d,.]*\d\b|\b\d\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|dozens|hundreds|thousands)\b"
)
_ORDINAL = re.compile(r"\b(?:first|second|third|fourth|fifth|sixth|\d+(?:st|nd|rd|th))\b")
_NAME = re.compile(r"[^\W\d_][\w'’&.-]*")


class Rules:
    """Marks what is known in real texts.

    Parameters
    ----------
    templates : Templates
        Whose fillers are known names.
    texts : sequence of str
        By which words at a text's beginning are known to be ordinary ones.
    lookup : sequence of str
        Kinds whose fillers are taken for unknown.
    """

    def __init__(self, templates: Templates, texts: Sequence[str], lookup: Sequence[str]) -> None:
        parts = templates.parts
        self._rules = [(kind, re.compile(rule)) for kind, rule in _RULES]
        self._rules.append(("organisation", re.compile(_COMPANY)))
        self._rules.append(("organisation", _any_of(parts["known_organisation"])))
        self._rules.append(
            ("organisation", re.compile(rf"\b(?:the|The) ({_alternatives(parts['the_organisation'])})\b"))
        )
        given, honorific = _alternatives(parts["given"]), _alternatives(parts["honorific"])
        family = r"(?:\s[A-Z]\.)?(?:\s(?:van|de|von|al-)?\s?[A-Z][\w'’-]+){1,2}"
        self._rules.append(("person", re.compile(rf"\b(?:(?:{honorific})\s)?(?:{given}){family}")))
        self._rules.append(("person", re.compile(rf"\b(?:{honorific})\s{_CAPITAL}(?:\s{_CAPITAL})?")))
        title = _alternatives([one for one in parts["title"] if one[0].isupper()])
        self._rules.append(("person", re.compile(rf"\b(?:{title})\s({_CAPITAL}(?:\s{_CAPITAL})?)(?=\s[a-z]|[,.'’])")))
        self._rules.append(("place", _any_of(parts["known_place"])))
        self._rules.append(("nationality", _any_of(templates.fillers["nationality"])))
        self._rules += [("ordinal", _ORDINAL), ("number", _NUMBER)]
        lowered = [one for kind in lookup for one in templates.fillers[kind] if one.islower()]
        self._rules.append((UNKNOWN, _any_of(lowered)))
        counts = Counter(word for text in texts for word in _NAME.findall(text))
        self._common = {word for word, n in counts.items() if word.islower() and n >= 3}

    def mark(self, text: str) -> Marked:
        """Mark a text."""
        taken = np.zeros(len(text), dtype=bool)
        marks: list[Mark] = []

        def add(start: int, end: int, kind: str) -> None:
            if end > start and not taken[start:end].any():
                taken[start:end] = True
                marks.append((start, end, kind))

        for kind, rule in self._rules:
            for match in rule.finditer(text):
                begun = kind == "place" and re.match(r" [A-Z]", text[match.end() :])  # such as a team of that city
                add(*(match.span(1) if rule.groups else match.span()), UNKNOWN if begun else kind)
        families = {text[a:b].split()[-1] for a, b, kind in marks if kind == "person" and " " in text[a:b]}
        for match in _NAME.finditer(text):
            word = match[0]
            if word in families:
                add(*match.span(), "person")
            elif not word.islower() and not (
                word.lower() in self._common and word[1:].islower() and _begins(text, match.start())
            ):
                add(*match.span(), UNKNOWN)
        return Marked(text, sorted(marks), drawn=False)


def _begins(text: str, place: int) -> bool:
    """Whether a sentence begins at a place."""
    before = text[:place].rstrip(" \"'“")
    return not before or before[-1] in ".?!:-"


def _alternatives(strings: Sequence[str]) -> str:
    return "|".join(re.escape(one) for one in sorted(strings, key=len, reverse=True))


def _any_of(strings: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{_alternatives(strings)})(?!\w)")
