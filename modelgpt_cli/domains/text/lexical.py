"""What the words themselves say, beside what an encoder makes of them: weighted bags of pieces and neighbouring pieces.

From the same token ids that the encoder reads, so that a graph needs no further input. An item is a piece, or a piece
and the one before it, hashed. Of a pair of texts, an item is of the first text alone, of the second alone, or of both.
A row's value of an item is (1 + log count) · idf, scaled so that all of a row's have length 1, those included that no
training row has: a text of unknown words says little.
Shapes: N rows, T tokens, I items of a row, V pieces, M = V + `NEIGHBOURS` codes of items, F features, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.text.tokens import Encoded

NEIGHBOURS = 65_521
"""Codes of two neighbouring pieces; a prime."""
FACTOR = 31_337
KINDS = 3
"""Of a pair's items: of the first text, of the second, of both."""
OVERLAPS = 3
"""A pair's features that are no items: the share of what both texts have in all, in the first and in the second."""
MOST_FEATURES = 16_384
MOST_WEIGHTS = 1 << 20
"""Features times outputs, at most: 4 MB."""
TINY = 1e-12
_PREFIX = CONSTANTS + "lexical."
SLOTS, IDF, WEIGHT = _PREFIX + "slots", _PREFIX + "idf", "lexical.weight"
LEXICAL = (SLOTS, IDF, WEIGHT)
"""Names of a model's tensors."""


