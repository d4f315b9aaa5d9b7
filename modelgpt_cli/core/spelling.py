"""What spellings of one level or label have in common. Used by the readers and by the runtime alike."""

from __future__ import annotations

import re
import unicodedata

_DECIMAL_ZEROS = re.compile(r"([+-]?\d+)\.0+")
_DECIMAL = re.compile(r"([+-]?\d+\.\d*?[1-9])0+")
_END_MARKS = ".,;:!? "


def fold(text: str) -> str:
    """Return what spellings of one level share: case, blanks and Unicode form apart, no zeros behind the point.

    Examples
    --------
    >>> fold(" Dark\u00a0 Blue"), fold("2.0"), fold("0.50")
    ('dark blue', '2', '0.5')
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    if match := _DECIMAL_ZEROS.fullmatch(folded) or _DECIMAL.fullmatch(folded):
        return match[1]
    return folded


def fold_label(label: str) -> str:
    """Return what spellings of one label share: as `fold`, and without marks at the end.

    Examples
    --------
    >>> fold_label("<=50K."), fold_label("Yes!"), fold_label("?")
    ('<=50k', 'yes', '?')
    """
    folded = fold(label)
    return folded.rstrip(_END_MARKS) or folded
