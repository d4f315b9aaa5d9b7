"""Muon (Jordan et al. 2024): matrices take orthogonalised steps of their momentum, all else takes AdamW's.

An orthogonalised step moves every direction of a matrix equally, also those in which gradients are small. It is scaled
to the root mean square of an AdamW step (Liu et al. 2025), so that both halves share a learning rate and weight decay.
Shapes: S matrices of one shape (m, k), beside each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 5
"""Newton-Schulz steps: singular values end within about .7 to 1.2."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic, chosen by Jordan et al. for the steepest slope at zero."""
ADAM_SIZE = 0.2
"""Root mean square of a typical AdamW step at learning rate 1."""
LEAST_SIDE = 16
"""Matrices with a shorter side are decoders of a few numbers; they go by AdamW."""
NO_MATRICES = ("spare", "embed_requirement.weight", "embed_feature_name.weight", "embed_class_name.weight")
BETAS = (0.9, 0.98)
"""AdamW's."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices and AdamW for the rest, in one optimiser.

    Parameters
    ----------
    named_parameters : iterable of (str, Parameter)
    lr : float
    weight_decay : float
        Decoupled, of both.
    momentum : float
        Nesterov's, of the matrices.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        given = list(named_parameters)
        matrices = [p for name, p in given if is_matrix(name, p)]
        rest = [p for name, p in given if not is_matrix(name, p)]
        groups = [{"params": matrices, "matrices": True}, {"params": rest, "matrices": False}]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; parameters without a gradient stay as they are."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            if group["matrices"]:
                self._step_matrices(moved, group)
            else:
                self._step_rest(moved, group)

    def _step_matrices(self, moved: list[Tensor], group: dict[str, Any]) -> None:
        grads = [p.grad for p in moved if p.grad is not None]
        buffers = [self._buffer(p, "momentum") for p in moved]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        ahead = torch._foreach_lerp(grads, buffers, group["momentum"])
        torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
        alike = defaultdict(list)
        for p, direction in zip(moved, ahead, strict=True):
            for part, of in zip(parts(p), parts(direction), strict=True):
                alike[part.shape].append((part, of))
        for shape, pairs in alike.items():
            steps = orthogonalise(torch.stack([of for _, of in pairs]))
            size = group["lr"] * ADAM_SIZE * max(shape) ** 0.5
            for (part, _), change in zip(pairs, steps, strict=True):
                part.add_(change, alpha=-size)

    def _step_rest(self, moved: list[Tensor], group: dict[str, Any]) -> None:
        for p in moved:
            grad = p.grad
            assert grad is not None
            count = self.state[p].setdefault("step", torch.tensor(0.0))
            count += 1
            done = float(count)
            mean, square = self._buffer(p, "exp_avg"), self._buffer(p, "exp_avg_sq")
            mean.lerp_(grad, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            spread = square.div(1 - BETAS[1] ** done).sqrt_().add_(1e-8)
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.addcdiv_(mean, spread, value=-group["lr"] / (1 - BETAS[0] ** done))

    def _buffer(self, p: Tensor, name: str) -> Tensor:
        if name not in self.state[p]:
            self.state[p][name] = torch.zeros_like(p)
        buffer: Tensor = self.state[p][name]
        return buffer


def is_matrix(name: str, p: Tensor) -> bool:
    """Whether a parameter goes by Muon: not tokens, nor embeddings of words, whose gradient is zero in most steps."""
    return p.ndim == 2 and min(p.shape) >= LEAST_SIDE and not name.endswith(NO_MATRICES)


def parts(p: Tensor) -> tuple[Tensor, ...]:
    """The matrices that a parameter holds: query, key and value are three, as is what three kinds of tokens hear."""
    return p.chunk(3) if p.shape[0] == 3 * p.shape[1] else (p,)


def orthogonalise(x: Tensor, steps: int = STEPS) -> Tensor:
    """The nearest matrices with equal singular values, roughly, (S, m, k), by Newton-Schulz steps."""
    flip = x.shape[1] > x.shape[2]
    x = x.mT if flip else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if flip else x
