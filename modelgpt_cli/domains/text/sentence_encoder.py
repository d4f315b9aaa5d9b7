"""What encoders of our own have in common: token ids in, a direction for each text out.

transformers' encoders give a state for each token instead; see `inputs`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn


class Config(Protocol):
    """What a blueprint keeps of an encoder; as transformers' configurations are read."""

    @property
    def hidden_size(self) -> int:
        """Length of an embedding."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""


class SentenceEncoder(nn.Module):
    """Token ids int64 (N, T), and 1 for those that count (N, T), to embeddings (N, E) of length 1; 0 of none."""

    config: Config

    @abstractmethod
    def forward(self, ids: Tensor, present: Tensor) -> Tensor:
        """Embeddings (N, E)."""
