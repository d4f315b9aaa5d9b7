"""Emoji as words, for tokenizers that don't know them: a step of the tokenizer itself, so that whatever reads it obeys.

The step is SentencePiece's table of characters, a trie in a double array (Aoe 1989, as Darts lays it out), which the
library tokenizers reads, and which is kept in the tokenizer's JSON. Beside `tokens`.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = ("[UNK]", "<unk>")
"""What tokenizers call a piece that they don't know."""
_RANGES = (
    (0x231A, 0x231B),
    (0x23E9, 0x23F3),
    (0x2600, 0x27BF),
    (0x2B50, 0x2B55),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7EB),
    (0x1F900, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)
_FLAG_LETTERS = 0x1F1E6
"""Two of these are a country's letters."""
_SPREAD = 256
"""So far back the table's places are tried again for a node of several children."""
_SKIN = range(0x1F3FB, 0x1F400)
_UNSAID = re.compile(r"\b(heavy|medium|black|white|large|sign|symbol)\b|-")
"""What names say of how they are printed."""
_OTHERWISE = {
    "☕": "hot drink",
    "⭐": "star",
    "❤": "red heart",
    "✔": "check mark",
    "✅": "check mark",
    "❌": "cross mark",
    "😡": "angry face",
    "😤": "annoyed face",
    "😪": "sleepy face",
    "🙏": "folded hands",
    "🙌": "raised hands celebrating",
    "🤮": "vomiting face",
    "🤬": "swearing face",
    "👌": "ok hand",
    "✌": "victory hand",
}
"""Names that say more of the mood than Unicode's."""


def emoji_names() -> Iterator[tuple[str, str]]:
    """Yield emoji and like signs, one character each, with their names: Unicode's in lower case, shortened.

    A skin's tone has none, and the letters of a flag are the country's.
    """
    for low, high in _RANGES:
        for point in range(low, high + 1):
            character = chr(point)
            if point in _SKIN:
                yield character, ""
            elif unicodedata.category(character) == "So":
                name = _UNSAID.sub(" ", unicodedata.name(character).lower())
                yield character, _OTHERWISE.get(character) or " ".join(name.split())
    for i in range(26):
        yield chr(_FLAG_LETTERS + i), chr(ord("a") + i)


def name_emoji(tokenizer: Tokenizer) -> Tokenizer:
    """Let a tokenizer read each emoji that it doesn't know by its name, and return it.

    The names stand between blanks, so that each is words of its own.
    """
    from tokenizers import normalizers

    vocabulary = tokenizer.get_vocab()
    unknown = {vocabulary[name] for name in UNKNOWN if name in vocabulary}
    names = dict(emoji_names())
    found = tokenizer.encode_batch(list(names), add_special_tokens=False)
    lacking = {c: names[c] for c, read in zip(names, found, strict=True) if not unknown.isdisjoint(read.ids)}
    if not lacking:
        return tokenizer
    # The letters of a flag belong together, and a skin's tone is nothing.
    table = _table(tuple((c, f" {name} " if len(name) > 1 else name) for c, name in lacking.items()))
    given: Any = tokenizer.normalizer
    steps = [normalizers.Precompiled(table), *([] if given is None else [given])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


@lru_cache(maxsize=4)
def _table(replaced: tuple[tuple[str, str], ...]) -> bytes:
    return character_table(dict(replaced))


def character_table(replaced: Mapping[str, str]) -> bytes:
    """Return a table of characters as SentencePiece has it: what becomes of each; others stay what they are."""
    values, places = bytearray(), {}
    for character, value in sorted(replaced.items()):
        places[character.encode()] = len(values)
        values += value.encode() + b"\0"
    units = _double_array(places)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(values)


def _double_array(places: Mapping[bytes, int]) -> list[int]:
    """The units of a trie: a node's children lie at its place XOR its offset XOR their label; 0 labels the value."""
    tree: dict[int, Any] = {}
    for key, place in places.items():
        node = tree
        for byte in key:
            node = node.setdefault(byte, {})
        node[0] = place
    units: dict[int, int] = {}
    taken, offsets, starts = {0}, set[int](), {True: 1, False: 1}
    waiting: list[tuple[dict[int, Any], int, int]] = [(tree, 0, 0)]
    while waiting:
        node, place, label = waiting.pop()
        leaf = len(node) == 1
        base = next(
            b for b in count(starts[leaf]) if b not in offsets and all(b ^ child not in taken for child in node)
        )
        offsets.add(base)
        starts[leaf] = max(starts[leaf], base + 1 - (0 if leaf else _SPREAD))
        taken.update(base ^ child for child in node)
        units[place] = (place ^ base) << 10 | (0 in node) << 8 | label
        for child, below in node.items():
            if child:
                waiting.append((below, base ^ child, child))
            else:
                units[base] = below | 1 << 31
    size = (max(taken) | 0xFF) + 1
    return [units.get(i, 1 << 31 | 0xFF) for i in range(size)]
