"""A kernel machine beside the generated network: solved on the same folds, and mixed in where held-out rows gain by it.

Smooth functions of several inputs together are where a network of generated hidden units and trees are both weak. Here
a sum of Gaussians around some points is solved in closed form (kernel ridge regression; of classes a logistic
refinement follows), in inputs that are weighed by their relevance: the mean squared slope of the kernel machine before,
as in recursive feature machines (Radhakrishnan et al. 2024). Between `crossfit` and `trees`.
Shapes: N shown rows, K folds, d linear inputs, P points, C outputs, J strengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.tabular.choose_transform import Scaled
from modelgpt_cli.domains.tabular.fit import encode_rows, standardise_target
from modelgpt_cli.domains.tabular.head import Refiner
from modelgpt_cli.domains.tabular.kernel_model import Kernel, gaussians, nearness
from modelgpt_cli.domains.tabular.mixing import (
    KERNEL,
    MODEL,
    NETWORK,
    judged,
    mean_loss,
    mix,
    scored_rows,
)
from modelgpt_cli.domains.tabular.tasks import targets
from modelgpt_cli.domains.tabular.tree_model import n_sums

MAX_CLASSES = 30
"""With more, as for trees, a fit takes too long."""
FOLD_POINTS, POINTS = 160, 512
"""Of a fold's kernel, and of the one that ships, which is solved once (of classes it has as many as a fold's)."""
NEAR = 3
"""Rows that a point is the mean of: no row stands in a model. It costs nothing: R² on ten tables within .002."""
RELEVANCE_ROWS, RELEVANCE_STEPS = 256, 4
RELEVANCE_RIDGE, RELEVANCE_POWER, LEAST_RELEVANCE = 0.3, 0.75, 1e-3
"""Of the relevance: precision of the kernel machine before, and what its mean squared slopes are raised to. Powers
of .5 and 1 were .001 and .002 of R² worse on ten tables, no weighing but for one step .004."""
WIDTHS = (0.5, 0.8, 1.25, 2.0, 3.2, 5.0)
"""Of the Gaussians, in standard deviations of all relevant inputs together."""
FIRST_WIDTH = 2
RIDGES = (0.003, 0.05, 1.0)
STRENGTHS = (0.01, 0.1, 1.0)
"""Prior precisions of the logistic refinement."""
STEPS = 15
"""Of it."""
JITTER = 1e-3
"""Added to the diagonal of the points' kernel. With 1e-4 R² on eleven tables is the same, with 1e-2 .003 worse."""
FINAL_ROWS = 20_000
"""Rows that the kernel that ships is solved on at most."""


@dataclass(frozen=True)
class _Fold:
    """What a kernel is solved in: the scale of inputs at a width of 1, and points in inputs that aren't scaled."""

    scale: Tensor
    points: Tensor

    def map(self, x: Tensor, width: float) -> Tensor:
        """Whitened Gaussians of rows (N, d), and a column of ones: (N, P + 1)."""
        scale = self.scale / width
        found = gaussians(x * scale, self.points * scale)
        unit = torch.eye(len(self.points), dtype=torch.float64)
        white = torch.linalg.solve_triangular(
            self.root(width), unit, upper=False
        ).float()  # times this, not solved: faster
        return torch.cat([found @ white.mT, torch.ones(len(x), 1)], 1)

    def root(self, width: float) -> Tensor:
        """The Cholesky factor of the points' kernel, float64 (P, P)."""
        points = self.points.double() * (self.scale / width)
        jitter = JITTER * torch.eye(len(points), dtype=torch.float64)
        found: Tensor = torch.linalg.cholesky(gaussians(points, points) + jitter)
        return found

    def kernel(self, width: float, heads: Tensor) -> Kernel:
        """The kernel of heads (P + 1, C) on `map`."""
        scale = self.scale / width
        weight = torch.linalg.solve_triangular(self.root(width).mT, heads[:-1].double(), upper=True).float()
        return Kernel(scale, self.points * scale, weight, heads[-1].float())


