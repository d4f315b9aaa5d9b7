"""An ImageNet classifier as a teacher of image generators: what it says of images, and heads for all it can name.

Shapes: N images, S pixels a side, E features of the teacher, P head inputs of the backbone, K concepts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.architectures import ImageCard
from modelgpt_cli.domains.image.backbone import IMAGENET_CLASSES, read_weights
from modelgpt_cli.domains.image.concepts import ConceptList
from modelgpt_cli.domains.image.embed import BATCH, changed
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.trunks import load_trunk, make_trunk
from modelgpt_cli.domains.shared.head import with_bias

log = logging.getLogger("modelgpt")
VIEWS = 2
"""How often each image is looked at to find the heads: as it is, and changed."""
RIDGE = 1e-4
"""Of the regression onto the teacher's logits, as a share of the mean square of a head input."""


class Teacher:
    """A frozen network with its ImageNet head.

    Parameters
    ----------
    card : ImageCard
    weights : path-like
        Under torchvision's names, the head's (one linear layer) among them.

    Raises
    ------
    UsageError
        The file can't be read, doesn't fit the card, or has no such head.
    """

    def __init__(self, card: ImageCard, weights: str | Path) -> None:
        state = read_weights(weights)
        self.view = View.of(card.encoder_config())
        self.trunk = make_trunk(card.network)
        try:
            load_trunk(self.trunk, state)
        except ValueError as error:
            raise UsageError(f"{weights} doesn't fit the teacher {card.name!r}.", str(error)) from error
        self.trunk = self.trunk.to(memory_format=torch.channels_last)
        heads = [k for k, v in state.items() if v.shape == (IMAGENET_CLASSES, card.features) and k.endswith(".weight")]
        if len(heads) != 1:
            raise UsageError(
                f"{weights} has no linear ImageNet head on {card.features} features.", hint="Give another teacher."
            )
        self.weight = state[heads[0]].float()
        self.bias = state[heads[0].removesuffix("weight") + "bias"].float()

    @torch.no_grad()
    def __call__(self, values: Tensor, bf16: bool) -> tuple[Tensor, Tensor]:
        """Features (N, E) and ImageNet logits (N, 1000) of uint8 images (N, 3, S, S)."""
        if values.shape[-1] != self.view.size:
            size = [self.view.size, self.view.size]
            values = F.interpolate(values.float(), size, mode="bilinear", antialias=True).round().to(torch.uint8)
        x = normalise(values, self.view).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            phi = self.trunk(x)
        return phi.float(), F.linear(phi.float(), self.weight, self.bias)


@torch.no_grad()
def concept_heads(
    teacher: Teacher,
    parts: Sequence[Images],
    inputs: Callable[[Images], Tensor],
    concepts: ConceptList,
    *,
    bf16: bool = False,
) -> Tensor:
    """Heads (K, P) on a backbone's head inputs that say what the teacher says: ridge regression onto its logits.

    Parameters
    ----------
    parts : sequence of Images
        What teacher and backbone look at; no label is needed.
    inputs : callable
        From images to head inputs (N, P).
    """
    torch.manual_seed(0)
    total = torch.zeros((), dtype=torch.float64)
    for rows in parts:
        for values in rows.values.split(BATCH):
            for view in range(VIEWS):
                seen = changed(values) if view else values
                x = with_bias(inputs(Images(seen)).cpu()).double()  # (N, P + 1)
                logits = teacher(seen, bf16)[1].double()
                y = logits - logits.mean(1, keepdim=True)
                total = total + x.T @ torch.cat([x, y], 1)
    gram, moments = total.split([len(total), IMAGENET_CLASSES], 1)
    gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, moments)[:-1].T  # (1000, P)
    return concepts.heads(weight.float())
