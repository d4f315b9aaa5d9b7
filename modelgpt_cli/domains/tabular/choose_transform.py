"""Which transform of its target a regression is learned in, between a table's arrays and `fit_model`.

Few candidates are proposed, the one by which a linear model is the likeliest on rows left out (the Jacobian counted, as
of Box and Cox 1964); whether it is used, the networks' likelihood and squared error on held-out rows decide.
Shapes: N rows, d inputs, K candidates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.metrics import regression_scores
from modelgpt_cli.domains.shared.target_scale import target_scale
from modelgpt_cli.domains.tabular.crossfit import CrossFit
from modelgpt_cli.domains.tabular.fit import RowStream, TableArrays, encode_rows
from modelgpt_cli.domains.tabular.target_transform import LIMIT, TargetTransform
from modelgpt_cli.parameter_generator.posterior import leave_one_out

MIN_ROWS = 50
"""With fewer rows, a transform can't be told from chance."""
PROPOSAL_ROWS = 2000
LEAST_GAIN = 0.05
"""Nats a row by which the likelihood must be above that of the plain target for a transform to be tried."""
MOST_LOSS = 0.02
"""By how much a likelier transform's squared error on held-out rows may be above that of the plain target: it is a
noisy figure, of the few largest targets, and transforms change R² by next to nothing in the mean of tables."""
MARGIN = 1.0
"""Standard deviations beyond the training rows' that a transformed prediction may reach: an exponential far outside is
no answer."""
SHIFTS = np.linspace(-0.5, 1.0, 61)
"""Shifts of a transformed prediction, in standard deviations of its errors, of which the best makes it a mean."""


@dataclass
class Scaled:
    """A cross-fit in the scale of the target that suits it.

    Attributes
    ----------
    cross : CrossFit
        Of `table`; its metrics are in the target's own unit, its residuals are of t.
    table : TableArrays
        With t as targets.
    transform : TargetTransform
        The plain one, with or without a range, where that is best or nothing is known.
    """

    cross: CrossFit
    table: TableArrays
    transform: TargetTransform


def best_scale(cross_fitted: Callable[[TableArrays], CrossFit], table: TableArrays) -> Scaled:
    """Cross-fit a regression in its plain scale and, where a transform is likelier, in that; keep the better one.

    Parameters
    ----------
    cross_fitted : callable
        Cross-fits a table, or makes one pass of it, which says nothing of scales.
    table : TableArrays
        With targets in their own unit.
    """
    y = table.y.astype(np.float64)
    plain = Scaled(cross_fitted(table), table, in_range(y))
    checked = plain.cross.checked
    if checked is None or checked.residuals is None:
        return plain
    error, likelihood = _judge(plain, y)
    proposed = None
    if target_scale(float(y.mean()), float(y.std())).dtype == torch.float32:
        proposed = propose(y, encode_rows(plain.cross.fitted.encoder, table.x, table.codes)[1])
    if proposed is None:
        return plain
    proposed = with_limits(proposed, proposed.forward(y))
    other_table = transformed(proposed, table)
    cross = cross_fitted(other_table)
    assert cross.checked is not None
    other = Scaled(cross, other_table, proposed)
    other_error, other_likelihood = _judge(other, y)
    if other_likelihood <= likelihood or other_error > (1 + MOST_LOSS) * error:
        return plain
    for name, metrics in checked.metrics.items():  # the baselines are those of the plain scale
        cross.checked.metrics.setdefault(name, metrics)
    return other


def _judge(scaled: Scaled, y: np.ndarray) -> tuple[float, float]:
    """Set shift and metrics of a cross-fit by what it predicts for rows held out.

    Return the mean squared error in the target's own unit, and the mean log-likelihood of normal errors of t.
    """
    checked = scaled.cross.checked
    assert checked is not None
    assert checked.residuals is not None
    rows = np.arange(len(y)) if checked.index is None else checked.index
    predicted = scaled.table.y[rows] - checked.residuals
    if scaled.transform.kind != "none":
        scaled.transform = with_mean(scaled.transform, predicted, y[rows])
        checked.metrics = {}
    answers = scaled.transform.backward(torch.from_numpy(predicted + scaled.transform.shift)).numpy()
    checked.metrics = {"model": regression_scores(answers, y[rows])} | {
        name: metrics for name, metrics in checked.metrics.items() if name != "model"
    }
    error = float(((answers - y[rows]) ** 2).mean())
    likelihood = -0.5 * math.log(max(float((checked.residuals**2).mean()), 1e-300))
    return error, likelihood + float(scaled.transform.log_slope(y[rows]).mean())


