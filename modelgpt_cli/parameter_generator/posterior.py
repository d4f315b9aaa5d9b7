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
        Float32; the solve runs in float64 with a jitter relative to the Gram matrix's trace.
    """
    g = gram.double()
    jitter = 1e-9 * g.diagonal(dim1=1, dim2=2).mean(1) + 1e-9  # (B,)
    system = g + torch.diag_embed(precision.double() + jitter[:, None])
    residual = moment.double() - g @ prior.double()  # what the prior mean leaves to explain
    factor = torch.linalg.cholesky(system)
    return prior + torch.cholesky_solve(residual, factor).to(prior.dtype)
