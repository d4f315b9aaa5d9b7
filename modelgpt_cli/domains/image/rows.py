"""Pictures as rows: what episodes and builds hand to the backbone.

Shapes: N pictures, S pixels a side, V views of each, E features.
"""

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
    features : float16 (N, V, E), optional
        What a trunk that is left as it is makes of each picture and of changed views of it, where that is kept.
    """

    values: Tensor
    features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """All pictures cost the same, (N,)."""
        return np.ones(len(self.values), dtype=np.int64)

    def take(self, rows: Sequence[int] | np.ndarray) -> Pictures:
        """Some pictures, in the order asked for."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Pictures(self.values[index], None if self.features is None else self.features[index])

    def followed_by(self, other: Pictures) -> Pictures:
        """These pictures, then others; of kept features as many views as both have."""
        kept = None
        if self.features is not None and other.features is not None:
            views = min(self.features.shape[1], other.features.shape[1])
            kept = torch.cat([self.features[:, :views], other.features[:, :views]])
        return Pictures(torch.cat([self.values, other.values]), kept)
