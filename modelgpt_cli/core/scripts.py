"""Words of a text in any script: some write no blanks between them, and an emoji is a word too."""

from __future__ import annotations

import re

_IDEOGRAMS = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SYLLABLES = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
_EMOJI = "\u263a\u2764\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
_WITHIN = "\u200d\ufe0f\U0001f3fb-\U0001f3ff"
"""Joins the parts of an emoji, or changes one."""
_CJK_SIGNS = "\u3001-\u3004\u3008-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_COUNTED = tuple(re.compile(f"[{ranges}]") for ranges in (_IDEOGRAMS, _SYLLABLES, _EMOJI))
_CHARS_A_WORD = (2, 4, 1)
"""Of Chinese and Japanese; of Thai, Lao, Tibetan, Burmese and Khmer; of emoji."""
_ALL = re.compile(f"[{_IDEOGRAMS}{_SYLLABLES}{_EMOJI}{_WITHIN}{_CJK_SIGNS}]")


def count_words(text: str) -> int:
    """Return how many words a text has, about so many in scripts that write no blanks between words.

    Examples
    --------
    >>> count_words("two words"), count_words("房间干净又安静"), count_words("Super 👍👍")
    (2, 4, 3)
    """
    if text.isascii():
        return len(text.split())
    without = sum(-(-len(found.findall(text)) // chars) for found, chars in zip(_COUNTED, _CHARS_A_WORD, strict=True))
    return len(_ALL.sub(" ", text).split()) + without
