"""Words and sentences in plain English text, for checking and for writing requirements."""

from __future__ import annotations

import re
from collections.abc import Iterable

MIN_WORDS, MAX_WORDS = 5, 80
"""Of a requirement."""
_ABBREVIATIONS_TEXT = """
approx avg ca cf co col dept dr ed eg est etc ex fig ft ie inc incl jr lb ltd max min mr mrs ms mt no nos nr
prof resp sec sq sr st std temp univ vol vs wt yr yrs
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
_END = re.compile(r"([.!?]+)([\"'”’)\]]*)(?=\s|$)|[。！？]+")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://|\bwww\.|\bmailto:", re.IGNORECASE)
_MARKUP = (
    (re.compile(r"```|`"), "backticks"),
    (re.compile(r"\*\*|__(?=\w[^_]*__)|^\s*[#>]+\s|^\s*[-*•]\s|(?<!\w)\*[^*\s][^*]*\*"), "Markdown"),
    (re.compile(r"</?[A-Za-z][^<>]*>|&(?:lt|gt|amp|quot|nbsp|#\d+);"), "HTML"),
    (re.compile(r"\[[^\]]*\]\([^)]*\)"), "a link"),
    (_URL, "a web address"),
)


def words(text: str) -> list[str]:
    """Split into lower-case words of letters and digits; ``petal_length`` and ``petalLength`` are two each."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.findall(r"[^\W_]+", split.lower())


def sentences(text: str, names: Iterable[str] = ()) -> list[str]:
    """Split a text into sentences.

    A full stop ends one where blanks follow, unless it belongs to an abbreviation, an initial, a number, or one of
    `names` (labels and columns may have stops of their own).
    """
    masked = _mask(text, names)
    found, start = [], 0
    for match in _END.finditer(masked):
        if match[0][0] == "." and not _ends(masked, match):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [part for part in found if re.search(r"\w", part)]


def is_markup(text: str, names: Iterable[str] = ()) -> str:
    """Say what markup or web address is in a text, outside `names`; empty if none."""
    masked = _mask(text, names)
    return next((what for pattern, what in _MARKUP if pattern.search(masked)), "")


def _mask(text: str, names: Iterable[str]) -> str:
    """Blacken names that have punctuation of their own, keeping the length."""
    for name in sorted({name for name in names if re.search(r"[^\w\s]", name)}, key=len, reverse=True):
        if len(name) > 1 and not _URL.search(name):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda match: "x" * len(match[0]), text)
    return text


def _ends(text: str, stop: re.Match[str]) -> bool:
    """Whether a full stop ends a sentence."""
    rest = text[stop.end() :].lstrip()
    if not rest or len(stop[1]) > 1:
        return not rest or not rest[0].islower()
    word = re.search(r"(\S*)$", text[: stop.start()])
    before = word[1].lstrip("\"'“‘([").lower() if word else ""
    if "." in before or before in _ABBREVIATIONS or (len(before) == 1 and before.isalpha()):
        return False
    # In running text a short word and a small letter after it are an abbreviation we don't know.
    return not (rest[0].islower() and before.isalpha() and len(before) <= 3)