def transformed(transform: TargetTransform, table: TableArrays) -> TableArrays:
    """Return a table whose targets are t."""
    stream = table.stream
    return replace(table, y=transform.forward(table.y), stream=None if stream is None else _Stream(transform, stream))


@dataclass
class _Stream:
    """The rows of a stream, their targets transformed."""

    transform: TargetTransform
    rows: RowStream

    def __call__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for x, codes, y in self.rows():
            yield x, codes, np.clip(self.transform.forward(y), self.transform.least, self.transform.most)


def in_range(y: np.ndarray) -> TargetTransform:
    """Return the plain transform with the range that targets like these stay in: one sign, or shares of 1."""
    least, most = float(y.min()), float(y.max())
    if least >= 0:
        return TargetTransform(lower=0.0, upper=1.0 if most <= 1 else LIMIT)
    return TargetTransform(upper=0.0) if most <= 0 else TargetTransform()


def propose(y: np.ndarray, inputs: Tensor) -> TargetTransform | None:
    """Return the transform that makes a linear model likeliest on rows left out, if it does by enough.

    Parameters
    ----------
    y : float64 (N,)
    inputs : Tensor (N, d)
        Standardised columns.
    """
    if len(y) < MIN_ROWS or y.min() == y.max():
        return None
    if len(y) > PROPOSAL_ROWS:
        rows = np.random.default_rng(0).permutation(len(y))[:PROPOSAL_ROWS]
        y, inputs = y[rows], inputs[torch.from_numpy(rows)]
    plain = in_range(y)
    candidates = [plain, *(replace(c, lower=plain.lower, upper=plain.upper) for c in _candidates(y))]
    t = np.stack([c.forward(y) for c in candidates], 1)  # (N, K)
    centre, spread = t.mean(0), np.maximum(t.std(0), 1e-30)
    target = torch.from_numpy((t - centre) / spread)
    phi = torch.cat([inputs.double(), torch.ones(len(y), 1, dtype=torch.float64)], 1)
    precision = torch.ones(1, phi.shape[1], dtype=torch.float64)
    precision[:, -1] = 1e-3
    residuals = leave_one_out(phi[None], target[None], precision)[0].numpy() * spread
    fit = -0.5 * np.log(np.maximum((residuals**2).mean(0), 1e-300))
    likelihood = fit + np.array([c.log_slope(y).mean() for c in candidates])  # nats a row
    best = int(likelihood.argmax())
    return candidates[best] if likelihood[best] > likelihood[0] + LEAST_GAIN else None


def _candidates(y: np.ndarray) -> list[TargetTransform]:
    least, most, middle = float(y.min()), float(y.max()), float(np.median(y))
    std = float(y.std())
    found = []
    if least >= 0 and most <= 1:
        edge = 0.0 if least > 0 and most < 1 else 0.5 / len(y)
        found.append(TargetTransform("logit", -edge, 1 + 2 * edge))
    if least >= 0 and middle > 0:
        offsets = [0.1 * middle, middle]
        offsets += [0.0] if least > 0.01 * middle else []
        offsets += [1.0] if (y == np.round(y)).all() else []
        found += [TargetTransform("log", -c) for c in offsets]
        # The root's slope at 0 has no end: a likelihood there would be as high as one likes.
        found.append(TargetTransform("sqrt", 0.0 if least > 0.01 * middle else -min(offsets[0], 0.375)))
    else:
        found += [TargetTransform("log", least - c * std) for c in (0.1, 1.0)]
    found += [TargetTransform("log", most + c * std, -1.0) for c in (0.1, 1.0)]
    width = float(np.subtract(*np.quantile(y, [0.75, 0.25]))) or std
    found.append(TargetTransform("asinh", middle, width))
    return found


def with_limits(transform: TargetTransform, t: np.ndarray) -> TargetTransform:
    """Return a transform that is held near the training rows' t."""
    margin = MARGIN * float(t.std())
    return replace(transform, least=float(t.min()) - margin, most=float(t.max()) + margin)


def with_mean(transform: TargetTransform, predicted: np.ndarray, y: np.ndarray) -> TargetTransform:
    """Return a transform whose shift makes predicted t of held-out rows the nearest to their targets, in squares."""
    error = float(np.std(transform.forward(y) - predicted))
    losses = []
    for shift in SHIFTS * error:
        answers = transform.backward(torch.from_numpy(predicted + shift)).numpy()
        losses.append(float(((answers - y) ** 2).mean()))
    best = int(np.argmin(losses))
    return replace(transform, shift=float(SHIFTS[best]) * error) if math.isfinite(losses[best]) else transform
