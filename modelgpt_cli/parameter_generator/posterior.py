"""The posterior head: ridge regression around the generated head, solved in closed form.

    W = argmin_W  Σ_i ‖φ(x_i) W − y_i‖² + Σ_j λ_j ‖W_j − W_gen,j‖²

The sums Φᵀ Φ and Φᵀ Y are all that the rows leave behind, so any number of rows is added in chunks at constant memory.
Shapes: B batch of tasks (or ensemble members), n rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    factor = cholesky(g + torch.diag_embed(precision.double()))
    return prior + torch.cholesky_solve(residual, factor).to(prior.dtype)


def cholesky(system: Tensor) -> Tensor:
    """Cholesky factor (B, p, p) of Φᵀ Φ + Λ, float64.

    Φᵀ Φ was summed in float32, whose rounding (about 1e-7 of the trace) can outweigh a small Λ: a jitter of that size
    makes up for it, and a larger one follows where it doesn't.

    Raises
    ------
    ArithmeticError
        For inputs that are not finite.
    """
    trace = system.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)  # (B, 1)
    for jitter in (1e-7, 1e-5, 1e-3):
        factor, info = torch.linalg.cholesky_ex(
            system + torch.diag_embed((jitter * trace).expand_as(system[:, 0]) + 1e-9)
        )
        if not info.any():
            return factor
    raise ArithmeticError("the head's system is not positive definite; are there inputs that are not finite?")
