"""Fitting the members' heads to labelled rows: the closed form over every row, and the logistic refinement.

Shapes: M members, N rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.lbfgs import minimise
from modelgpt_cli.domains.tabular.members import Members
from modelgpt_cli.parameter_generator.posterior import cholesky, solve_head

REFINE_STEPS = 12
WARM_STEPS = 6
"""Steps from the head that three quarters of the rows gave to the head of all rows."""
CURVATURE = 0.15
"""Typical p (1 - p) of a class, which turns a ridge precision into one for the cross-entropy."""
CHUNK_FLOATS = 4_000_000
"""Head inputs held at once while sums are taken: bounds the memory, whatever the number of rows."""


def head_outputs(phi: Tensor, weight: Tensor) -> Tensor:
    """Outputs (M, N, C) of the members' heads, from `phi` (M, N, p) and weights (M, C, p).

    Member by member and with the few outputs first, which is several times faster than one product of all.
    """
    return torch.stack([F.linear(inputs, w) for inputs, w in zip(phi, weight, strict=True)])


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
            for gram, inputs in zip(self.gram, phi.numpy(), strict=True):  # numpy sees the symmetry: half the work
                gram += torch.from_numpy(inputs.T @ inputs)
            self.moment += (target[part].T @ phi).transpose(1, 2)  # this way round: few outputs

    def solve(self, strength: float = 1.0) -> Tensor:
        """The posterior heads in scores, (M, p, C) float32, with `strength` times the generator's precision."""
        return solve_head(self.gram, self.moment, self.members.prior, self.members.precision * strength)


class Refiner:
    """Logistic refinement: from the ridge heads, minimise the cross-entropy around the prior by L-BFGS.

    Hidden units are correlated and their prior precisions differ by orders of magnitude, so the problem is solved in
    the variables that make its quadratic approximation round: weights times the Cholesky factor of c ΦᵀΦ + Λ.

    Parameters
    ----------
    phi : (M, N, p)
    labels : int64 (N,)
    start, prior : (M, p, C)
        In logits.
    precision : (M, p)
        Prior precision of the logits' weights.
    used : bool (M, N), optional
        Which rows each member is fitted to; all by default.
    gram : float64 (M, p, p), optional
        Φᵀ Φ over those rows, where it is known already.
    """

    def __init__(
        self,
        phi: Tensor,
        labels: Tensor,
        *,
        start: Tensor,
        prior: Tensor,
        precision: Tensor,
        used: Tensor | None = None,
        gram: Tensor | None = None,
    ) -> None:
        self.phi = phi
        self.target = F.one_hot(labels, start.shape[-1]).to(phi.dtype)  # (N, C)
        self.used = None if used is None else used.to(phi.dtype)[..., None]  # (M, N, 1)
        if gram is None:
            kept = phi if self.used is None else phi * self.used
            gram = (kept.transpose(1, 2) @ phi).double()
        self.gram = gram
        # Weights are (M, C, p) in here: products with so few columns are several times faster that way round.
        self.weight, self.centre = start.transpose(1, 2), prior.transpose(1, 2)
        self.precision = precision

    @torch.no_grad()
    def __call__(self, strength: float | Tensor, steps: int = REFINE_STEPS, start: Tensor | None = None) -> Tensor:
        """Minimise with `strength` times the precision: heads in logits (M, p, C).

        `strength` is one number, or one per head input (p,). It starts from `start` (M, p, C), by default from where
        the last call ended.
        """
        if start is not None:
            self.weight = start.transpose(1, 2)
        N = self.phi.shape[1]
        precision = self.precision * strength  # (M, p)
        quadratic = self.gram * (CURVATURE / N) + torch.diag_embed(precision.double() / N)
        root = cholesky(quadratic)  # (M, p, p)
        identity = torch.eye(root.shape[1], dtype=root.dtype).expand_as(root)
        whiten = torch.linalg.solve_triangular(root, identity, upper=False).to(self.phi.dtype)  # R⁻¹

        def objective(rounded: Tensor) -> tuple[Tensor, Tensor]:  # (M, C, p): weights times the root
            weight = rounded @ whiten
            log_p = head_outputs(self.phi, weight).log_softmax(-1)  # (M, N, C)
            pull = precision[:, None] * (weight - self.centre)  # (M, C, p)
            fit = log_p * self.target
            fit = fit if self.used is None else fit * self.used
            loss = -fit.sum((1, 2)) + 0.5 * (pull * (weight - self.centre)).sum((1, 2))
            error = log_p.exp_() - self.target
            error = error if self.used is None else error.mul_(self.used)
            return loss / N, (error.transpose(1, 2) @ self.phi + pull) @ whiten.transpose(1, 2) / N

        rounded = (self.weight.double() @ root).to(self.weight.dtype)
        self.weight = minimise(objective, rounded, steps) @ whiten
        return self.weight.transpose(1, 2)
