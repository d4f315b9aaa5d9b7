"""L-BFGS for M independent convex problems at once, with the gradient in closed form.

torch's own imports its compiler stack (over a second), takes one step length for all members, and needs autograd.
Source: Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1. Shapes: M problems, a x b weights each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Weights (M, a, b) to losses (M,) and gradients (M, a, b)."""
HISTORY = 10
ARMIJO = 1e-4
HALVINGS = 12


def minimise(objective: Objective, start: Tensor, steps: int) -> Tensor:
    """Minimise each problem from `start` (M, a, b) for at most `steps` steps; no loss ends above where it began."""
    weight = start
    loss, gradient = objective(weight)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # steps, gradient changes, 1 / their dot products
    for _ in range(steps):
        direction = -_inverse_hessian(gradient, pairs)
        slope = _dot(direction, gradient)  # (M, 1, 1)
        if not pairs:
            direction = direction / _dot(gradient, gradient).sqrt().clamp(min=1.0)
        moved, new_loss, new_gradient = _line_search(objective, weight, direction, loss, slope)
        s, y = moved - weight, new_gradient - gradient
        sy = _dot(s, y)
        usable = sy > 1e-12
        pairs = [*pairs[-HISTORY + 1 :], (s, y, torch.where(usable, 1 / sy.clamp(min=1e-12), 0.0))]
        done = bool((loss - new_loss).max() <= 1e-7 * loss.abs().max())
        weight, loss, gradient = moved, new_loss, new_gradient
        if done:
            break
    return weight


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Dot products per problem, (M, 1, 1)."""
    return (a * b).sum((1, 2), keepdim=True)


def _inverse_hessian(gradient: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion: the gradient times the approximate inverse Hessian."""
    q = gradient
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * _dot(s, q)
        q = q - alpha * y
        alphas.append(alpha)
    if pairs:
        s, y, rho = pairs[-1]
        scale = torch.where(rho > 0, _dot(s, y) / _dot(y, y).clamp(min=1e-30), 1.0)
        q = q * scale
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - rho * _dot(y, q))
    return q


def _line_search(
    objective: Objective, weight: Tensor, direction: Tensor, loss: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Backtrack each problem on its own until its loss falls enough; one that never does stays where it is."""
    length = torch.ones_like(slope)
    for _ in range(HALVINGS):
        moved = weight + length * direction
        new_loss, gradient = objective(moved)
        enough = new_loss <= loss + ARMIJO * (length * slope).flatten()  # not for a loss that is not a number
        if bool(enough.all()):
            return moved, new_loss, gradient
        length = torch.where(enough[:, None, None], length, length / 2)
    moved = torch.where(enough[:, None, None], moved, weight)
    return moved, *objective(moved)
