"""Conformal prediction intervals for regression: how far ``lower`` and ``upper`` must be to hold a share of the truth.

The residuals of held-out rows, which a build has from its cross-validation anyway, say how far the model is off; their
conformal quantiles on either side are the bounds (cross-validated residuals as in the jackknife+ and CV+ of Barber et
al. 2021, around the prediction of the whole model). Each residual is first divided by the spread expected at its row
(normalised scores, Papadopoulos et al. 2002), so that the interval is narrow where the model is sure. Where the target
was transformed, all this is of t; turned back, the bounds lie unevenly around the prediction.
Shapes: N rows, d features, p = d + 3 inputs of the spread.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.crossfit import CrossValidation
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.model import INTERVAL, SPREAD, TabularModel, spread_inputs

log = logging.getLogger("modelgpt")
DEFAULT_COVERAGE = 0.9
MIN_SPREAD_ROWS = 50
"""With fewer rows every interval is equally wide."""
MAX_SPREAD_FEATURES = 300
"""In wider tables the spread depends on the prediction alone."""
_RIDGES = tuple(10.0**k for k in range(-1, 7))
TEMPERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""What the logarithm of the spread is multiplied by, about its mean: the one whose held-out interval scores best. That
logarithm is told by small residuals as much as by large ones, on which alone an interval depends."""
_FLOOR = 0.1
"""Added to residuals in units of their mean: the logarithm of one that is zero by chance must not count for much."""


def check_coverage(coverage: float) -> None:
    """Make sure that it is a share of rows, or 0 for no interval.

    Raises
    ------
    UsageError
        It is not.
    """
    if not 0 <= coverage < 1:
        raise UsageError(
            f"--coverage can't be {coverage:g}.",
            "It is the share of true values that shall lie between lower and upper.",
            "Give a number such as 0.9; 0 leaves the interval out.",
        )


def conformal_quantile(scores: np.ndarray, coverage: float) -> float | None:
    """The ceil((N + 1) coverage)-th smallest score: a new score is at most that with probability `coverage` or more.

    Parameters
    ----------
    scores : (N,)
        Of held-out rows, exchangeable with new ones.

    Returns
    -------
    float or None
        None where the rows are too few for the coverage.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, rank - 1)[rank - 1]) if 1 <= rank <= len(scores) else None


def two_quantiles(scores: np.ndarray, coverage: float) -> tuple[float, float] | None:
    """The signed scores (N,) that a new one is below, or above, with half the probability left each.

    Where the rows are too few for that, as far from zero on both sides. None where they are too few for the coverage.
    """
    below, above = (conformal_quantile(side, (1 + coverage) / 2) for side in (-scores, scores))
    if below is None or above is None:
        below = above = conformal_quantile(np.abs(scores), coverage)
    return None if below is None or above is None else (-below, above)


def rows_needed(coverage: float) -> int:
    """The fewest held-out rows that an interval of this coverage can be made from."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def add_interval(model: TabularModel, table: TableArrays, checked: CrossValidation | None, coverage: float) -> str:
    """Give a regression model its interval, or none where the rows don't suffice.

    Parameters
    ----------
    model : TabularModel
        Changed in place.
    table : TableArrays
        The rows that were cross-validated.
    checked : CrossValidation, optional
        With `residuals`, of the transformed target where it was transformed, and their rows.
    coverage : float
        Share of true values that the interval holds; 0 for no interval.

    Returns
    -------
    str
        What the user must be told; empty if all is as asked for.
    """
    drop_interval(model)
    if not coverage:
        return ""
    rows = 0 if checked is None or checked.residuals is None else len(checked.residuals)
    if checked is None or checked.residuals is None or rows < rows_needed(coverage):
        return (
            f"No prediction interval: a coverage of {coverage:.4g} takes {rows_needed(coverage)} cross-validated rows "
            f"or more, there are {rows}."
        )
    residuals = checked.residuals
    index = np.arange(rows) if checked.index is None else checked.index
    held_out = table.take(index)
    inputs = _spread_inputs(model, held_out, residuals)
    weight, limits, spread = _tempered(*_fit_spread(inputs, np.abs(residuals)), residuals, coverage)
    quantiles = two_quantiles(residuals / spread, coverage)
    assert quantiles is not None
    model.constants[SPREAD] = torch.from_numpy(weight.astype(np.float32))[:, None]
    model.constants[INTERVAL] = torch.tensor([*quantiles, *limits], dtype=torch.float32)
    middle = model.transform.forward(held_out.y) - residuals
    lower, upper = (model.transform.backward(torch.from_numpy(middle + spread * q)) for q in quantiles)
    width = float((upper - lower).abs().mean())
    model.blueprint = replace(model.blueprint, interval={"coverage": coverage, "mean_width": width, "rows": rows})
    return ""


