"""A whole row to features: numeric sources through `features`, categories through small tables.

`TableEncoder` is fitted on support rows and holds every preprocessing constant that an artifact carries; meta-training
and builds use the same one, so what the generator learned is what it meets.
Shapes: n rows, s numeric sources, c categorical columns, f full features, b flat features, L levels of a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.schema import MAX_LEVELS
from modelgpt_cli.domains.tabular.features import Z_CLIP, SourceStats, apply_sources, fit_sources, inverse_spread

MISSING, UNSEEN = -1, -2
"""Codes of a missing cell and of a level that the support doesn't hold."""


@dataclass(frozen=True)
class FeatureOrigin:
    """Where a feature comes from: a numeric source, or one level of a categorical column.

    `column` counts numeric sources from 0 and goes on with the categorical columns; `level` is -1 for the column as a
    whole (its value, or its being missing).
    """

    column: int
    level: int = -1


@dataclass
class TableEncoder:
    """Constants that turn raw cells into features.

    Attributes
    ----------
    sources : SourceStats
    tables : list of float32 (L + 2, f_c)
        Per categorical column, the flat features of each of the first `MAX_LEVELS` levels, then of a missing cell, then
        of any other level.
    origins : list of FeatureOrigin
        One per feature, full features first.
    """

    sources: SourceStats
    tables: list[np.ndarray]
    origins: list[FeatureOrigin]

    @property
    def n_full(self) -> int:
        """f, the number of full features."""
        return len(self.sources.full)

    @property
    def n_features(self) -> int:
        """d = f + b."""
        return len(self.origins)

    def state(self) -> dict[str, Tensor]:
        """The constants as tensors, named as in the artifact."""
        state = {f"sources.{f.name}": torch.from_numpy(getattr(self.sources, f.name)) for f in fields(SourceStats)}
        return state | {f"tables.{i}": torch.from_numpy(t) for i, t in enumerate(self.tables)}

    def apply(self, x: np.ndarray, codes: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Rows to features.

        Parameters
        ----------
        x : float (n, s)
        codes : int (n, c)
            Level codes, `MISSING`, or `UNSEEN`.

        Returns
        -------
        z, u : float32 (n, f)
        flat : float32 (n, b)
        """
        return encode(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(codes.astype(np.int64)), self.state())


def encode(x: Tensor, codes: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """`TableEncoder.apply` on tensors and a state; shared with the target model."""
    z, u, flat = apply_sources(x, {k[8:]: v for k, v in state.items() if k.startswith("sources.")})
    parts = [flat]
    for i in range(codes.shape[1]):
        table = state[f"tables.{i}"]
        n_levels, code = table.shape[0] - 2, codes[:, i]
        index = torch.where(code < n_levels, code, n_levels + 1)
        parts.append(table[torch.where(code < 0, n_levels - 1 - code, index)])
    return z, u, torch.cat(parts, 1)


def fit_encoder(
    x: np.ndarray, codes: np.ndarray, levels: Sequence[int], *, coded: bool = True, max_features: int = 2000
) -> TableEncoder:
    """Fit a `TableEncoder` on support rows.

    Parameters
    ----------
    x : float (n, s)
        Numeric sources, NaN = missing.
    codes : int (n, c)
        Level codes; negative = missing or unseen.
    levels : sequence of int (c,)
        Number of levels of each categorical column; the first `MAX_LEVELS` of each have a feature.
    coded : bool
        See `fit_sources`.
    max_features : int
        Rare levels are left out (neutral, as if unseen) until no more than this many features remain.
    """
    sources = fit_sources(x, coded=coded)
    s = x.shape[1]
    n_flat = len(sources.flat) + len(sources.coded) + len(sources.absent)
    # Further levels have statistics at most, and no feature of their own.
    counts = [np.bincount(codes[:, i][codes[:, i] >= 0], minlength=n)[:MAX_LEVELS] for i, n in enumerate(levels)]
    least = _least_count(counts, max_features - len(sources.full) - n_flat)

    origins = [FeatureOrigin(int(j)) for part in (sources.full, sources.flat, sources.coded) for j in part]
    origins += [FeatureOrigin(int(j)) for j in sources.absent]
    tables = []
    for i, count in enumerate(counts):
        table, kept = _level_table(count, int((codes[:, i] == MISSING).sum()), len(codes), least)
        tables.append(table)
        origins += [FeatureOrigin(s + i, level) for level in kept]
    return TableEncoder(sources, tables, origins)


def _least_count(counts: list[np.ndarray], budget: int) -> int:
    """The smallest level count that keeps the number of levels within the budget."""
    present = np.sort(np.concatenate([*counts, np.zeros(0, dtype=np.int64)]))[::-1]
    present = present[present > 0]
    if len(present) <= budget:
        return 1
    return int(present[max(budget, 0)]) + 1


def _level_table(count: np.ndarray, n_missing: int, n_rows: int, least: int) -> tuple[np.ndarray, list[int]]:
    """Flat features of one categorical column: float32 (L + 2, f_c), and each feature's level (-1: missing)."""
    kept = [int(level) for level in np.flatnonzero(count >= least)]
    if len(kept) == 2 and n_missing == 0 and np.count_nonzero(count) == 2:
        kept = kept[1:]  # the other level says the same
    if n_missing and kept:
        kept.append(-1)
    n_levels = len(count)
    table = np.zeros((n_levels + 2, len(kept)), dtype=np.float32)
    seen = np.append(count > 0, n_missing > 0)  # rows of levels and of the missing cell
    for j, level in enumerate(kept):
        p = (n_missing if level < 0 else count[level]) / max(n_rows, 1)
        indicator = np.zeros(n_levels + 1)
        indicator[n_levels if level < 0 else level] = 1.0
        value = np.clip((indicator - p) * inverse_spread(np.asarray(p)), -Z_CLIP, Z_CLIP) / 2
        table[: n_levels + 1, j] = np.where(seen, value, 0.0)
    return table, kept
