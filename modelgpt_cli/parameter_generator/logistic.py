"""The posterior head in logits: logistic regression around the generated head, by steps that training goes through.

    W = argmin_W  Σ_i cross-entropy(φ(x_i) W, y_i) + ½ Σ_j λ_j ‖W_j − W_gen,j‖²

Newton's steps with Böhning's bound on the Hessian (1992): one system of equations, factored once, serves every class
and step, each step lowers the objective, and all of it can be differentiated. In the space of the rows where these are
fewer than the head's inputs, else in the space of the weights. Regression: the same prior and one exact step.
Shapes: n rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 20
MOST_STEPS = 200
TOLERANCE = 1e-4
"""Largest change of a weight, as a share of the largest weight, at which the steps end."""
FEW_ROWS = 256
"""Up to here the system is one of the rows, as in training."""
CURVATURE = 0.5
"""Böhning's bound on p (1 - p)."""


def posterior_rows(
    phi: Tensor, target: Tensor, prior: Tensor, precision: Tensor, *, regression: bool, steps: int = STEPS
) -> Tensor:
    """The posterior head, solved in the space of the rows: for few rows; differentiable.

    Parameters
    ----------
    phi : (n, p)
    target : (n, C)
        One-hot labels, or the standardised target.
    prior : (p, C)
    precision : (p,)
        Above 0.
    steps : int

    Returns
    -------
    Tensor (p, C)
    """
    scaled = phi / precision  # (n, p)
    gram = phi @ scaled.T  # (n, n)
    offset = phi @ prior  # (n, C)
    identity = torch.eye(len(phi), dtype=phi.dtype, device=phi.device)
    if regression:
        dual = torch.linalg.solve(gram + identity, target - offset)
        return prior + scaled.T @ dual
    root = torch.linalg.cholesky(CURVATURE * gram + identity)
    dual = torch.zeros_like(target)
    for _ in range(steps):
        error = target - (offset + gram @ dual).softmax(1)
        dual = dual + torch.cholesky_solve(error - dual, root)
    return prior + scaled.T @ dual


@torch.no_grad()
def posterior_weights(
    phi: Tensor,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    *,
    regression: bool,
    gram: Tensor | None = None,
    steps: int = MOST_STEPS,
) -> Tensor:
    """As `posterior_rows`, solved in the space of the weights, for many rows: to convergence, with momentum.

    `gram` is Φᵀ Φ (p, p), where it is known already.
    """
    system = (phi.T @ phi if gram is None else gram).double()  # (p, p)
    diagonal = torch.diag(precision.double())
    if regression:
        moment = (phi.T @ (target - phi @ prior)).double()
        return prior + torch.linalg.solve(system + diagonal, moment).to(prior.dtype)
    root = torch.linalg.cholesky(CURVATURE * system + diagonal)
    weight, ahead, momentum = prior.clone(), prior.clone(), 1.0
    for _ in range(steps):
        gradient = phi.T @ (target - (phi @ ahead).softmax(1)) - precision[:, None] * (ahead - prior)  # (p, C)
        moved = ahead + torch.cholesky_solve(gradient.double(), root).to(weight.dtype)
        step = moved - weight
        if (step * (moved - ahead)).sum() < 0:  # overshot: start the momentum anew (O'Donoghue and Candès 2015)
            momentum = 1.0
        grown = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, weight = moved + (momentum - 1) / grown * step, moved
        momentum = grown
        if step.abs().max() < TOLERANCE * weight.abs().max():
            break
    return weight


def posterior(
    phi: Tensor, target: Tensor, prior: Tensor, precision: Tensor, *, regression: bool, gram: Tensor | None = None
) -> Tensor:
    """The posterior head (p, C), whichever way is cheaper; for builds."""
    if len(phi) <= FEW_ROWS:
        return posterior_rows(phi, target, prior, precision, regression=regression)
    return posterior_weights(phi, target, prior, precision, regression=regression, gram=gram)
