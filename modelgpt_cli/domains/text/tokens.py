"""Texts to padded token ids, pairs in one sequence: the first step of the text domain, alike in training and build.

Shapes: N rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from tokenizers import Tokenizer

from modelgpt_cli.domains.text.backbone import Tokens
from modelgpt_cli.domains.text.emoji import name_emoji
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS, TextRows, by_length, padded


@dataclass
class Encoded:
    """Tokenised rows, not yet padded.

    Attributes
    ----------
    ids : list of int32 arrays
        One per row.
    second : int64 (N,)
        Where the second text begins, of each row; its length where there is none.
    cut : int
        Rows that were longer than the window.
    """

    ids: list[np.ndarray]
    second: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 (N,)."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def take(self, rows: Sequence[int] | np.ndarray) -> Encoded:
        """Some rows, in the order asked for."""
        return Encoded([self.ids[i] for i in rows], self.second[np.asarray(rows, dtype=np.int64)])

    def followed_by(self, other: Encoded) -> Encoded:
        """These rows, then others."""
        return Encoded(self.ids + other.ids, np.concatenate([self.second, other.second]))

    def padded(self, rows: Sequence[int] | np.ndarray) -> Tokens:
        """Some rows as tensors; what pads is 0 with an attention mask of 0."""
        inputs = padded([self.ids[i] for i in rows], self.second[np.asarray(rows, dtype=np.int64)])
        return Tokens(*(torch.from_numpy(inputs[name]) for name in (IDS, MASK, SEGMENTS)))

    def batches(self, tokens: int) -> Iterator[tuple[np.ndarray, Tokens]]:
        """All rows, short with short: row numbers and tensors of about `tokens` tokens with the padding."""
        for rows in by_length(self.ids, tokens):
            yield rows, self.padded(rows)


def prepare_tokenizer(tokenizer: Tokenizer, max_tokens: int) -> Tokenizer:
    """A copy that cuts at the window (of a pair, the longer text first), doesn't pad, and has names for emoji."""
    copy = name_emoji(Tokenizer.from_str(tokenizer.to_str()))
    copy.enable_truncation(max_tokens, strategy="longest_first")
    copy.no_padding()
    return copy


shared_tokenizer = lru_cache(maxsize=2)(prepare_tokenizer)
"""See `prepare_tokenizer`; once in a process, for those who only read with it: a large one takes half a second."""


def encode(tokenizer: Tokenizer, texts: Sequence[str | None], pairs: Sequence[str | None] | None = None) -> Encoded:
    """Tokenise texts, or pairs of texts.

    Parameters
    ----------
    tokenizer : Tokenizer
        From `prepare_tokenizer`.
    texts, pairs : sequences of str or None
        A missing text is an empty one.
    """
    second = None if pairs is None else [text or "" for text in pairs]
    rows = TextRows(tokenizer, [text or "" for text in texts], second)
    return Encoded(rows.ids, rows.second, rows.cut)
