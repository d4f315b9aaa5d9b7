"""Texts that an encoder was not made for: unknown pieces, and words in too many of them. Beside `token_rows`.

Needs no torch, so that `feed` says at work what `build` says of the rows that it learns from.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelgpt_cli.domains.text.emoji import UNKNOWN
from modelgpt_cli.domains.text.languages import NAMES, Languages

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ENGLISH = frozenset({"minilm-l6", "distilbert", "static-256"})
"""Cards of encoders that were trained on English."""
MOST_UNKNOWN = 0.1
"""Share of pieces; in 34 public English sets 0 to .008, in Chinese .66 to .77."""
MOST_PIECES = 1.65
"""Pieces a word; in 33 public English sets 1.02 to 1.32 and in chemists' abstracts 1.57, in German reviews 2.2; in
a few sentences each of Spanish, French and Turkish 1.7 to 3, of Russian 5."""
_GOES_ON = "##"
_LEAST_WORDS = 30
_LEAST_TEXTS = 5
"""Of a language that is told, before it counts."""
_MOST_FOREIGN = 0.5
"""Share of texts in another language than English; in 43 public English sets up to .04 are taken for one."""
_SOME_FOREIGN = 0.1
_MOST_READ = 1_000
"""Texts whose language is looked at."""
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<pad>")


class Strangeness:
    """Counts what tokenised texts hold.

    Parameters
    ----------
    tokenizer : Tokenizer
    card : str
        Of the encoder.

    Attributes
    ----------
    unknown, pieces : int
        Pieces that the tokenizer doesn't know, and all pieces.
    words, parts : int
        Words of letters that it knows, and the pieces that they fall into.
    languages : Languages
        Of the first texts.
    """

    def __init__(self, tokenizer: Tokenizer, card: str) -> None:
        self._english = card in ENGLISH
        vocabulary = tokenizer.get_vocab()
        self._size = max(vocabulary.values(), default=0) + 1
        self._special = self._mark([vocabulary[name] for name in _SPECIAL if name in vocabulary])
        self._unknown = self._mark([vocabulary[name] for name in UNKNOWN if name in vocabulary])
        letters = {i: name for name, i in vocabulary.items() if name.removeprefix(_GOES_ON).isalpha()}
        self._letters = self._mark(list(letters))
        self._begins = self._mark([i for i, name in letters.items() if not name.startswith(_GOES_ON)])
        self.unknown = self.pieces = self.words = self.parts = self._read = 0
        self.languages = Languages()

    def fresh(self) -> Strangeness:
        """Return one of the same tokenizer that has counted nothing."""
        other = copy.copy(self)
        other.unknown = other.pieces = other.words = other.parts = other._read = 0
        other.languages = Languages()
        return other

    def _mark(self, pieces: list[int]) -> np.ndarray:
        marks = np.zeros(self._size, dtype=bool)
        marks[pieces] = True
        return marks

    def add(self, ids: Sequence[np.ndarray], *texts: Sequence[str]) -> None:
        """Count the pieces of texts, and the languages of `texts` (N,), or of both of pairs."""
        for column in texts:
            self.languages.add(column[: max(0, _MOST_READ - self._read)])
        self._read += len(ids)
        flat = np.concatenate([*ids, np.zeros(0, dtype=np.int32)])
        self.pieces += int((~self._special[flat]).sum())
        self.unknown += int(self._unknown[flat].sum())
        self.words += int(self._begins[flat].sum())
        self.parts += int(self._letters[flat].sum())

    def found(self) -> str:
        """Say what the encoder was not made for; "" where it seems to be."""
        share = self.unknown / max(1, self.pieces)
        if share >= MOST_UNKNOWN:
            seen = self.languages.words()
            which = f", which seem to be {seen}," if seen else ""
            return f"{share:.0%} of the pieces of these texts{which} are unknown to it"
        if self._english and self._foreign() >= _MOST_FOREIGN:
            return f"these texts seem to be {self.languages.words()}"
        if self._english and self.words >= _LEAST_WORDS and self.parts >= MOST_PIECES * self.words:
            return f"these texts fall into {self.parts / self.words:.1f} pieces a word, as other languages do"
        return ""

    def _foreign(self) -> float:
        """Share of texts in another language than English, of those whose language is told."""
        known = self.languages.total
        return 0.0 if known < _LEAST_TEXTS else 1 - self.languages.counts["en"] / known

    def new_languages(self, seen: Mapping[str, float]) -> str:
        """Say which languages of these texts a build hasn't seen; "" where there are none, or it isn't known.

        Parameters
        ----------
        seen : mapping of str to float
            Share of each language in the build's texts.
        """
        counts, total = self.languages.counts, self.languages.total
        new = [
            f"{counts[language]:,} {NAMES[language]}"
            for language, share in self.languages.shares(_SOME_FOREIGN).items()
            if language not in seen and counts[language] >= _LEAST_TEXTS and share >= _SOME_FOREIGN
        ]
        if not seen or not new:
            return ""
        learned = ", ".join(NAMES.get(language, language) for language in seen)
        return f"Of {total:,} texts {', '.join(new)} by their words; the model was built from {learned}."

    def note(self) -> str:
        """Say that the encoder was not made for these texts; "" where it seems to be."""
        if not (found := self.found()):
            return ""
        made = "The encoder was trained on English" if self._english else "The encoder may not be made for these texts"
        return f"{made}, and {found}: expect less of it."
