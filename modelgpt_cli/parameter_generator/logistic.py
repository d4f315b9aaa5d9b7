"""The posterior head in logits: logistic regression around the generated head, by steps that training goes through.

    W = argmin_W  Σ_i cross-entropy(φ(x_i) W, y_i) + ½ Σ_j λ_j ‖W_j − W_gen,j‖²

Newton's steps with Böhning's bound on the Hessian (1992): one system of equations, factored once, serves every class
and step, each step lowers the objective, and all of it can be differentiated. In the space of the rows where these are
fewer than the head's inputs, else in the space of the weights. Regression: the same prior and one exact step.
Shapes: n rows, p head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 20
MOST_STEPS = 200
TOLERANCE = 1e-4
"""Largest change of a weight, as a share of the largest weight, at which the steps end."""
FEW_ROWS = 96
"""Up to here as many steps are taken as in training."""
SMALL = 10_000_000
"""Multiplications of a step up to which one thread takes it: several spend more time on waiting for each other. Five
folds and seven strengths of 185 rows and 29 classes take 2 s of CPU on one thread and 9 s on two, of a busy machine."""
CURVATURE = 0.5
"""Böhning's bound on the Hessian of a softmax."""
LABEL_CURVATURE = 0.25
"""The bound on p (1 - p), of labels that are independent of each other."""


def posterior_rows(
    phi: Tensor,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    *,
    regression: bool,
    multi_label: bool = False,
    steps: int = STEPS,
) -> Tensor:
    """The posterior head, solved in the space of the rows: for few rows; differentiable.

    Parameters
    ----------
    phi : (n, p)
    target : (n, C)
        One-hot labels, or the standardised target; any number of ones a row where it is `multi_label`.
    prior : (p, C)
    precision : (p,)
        Above 0.
    steps : int
        Up to `STEPS` plain ones, through which gradients flow; more go with momentum, to convergence.

    Returns
    -------
    Tensor (p, C)
    """
    scaled = phi / precision  # (n, p)
    # In float64: rounding must not outweigh the identity, however large the inputs.
    exact = None if regression else phi.double() @ scaled.double().T
    dual = multipliers(phi @ scaled.T, exact, phi @ prior, target, multi_label, steps)
    weights: Tensor = prior + scaled.T @ dual
    return weights


def multipliers(
    gram: Tensor, exact: Tensor | None, offset: Tensor, target: Tensor, multi_label: bool, steps: int
) -> Tensor:
    """The rows' multipliers (n, C), of their products (n, n) by the inverse precision, and the prior's scores (n, C).

    `exact` are the products in float64; without them it is a regression.
    """
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    if exact is None:
        solved: Tensor = torch.linalg.solve(gram + identity, target - offset)
        return solved
    answers, curvature = _link(multi_label)
    root = torch.linalg.cholesky(curvature * exact + identity.double())
    dual = torch.zeros_like(target)
    if steps > STEPS:
        # Where the steps end is decided by the error alone, so the inverse may be rounded.
        inverse = torch.cholesky_inverse(root).to(gram.dtype)

        def step(dual: Tensor) -> Tensor:
            return dual + inverse @ (target - answers(offset + gram @ dual) - dual)

        return _converged(step, dual, steps)
    root = root.to(gram.dtype)
    for _ in range(steps):
        error = target - answers(offset + gram @ dual)
        dual = dual + torch.cholesky_solve(error - dual, root)
    return dual


@torch.no_grad()
def posterior_weights(
    phi: Tensor,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    *,
    regression: bool,
    multi_label: bool = False,
    gram: Tensor | None = None,
    steps: int = MOST_STEPS,
    counts: Tensor | None = None,
) -> Tensor:
    """As `posterior_rows`, solved in the space of the weights, for many rows: to convergence, with momentum.

    `gram` is Φᵀ Φ (p, p), where it is known already. In classification rows may count differently: `counts` (n,) says
    how much, and `gram` has each row so often.
    """
    if gram is None:
        gram = phi.T @ (phi if counts is None else phi * counts[:, None])
    system = gram.double()  # (p, p)
    diagonal = torch.diag(precision.double())
    if regression:
        moment = (phi.T @ (target - phi @ prior)).double()
        solved: Tensor = prior + torch.linalg.solve(system + diagonal, moment).to(prior.dtype)
        return solved
    answers, curvature = _link(multi_label)
    root = torch.linalg.cholesky(curvature * system + diagonal)

    def step(weight: Tensor) -> Tensor:
        error = target - answers(F.linear(phi, weight.T.contiguous()))
        if counts is not None:
            error = error * counts[:, None]
        # (p, C). In another order the products take up to six times as long.
        gradient = (error.T.contiguous() @ phi).T - precision[:, None] * (weight - prior)
        return weight + torch.cholesky_solve(gradient.double(), root).to(weight.dtype)

    return _converged(step, prior, steps)


def _link(multi_label: bool) -> tuple[Callable[[Tensor], Tensor], float]:
    """What makes probabilities of logits (n, C), and the bound on its curvature."""
    return (torch.sigmoid, LABEL_CURVATURE) if multi_label else (partial(torch.softmax, dim=1), CURVATURE)


def _converged(step: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Repeat a step with Nesterov's momentum until it changes next to nothing, or `steps` times."""
    current, ahead, momentum = start, start, 1.0
    for _ in range(steps):
        moved = step(ahead)
        change = moved - current
        if (change * (moved - ahead)).sum() < 0:  # overshot: start the momentum anew (O'Donoghue and Candès 2015)
            momentum = 1.0
        grown = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, current = moved + (momentum - 1) / grown * change, moved
        momentum = grown
        if change.abs().max() < TOLERANCE * current.abs().max():
            break
    return current


def posterior(
    phi: Tensor,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    *,
    regression: bool,
    multi_label: bool = False,
    gram: Tensor | None = None,
    steps: int = MOST_STEPS,
) -> Tensor:
    """The posterior head (p, C), whichever way is cheaper; for builds. `steps` are of more than `FEW_ROWS` rows."""
    n, p = phi.shape
    kind = {"regression": regression, "multi_label": multi_label}
    with threads_for(n * min(n, p) * target.shape[1]):
        if n <= FEW_ROWS:
            return posterior_rows(phi, target, prior, precision, **kind)
        if n < p:
            return posterior_rows(phi, target, prior, precision, **kind, steps=steps)
        return posterior_weights(
            phi, target, prior, precision, regression=regression, multi_label=multi_label, gram=gram, steps=steps
        )


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Let one thread do steps of little work, and as many as there are those of much."""
    threads = torch.get_num_threads()
    if work <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
