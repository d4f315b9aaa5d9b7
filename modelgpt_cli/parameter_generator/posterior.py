"""The posterior head: ridge regression around the generated head, solved in closed form.

    W = argmin_W  Σ_i ‖φ(x_i) W − y_i‖² + Σ_j λ_j ‖W_j − W_gen,j‖²

The sums Φᵀ Φ and Φᵀ Y are all that the rows leave behind, so any number of rows is added in chunks at constant memory.
Shapes: B batch of tasks (or ensemble members), n rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SLACK = 0.05
"""Least 1 - h_ii: a row that holds its own prediction says nothing of others."""


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
    g = gram.double()
    residual = moment.double() - g @ prior.double()  # what the prior mean leaves to explain
    factor = cholesky(g, precision.double())
    return prior + torch.cholesky_solve(residual, factor).to(prior.dtype)


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
    root = cholesky(x.transpose(1, 2) @ x, precision.double())
    half = torch.linalg.solve_triangular(root, x.transpose(1, 2), upper=False)  # (B, p, n)
    residual = y - half.transpose(1, 2) @ (half @ y)
    leverage = half.square().sum(1)[..., None]
    return (residual / (1 - leverage).clamp(min=LEAST_SLACK)).to(target.dtype)


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
    for jitter in (1e-7, 1e-5, 1e-3):
        system = gram.clone()
        system.diagonal(dim1=1, dim2=2).copy_(diagonal + (jitter * trace + 1e-9))
        factor, info = torch.linalg.cholesky_ex(system)
        if not info.any():
            return factor
    raise ArithmeticError("the head's system is not positive definite; are there inputs that are not finite?")
