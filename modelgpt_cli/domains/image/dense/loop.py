"""The network that is finetuned on marked images, and the loop that finetunes it, whatever the loss is; see `finetune`.

Shapes: N images, H', W' pixels of what the network sees, h, w places, c channels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.dense.maps import MapTrunk
from modelgpt_cli.domains.image.trunks import folded, norms

FROZEN = 5
"""Blocks that stay as they are, up to where the first map is read: a third of the operations, and of the time more."""
LEAST = 1e-4
"""Of what roots are taken of, whose slope at zero has no bound."""


class _Rest(nn.Module):
    """The blocks of a network that are tuned, each BatchNorm folded into its convolution."""

    def __init__(self, trunk: MapTrunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.trunk.maps_of(x, FROZEN)


class TunedTrunk:
    """A copy of a network to be finetuned.

    BatchNorm stays as it is, so that it can be folded into the convolutions in each step: what is tuned are the
    convolutions' own weights.
    """

    def __init__(self, trunk: MapTrunk, device: str) -> None:
        self.device = device
        self._trunk: MapTrunk = copy.deepcopy(trunk)
        self._folded = folded(self._trunk).to(device)
        assert isinstance(self._folded, MapTrunk)
        self._rest = _Rest(self._folded)
        self._scales = {f"{name}.weight": scale.to(device) for name, scale in conv_scales(self._trunk)}
        frozen = {id(p) for module in self._trunk.first_modules(FROZEN) for p in module.parameters()}
        self._weights = {
            name: nn.Parameter(p.detach().to(device, memory_format=torch.channels_last))
            for name, p in self._trunk.named_parameters()
            if name in self._scales and id(p) not in frozen
        }

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is tuned."""
        return list(self._weights.values())

    def maps(self, x: Tensor) -> list[Tensor]:
        """Rooted maps (N, c, h, w), on the device, of (N, 3, H', W'); the slope of the root is bounded."""
        scaled = {f"trunk.{name}": p * self._scales[name] for name, p in self._weights.items()}
        x = x.to(self.device, memory_format=torch.channels_last)
        with torch.no_grad():
            x = self._folded.first(x, FROZEN)
        return [one.clamp(min=LEAST).sqrt() for one in functional_call(self._rest, scaled, (x,))]

    def trunk(self, share: float = 1.0) -> MapTrunk:
        """The network as it is now, or so far on the way there from what it was, on the CPU."""
        found = copy.deepcopy(self._trunk)
        with torch.no_grad():
            for name, parameter in self._weights.items():
                found.get_parameter(name).lerp_(parameter.cpu(), share)
        return found


@dataclass(frozen=True)
class Group:
    """Parameters, and the highest rate that they are tuned at."""

    parameters: Sequence[nn.Parameter]
    lr: float


def descend(
    groups: Sequence[Group],
    losses: Iterable[tuple[int, Tensor | None]],
    *,
    steps: int,
    images: int,
    decay: float,
    warm_up: float,
) -> None:
    """Lower a loss by AdamW.

    Parameters
    ----------
    losses : iterable of (int, Tensor)
        Of each step how many images it is about, and the loss (), made when it is asked for; None where no image of
        them can be read.
    steps, images : int
        Of all losses.
    warm_up : float
        Share of the steps over which the rate rises; then it falls as a cosine to zero.
    """
    parameters = [p for group in groups for p in group.parameters]
    optimizer = torch.optim.AdamW([{"params": [*g.parameters], "lr": g.lr} for g in groups], weight_decay=decay)
    with progress("tune", images, "images") as advance:
        for step, (n, loss) in enumerate(losses):
            for group, part in zip(groups, optimizer.param_groups, strict=True):
                part["lr"] = group.lr * _rate((step + 0.5) / steps, warm_up)
            if loss is not None:
                loss.backward()
            advance(n)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def conv_scales(trunk: nn.Module) -> list[tuple[str, Tensor]]:
    """Of each convolution before a BatchNorm the name, and what that multiplies its weights by, (outputs, 1, 1, 1)."""
    found, conv = [], ""
    batch_norms = dict(norms(trunk))
    for name, module in trunk.named_modules():  # in which a BatchNorm comes right after its convolution
        if isinstance(module, nn.Conv2d):
            conv = name
        elif name in batch_norms:
            norm = batch_norms[name]
            assert norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            found.append((conv, scale.detach()[:, None, None, None]))
    return found


def _rate(share: float, warm_up: float) -> float:
    """The learning rate as a share of the highest, when so much of the steps is done."""
    if share < warm_up:
        return share / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (share - warm_up) / (1 - warm_up))
