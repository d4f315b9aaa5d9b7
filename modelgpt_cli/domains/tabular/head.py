"""Fitting the members' heads to labelled rows: the closed form over every row, and the logistic refinement.

Shapes: M members, N rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.lbfgs import minimise
from modelgpt_cli.domains.tabular.members import Members
from modelgpt_cli.parameter_generator.posterior import solve_head

REFINE_STEPS = 15
CHUNK_FLOATS = 1_000_000
"""Head inputs held at once while sums are taken: bounds the memory, whatever the number of rows."""


class HeadSums:
    """Φᵀ Φ and Φᵀ Y over rows that are shown once and forgotten."""

    def __init__(self, members: Members, n_outputs: int) -> None:
        M, p, _ = members.prior.shape
        self.members = members
        self.gram = torch.zeros(M, p, p, dtype=torch.float64)
        self.moment = torch.zeros(M, p, n_outputs, dtype=torch.float64)
        self.chunk = max(256, CHUNK_FLOATS // (M * p))

    @torch.inference_mode()
    def add(self, first: Tensor, linear: Tensor, target: Tensor) -> None:
        """Add rows: `first` (N, f K + b), `linear` (N, d), `target` (N, C)."""
        for start in range(0, len(first), self.chunk):
            part = slice(start, start + self.chunk)
            phi = self.members.phi(first[part], linear[part])  # (M, N, p)
            self.gram += phi.transpose(1, 2) @ phi
            self.moment += (target[part].T @ phi).transpose(1, 2)  # this way round: few outputs

    def solve(self, strength: float = 1.0) -> Tensor:
        """The posterior heads in scores, (M, p, C) float32, with `strength` times the generator's precision."""
        return solve_head(self.gram, self.moment, self.members.prior, self.members.precision * strength)


class Refiner:
    """Logistic refinement: from the ridge heads, minimise the cross-entropy around the prior by L-BFGS.

    Parameters
    ----------
    phi : (M, N, p)
        Scaled in place.
    labels : int64 (N,)
    start, prior : (M, p, C)
        In logits.
    precision : (M, p)
        Prior precision of the logits' weights.
    """

    def __init__(self, phi: Tensor, labels: Tensor, *, start: Tensor, prior: Tensor, precision: Tensor) -> None:
        # Whitening by the root mean square of each input makes one curvature fit all directions.
        norm = torch.linalg.vector_norm(phi, dim=1) / phi.shape[1] ** 0.5
        self.spread = norm.clamp(min=1e-3)[:, None]  # (M, 1, p)
        self.phi = phi.div_(self.spread)
        self.target = F.one_hot(labels, start.shape[-1]).to(phi.dtype)  # (N, C)
        # Weights are (M, C, p) in here: products with so few columns are several times faster that way round.
        self.weight = start.transpose(1, 2) * self.spread
        self.centre = prior.transpose(1, 2) * self.spread
        self.precision = precision[:, None] / self.spread**2  # (M, 1, p)

    @torch.no_grad()
    def __call__(self, strength: float, steps: int = REFINE_STEPS) -> Tensor:
        """Minimise with `strength` times the precision, from where the last call ended: heads in logits (M, p, C)."""
        N = self.phi.shape[1]

        def objective(weight: Tensor) -> tuple[Tensor, Tensor]:
            logits = torch.stack([F.linear(phi, w) for phi, w in zip(self.phi, weight, strict=True)])
            log_p = logits.log_softmax(-1)  # (M, N, C)
            pull = strength * self.precision * (weight - self.centre)  # (M, C, p)
            loss = -(log_p * self.target).sum((1, 2)) + 0.5 * (pull * (weight - self.centre)).sum((1, 2))
            error = log_p.exp_() - self.target
            return loss / N, (error.transpose(1, 2) @ self.phi + pull) / N

        self.weight = minimise(objective, self.weight, steps)
        return (self.weight / self.spread).transpose(1, 2)


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The number that logits are divided with so that their log-loss is least; 0.2 to 5.

    Parameters
    ----------
    logits : (N, C)
        Of rows that the model was not fitted on.
    labels : int64 (N,)
    """
    grid = torch.logspace(-0.7, 0.7, 57)
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in grid])
    return float(grid[int(losses.argmin())])
