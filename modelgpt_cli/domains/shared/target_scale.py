"""The scale of a regression's target: from standardised numbers to its own unit, as exactly as the target asks for.

Networks answer in float32, standardised. Where the target lies far from zero and varies little, float32 can't hold it
(around 1e9 its steps are 64), so such a model scales in float64, in torch as in the graph.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

RESOLUTION = 1e-3
"""The largest step of float32 at the target's mean, in standard deviations of the target, that float32 is good enough
for: errors of a model are hardly ever less than some hundredths."""


def target_scale(mean: float, std: float) -> Tensor:
    """Return mean and standard deviation, (2,): float32 where that can hold the target's resolution, else float64."""
    wide = float(np.finfo(np.float32).eps) * abs(mean) > RESOLUTION * std
    return torch.tensor([mean, std], dtype=torch.float64 if wide else torch.float32)


def in_own_unit(scores: Tensor, scale: Tensor) -> Tensor:
    """Return standardised numbers in the target's own unit, of the dtype of its `scale`."""
    mean, std = scale
    own: Tensor = scores.to(scale.dtype) * std + mean
    return own
