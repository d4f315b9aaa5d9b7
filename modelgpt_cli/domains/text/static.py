"""The static encoder: a vector for each piece, and a text is the direction of their sum.

It stands in for a transformer where a model must be small or quick. The table is kept in 8-bit integers.
Shapes: N rows, T tokens, V pieces, E embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelgpt_cli.domains.text.sentence_encoder import SentenceEncoder

KIND = "static"
SIZE = 256
"""E"""
EPS = 1e-12


@dataclass(frozen=True)
class StaticConfig:
    """What a blueprint keeps of it; as transformers' configurations are read."""

    vocab_size: int
    model_type: str = KIND
    hidden_size: int = SIZE

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"model_type": self.model_type, "vocab_size": self.vocab_size, "hidden_size": self.hidden_size}


class StaticEncoder(SentenceEncoder):
    """Token ids to embeddings of length 1. Nothing of it is trained: a table of 8-bit integers has no gradient.

    Attributes
    ----------
    table : int8 (V, E)
    scale : float32 (V, 1)
        What a row of the table is multiplied by; 0 for pieces that say nothing, such as those around a text.
    """

    config: StaticConfig
    table: Tensor
    scale: Tensor

    def __init__(self, config: StaticConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.zeros(config.vocab_size, config.hidden_size, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(config.vocab_size, 1))

    def forward(self, ids: Tensor, present: Tensor) -> Tensor:
        """Embeddings (N, E); 0 where no token is present.

        Parameters
        ----------
        ids : int64 (N, T)
        present : (N, T)
            1 for the tokens that count.
        """
        weight = self.scale[ids] * present.float()[..., None]  # (N, T, 1)
        total = (self.table[ids].float() * weight).sum(1)
        direction: Tensor = total / total.norm(dim=1, keepdim=True).clamp(min=EPS)
        return direction
