"""Where does a text say what an LLM quotes of it? For any language. Before `parse_figures` and `parse_answer`."""

from __future__ import annotations

import re
import unicodedata

GAP = "[.,'’ \u00a0\u202f]"
"""What separates thousands in one country or another."""
_WITH_BLANKS = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]")
"""Letters of scripts that write blanks between words."""


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

        Numbers and words are quoted whole or not at all: "2 MB" does not stand in "12 MB", nor "2 M" in "2 MB".
        """
        letters, _ = _letters(unicodedata.normalize("NFC", quote))
        at = self._letters.find(letters) if letters else -1
        while at >= 0:
            start, end = self._places[at], self._places[at + len(letters) - 1] + 1
            if not (self._cuts_number(start, end) or self._cuts_word(start, end)):
                return start, end
            at = self._letters.find(letters, at + 1)
        return None

    def _cuts_number(self, start: int, end: int) -> bool:
        before, after = self.text[:start], self.text[end:]
        begins, ends = self.text[start].isdigit(), self.text[end - 1].isdigit()
        cut_before = begins and re.search(r"\d[.,]?\Z", before[-2:]) is not None
        return cut_before or (ends and re.match(r"[.,]?\d", after) is not None)

    def _cuts_word(self, start: int, end: int) -> bool:
        return any(
            0 < at < len(self.text) and _WITH_BLANKS.match(self.text[at - 1]) and _WITH_BLANKS.match(self.text[at])
            for at in (start, end)
        )


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text, made alike, and where they stand."""
    places = [i for i, char in enumerate(text) if char.isalnum()]
    return "".join(unicodedata.normalize("NFKC", text[i]).casefold()[0] for i in places), places
