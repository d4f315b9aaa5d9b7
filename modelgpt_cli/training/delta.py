"""The paper's way to teach a hypernetwork (Algorithm 1): what it wrote takes a step, and the change is sent back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def send_back(pairs: Sequence[tuple[Tensor, Tensor]], target_lr: float) -> None:
    """Algorithm 1: let the generated parameters take one step of their own Adam, and send the change Δθ_t back.

    Parameters
    ----------
    pairs : sequence of (Tensor, Tensor)
        Each generated tensor, and the leaf that stood for it in the loss and has its gradient.
    target_lr : float
        Learning rate of that Adam.
    """
    moved = [(generated, leaf) for generated, leaf in pairs if leaf.grad is not None]
    before = [leaf.detach().clone() for _, leaf in moved]
    torch.optim.Adam([leaf for _, leaf in moved], lr=target_lr).step()
    # -Δθ_t: descent on it moves θ_t towards θ'_t.
    deltas = [old - leaf.detach() for old, (_, leaf) in zip(before, moved, strict=True)]
    torch.autograd.backward([generated for generated, _ in moved], deltas)
