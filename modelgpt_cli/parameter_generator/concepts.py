"""What a pretrained classifier knows by name, as a memory that the head's generation reads: concepts and their heads.

A class name is compared with the names of all concepts, and gets a mixture of the heads of those most like it. So a
head for "tabby cat" is there before any row is seen, and one for "pony" is near that of "horse".
Shapes: K concepts, C classes, E embedding size, P head inputs, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.blocks import zero_init

TEMPERATURE = 0.08
"""Of the comparison of names, in units of cosine, where the generator starts: close names share, others hardly."""


class Concepts(nn.Module):
    """Concepts with their heads. Empty until `fill` or a checkpoint fills it.

    Parameters
    ----------
    count, embedding, inputs, width : int
        K, E, P and D.
    """

    names: Tensor
    heads: Tensor

    def __init__(self, count: int, embedding: int, inputs: int, width: int) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(count, embedding))
        self.register_buffer("heads", torch.zeros(count, inputs))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        self.tell = zero_init(nn.Linear(2, width))

    def fill(self, names: Tensor, heads: Tensor) -> None:
        """Give it the concepts' embedded names (K, E) and their heads (K, P), in logits."""
        self.names.copy_(F.normalize(names, dim=1))
        self.heads.copy_(heads)

    def forward(self, names: Tensor) -> tuple[Tensor, Tensor]:
        """Heads for classes, and what the class tokens are told of how well the concepts cover them.

        Parameters
        ----------
        names : (C, E)
            Embedded class names; zeros where there are none: their heads are zero.

        Returns
        -------
        heads : (C, P)
        told : (C, D)
        """
        likeness = F.normalize(names, dim=1) @ self.names.T  # (C, K)
        share = (likeness / self.log_temperature.exp()).softmax(1)
        given = names.any(1, keepdim=True).to(names.dtype)
        cover = torch.stack([likeness.max(1).values, (share * likeness).sum(1)], 1)
        return share @ self.heads * given, self.tell(cover * given)
