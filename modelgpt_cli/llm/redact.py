"""`--redact`: e-mail addresses, phone numbers and long numbers in what an LLM is shown give way to placeholders.

Patterns, not understanding: names and street addresses stay. Where a number could be either, it goes; dates, years,
decimal numbers and amounts of money, which a requirement may well be about, stay.
"""

from __future__ import annotations

import re

EMAIL, PHONE, NUMBER = "<email>", "<phone>", "<number>"
PLACEHOLDERS = (EMAIL, PHONE, NUMBER)
LEAST_DIGITS = 7
"""So many digits make a number long."""

_MOST_PHONE_DIGITS = 15  # ITU-T E.164

_YEAR = r"(?:19|20)\d\d"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_CLOCK = r"[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_CURRENCY = r"(?:[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|JPY)\b)"
# What groups a long number's digits; a comma does not, it stands between numbers.
_BETWEEN = r"(?:[ \u00a0\u202f./()‐‑-]|\) |\)-| \(| - )"
_AMOUNT = r"(?:\d{1,3}(?:[ \u00a0\u202f.,'’]\d{3}){1,5}|\d{1,15})(?:[.,]\d{1,2})?"
_AMOUNTS = rf"{_AMOUNT}(?:\s?[-–]\s?{_AMOUNT})?"
# What stays must not be a part of something longer.
_START, _END = r"(?<!\d)(?<!\d[./-])", r"(?!\d|[./-]\d)"

# What stays comes before numbers: what it matches is out of their reach. Repeats are bounded, or begin where nothing of
# their kind stands before, so that the longest text takes time in proportion.
_KINDS = {
    "email": r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+",
    "date": (
        rf"{_START}(?:{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}\.\s?{_MONTH}\.\s?{_YEAR}"
        rf"|(?:{_DAY}[-/]{_MONTH}|{_MONTH}/{_DAY})[-/]{_YEAR}"
        rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?:{_CLOCK})?{_END}"
    ),
    "years": rf"{_START}{_YEAR}(?:(?:\s?[-–/]\s?| ){_YEAR}){{0,20}}{_END}(?! \d)",
    "price": rf"{_CURRENCY}\s?{_AMOUNTS}{_END}|{_START}{_AMOUNTS}\s?{_CURRENCY}",
    "thousands": rf"{_START}(?<!\+)[1-9]\d{{0,2}}(?:\.\d{{3}}){{1,5}}(?:,\d{{1,9}})?{_END}(?! \d)",
    "decimal": rf"{_START}(?<!\+)(?:(?:0|[1-9]\d{{0,5}})|(?<!\w))\.\d{{1,17}}(?:[eE][+-]?\d{{1,3}})?(?!\d|[./]\d)",
    "iban": r"\b[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b",
    "number": rf"(?:\+|\(\+?(?=\d{{1,5}}\)))?\d(?:{_BETWEEN}?\d){{{LEAST_DIGITS - 1},}}",
}
_PATTERN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()))
_NORTH_AMERICAN = re.compile(r"(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}")


def redact(text: str) -> str:
    """Put placeholders in the place of e-mail addresses, phone numbers and numbers of seven digits or more.

    Numbers whose digits are grouped, such as cards' and IBANs, count as one. Dates, years, decimal numbers whose whole
    part is shorter, amounts with separators of thousands, and numbers beside a currency stay.
    """
    return _PATTERN.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    kind, found = match.lastgroup, match[0]
    digits = sum(char.isdigit() for char in found)
    if kind == "email":
        return EMAIL
    if kind == "iban":
        return NUMBER if digits >= LEAST_DIGITS else found
    if kind != "number":
        return found
    is_phone = found[0] in "+(0" or _NORTH_AMERICAN.fullmatch(found)
    return PHONE if is_phone and digits <= _MOST_PHONE_DIGITS else NUMBER


def count_placeholders(text: str) -> dict[str, int]:
    """How many of each placeholder are in a text; those that are not are left out."""
    counts = {mark: text.count(mark) for mark in PLACEHOLDERS}
    return {mark: count for mark, count in counts.items() if count}