@dataclass(frozen=True)
class _Rows:
    """Rows that kernels learn from, and who sees which.

    Attributes
    ----------
    x : (N, d); target : (N, C) centred one-hot classes, or the standardised target; labels : (N,)
    used, unseen : bool (K, N)
    """

    x: Tensor
    target: Tensor
    labels: Tensor
    n_classes: int
    used: Tensor
    unseen: Tensor

    def heads(self, maps: Tensor, ridges: tuple[float, ...] = RIDGES) -> Iterator[Tensor]:
        """Of maps (K, N, P + 1), the ridge heads (K, P + 1, C) of each ridge."""
        kept = maps * self.used[..., None]
        gram, moment = (kept.mT @ maps).double(), (kept.mT @ self.target).double()
        for ridge in ridges:
            precision = torch.full(gram.shape[-1:], ridge, dtype=torch.float64)
            precision[-1] = 1e-3
            yield torch.cholesky_solve(moment, torch.linalg.cholesky(gram + torch.diag(precision))).float()

    def refined(self, maps: Tensor, strengths: tuple[float, ...]) -> Tensor:
        """Of maps (K, N, P + 1), the logistic heads (J, K, P + 1, C)."""
        K, _, p = maps.shape
        zeros, precision = torch.zeros(K, p, self.n_classes), torch.ones(K, p)
        precision[:, -1] = 1e-3
        refine = Refiner(maps, self.labels, start=zeros, prior=zeros, precision=precision, used=self.used)
        return refine(torch.tensor(strengths)[:, None].repeat(1, p), STEPS)

    def held_out(self, maps: Tensor, heads: Tensor) -> Tensor:
        """What heads (K, P + 1, C) say of the rows that each fold leaves out, (N, C)."""
        return ((maps @ heads) * self.unseen[..., None]).sum(0)


def mix_kernel(scaled: Scaled, y: np.ndarray, *, seed: int = 0) -> Scaled:
    """Solve kernels on the folds of a cross-fit, and mix one with its network where it pays.

    Parameters
    ----------
    scaled : Scaled
        A cross-fit, with the table that it was fitted to; its target may be transformed.
    y : (N,)
        The targets in their own unit.

    Returns
    -------
    Scaled
        With a kernel, the mix of heads at its share, and the metrics and residuals of both together; or as it was.
    """
    cross, table, held_out = scaled.cross, scaled.table, scored_rows(scaled)
    if held_out is None or table.n_classes > MAX_CLASSES:
        return scaled
    shown, scored = held_out
    scoring = shown.folds.held_out.any(1)
    rows = _rows(scaled, shown.rows, shown.folds.used[scoring], shown.folds.held_out[scoring])
    if not rows.x.shape[1]:
        return scaled
    folds = _folds(rows, seed)
    network, target = shown.outputs, rows.labels[scored]
    width, strength, outputs = _choose(rows, folds, scored)
    both = mix(network, outputs[scored], target, table.n_classes)
    worth = {"width": width, "strength": strength, **both.worth}
    if not both.pays:
        return replace(scaled, cross=replace(cross, kernel_tried=worth))
    worth["network"] = both.before
    kernel = _final(scaled, folds, width, strength, seed).times(both.part)
    now = replace(shown, outputs=both.outputs)
    found = replace(cross.times(both.before), kernel=kernel, kernel_tried=worth, held_out=now)
    parts = {MODEL: both.outputs, NETWORK: network, KERNEL: outputs[scored]}
    return judged(replace(scaled, cross=found), parts, y[shown.rows[scored]], shown.rows[scored])


def _rows(scaled: Scaled, index: np.ndarray, used: np.ndarray, unseen: np.ndarray) -> _Rows:
    table, fitted = scaled.table, scaled.cross.fitted
    x = encode_rows(fitted.encoder, table.x[index], table.codes[index])[1]
    standard = standardise_target(table.y[index], fitted.target_mean, fitted.target_std, table.n_classes)
    labels = torch.from_numpy(standard)
    target = targets(labels, max(table.n_classes, 1), not table.n_classes)
    return _Rows(x, target, labels, table.n_classes, torch.from_numpy(used), torch.from_numpy(unseen))


def _folds(rows: _Rows, seed: int) -> list[_Fold]:
    """The scale and the points of each fold, from its rows alone; all have as many points."""
    seen = [torch.nonzero(used)[:, 0] for used in rows.used]
    count = min(FOLD_POINTS, *(len(own) for own in seen))
    folds = []
    for k, own in enumerate(seen):
        draw = torch.Generator().manual_seed(seed + k)
        some = own[torch.randperm(len(own), generator=draw)[:RELEVANCE_ROWS]]
        scale = relevance(rows.x[some], rows.target[some])
        folds.append(_Fold(scale, _points(rows.x[own], scale, count, draw)))
    return folds


