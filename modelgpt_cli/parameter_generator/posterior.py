"""The posterior head: ridge regression around the generated head, solved in closed form.

    W = argmin_W  Σ_i ‖φ(x_i) W − y_i‖² + Σ_j λ_j ‖W_j − W_gen,j‖²

The sums Φᵀ Φ and Φᵀ Y are all that the rows leave behind, so any number of rows is added in chunks at constant memory.
Shapes: B batch of tasks (or ensemble members), n rows, p head inputs, C outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEAST_SLACK = 0.05
"""Least 1 - h_ii: a row that holds its own prediction says nothing of others."""
JITTERS = (1e-7, 1e-5, 1e-3)
"""Shares of the trace that a factorisation adds to the diagonal, one after the other, until it succeeds."""
LEAST_JITTER = 1e-9


def solve_head(gram: Tensor, moment: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
    """Solve for the posterior head.

    Parameters
    ----------
    gram : (B, p, p)
        Φᵀ Φ, summed over rows.
    moment : (B, p, C)
        Φᵀ Y, summed over rows.
    prior : (B, p, C)
        The generated head, the prior mean.
    precision : (B, p)
        λ, the prior precision of each head input, > 0.

    Returns
    -------
    Tensor (B, p, C)
        Float32; the solve runs in float64.
    """
    head: Tensor = _SolvedHead.apply(gram, moment, prior, precision)
    return head


class _SolvedHead(torch.autograd.Function):
    """W = W_gen + (G + Λ)⁻¹ (M - G W_gen), differentiated by hand: one more solve with C columns.

    Differentiating the factorisation instead takes several products of (p, p) matrices in float64, which were a third
    of a training step on few rows.
    """

    @staticmethod
    def forward(ctx: Any, gram: Tensor, moment: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
        g = gram.double()
        residual = moment.double() - g @ prior.double()  # what the prior mean leaves to explain
        factor = cholesky(g, precision.double())
        moved = torch.cholesky_solve(residual, factor).to(prior.dtype)  # (B, p, C)
        ctx.save_for_backward(gram, prior, moved, factor)
        return prior + moved

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gram, prior, moved, factor = ctx.saved_tensors
        solved = torch.cholesky_solve(grad.double(), factor).to(grad.dtype)  # (B, p, C)
        by_gram = -solved @ (prior + moved).mT
        return by_gram, solved, grad - gram.mT @ solved, -(solved * moved).sum(-1)


def leave_one_out(phi: Tensor, target: Tensor, precision: Tensor, prior: Tensor | None = None) -> Tensor:
    """Residuals of each row by the head that all other rows give, without solving again.

    r_i = (y_i - ŷ_i) / (1 - h_ii), with h_ii the leverage of row i (Allen 1974).

    Parameters
    ----------
    phi : (B, n, p)
    target : (B, n, C)
    precision : (B, p)
    prior : (B, p, C), optional
        The prior mean; zero by default.

    Returns
    -------
    Tensor (B, n, C)
        Computed in float64.
    """
    x, y = phi.double(), target.double()
    if prior is not None:
        y = y - x @ prior.double()
    if x.shape[1] < x.shape[2]:
        return _residuals_by_rows(x, y, precision.double()).to(target.dtype)
    root = cholesky(x.transpose(1, 2) @ x, precision.double())
    half = torch.linalg.solve_triangular(root, x.transpose(1, 2), upper=False)  # (B, p, n)
    residual = y - half.transpose(1, 2) @ (half @ y)
    leverage = half.square().sum(1)[..., None]
    left_out: Tensor = (residual / (1 - leverage).clamp(min=LEAST_SLACK)).to(target.dtype)
    return left_out


def _residuals_by_rows(x: Tensor, y: Tensor, precision: Tensor) -> Tensor:
    """As `leave_one_out`, in the space of the rows, where these are fewer than the inputs: 1 - h_ii is (K + 1)⁻¹_ii."""
    trace = x.square().sum((1, 2)) + precision.sum(1)
    precision = precision + (JITTERS[0] * trace[:, None] + LEAST_JITTER)  # as the other way has it
    kernel = x / precision[:, None] @ x.mT
    kernel.diagonal(dim1=1, dim2=2).add_(1)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
    slack = inverse.diagonal(dim1=1, dim2=2)[..., None]
    return inverse @ y / slack.clamp(min=LEAST_SLACK)


def cholesky(gram: Tensor, precision: Tensor) -> Tensor:
    """Cholesky factor (B, p, p) of Φᵀ Φ + Λ, float64, from Φᵀ Φ (B, p, p) and the diagonal of Λ (B, p).

    Φᵀ Φ was summed in float32, whose rounding (about 1e-7 of the trace) can outweigh a small Λ: a jitter of that size
    makes up for it, and a larger one follows where it doesn't.

    Raises
    ------
    ArithmeticError
        For inputs that are not finite.
    """
    diagonal = gram.diagonal(dim1=1, dim2=2) + precision
    trace = diagonal.sum(1, keepdim=True)  # (B, 1)
    for jitter in JITTERS:
        system = gram.clone()
        system.diagonal(dim1=1, dim2=2).copy_(diagonal + (jitter * trace + LEAST_JITTER))
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(system)
        if not info.any():
            return factor
    raise ArithmeticError("the head's system is not positive definite; are there inputs that are not finite?")
