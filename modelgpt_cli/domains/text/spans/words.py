"""Texts to what the graph takes: pieces, the words that they are of, and the words' shapes; long texts in windows.

Between `runtime.session` and the graph, and the first step of a build; numpy and tokenizers alone.
A word is what the tokenizer splits a text into before it looks for pieces: a run of letters and digits, a sign, or a
character of a script without blanks. Spans are made of whole words.
Shapes: N windows, T tokens of the longest, W words of the longest, L tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelgpt_cli.domains.text.spans.tags import Place
from modelgpt_cli.domains.text.token_rows import IDS, MASK, by_length

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORDS, SHAPES = "word_ids", "shapes"
"""Inputs of the graph beside `IDS` and `MASK`. ``word_ids`` (N, T): 1 for the pieces of a window's first word, 2 for
those of the second and so on, 0 for all others. ``shapes`` (N, W + 2): the shapes of the word before the window, of its
words, and of the word behind it; `EDGE` where there is none, and behind the last."""
EDGE = 0
SHAPE_NAMES = (
    *("edge", "digit", "2 digits", "3 digits", "4 digits", "5 digits or more", "letters and digits", "stop or comma"),
    *("dash or slash", "other sign", "capital", "capitals", "capitalised", "lower case", "mixed case", "other"),
)
"""What the numbers of ``shapes`` stand for."""
TOKENS_PER_RUN = 512
OVERLAP = 0.25
"""Share of a window that the next one has too."""


@dataclass
class Text:
    """A tokenised text.

    Attributes
    ----------
    pieces : list of int
        Token ids, without those of the text's beginning and end.
    first : list of int
        Where the pieces of each word begin, and, last, how many there are.
    words : list of (start, end)
        Characters of each word.
    shapes : list of int
        Of each word.
    """

    pieces: list[int]
    first: list[int]
    words: list[Place]
    shapes: list[int]


def shape_of(word: str) -> int:
    """Return the number in `SHAPE_NAMES` of a word."""
    if word.isdigit():
        return min(len(word), 5)
    if any(char.isdigit() for char in word):
        return 6
    if not any(char.isalpha() for char in word):
        return 7 if word in (".", ",") else 8 if word in ("-", "/", "–") else 9
    if word.isupper():
        return 10 if len(word) == 1 else 11
    if word[0].isupper():
        return 12 if word[1:].islower() else 14
    if word.islower():
        return 13
    return 14 if any(char.isupper() for char in word) else 15


def read_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Text]:
    """Tokenise texts, however long; a tokenizer without truncation is needed."""
    found = []
    for text, encoding in zip(texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True):
        made = Text([], [], [], [])
        last = None
        for piece, word, (start, end) in zip(encoding.ids, encoding.word_ids, encoding.offsets, strict=True):
            if word is None or end <= start:
                continue
            if word != last:
                made.first.append(len(made.pieces))
                made.words.append((start, end))
                last = word
            else:
                made.words[-1] = (made.words[-1][0], end)
            made.pieces.append(piece)
        made.first.append(len(made.pieces))
        made.shapes = [shape_of(text[start:end]) for start, end in made.words]
        found.append(made)
    return found


@dataclass
class Windows:
    """Texts cut into windows.

    Attributes
    ----------
    ids, word_ids, shapes : list of list of int
        What the graph is given for each window, not yet padded.
    text : list of int
        Which text each is of.
    words : list of (int, int)
        The first of the text's words in each, and the first behind it.
    """

    ids: list[list[int]]
    word_ids: list[list[int]]
    shapes: list[list[int]]
    text: list[int]
    words: list[tuple[int, int]]

    def batches(self, tokens: int = TOKENS_PER_RUN) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the numbers of all windows, short with short, and the graph's inputs."""
        for rows in by_length([np.array(row) for row in self.ids], tokens):
            yield rows, self.feed(rows)

    def feed(self, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """Return the graph's inputs for some windows, int64."""
        ids = [self.ids[i] for i in rows]
        return {
            IDS: _padded(ids),
            MASK: _padded([[1] * len(row) for row in ids]),
            WORDS: _padded([self.word_ids[i] for i in rows]),
            SHAPES: _padded([self.shapes[i] for i in rows]),
        }


def make_windows(texts: Sequence[Text], tokenizer: Tokenizer, most: int) -> Windows:
    """Cut texts into windows of at most so many tokens, each with a part of the one before.

    A word of more pieces than fit is cut off within. A text without words has no window.
    """
    special = tokenizer.encode("").ids
    begin, end = special[: (len(special) + 1) // 2], special[(len(special) + 1) // 2 :]
    room = most - len(special)
    found = Windows([], [], [], [], [])
    for number, text in enumerate(texts):
        for low, high in _parts(text.first, room):
            ids, of_words = list(begin), [0] * len(begin)
            for k in range(low, high):
                pieces = text.pieces[text.first[k] : text.first[k + 1]][:room]
                ids += pieces
                of_words += [k - low + 1] * len(pieces)
            found.ids.append(ids + end)
            found.word_ids.append(of_words + [0] * len(end))
            before = text.shapes[low - 1] if low else EDGE
            behind = text.shapes[high] if high < len(text.shapes) else EDGE
            found.shapes.append([before, *text.shapes[low:high], behind])
            found.text.append(number)
            found.words.append((low, high))
    return found


def _parts(first: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """Yield the words of each window, as many as fit."""
    n_words = len(first) - 1
    low = 0
    while low < n_words:
        high = low + 1
        while high < n_words and first[high + 1] - first[low] <= room:
            high += 1
        yield low, high
        if high == n_words:
            return
        back = high
        while back - 1 > low and first[high] - first[back - 1] <= OVERLAP * room:
            back -= 1
        low = back


def join_windows(
    windows: Windows, scores: Sequence[np.ndarray], texts: Sequence[Text], n_tags: int
) -> list[np.ndarray]:
    """Return the scores (W, L) of each text's words from those of its windows; where windows share a word, from the one
    in which it is farther from an end.

    Parameters
    ----------
    scores : sequence of (W, L)
        Of each window's words.
    """
    found = [np.zeros((len(text.words), n_tags), dtype=np.float32) for text in texts]
    depth = [np.full(len(text.words), -1) for text in texts]
    for number, (low, high), own in zip(windows.text, windows.words, scores, strict=True):
        n = high - low
        at = np.minimum(np.arange(n) + (0 if low else 1_000_000), n - 1 - np.arange(n) + (
            1_000_000 if high == len(texts[number].words) else 0))  # fmt: skip
        better = at > depth[number][low:high]
        found[number][low:high][better] = own[:n][better]
        depth[number][low:high][better] = at[better]
    return found


def _padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    width = max((len(row) for row in rows), default=0)
    found = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return found
