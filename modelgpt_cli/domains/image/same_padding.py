"""Convolutions of stride 2 that are padded as TensorFlow's 'same' pads images of even sides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SamePaddedConv2d(nn.Conv2d):
    """A square convolution of stride 2 with more padding at the right and the bottom than at the left and the top."""

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom, in pixels."""
        total = self.kernel_size[0] - 2  # an even side S gives S / 2
        return total // 2, total - total // 2, total // 2, total - total // 2

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Conv2d`, of the padded image."""
        return super().forward(F.pad(input, self.pads))
