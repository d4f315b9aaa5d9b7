"""Text for a terminal: what a file or a server calls something must not move the cursor, nor hide what stands there."""

from __future__ import annotations

import re

POWERFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""What has power over a terminal, or can't be encoded."""


def printable(text: str) -> str:
    """Return a text with control characters, those of writing direction and half characters as escapes.

    Tabs and ends of lines stay.

    Examples
    --------
    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return POWERFUL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)
