"""Fitting the members' heads to labelled rows: the closed form over every row, and the logistic refinement.

Shapes: M members, N rows, p head inputs, C outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.members import Members
from modelgpt_cli.parameter_generator.lbfgs import minimise
from modelgpt_cli.parameter_generator.posterior import cholesky, leave_one_out, solve_head

REFINE_STEPS = 12
WARM_STEPS = 6
"""Steps from the head that three quarters of the rows gave to the head of all rows."""
HUBER, MEDIAN_TO_STD = 1.345, 1.4826
"""Standard deviations beyond which a residual counts linearly (95 % efficient for normal errors), and one of these in
medians of absolute residuals."""
ROBUST_STEPS = 3
UNUSED = 1e-8
"""The weight of a row that a member isn't fitted to."""
CURVATURE = 0.15
"""Typical p (1 - p) of a class, which turns a ridge precision into one for the cross-entropy."""
REFINED_FLOATS = 10_000_000
"""Of outputs, or of factors, that the refinement holds at once; further strengths follow."""
CHUNK_FLOATS = 4_000_000
"""Head inputs held at once while sums are taken: bounds the memory, whatever the number of rows."""


def head_outputs(phi: Tensor, weight: Tensor) -> Tensor:
    """Outputs (M, N, C) of the members' heads, from `phi` (M, N, p) and weights (M, C, p).

    Member by member and with the few outputs first, which is several times faster than one product of all.
    """
    return torch.stack([F.linear(inputs, w) for inputs, w in zip(phi, weight, strict=True)])


def robust_heads(
    members: Members, phi: Tensor, target: Tensor, strength: float, used: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """Posterior heads in scores (M, p, 1) by Huber's loss: ridge solutions whose outliers weigh less from step to step.

    A row's weight is of its residual by the head of all other rows (Huber 1964; weights as of Holland and Welsch 1977).

    Parameters
    ----------
    phi : (M, N, p)
    target : (N, 1)
    used : bool (M, N), optional
        Which rows each member is fitted to; all by default.
    share : float
        Of all rows that these are: the prior weighs as much less.
    """
    M, N, _ = phi.shape
    base = torch.ones(M, N) if used is None else used.to(phi.dtype)
    precision, weights = members.precision * (strength * share), base.clamp(min=UNUSED)
    for _ in range(ROBUST_STEPS):
        root = weights.sqrt()[..., None]
        residuals = leave_one_out(phi * root, target * root, precision, members.prior) / root
        off = residuals[..., 0].abs()
        spread = torch.stack([row[kept > 0].median() for row, kept in zip(off, base, strict=True)]) * MEDIAN_TO_STD
        weights = (base * (HUBER * spread[:, None] / off.clamp(min=1e-12)).clamp(max=1)).clamp(min=UNUSED)
    kept = phi * weights[..., None]
    return solve_head(kept.mT @ phi, kept.mT @ target, members.prior, precision)


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
    the variables that make its quadratic approximation round: weights times the Cholesky factor of c ΦᵀΦ + Λ. J
    strengths of the prior are J problems beside each other, which look at Φ once.

    Parameters
    ----------
    phi : (M, N, p)
    labels : int64 (N,), or float32 (M or 1, N, C)
        Classes, or the probabilities to be learned instead.
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
        if labels.dim() == 1:
            labels = F.one_hot(labels, start.shape[-1])[None]
        self.target = labels.to(phi.dtype).mT[:, None]  # (M or 1, 1, C, N)
        self.used = None if used is None else used.to(phi.dtype)[:, None]  # (M, 1, N)
        if gram is None:
            kept = phi if self.used is None else phi * self.used.mT
            gram = (kept.mT @ phi).double()
        self.gram = gram
        self.start, self.prior, self.precision = start, prior, precision

    @torch.no_grad()
    def __call__(self, strengths: Tensor, steps: int = REFINE_STEPS, starts: Tensor | None = None) -> Tensor:
        """Minimise with each of J strengths: heads in logits (J, M, p, C).

        Parameters
        ----------
        strengths : (J, p)
            What multiplies the prior precision of each head input.
        starts : (J, M, p, C), optional
            Where to begin; by default at the ridge heads.
        """
        M, N, p = self.phi.shape
        C = self.start.shape[-1]
        at_once = max(1, REFINED_FLOATS // (M * max(p * p, N * C)))
        starts = self.start.expand(len(strengths), -1, -1, -1) if starts is None else starts
        parts = zip(strengths.split(at_once), starts.split(at_once), strict=True)
        return torch.cat([self._minimise(some, start, steps) for some, start in parts])

    def _minimise(self, strengths: Tensor, starts: Tensor, steps: int) -> Tensor:
        """Some of the strengths, as M J problems: a member's beside each other."""
        M, N, p = self.phi.shape
        J, C = len(strengths), starts.shape[-1]
        precision = (self.precision[:, None] * strengths).view(M * J, p)
        root = cholesky((self.gram * (CURVATURE / N)).repeat_interleave(J, 0), precision.double() / N)
        start = starts.transpose(0, 1).reshape(M * J, p, C)
        rounded = (start.double().mT @ root).mT.to(start.dtype)  # this way round: few outputs
        root = root.to(start.dtype)
        precision, centre = precision[..., None], self.prior.repeat_interleave(J, 0)  # (M J, p, 1), (M J, p, C)

        def weights(rounded: Tensor) -> Tensor:
            solved: Tensor = torch.linalg.solve_triangular(root.mT, rounded, upper=True)
            return solved

        def objective(rounded: Tensor) -> tuple[Tensor, Tensor]:  # (M J, p, C): the root times the weights
            weight = weights(rounded)
            # Rows come last: a softmax over few numbers that lie together is many times slower.
            outputs = weight.mT.reshape(M, J * C, p) @ self.phi.mT
            log_p = outputs.view(M, J, C, N).log_softmax(2)
            fit = (log_p * self.target).sum(2)  # (M, J, N)
            error = log_p.exp_() - self.target
            if self.used is not None:
                fit *= self.used
                error *= self.used[:, None]
            slope = (error.view(M, J * C, N) @ self.phi).view(M * J, C, p).mT
            away = weight - centre
            pull = precision * away
            loss = 0.5 * (pull * away).sum((1, 2)) - fit.sum(2).flatten()
            return loss / N, torch.linalg.solve_triangular(root, slope + pull, upper=False) / N

        found = weights(minimise(objective, rounded, steps))
        return found.view(M, J, p, C).transpose(0, 1)
