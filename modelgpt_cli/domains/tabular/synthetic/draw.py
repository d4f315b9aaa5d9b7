"""The synthetic prior for tables: where meta-training tasks come from when there is no data at all.

`draw_task` → a family's mechanism (`prior_functions`) → targets (here) → the look of real tables (`prior_columns`).
numpy alone; every draw comes from the generator it is handed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.synthetic.columns import Table, dress, standardise
from modelgpt_cli.domains.tabular.synthetic.config import FAMILIES, PriorConfig
from modelgpt_cli.domains.tabular.synthetic.functions import MECHANISMS, Ask, Drawn
from modelgpt_cli.domains.tabular.synthetic.rules import draw_rules, repeat_rows

__all__ = ["FAMILIES", "PriorConfig", "SyntheticTask", "draw_task"]

ROWS_PER_CLASS = 4
"""Every class gets at least this many rows where there are enough, so that both halves of a split hold it."""

_DEFAULT = PriorConfig()


@dataclass
class SyntheticTask:
    """One synthetic table with its target."""

    x: np.ndarray
    """float32 (n, d_numeric): raw numeric columns, NaN = missing; any scale."""
    codes: np.ndarray
    """int64 (n, d_categorical): level codes, -1 = missing."""
    levels: tuple[int, ...]
    """Number of levels of each categorical column."""
    y: np.ndarray
    """int64 (n,) in [0, n_classes) for classification; float32 (n,), standardised, within about ±5, for regression."""
    n_classes: int
    """0 = regression."""
    family: str
    """Which mechanism made it."""


def draw_task(
    rng: np.random.Generator,
    *,
    n_rows: int,
    n_classes: int,
    max_features: int = 24,
    config: PriorConfig = _DEFAULT,
) -> SyntheticTask:
    """Draw one task.

    Parameters
    ----------
    n_rows : int
        Rows, at least 4 and at least `n_classes`.
    n_classes : int
        0 for regression, else 2 or more.
    max_features : int
        Bound on the one-hot width: numeric columns plus levels (a two-level column counts 1); at least 2.

    Raises
    ------
    UsageError
        If a size makes no task.
    """
    if n_classes < 0 or n_classes == 1:
        raise UsageError("n_classes must be 0 (regression) or at least 2", cause=f"got {n_classes}")
    if n_rows < max(4, n_classes):
        raise UsageError("n_rows must be at least 4 and at least n_classes", cause=f"got {n_rows}")
    if max_features < 2:
        raise UsageError("max_features must be at least 2", cause=f"got {max_features}")
    weights = np.array([config.weights.get(f, 0.0) for f in FAMILIES])
    family = str(rng.choice(FAMILIES, p=weights / weights.sum()))
    attempt = 0
    while True:
        task = _try_task(rng, family, n_rows, n_classes, max_features, config, lenient=attempt >= 6)
        if task is not None:
            return task
        attempt += 1


def _try_task(
    rng: np.random.Generator, family: str, n: int, n_classes: int, max_features: int, config: PriorConfig, lenient: bool
) -> SyntheticTask | None:
    """One draw; None where the target came out constant, the classes too uneven, or no column was left."""
    width = _draw_width(rng, max_features)
    core = width
    if rng.random() < config.p_distractors:
        core = max(min(2, width), int(width * rng.uniform(0.15, 0.9)))
    k = n_classes if n_classes > 2 and rng.random() < 0.65 else 1
    drawn = (draw_rules if family == "rules" else MECHANISMS[family])(rng, Ask(n, k, core, n_classes), config)
    y = _classes(rng, drawn, n_classes, config, lenient) if n_classes else _numbers(rng, drawn, config)
    if y is None:
        return None
    table = dress(rng, drawn.table, width, config)
    if table.width == 0:
        return None
    rows = rng.permutation(n)
    if config.p_duplicates and rng.random() < config.p_duplicates:
        copied, y = repeat_rows(rng, y, n_classes)
        table = Table(table.x[copied], table.codes[copied], table.levels)
    x, codes = np.ascontiguousarray(table.x[rows], np.float32), np.ascontiguousarray(table.codes[rows], np.int64)
    return SyntheticTask(x, codes, tuple(table.levels), y[rows], n_classes, family)


def _draw_width(rng: np.random.Generator, max_features: int) -> int:
    """One-hot width of a task: every size up to the bound, smaller ones somewhat more often."""
    if rng.random() < 0.5:
        return int(rng.integers(2, max_features + 1))
    return min(max_features, int(np.exp(rng.uniform(np.log(2), np.log(max_features + 1)))))


def _noise_level(rng: np.random.Generator, config: PriorConfig) -> float:
    """Noise on standardised scores, in standard deviations: mostly none to small, sometimes more than the signal."""
    if rng.random() >= config.p_noise:
        return 0.0
    return float(np.exp(rng.normal(-1.3, 0.9)).clip(0.01, 2.5))


def _numbers(rng: np.random.Generator, drawn: Drawn, config: PriorConfig) -> np.ndarray | None:
    """A regression target, float32 (n,), or None where the score is constant."""
    score = drawn.scores[:, 0]
    if not np.isfinite(score).all() or np.ptp(score) < 1e-4:
        return None
    y = np.clip(standardise(score), -5, 5)
    if rng.random() < 0.25:  # skewed: prices, counts, durations
        y = np.exp(y * np.float32(rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.8)))
    y = standardise(y)
    noise = rng.standard_normal(len(y), dtype=np.float32) * np.float32(_noise_level(rng, config))
    if rng.random() < 0.25 and drawn.table.x.shape[1]:  # heteroscedastic
        driver = drawn.table.x[:, rng.integers(drawn.table.x.shape[1])]
        noise *= np.exp(np.clip(standardise(driver), -2, 2) * np.float32(rng.uniform(0.2, 0.8)))
    elif rng.random() < 0.1:  # heavy-tailed
        noise *= (1.0 / np.sqrt(rng.chisquare(3.0, len(y)) / 3.0)).astype(np.float32)
    y = np.clip(standardise(y + noise), -5, 5)
    if rng.random() < 0.1:
        y = np.rint(y * np.float32(rng.uniform(1.0, 10.0)))
    return np.clip(standardise(y), -5, 5) if np.ptp(y) > 1e-4 else None


def _classes(
    rng: np.random.Generator, drawn: Drawn, n_classes: int, config: PriorConfig, lenient: bool
) -> np.ndarray | None:
    """A classification target, int64 (n,), every class present; None where too many rows would need a new label."""
    scores = drawn.scores
    if drawn.labels is not None:
        labels = drawn.labels
    else:
        if not np.isfinite(scores).all() or np.ptp(scores, axis=0).min() < 1e-4:
            return None
        scores = standardise(scores)
        if noise := _noise_level(rng, config):
            scores = scores + rng.standard_normal(scores.shape, dtype=np.float32) * np.float32(noise)
        labels = _bin(rng, scores[:, 0], n_classes) if scores.shape[1] == 1 else _argmax(rng, scores)
    if rng.random() < config.p_label_noise:
        share = np.exp(rng.uniform(np.log(0.005), np.log(0.2)))
        labels = np.where(rng.random(len(labels)) < share, rng.permutation(labels), labels)
    floor = min(ROWS_PER_CLASS, len(labels) // n_classes)
    lacking = np.maximum(floor - np.bincount(labels, minlength=n_classes), 0).sum()
    if lacking > 1 + 0.03 * len(labels) and not lenient:
        return None
    classes: np.ndarray = rng.permutation(n_classes)[_fill_classes(rng, labels, n_classes, floor)]
    return classes


def _bin(rng: np.random.Generator, score: np.ndarray, n_classes: int) -> np.ndarray:
    """Classes (n,) by cutting one score: in order, or (one in four) more pieces than classes, dealt out at random."""
    if n_classes == 2:
        draw = rng.random()
        low, high = (0.4, 0.6) if draw < 0.45 else (0.15, 0.5) if draw < 0.8 else (0.05, 0.15)
        shares = np.array([rng.uniform(low, high), 0.0])
        shares[1] = 1.0 - shares[0]
    else:
        shares = rng.dirichlet(np.full(n_classes, rng.choice([2.0, 5.0, 50.0])))
    pieces = np.arange(n_classes)
    if rng.random() < 0.25:
        extra = int(rng.integers(1, max(2, min(n_classes, 4)) + 1))
        pieces = rng.permutation(np.concatenate([pieces, rng.integers(0, n_classes, extra)]))
        shares = shares[pieces] / np.bincount(pieces)[pieces]
    values, counts = np.unique(score, return_counts=True)
    below = np.cumsum(counts) / len(score)  # share of rows up to and including each value: cuts fall between values
    cuts = np.abs(below[:-1] - np.cumsum(shares)[:-1, None]).argmin(1) if len(values) > 1 else np.zeros(0, int)
    return pieces[np.searchsorted(values[cuts], score)]


def _argmax(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """Classes (n,) by the largest of k scores, with biases moved towards random class shares."""
    k = scores.shape[1]
    wanted = rng.dirichlet(np.full(k, rng.choice([1.0, 3.0, 20.0])))
    bias = np.zeros(k, np.float32)
    for _ in range(5):
        shares = np.bincount((scores + bias).argmax(1), minlength=k) / len(scores)
        bias += (0.4 * np.log((wanted + 0.02) / (shares + 0.02))).astype(np.float32)
    classes: np.ndarray = (scores + bias).argmax(1)
    return classes


def _fill_classes(rng: np.random.Generator, labels: np.ndarray, n_classes: int, floor: int) -> np.ndarray:
    """Relabel as few random rows as it takes to give each class `floor` rows, taking them from the largest classes."""
    labels = labels.astype(np.int64)
    counts = np.bincount(labels, minlength=n_classes)
    for c in np.flatnonzero(counts < floor):
        while counts[c] < floor:
            giver = int(counts.argmax())
            row = rng.choice(np.flatnonzero(labels == giver))
            labels[row] = c
            counts[giver] -= 1
            counts[c] += 1
    return labels
