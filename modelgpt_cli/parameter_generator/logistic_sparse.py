"""The posterior head where sparse inputs stand beside the dense ones, of prior zero and a precision of their own.

    W, S = argmin  Σ_i loss(φ(x_i) W + s(x_i) S, y_i) + ½ Σ_j λ_j ‖W_j − W_gen,j‖² + ½ μ ‖S‖²

Of few rows in the space of the rows, as `logistic`; of many by L-BFGS in that of the weights, in variables that make
the dense inputs' bound on the Hessian, and the diagonal of the sparse ones', the identity.
Shapes: n rows, p dense inputs, F sparse ones, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor

from modelgpt_cli.parameter_generator.lbfgs import minimise
from modelgpt_cli.parameter_generator.logistic import (
    CURVATURE,
    FEW_ROWS,
    LABEL_CURVATURE,
    MOST_STEPS,
    STEPS,
    multipliers,
    threads_for,
)

ROWS = 1024
"""Up to here the space of the rows is the cheaper one."""
LBFGS_STEPS = 60
CHOICE_STEPS = 30
"""Enough to compare precisions by."""


@dataclass(frozen=True)
class SparseInputs:
    """Inputs of some rows that are mostly zero.

    Attributes
    ----------
    values : float32 (n, F)
    products : float32 (n, n), optional
        Of all rows with each other, where these are few.
    """

    values: csr_array
    products: Tensor | None = None

    @classmethod
    def of(cls, values: csr_array) -> SparseInputs:
        """Those of all rows, from which folds are taken."""
        return cls(values, _products(values) if values.shape[0] <= 2 * ROWS else None)

    def take(self, rows: np.ndarray) -> SparseInputs:
        """Some rows, bool (n,) or their numbers."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        few = None if self.products is None else self.products[np.ix_(index, index)]
        return SparseInputs(self.values[index], few)

    def scores(self, weight: Tensor) -> Tensor:
        """What weights (F, C) make of the rows, (n, C)."""
        return torch.from_numpy(self.values @ weight.numpy())


def _products(values: csr_array) -> Tensor:
    """Products of all rows with each other, (n, n)."""
    return torch.from_numpy((values @ values.T).toarray())


@torch.no_grad()
def posterior_beside(
    phi: Tensor,
    sparse: SparseInputs,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    sparse_precision: float,
    *,
    regression: bool,
    multi_label: bool = False,
    steps: int = LBFGS_STEPS,
) -> tuple[Tensor, Tensor]:
    """The posterior head (p, C), and that of the sparse inputs (F, C).

    Parameters
    ----------
    phi : (n, p)
    sparse : SparseInputs
        Of the same rows.
    target : (n, C)
        As for `logistic.posterior_rows`.
    prior : (p, C)
    precision : (p,)
    sparse_precision : float
        μ, above 0.
    steps : int
        Of L-BFGS, at most.
    """
    n, p = phi.shape
    with threads_for(n * min(n, p) * target.shape[1]):
        if n > ROWS:
            kinds = (regression, multi_label)
            return _by_weights(phi, sparse.values, target, prior, precision, sparse_precision, *kinds, steps)
        known = _products(sparse.values) if sparse.products is None else sparse.products
        scaled, more = phi / precision, known / sparse_precision
        exact = None if regression else phi.double() @ scaled.double().T + more.double()
        dual_steps = STEPS if n <= FEW_ROWS else MOST_STEPS
        dual = multipliers(phi @ scaled.T + more, exact, phi @ prior, target, multi_label, dual_steps)
        return prior + scaled.T @ dual, torch.from_numpy(sparse.values.T @ dual.numpy()) / sparse_precision


def _by_weights(
    phi: Tensor,
    sparse: csr_array,
    target: Tensor,
    prior: Tensor,
    precision: Tensor,
    sparse_precision: float,
    regression: bool,
    multi_label: bool,
    steps: int,
) -> tuple[Tensor, Tensor]:
    p = phi.shape[1]
    turned = sparse.T.tocsr()
    curvature = 1.0 if regression else LABEL_CURVATURE if multi_label else CURVATURE
    root = torch.linalg.cholesky(curvature * (phi.T @ phi).double() + torch.diag(precision.double())).float()  # (p, p)
    squares = torch.from_numpy(np.asarray(turned.multiply(turned).sum(1)).ravel())
    scale = (curvature * squares + sparse_precision)[:, None] ** -0.5  # (F, 1)

    def weights(free: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the variables (p + F, C)."""
        return prior + torch.linalg.solve_triangular(root.T, free[:p], upper=True), free[p:] * scale

    def objective(free: Tensor) -> tuple[Tensor, Tensor]:
        dense, beside = weights(free[0])
        scores = phi @ dense + torch.from_numpy(sparse @ beside.numpy())
        loss, error = _loss(scores, target, regression, multi_label)
        moved = dense - prior
        loss = loss + (precision[:, None] * moved**2).sum() / 2 + sparse_precision * beside.square().sum() / 2
        by_dense = torch.linalg.solve_triangular(root, phi.T @ error + precision[:, None] * moved, upper=False)
        by_sparse = (torch.from_numpy(turned @ error.numpy()) + sparse_precision * beside) * scale
        return loss[None], torch.cat([by_dense, by_sparse])[None]

    start = torch.zeros(1, p + sparse.shape[1], target.shape[1])
    return weights(minimise(objective, start, steps)[0])


def _loss(scores: Tensor, target: Tensor, regression: bool, multi_label: bool) -> tuple[Tensor, Tensor]:
    """The rows' loss, and its gradient by the scores (n, C)."""
    if regression:
        error = scores - target
        return error.square().sum() / 2, error
    if multi_label:
        return F.binary_cross_entropy_with_logits(scores, target, reduction="sum"), scores.sigmoid() - target
    log_p = scores.log_softmax(1)
    return -(log_p * target).sum(), log_p.exp() - target
