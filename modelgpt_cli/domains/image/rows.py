"""Pictures as rows: what episodes and builds hand to the backbone. Shapes: N pictures, S pixels a side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class Pictures:
    """Pictures as the trunk's view has cut them.

    Attributes
    ----------
    values : uint8 (N, 3, S, S)
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """All pictures cost the same, (N,)."""
        return np.ones(len(self.values), dtype=np.int64)

    def take(self, rows: Sequence[int] | np.ndarray) -> Pictures:
        """Some pictures, in the order asked for."""
        return Pictures(self.values[torch.as_tensor(np.asarray(rows, dtype=np.int64))])

    def followed_by(self, other: Pictures) -> Pictures:
        """These pictures, then others."""
        return Pictures(torch.cat([self.values, other.values]))