@dataclass(frozen=True)
class Lexicon:
    """Which items have a weight, and how much each of them counts.

    Attributes
    ----------
    slots : int16 (M,), or of pairs (3 M,)
        The feature of each item, from 1 on; 0 for those that no training row has.
    idf : float32 (F + 1,)
        How rare each feature is; first that of items without one.
    pair : bool
    """

    slots: np.ndarray
    idf: np.ndarray
    pair: bool

    @classmethod
    def of(cls, rows: Encoded, vocabulary: int, pair: bool, outputs: int) -> Lexicon:
        """The lexicon of training rows: of too many items the most frequent ones.

        Parameters
        ----------
        rows : Encoded
        vocabulary : int
            V
        pair : bool
        outputs : int
            C
        """
        size = vocabulary + NEIGHBOURS
        found = np.bincount(_items(rows, vocabulary, pair).code, minlength=size * (KINDS if pair else 1))
        most = min(MOST_FEATURES, max(MOST_WEIGHTS // outputs, 1))
        chosen = np.sort(np.argsort(-found, kind="stable")[: min(most, int((found > 0).sum()))])
        slots = np.zeros(len(found), dtype=np.int16)  # as MOST_FEATURES allows
        slots[chosen] = np.arange(1, len(chosen) + 1)
        rows_with = np.concatenate([[0], found[chosen]])
        idf = np.log((1 + len(rows)) / (1 + rows_with)) + 1
        return cls(slots, idf.astype(np.float32), pair)

    @property
    def width(self) -> int:
        """Numbers of a row, `OVERLAPS` included."""
        return len(self.idf) - 1 + (OVERLAPS if self.pair else 0)

    @property
    def vocabulary(self) -> int:
        """V"""
        return len(self.slots) // (KINDS if self.pair else 1) - NEIGHBOURS

    def inputs(self, rows: Encoded) -> csr_array:
        """The values of rows, sparse float32 (N, width)."""
        items = _items(rows, self.vocabulary, self.pair)
        slot = self.slots[items.code]
        value = (1 + np.log(items.count)) * self.idf[slot]
        square = np.bincount(items.row, value**2, minlength=len(rows))
        value = value / np.sqrt(np.maximum(square, TINY))[items.row]
        known = slot > 0
        parts = [(value[known], items.row[known], slot[known].astype(np.int64) - 1)]
        if self.pair:
            kind = items.code // (self.vocabulary + NEIGHBOURS)
            weight = np.zeros((KINDS, len(rows)))
            np.add.at(weight, (kind, items.row), value**2)
            of = [weight.sum(0), weight[0] + weight[2], weight[1] + weight[2]]
            for i, whole in enumerate(of):
                column = np.full(len(rows), len(self.idf) - 1 + i)
                parts.append((weight[2] / np.maximum(whole, TINY), np.arange(len(rows)), column))
        data, row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
        return csr_array((data.astype(np.float32), (row, column)), shape=(len(rows), self.width))

    def state(self) -> dict[str, Tensor]:
        """The tensors under the names that a model file has for them."""
        return {SLOTS: torch.from_numpy(self.slots), IDF: torch.from_numpy(self.idf)}


@dataclass(frozen=True)
class _Items:
    """The different items of all rows; code with the kind, count, and row of each."""

    code: np.ndarray
    count: np.ndarray
    row: np.ndarray


def _items(rows: Encoded, vocabulary: int, pair: bool) -> _Items:
    lengths = rows.lengths
    ids = np.concatenate([*rows.ids, np.zeros(0, np.int32)]).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    start = np.cumsum(lengths) - lengths
    place = np.arange(len(ids)) - start[row]
    second = place >= rows.second[row] if pair else np.zeros(len(ids), dtype=bool)
    follows = np.flatnonzero(place > 0)
    neighbours = vocabulary + (ids[follows - 1] * FACTOR + ids[follows]) % NEIGHBOURS
    size = vocabulary + NEIGHBOURS
    key = np.concatenate([row, row[follows]]) * size + np.concatenate([ids, neighbours])
    second = np.concatenate([second, second[follows]])
    found, place = np.unique(key, return_inverse=True)
    count = np.bincount(place, minlength=len(found))
    seconds = np.bincount(place, second, minlength=len(found))
    kind = np.where(seconds == 0, 0, np.where(seconds == count, 1, 2))
    return _Items(found % size + kind * size, count, found // size)


class LexicalScores(torch.nn.Module):
    """What a lexicon's weights add to the scores of token ids; the torch twin of `Lexicon.inputs`.

    Parameters
    ----------
    lexicon : Lexicon
    weight : float32 (1 + width, C)
        The first row, of items without a feature, is 0 and stays so.
    """

    slots: Tensor
    idf: Tensor

    def __init__(self, lexicon: Lexicon, weight: Tensor) -> None:
        super().__init__()
        self.lexicon = lexicon
        self.register_buffer("slots", torch.from_numpy(lexicon.slots), persistent=False)
        self.register_buffer("idf", torch.from_numpy(lexicon.idf), persistent=False)
        self.weight = torch.nn.Parameter(weight.float().clone())

    @classmethod
    def of(cls, lexicon: Lexicon, weight: Tensor) -> LexicalScores:
        """Those of the weights of features, (width, C)."""
        return cls(lexicon, torch.nn.functional.pad(weight, (0, 0, 1, 0)))

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], pair: bool) -> LexicalScores | None:
        """Read back what `state` gives; None where there is none."""
        if WEIGHT not in state:
            return None
        return cls(Lexicon(state[SLOTS].numpy(), state[IDF].numpy(), pair), state[WEIGHT])

    def state(self) -> dict[str, Tensor]:
        """The tensors under the names that a model file has for them."""
        return self.lexicon.state() | {WEIGHT: self.weight.detach()}

    def of_rows(self, rows: Encoded) -> Tensor:
        """Scores (N, C) of tokenised rows, without padding them."""
        return torch.from_numpy(self.lexicon.inputs(rows) @ self.weight.detach().cpu().numpy()[1:])

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Scores (N, C) of int64 (N, T) each; see `Tokens`."""
        size = self.lexicon.vocabulary
        before = torch.cat([ids[:, :1], ids[:, :-1]], 1)
        code = torch.cat([ids, size + (before * FACTOR + ids) % NEIGHBOURS], 1)  # (N, I)
        present = torch.cat([mask, torch.zeros_like(mask[:, :1]), mask[:, 1:]], 1).float()
        same = (code[:, :, None] == code[:, None, :]) * present[:, None, :]  # (N, I, I)
        count = same.sum(2).clamp(min=1)
        if self.lexicon.pair:
            part = torch.cat([segments, segments], 1).float()
            seconds = (same @ part[:, :, None])[:, :, 0]
            kind = torch.where(seconds == 0, 0, torch.where(seconds == count, 1, 2))
            code = code + kind * (size + NEIGHBOURS)
        slot = self.slots[code].long()
        value = (1 + count.log()) * self.idf[slot]
        square = present * value**2 / count  # an item that comes several times counts once
        whole = square.sum(1, keepdim=True).clamp(min=TINY)  # (N, 1)
        share = present * value / count / whole.sqrt()
        weight = torch.nn.functional.embedding(slot, self.weight, padding_idx=0)  # (N, I, C)
        scores = (share[:, None] @ weight)[:, 0]  # (N, C)
        if not self.lexicon.pair:
            return scores
        first, second, both = ((square * (kind == k)).sum(1, keepdim=True) for k in range(KINDS))
        of = (whole, first + both, second + both)
        overlaps = torch.cat([both / part.clamp(min=TINY) for part in of], 1)  # (N, 3)
        return scores + overlaps @ self.weight[-OVERLAPS:]