def drop_interval(model: TabularModel) -> None:
    """Take a model's interval away."""
    model.constants.pop(INTERVAL, None)
    model.constants.pop(SPREAD, None)
    model.blueprint = replace(model.blueprint, interval={})


def _spread_inputs(model: TabularModel, table: TableArrays, residuals: np.ndarray) -> np.ndarray:
    """What the spread is told from, float64 (N, p), with the held-out predictions as the graph has its own."""
    with torch.inference_mode():
        linear = model.encode(torch.from_numpy(table.x), torch.from_numpy(table.codes))[1]
        mean, std = model.constants["target"]
        scores = (torch.from_numpy(model.transform.forward(table.y) - residuals) - mean.double()) / std.double()
        inputs: Tensor = spread_inputs(linear, scores[:, None].to(linear.dtype))
    return inputs.double().numpy()


def _tempered(
    weight: np.ndarray, limits: list[float], spread: np.ndarray, residuals: np.ndarray, coverage: float
) -> tuple[np.ndarray, list[float], np.ndarray]:
    """Return weight, limits and spread (N,) of `_fit_spread`, as steep as gives the best interval score.

    The score (Gneiting and Raftery 2007) is the width, and 2 / (1 - coverage) times what residuals lie beyond it.
    """
    if not weight.any():
        return weight, limits, spread
    middle = float(np.log(spread).mean())
    best: tuple[float, float, np.ndarray] | None = None
    for temper in TEMPERS:
        tempered = np.exp(middle + temper * (np.log(spread) - middle))
        quantiles = two_quantiles(residuals / tempered, coverage)
        assert quantiles is not None
        lower, upper = (tempered * q for q in quantiles)
        beyond = np.maximum(lower - residuals, 0) + np.maximum(residuals - upper, 0)
        score = float((upper - lower + 2 / (1 - coverage) * beyond).mean())
        if best is None or score < best[0]:
            best = score, temper, tempered
    assert best is not None
    bias, least, most = (middle * (1 - best[1]) + best[1] * limit for limit in limits)
    return weight * best[1], [bias, least, most], best[2]


def _fit_spread(inputs: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, list[float], np.ndarray]:
    """Ridge regression on the logarithm of absolute residuals, its strength chosen by leave-one-out error.

    Returns
    -------
    weight : (p,)
    limits : [bias, least, most]
        Of the logarithm.
    spread : (N,)
        At each row, left out.
    """
    N, p = inputs.shape
    unit = float(residuals.mean())
    if N < MIN_SPREAD_ROWS or unit <= 0:
        return np.zeros(p), [0.0, 0.0, 0.0], np.ones(N)
    target = np.log(residuals / unit + _FLOOR)
    used = slice(0, p) if p <= MAX_SPREAD_FEATURES else slice(p - 3, p)
    centre = inputs[:, used].mean(0)
    x, y = inputs[:, used] - centre, target - target.mean()
    values, vectors = np.linalg.eigh(x.T @ x)
    turned = x @ vectors  # (N, p'), columns orthogonal
    moment = turned.T @ y
    best = None
    for ridge in _RIDGES:
        inverse = 1 / (np.maximum(values, 0) + ridge)
        leverage = np.minimum((turned**2) @ inverse + 1 / N, 0.99)
        left_out = y - (y - turned @ (inverse * moment)) / (1 - leverage)
        error = float(((y - left_out) ** 2).mean())
        if best is None or error < best[0]:
            best = error, vectors @ (inverse * moment), left_out + target.mean()
    assert best is not None
    weight = np.zeros(p)
    weight[used] = best[1]
    low, high = np.quantile(best[2], [0.01, 0.99])
    limits = np.array([target.mean() - centre @ best[1], low, high]) + math.log(unit)
    return weight, [float(v) for v in limits], np.exp(np.clip(best[2], low, high)) * unit
