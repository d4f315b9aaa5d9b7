"""Raw cells to features: the constants fitted on support rows, and the channels that every feature offers.

Stands between a typed frame (or a synthetic task) and the hypernetwork. Two kinds of features leave here:

* *full* features (numeric columns with more than two values) offer all `CHANNELS` non-linear channels,
* *flat* features (one-hot levels, indicators, two-valued columns) offer the first channel alone, z / 2.

Shapes: n rows, s numeric sources, f full features, b flat features, d = f + b features, K channels, Q knots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KNOTS = 16
Z_CLIP = 6.0
CELL_LIMIT = 1e37
"""Cells are clipped to +- this, so that float32 differences between them stay finite."""
MAX_CODED_VALUES = 10
"""A numeric column of whole numbers with 3 to this many values also gets one indicator per value."""


@dataclass(frozen=True)
class SourceStats:
    """Constants of the numeric sources, fitted on support rows; all float32.

    Attributes
    ----------
    mean, inv_std : (s,)
        Standardisation; NaN-aware, `inv_std` is 0 for a source without spread.
    knots, inv_width, offset : (f, Q - 1)
        Segments of the piecewise-linear empirical CDF of the full sources, which is the mean over segments of
        ``clip((x - knot) * inv_width + offset, 0, 1)``. A segment of no width is a step with its middle at the knot.
    full, flat : int64 (f,), (b0,)
        Which sources are full features, and which two-valued ones are flat.
    coded : int64 (e,)
        Sources of the value indicators, with their values in `coded_value` (e,).
    absent : int64 (m,)
        Sources that get an indicator of missing cells.
    flat_mean, flat_inv_std : (e + m,)
        Standardisation of the value and missing indicators.
    """

    mean: np.ndarray
    inv_std: np.ndarray
    knots: np.ndarray
    inv_width: np.ndarray
    offset: np.ndarray
    full: np.ndarray
    flat: np.ndarray
    coded: np.ndarray
    coded_value: np.ndarray
    absent: np.ndarray
    flat_mean: np.ndarray
    flat_inv_std: np.ndarray


def fit_sources(values: np.ndarray, *, coded: bool = True) -> SourceStats:
    """Fit the constants of numeric sources.

    Parameters
    ----------
    values : float (n, s)
        Support rows; NaN = missing. Must be within float32's range.
    coded : bool
        Whether columns of few whole numbers also get an indicator per value.
    """
    x = np.clip(values.astype(np.float64), -CELL_LIMIT, CELL_LIMIT)
    present = ~np.isnan(x)
    count = np.maximum(present.sum(0), 1)
    filled = np.where(present, x, 0.0)
    mean = filled.sum(0) / count
    std = np.sqrt((np.where(present, x - mean, 0.0) ** 2).sum(0) / count)
    inv_std = np.where(std > 1e-7 * np.maximum(np.abs(mean), 1e-30), 1.0 / np.maximum(std, 1e-35), 0.0)

    full, flat, coded_source, coded_value = _sort_sources(x, present, coded)
    knots, inv_width, offset = _fit_knots(x, present, full, std)

    absent = np.flatnonzero((~present).any(0) & present.any(0))
    indicators = np.concatenate(
        [(x[:, coded_source] == coded_value).astype(np.float64), (~present[:, absent]).astype(np.float64)], axis=1
    )
    p = indicators.mean(0) if len(x) else np.zeros(indicators.shape[1])
    return SourceStats(
        mean=mean.astype(np.float32),
        inv_std=inv_std.astype(np.float32),
        knots=knots,
        inv_width=inv_width,
        offset=offset,
        full=full,
        flat=flat,
        coded=coded_source,
        coded_value=coded_value.astype(np.float32),
        absent=absent,
        flat_mean=p.astype(np.float32),
        flat_inv_std=inverse_spread(p).astype(np.float32),
    )


def inverse_spread(p: np.ndarray) -> np.ndarray:
    """1 / standard deviation of indicators with mean `p`; 0 where an indicator never varies."""
    variance = p * (1 - p)
    return np.where(variance > 0, 1 / np.sqrt(np.maximum(variance, 1e-12)), 0.0)


def _sort_sources(
    x: np.ndarray, present: np.ndarray, coded: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tell full sources from two-valued ones, and find the value indicators."""
    full, flat, source, value = [], [], [], []
    for j in range(x.shape[1]):
        column = x[present[:, j], j]
        if len(column) and len(np.unique(column[:256])) > MAX_CODED_VALUES:
            full.append(j)
            continue
        levels = np.unique(column)
        if len(levels) <= 2:
            flat.append(j)
            continue
        full.append(j)
        if coded and len(levels) <= MAX_CODED_VALUES and np.all(levels == np.round(levels)):
            source += [j] * len(levels)
            value += levels.tolist()
    index = [np.asarray(part, dtype=np.int64) for part in (full, flat, source)]
    return index[0], index[1], index[2], np.asarray(value, dtype=np.float64)


