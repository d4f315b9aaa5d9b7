"""`--redact`: what names a person, a machine or a secret, in what an LLM is shown, gives way to placeholders.

E-mail addresses, phone and long numbers, IP and MAC addresses, keys and tokens, passwords in URLs, dates of birth.
Patterns, not understanding: names and street addresses stay. Where a number could be either, it goes; other dates,
years, decimal numbers and amounts of money, which a requirement may well be about, stay.
"""

from __future__ import annotations

import re

EMAIL, PHONE, NUMBER = "<email>", "<phone>", "<number>"
ADDRESS, SECRET, BIRTH = "<address>", "<secret>", "<birth>"
PLACEHOLDERS = (EMAIL, PHONE, NUMBER, ADDRESS, SECRET, BIRTH)
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

_DATE = (
    rf"(?:{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}\.\s?{_MONTH}\.\s?{_YEAR}|(?:{_DAY}[-/]{_MONTH}|{_MONTH}/{_DAY})[-/]{_YEAR}"
    rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
)
_NAMED_MONTH = rf"(?:{_DAY}\.?\s[^\W\d]{{3,10}}\.?,?\s{_YEAR}|[^\W\d]{{3,10}}\.?\s{_DAY},?\s{_YEAR})"
_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
# Ends of domains that are no words of the languages around them, for addresses whose dots stand apart.
_TOP = r"(?:com|org|net|edu|gov|info|io|eu|de|fr|uk|es|nl|ch|pl|ru|jp|cn|br)"
_AT = r"(?:\s{0,3}(?:@|\[at\]|\(at\)|\{at\})\s{0,3}|\s{1,3}at\s{1,3})"
_DOT = r"(?:\s{0,3}(?:\.|\[dot\]|\(dot\)|\{dot\})\s{0,3}|\s{1,3}dot\s{1,3})"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_GROUP = r"[0-9A-Fa-f]{1,4}"

# What stays comes before numbers: what it matches is out of their reach. Repeats are bounded, or begin where nothing of
# their kind stands before, so that the longest text takes time in proportion.
_KINDS = {
    "url": r"(?<=://)[^\s/@:]{0,100}:[^\s/@]{1,200}(?=@)",
    "secret": (
        r"(?<!\w)(?:sk|pk|rk|hf|gsk|ghp|gho|ghs|ghu|glpat|github_pat|xox[abprs])[-_][\w-]{10,500}"
        r"|(?<!\w)(?:AKIA|ASIA)[0-9A-Z]{16}(?!\w)|(?<!\w)AIza[\w-]{35}|(?<!\w)eyJ[\w-]{8,2000}(?:\.[\w-]{2,2000}){0,2}"
        r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{1,5000}?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)"
        r"|(?<!\w)(?=[a-z]{0,40}\d)(?=\d{0,40}[a-z])[0-9a-f]{32,200}(?!\w)"
    ),
    "assigned": (
        r"(?i:(?<![^\W_])(?:password|passwd|passphrase|passwort|pwd|secret|token|api[ _-]?key|access[ _-]?key|bearer)"
        r"[\"']?\s{0,3}(?:[:=]|(?<=bearer)\s)\s{0,3}[\"']?)[^\s\"',;]{4,500}"
    ),
    "apart": (
        rf"(?<!{_LOCAL}){_LOCAL}{{1,64}}{_AT}[\w-]{{1,63}}(?:(?:{_DOT}[\w-]{{1,63}}){{0,3}}?{_DOT}{_TOP}(?![\w-])"
        r"|(?:\.[\w-]{1,63}){0,3}\.[^\W\d_]{2,20}(?![\w-]))"
    ),
    "email": r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+",
    "mac": r"(?<![\w:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![\w:-])",
    "ip": (
        rf"{_START}(?:{_OCTET}\.){{3}}{_OCTET}(?:/\d{{1,2}})?{_END}"
        rf"|(?<![\w:])(?=[0-9A-Fa-f:]{{0,45}}\d)(?:(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{1,6}}|::(?:{_GROUP}:){{1,6}}{_GROUP}"
        rf"|(?:{_GROUP}:){{2,7}}:)(?:/\d{{1,3}})?(?![\w:])"
    ),
    "birth": (
        r"(?i:(?<![^\W_])(?:born|birth(?:[ _]?(?:day|date|s))?|dob|d\.o\.b\.|geboren|geburts(?:datum|tag)|geb\.|née?)"
        rf"\W{{0,8}}(?:[^\W\d]{{1,10}}\W{{1,4}}){{0,3}}?)(?:{_DATE}|{_NAMED_MONTH})"
        rf"(?:\W{{1,6}}{_DATE}){{0,50}}(?!\d)"
    ),
    "date": rf"{_START}{_DATE}(?:{_CLOCK})?{_END}",
    "years": rf"{_START}{_YEAR}(?:(?:\s?[-–/]\s?| ){_YEAR}){{0,20}}{_END}(?! \d)",
    "price": rf"{_CURRENCY}\s?{_AMOUNTS}{_END}|{_START}{_AMOUNTS}\s?{_CURRENCY}",
    "thousands": rf"{_START}(?<!\+)[1-9]\d{{0,2}}(?:\.\d{{3}}){{1,5}}(?:,\d{{1,9}})?{_END}(?! \d)",
    "decimal": rf"{_START}(?<!\+)(?:(?:0|[1-9]\d{{0,5}})|(?<!\w))\.\d{{1,17}}(?:[eE][+-]?\d{{1,3}})?(?!\d|[./]\d)",
    "iban": r"\b[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b",
    "number": rf"(?:\+|\(\+?(?=\d{{1,5}}\)))?\d(?:{_BETWEEN}?\d){{{LEAST_DIGITS - 1},}}",
}
_PATTERN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()))
_PLAIN = {
    "url": SECRET, "secret": SECRET, "email": EMAIL, "apart": EMAIL, "mac": ADDRESS, "ip": ADDRESS,
}  # fmt: skip
_ASSIGNED = re.compile(r"(?i:[\w -]+?[\"']?\s{0,3}(?:[:=]|(?<=bearer)\s)\s{0,3}[\"']?)")
_FIRST_DATE = re.compile(rf"{_DATE}|{_NAMED_MONTH}")
_NORTH_AMERICAN = re.compile(r"(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}")


def redact(text: str) -> str:
    """Put placeholders in the place of what names a person, a machine or a secret: see the module.

    Numbers whose digits are grouped, such as cards' and IBANs, count as one. Dates, years, decimal numbers whose whole
    part is shorter, amounts with separators of thousands, and numbers beside a currency stay.
    """
    return _PATTERN.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    kind, found = match.lastgroup, match[0]
    digits = sum(char.isdigit() for char in found)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "assigned":
        return _ASSIGNED.match(found)[0] + SECRET  # type: ignore[index]  # it is what has been matched
    if kind == "birth":
        return _FIRST_DATE.split(found)[0] + BIRTH
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