def relevance(x: Tensor, target: Tensor) -> Tensor:
    """How much each input (N, d) says of the target (N, C), as the scale of a kernel of width 1, (d,)."""
    variance = x.var(0)
    scale = torch.ones_like(variance) / variance.sum().clamp(min=1e-12).sqrt()
    target = (target - target.mean(0))[:, : n_sums(target.shape[1])]  # of two classes, one says all
    ridge = RELEVANCE_RIDGE * torch.eye(len(x))
    for _ in range(RELEVANCE_STEPS):
        scaled = x * scale
        near = gaussians(scaled, scaled)
        weight = torch.cholesky_solve(target, torch.linalg.cholesky(near + ridge))  # (N, C)
        slopes = torch.zeros_like(scale)
        for column in weight.T:
            pull = near * column  # (N, N): of each row, what the others add
            slopes += ((scaled * pull.sum(1, keepdim=True) - pull @ scaled) * scale).square().mean(0)
        telling = slopes**RELEVANCE_POWER
        telling = telling / telling.max().clamp(min=1e-30) + LEAST_RELEVANCE
        scale = (telling / (telling * variance).sum().clamp(min=1e-12)).sqrt()
    return scale


def _points(x: Tensor, scale: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Means of the rows (N, d) nearest to some drawn ones, (P, d)."""
    some = x[torch.randperm(len(x), generator=draw)[:count]]
    near = nearness(some * scale, x * scale).topk(min(NEAR, len(x))).indices
    return x[near].mean(1)


def _choose(rows: _Rows, folds: list[_Fold], scored: np.ndarray) -> tuple[float, float, Tensor]:
    """The width, the strength, and what they say of rows held out (N, C).

    The width is sought upwards from `FIRST_WIDTH`, else downwards, by squared error; of classes the strength is that of
    the logistic refinement.
    """
    found: dict[int, tuple[float, float, Tensor, Tensor]] = {}
    labels = rows.target[scored]

    def look(i: int) -> float:
        if not 0 <= i < len(WIDTHS):
            return torch.inf
        if i not in found:
            maps = torch.stack([fold.map(rows.x, WIDTHS[i]) for fold in folds])
            tried = []
            for ridge, heads in zip(RIDGES, rows.heads(maps), strict=True):
                outputs = rows.held_out(maps, heads)
                tried.append((float((outputs[scored] - labels).square().mean()), ridge, outputs, maps))
            found[i] = min(tried, key=lambda one: one[0])
        return found[i][0]

    at = FIRST_WIDTH
    way = 1 if look(at + 1) < look(at) else -1
    while look(at + way) < look(at):
        at += way
    _, strength, outputs, maps = found[at]
    if rows.n_classes:
        heads = rows.refined(maps, STRENGTHS)
        every = [rows.held_out(maps, own) for own in heads]
        losses = [mean_loss(own[scored], rows.labels[scored], rows.n_classes) for own in every]
        best = int(np.argmin(losses))
        strength, outputs = STRENGTHS[best], every[best]
    return WIDTHS[at], strength, outputs


def _final(scaled: Scaled, folds: list[_Fold], width: float, strength: float, seed: int) -> Kernel:
    """The kernel of all rows, at the mean of the folds' scales."""
    n, draw = len(scaled.table.y), torch.Generator().manual_seed(seed)
    index = torch.randperm(n, generator=draw)[:FINAL_ROWS].numpy()
    every = np.ones((1, len(index)), dtype=bool)
    rows = _rows(scaled, index, every, ~every)
    count = FOLD_POINTS if rows.n_classes else POINTS
    scale = torch.stack([fold.scale for fold in folds]).mean(0)
    fold = _Fold(scale, _points(rows.x, scale, min(count, len(index)), draw))
    maps = fold.map(rows.x, width)[None]
    if rows.n_classes:
        return fold.kernel(width, rows.refined(maps, (strength,))[0, 0])
    return fold.kernel(width, next(rows.heads(maps, (strength,)))[0])