def _fit_knots(
    x: np.ndarray, present: np.ndarray, full: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles of the full sources as CDF segments, float32 (f, Q - 1) each."""
    at = np.linspace(0, 1, KNOTS)
    quantiles = np.zeros((len(full), KNOTS))
    complete = present[:, full].all(0)
    if complete.any():
        quantiles[complete] = np.quantile(x[:, full[complete]], at, axis=0).T
    for i in np.flatnonzero(~complete):
        column = x[present[:, full[i]], full[i]]
        quantiles[i] = np.quantile(column, at) if len(column) else 0.0
    # The graph sees float32 cells, so knots are rounded first: a segment narrower than float32 can tell is a step.
    q = quantiles.astype(np.float32).astype(np.float64)
    width = q[:, 1:] - q[:, :-1]
    floor = np.maximum(std[full][:, None] * 1e-5, 1e-30)
    step = width <= floor
    inv_width = 1.0 / np.where(step, floor, width)
    return (
        q[:, :-1].astype(np.float32),
        np.minimum(inv_width, 3e38).astype(np.float32),
        np.where(step, 0.5, 0.0).astype(np.float32),
    )


def apply_sources(values: Tensor, stats: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Numeric sources to features; the torch twin of what the exported graph does.

    Parameters
    ----------
    values : float32 (n, s)
        Raw sources, NaN = missing.
    stats : dict of Tensor
        The fields of `SourceStats`.

    Returns
    -------
    z : (n, f)
        Standardised full features, clipped to +-`Z_CLIP`, 0 where missing.
    u : (n, f)
        Their empirical CDF in [-1, 1]; NaN where the cell is missing.
    flat : (n, b)
        Flat features, already on the scale of the first channel (z / 2).
    """
    missing = torch.isnan(values)
    x = torch.where(missing, stats["mean"], values).clamp(-CELL_LIMIT, CELL_LIMIT)
    z = ((x - stats["mean"]) * stats["inv_std"]).clamp(-Z_CLIP, Z_CLIP)

    full = stats["full"]
    segment = (x[:, full, None] - stats["knots"]) * stats["inv_width"] + stats["offset"]
    u = segment.clamp(0, 1).mean(-1) * 2 - 1
    u = torch.where(missing[:, full], torch.nan, u)

    coded = (values[:, stats["coded"]] == stats["coded_value"]).float()
    absent = missing[:, stats["absent"]].float()
    indicators = (torch.cat([coded, absent], 1) - stats["flat_mean"]) * stats["flat_inv_std"]
    indicators = indicators.clamp(-Z_CLIP, Z_CLIP)
    return z[:, full], u, torch.cat([z[:, stats["flat"]], indicators], 1) / 2


def channels(z: Tensor, u: Tensor) -> Tensor:
    """The `CHANNELS` views of full features.

    Parameters
    ----------
    z, u : (..., f)
        Standardised value and empirical CDF (NaN = missing: every channel is 0 there).

    Returns
    -------
    Tensor (..., f, K)
        z / 2, tanh 1.5 z, u, sin πu, cos πu, sin 2πu, cos 2πu, tanh 4u.
    """
    present = ~torch.isnan(u)
    u = torch.nan_to_num(u)
    a = torch.pi * u
    views = [
        z / 2,
        torch.tanh(1.5 * z),
        u,
        torch.sin(a),
        torch.cos(a),
        torch.sin(2 * a),
        torch.cos(2 * a),
        torch.tanh(4 * u),
    ]
    return torch.stack(views, -1) * present[..., None]
