"""Texts, or pairs of texts, to what a text model's graph takes: tokenised, short with short, padded.

Between `runtime.session` and the graph; the twin of `domains.text.tokens`, without torch.
Shapes: N rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

IDS, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
"""The graph's inputs. The segments are 1 from the second text's first token on."""
_TOKENS_PER_RUN = 512
_TEXTS_PER_CALL = 256
_CHARACTERS_PER_CALL = 2_000_000
_CHARACTERS_PER_TOKEN = 64


class TextRows:
    """Tokenised rows.

    Parameters
    ----------
    tokenizer : Tokenizer
        Cuts at the model's window.
    texts : sequence of str
        One text a row, "" where there is none.
    pairs : sequence of str, optional
        The second texts of pairs.

    Attributes
    ----------
    ids : list of int32 arrays
        One per row, at least one token long.
    second : int64 (N,)
        Where the second text begins; the row's length where there is none.
    cut : int
        Rows that were longer than the window.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> None:
        self.pair = pairs is not None
        self.ids: list[np.ndarray] = []
        self.cut = 0
        starts: list[int] = []
        # A window holds no more than so many characters: of a text of a megabyte the rest needn't be read.
        most = (tokenizer.truncation or {}).get("max_length", 0) * _CHARACTERS_PER_TOKEN or None
        for rows in _calls(texts, pairs):
            first = [texts[i][:most] for i in rows]
            found: list[Encoding] = tokenizer.encode_batch(
                first if pairs is None else list(zip(first, (pairs[i][:most] for i in rows), strict=True))
            )
            for encoding in found:
                self.ids.append(np.array(encoding.ids or [0], dtype=np.int32))
                self.cut += bool(encoding.overflowing)
                starts.append(_second(encoding, len(self.ids[-1])) if self.pair else len(self.ids[-1]))
        self.second = np.array(starts, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, tokens: int = _TOKENS_PER_RUN) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """All rows in batches of about `tokens` tokens with the padding: row numbers, and the graph's inputs."""
        for rows in by_length(self.ids, tokens):
            yield rows, self.feed(rows)

    def feed(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The graph's inputs of some rows, int64 (N, T) each; padding is 0."""
        inputs = padded([self.ids[i] for i in rows], self.second[rows])
        return inputs if self.pair else {IDS: inputs[IDS], MASK: inputs[MASK]}


def by_length(ids: Sequence[np.ndarray], tokens: int) -> Iterator[np.ndarray]:
    """Yield the numbers of all rows, short with short, in batches of about `tokens` tokens with the padding."""
    lengths = np.array([max(1, len(row)) for row in ids], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= tokens:
            end += 1
        yield order[start:end]
        start = end


def padded(ids: Sequence[np.ndarray], second: np.ndarray) -> dict[str, np.ndarray]:
    """The graph's inputs, int64 (N, T) each, of rows and of where their second texts begin; padding is 0."""
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    place = np.arange(int(lengths.max(initial=1)))
    present = place < lengths[:, None]
    filled = np.zeros(present.shape, dtype=np.int64)
    if len(ids):
        filled[present] = np.concatenate(ids)
    segments = present & (place >= second[:, None])
    return {IDS: filled, MASK: present.astype(np.int64), SEGMENTS: segments.astype(np.int64)}


def _second(encoding: Encoding, length: int) -> int:
    """Where the second text of a pair begins."""
    return next((i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1), length)


def _calls(texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[range]:
    """Rows for one call of the tokenizer each: what it returns takes many times the room of the ids."""
    start = size = 0
    for row, text in enumerate(texts):
        length = len(text) + (len(pairs[row]) if pairs is not None else 0)
        if row > start and (row - start == _TEXTS_PER_CALL or size + length > _CHARACTERS_PER_CALL):
            yield range(start, row)
            start, size = row, 0
        size += length
    if start < len(texts):
        yield range(start, len(texts))
