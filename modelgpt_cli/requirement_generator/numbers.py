"""Numbers in running text, in digits and in words. Before `rules` and `quotes`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONES_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
ONES = {word: value for value, word in enumerate(_ONES_TEXT.split())}
_TENS_TEXT = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_TENS_TEXT.split(), 2)}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS = {"half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4, "fifth": 1 / 5, "tenth": 1 / 10}
_PARTS |= {"hundredth": 1 / 100, "thousandth": 1 / 1000}
_SIGNS = {"½": 0.5, "¼": 0.25, "¾": 0.75}

_GAP = "[,'’ \u00a0\u202f]"
_DIGITS = (
    rf"(?<![\w.,])(?:[1-9]\d{{0,2}}(?:{_GAP}\d{{3}})+(?![\d,])(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}}){{2,}}|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:[eE][+]?\d+)?(?![.,]?\d)(?! ?[x×] ?\d|st\b|nd\b|rd\b|th\b)"
)
_SMALL = rf"(?:{'|'.join((*ONES, *_TENS))})\b"
_WORDS = (
    rf"\b(?:an? (?={'|'.join(_SCALES)})"
    rf"|{_SMALL}(?:[\s-]+{_SMALL})?[\s-]*)?(?:(?:{'|'.join(_SCALES)})\b(?:[\s-]+(?:and )?{_SMALL})*[\s-]*)*"
)
_PART = rf"(?:\b(?:an? |one |(?P<times>two|three) ))?\b(?P<part>{'|'.join(_PARTS)})s?\b(?: of)?(?: an?\b| one\b)?"
_AND_PART = r" and (?:a half|a quarter|three quarters)\b"
_POINT = rf"\b(?P<whole>{'|'.join(ONES)}) point(?P<digits>(?: (?:{'|'.join(ONES)})\b)+)"
_NUMBER = re.compile(
    rf"(?P<sign>[½¼¾])|(?<![\w.,/])(?P<upper>[1-9])/(?P<lower>[2-9])(?![\d/])"
    rf"|(?P<number>{_DIGITS})(?: ?(?P<scale>hundred|thousand|million|billion|mio\.?|bn)\b)?"
    rf"|{_POINT}|{_PART}|(?P<spoken>{_WORDS})",
    re.IGNORECASE,
)
_SCALE_SIGNS = {**_SCALES, "mio": 10**6, "mio.": 10**6, "bn": 10**9}


@dataclass(frozen=True)
class Number:
    """A number and where it stands: ``text[start:end]``."""

    start: int
    end: int
    value: float


def find_numbers(text: str) -> list[Number]:
    """Find the numbers of a text, in order: ``1,500``, ``1.5``, ``1,5``, ``two million``, ``half a``.

    A comma before exactly three digits separates thousands, any other one decimals (as after a lone zero). Digits that
    belong to a name (``int8``, ``F1``) are no number. "One" counts, "a" does so only before a scale or in a part.
    """
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        end = match.start() + len(match[0].rstrip(" -"))
        if value is None or (found and match.start() < found[-1].end):
            continue
        more = re.compile(_AND_PART, re.IGNORECASE).match(text, end)
        if more:
            value += {"half": 0.5, "quarter": 0.25, "quarters": 0.75}[more[0].split()[-1].lower()]
            end = more.end()
        found.append(Number(match.start(), end, value))
    return found


def _value(match: re.Match[str]) -> float | None:
    """The value of what was matched; None of nothing."""
    if match["sign"]:
        return _SIGNS[match["sign"]]
    if match["upper"]:
        return int(match["upper"]) / int(match["lower"])
    if match["number"]:
        scale = match["scale"]
        return _digits(match["number"]) * (_SCALE_SIGNS[scale.lower()] if scale else 1)
    if match["digits"]:
        decimals = "".join(str(ONES[word]) for word in match["digits"].lower().split())
        return float(f"{ONES[match['whole'].lower()]}.{decimals}")
    if match["part"]:
        return ONES[(match["times"] or "one").lower()] * _PARTS[match["part"].lower()]
    return _spoken(match["spoken"] or "")


def _digits(text: str) -> float:
    mantissa, sign, exponent = text.lower().partition("e")
    thousands = re.fullmatch(rf"[1-9]\d{{0,2}}(?:{_GAP}\d{{3}})+(\.\d+)?", mantissa)
    if thousands:
        mantissa = re.sub(_GAP, "", mantissa)
    elif mantissa.count(".") > 1:
        mantissa = mantissa.replace(".", "")
    return float(mantissa.replace(",", ".") + sign + exponent)


def _spoken(text: str) -> float | None:
    """Read ``twenty-five``, ``two hundred and fifty thousand``; None where nothing was said."""
    words = [word for word in re.split(r"[\s-]+", text.lower()) if word not in ("", "and", "a", "an")]
    if not words:
        return None
    total, current = 0, 0
    for word in words:
        if word in _SCALES:
            current = max(current, 1) * _SCALES[word]
            if _SCALES[word] >= 1000:
                total, current = total + current, 0
        else:
            current += ONES.get(word, 0) + _TENS.get(word, 0)
    return float(total + current)
