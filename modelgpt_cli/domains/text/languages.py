"""Which languages texts are in, as far as letters and common words tell. Beside `strange`; needs no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "zh": "Chinese",
}
"""Those that are told apart; others of the same letters are taken for the most like them, or for none."""
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff\uff66-\uff9f]")),
    ("ko", re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")),
    ("ar", re.compile(r"[\u0600-\u06ff\u0750-\u077f]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
)
"""In this order: what has a syllable of Japanese beside Chinese characters is Japanese."""
_LATIN = re.compile(r"[a-z\u00e0-\u024f]+")
_COMMON = {
    "de": "der die das und ist nicht ein eine ich sehr mit den dem auch "
    "auf zu für von wir sie aus noch nur sind im oder diese dieser",
    "en": "the and is of to in it this that was for with you not are have very but my "
    "they be on as what all how or do no me so we from at by an if does each",
    "es": "el los las y es no una que muy con para por lo se del pero está son o como más este esta fue mi al todo",
    "fr": "le les et est un une des pas que très avec pour dans ce "
    "cette je il du sont mais plus vous nous sur qui ou en au",
    "it": "il gli e è non una che molto con per di della sono ma questo questa si lo ho mi come più anche nel del",
    "nl": "de het een en is niet van ik zeer met voor op dat die te maar ook zijn was er aan heel wij naar bij",
    "pl": "w nie jest na się z że jak bardzo dla ale po są tak był już tylko co przez od być",
    "pt": "o os as e é não um uma que muito com para por do da dos mas foi são este esta meu mais ao em no na",
    "tr": "ve bir bu çok için da de ile ne gibi ama daha en değil var yok ben o mi her kadar olarak sonra iyi",
}
_OWN_LETTERS = {"de": "ßä", "es": "ñ", "pl": "łąęńśźż", "pt": "ãõ", "tr": "ığş", "fr": "œêèç", "it": "ìò"}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_CHARS = 400
"""Of longer texts the beginning tells."""
_LEAST_SHARE = 0.3
"""Of a text's letters that are of a script."""


def language_of(text: str, lead: int = 1) -> str | None:
    """Return a text's language, a key of `NAMES`; None where nothing tells it.

    Parameters
    ----------
    text : str
    lead : int
        So many more of its words must be common in that language than in any other, where letters don't tell.

    Examples
    --------
    >>> language_of("Die Lampe ist sehr gut"), language_of("孩子们特别喜欢这个游戏"), language_of("ok 12")
    ('de', 'zh', None)
    """
    text = text[:_CHARS].lower()
    letters = sum(map(str.isalpha, text)) if not text.isascii() else 0
    if letters:
        for language, script in _SCRIPTS:
            if len(script.findall(text)) >= _LEAST_SHARE * letters:
                return language
    words = _LATIN.findall(text)
    scores = {language: sum(word in known for word in words) for language, known in _WORDS.items()}
    for language, own in _OWN_LETTERS.items():
        scores[language] += sum(any(letter in word for letter in own) for word in words)
    (best, most), (_, next_most) = Counter(scores).most_common(2)
    return best if most >= next_most + lead else None


class Languages:
    """Counts the languages of texts.

    Attributes
    ----------
    counts : Counter
        Texts by language, of those whose language is told.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: Counter[str] = Counter(counts or {})

    def add(self, texts: Iterable[str]) -> None:
        """Count texts."""
        self.counts.update(found for found in map(language_of, texts) if found is not None)

    @property
    def total(self) -> int:
        """Texts whose language is told."""
        return self.counts.total()

    def shares(self, least: float = 0.02) -> dict[str, float]:
        """Return the share of each language among the texts whose language is told, the most common first."""
        total = max(1, self.total)
        found = {language: n / total for language, n in self.counts.most_common()}
        return {language: share for language, share in found.items() if share >= least}

    def words(self, least: float = 0.05) -> str:
        """Say them: "German (94%), English (6%)"; "" where no text told any."""
        return ", ".join(f"{NAMES[language]} ({share:.0%})" for language, share in self.shares(least).items())
