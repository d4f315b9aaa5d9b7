"""What a pretrained classifier knows by name, as a memory that the head's generation reads: concepts and their heads.

A class name is compared with the names of all concepts, and gets a mixture of the heads of those most like it. So a
head for "tabby cat" is there before any row is seen, and one for "pony" is near that of "horse".
Shapes: K concepts, C classes, E embedding size, P head inputs, D width, R directions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.blocks import zero_init

TEMPERATURE = 0.08
"""Of the comparison of names, in units of cosine, where the generator starts: close names share, others hardly."""
SCALE = 0.35
"""Share of a concept's head in a class's, where the generator starts."""
SPREAD_SCALE = 0.5
"""Standard deviation of a class's logits over usual inputs, where the generator starts and the names are known."""
KNOWN, KNOWN_WIDTH = 0.62, 0.05
"""A task's names are half known where the likeness of the nearest concepts is the first on average; by the second more,
to e times the odds. Names of things in photographs have .9 and more, weather and flowers .6, defects of steel .5."""

COVERED = 0.7
"""A class name can be named where its nearest concept is as like it. Words alone find .77 of such classes' images, .82
in photographs (121 classes of the shared sets; one in twenty less than twice as often as by chance: words with two
meanings, drawings); .46 where the likeness is .6 to .7; .29 where it is .5 to .6, half of them hardly ever."""


class Concepts(nn.Module):
    """Concepts with their heads. Empty until `fill` or a checkpoint fills it.

    Parameters
    ----------
    count, embedding, inputs, width, spread : int
        K, E, P, D and R. With `spread`, heads are scaled so that their logits differ alike over usual inputs: a class
        that is like many things otherwise wins on most images, or on none.
    """

    names: Tensor
    heads: Tensor
    spread: Tensor
    """(R, P): its rows' products with a head, squared and summed, are the variance of the head's logits."""

    def __init__(self, count: int, embedding: int, inputs: int, width: int, spread: int = 0) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(count, embedding))
        self.register_buffer("heads", torch.zeros(count, inputs))
        self.scale = SCALE
        self.scaled = spread > 0
        if self.scaled:
            self.register_buffer("spread", torch.zeros(spread, inputs))
            self.scale = SPREAD_SCALE
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))
        self.tell = zero_init(nn.Linear(2, width))

    def fill(self, names: Tensor, heads: Tensor) -> None:
        """Give it the concepts' embedded names (K, E) and their heads (K, P), in logits."""
        self.names.copy_(F.normalize(names, dim=1))
        self.heads.copy_(heads)

    def fill_spread(self, inputs: Tensor) -> None:
        """Give it usual head inputs (N, P); of fewer than R rows, all their directions are kept."""
        _, size, axes = torch.linalg.svd((inputs - inputs.mean(0)).double(), full_matrices=False)
        kept = size[: len(self.spread), None] * axes[: len(self.spread)] / len(inputs) ** 0.5
        self.spread.zero_()
        self.spread[: len(kept)] = kept

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
        heads = share @ self.heads * given
        if self.scaled:
            known = torch.sigmoid((cover[:, 0].mean() - KNOWN) / KNOWN_WIDTH)
            heads = heads * known / (heads @ self.spread.T).norm(dim=1, keepdim=True).clamp(min=1e-6)
        return heads, self.tell(cover * given)

    @torch.no_grad()
    def nearest(self, names: Tensor) -> tuple[Tensor, Tensor]:
        """The concept most like each class name.

        Parameters
        ----------
        names : (C, E)
            Embedded class names.

        Returns
        -------
        likeness : (C,)
            Cosine of the embedded names.
        which : int64 (C,)
            The concept's number.
        """
        likeness, which = (F.normalize(names, dim=1) @ self.names.T).max(1)
        return likeness, which
