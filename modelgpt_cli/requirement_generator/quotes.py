"""Check what an LLM claims that a text says: where a quote stands, and whether a number is in it. For any language."""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise

from modelgpt_cli.requirement_generator.numbers import find_numbers

_GAP = "[.,'’ \u00a0\u202f]"
_DIGITS = re.compile(
    rf"(?P<groups>\d{{1,3}}(?:{_GAP}\d{{3}})+(?!\d))(?:[.,](?P<decimals>\d+))?|(?P<plain>\d+(?:[.,]\d+)?)"
)
_IDEOGRAPH = re.compile("[\u3400-\u9fff]")
_CLOSE = 0.005
"""Numbers that differ by this share are the same: a third of a second, and 333 ms."""


class Quoted:
    """A text to be quoted from.

    Attributes
    ----------
    text : str
        In Unicode's composed form (NFC), in which places are counted.
    """

    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFC", text)
        self._letters, self._places = _letters(self.text)

    def find(self, quote: str) -> tuple[int, int] | None:
        """Where a quote stands first, whatever its case, blanks and punctuation; None where it does not.

        A number is quoted whole or not at all: "2 MB" does not stand in "12 MB", nor in "1.2 MB".
        """
        letters, _ = _letters(unicodedata.normalize("NFC", quote))
        at = self._letters.find(letters) if letters else -1
        while at >= 0:
            start, end = self._places[at], self._places[at + len(letters) - 1] + 1
            if not self._cuts_number(start, end):
                return start, end
            at = self._letters.find(letters, at + 1)
        return None

    def _cuts_number(self, start: int, end: int) -> bool:
        before, after = self.text[:start], self.text[end:]
        begins, ends = self.text[start].isdigit(), self.text[end - 1].isdigit()
        cut_before = begins and re.search(r"\d[.,]?\Z", before[-2:]) is not None
        return cut_before or (ends and re.match(r"[.,]?\d", after) is not None)


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text, made alike, and where they stand."""
    places = [i for i, char in enumerate(text) if char.isalnum()]
    return "".join(unicodedata.normalize("NFKC", text[i]).casefold()[0] for i in places), places


def has_number(text: str, value: float) -> bool:
    """Whether words have a number, as far as they have any that can be read.

    Digits count, with separators of any country, shares of two numbers ("9 of 10"), and English number words; so do
    their thousands and thousandths, which may be said by words ("200 mil" for 200,000, "half a second" for 500), and
    0.9 for "90 %". But 15 does not stand in "1,5". Words without digits and without English numbers have every number
    ("eine halbe Sekunde"), as nobody here can read theirs.
    """
    found = [number for number in _numbers(text) if 0 < number < math.inf]
    found += [a / b for a, b in pairwise(found) if a < b]
    # Chinese and Japanese count by tens too: 9成 is 90 %.
    by_tens = _IDEOGRAPH.search(text) is not None
    return not found or any(_same_digits(value, number, by_tens) for number in found)


def _same_digits(value: float, number: float, by_tens: bool) -> bool:
    powers = math.log10(value) - math.log10(number)
    whole = round(powers)
    close = abs(10 ** (powers - whole) - 1) <= _CLOSE
    is_share = abs(whole) == 2 and min(value, number) < 1
    return close and (whole % 3 == 0 or is_share or by_tens)


def _numbers(text: str) -> list[float]:
    found = [number.value for number in find_numbers(text.lower())]
    for match in _DIGITS.finditer(unicodedata.normalize("NFKC", text)):
        if match["plain"]:
            found.append(float(match["plain"].replace(",", ".")))
        else:
            found.append(float(f"{re.sub(_GAP, '', match['groups'])}.{match['decimals'] or 0}"))
    return found
