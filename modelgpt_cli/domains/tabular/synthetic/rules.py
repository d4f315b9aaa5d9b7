"""Rule tasks of the synthetic prior, and rows that repeat: what trees and look-up tables are good at.

Letters: n rows, d design columns, m conditions, k scores (see `prior_functions`).
"""

from __future__ import annotations

import numpy as np

from modelgpt_cli.domains.tabular.synthetic.columns import Table, draw_inputs, draw_numeric
from modelgpt_cli.domains.tabular.synthetic.config import PriorConfig
from modelgpt_cli.domains.tabular.synthetic.functions import Ask, Drawn

KINDS = ("parity", "table", "list", "products", "compare", "board")


def draw_rules(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """Scores by a rule on few columns: parity, a truth table, a decision list, products, comparisons, boards."""
    if rng.random() < 0.3:  # switches and answers: every column has two values
        design = np.sign(draw_numeric(rng, ask.n, ask.width)) + np.float32(0.0)
        table = Table(design, np.zeros((ask.n, 0), np.int64), [])
    else:
        table, design = draw_inputs(rng, ask.n, ask.width, config)
    d = design.shape[1]
    m = min(d, int(rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.4, 0.3, 0.15, 0.1])))
    columns = rng.permutation(d)[:m]
    kind = str(rng.choice(KINDS))
    scores = np.stack([_scores(rng, kind, design[:, columns]) for _ in range(ask.k)], axis=1)
    if rng.random() < 0.25:  # beside a little that is linear
        slope = rng.standard_normal((d, ask.k), dtype=np.float32) * np.float32(rng.uniform(0.05, 0.4) / d**0.5)
        scores = scores + design @ slope
    return Drawn(table, scores.astype(np.float32))


def _scores(rng: np.random.Generator, kind: str, x: np.ndarray) -> np.ndarray:
    """One score (n,) of a rule on columns (n, m)."""
    n, m = x.shape
    if kind == "products":
        scores: np.ndarray = np.sign(x[:, : min(m, 3)]).prod(1) if rng.random() < 0.5 else x[:, : min(m, 2)].prod(1)
        return scores
    if kind == "compare" and m > 1:
        return (x[:, 0] > x[:, 1]).astype(np.float32) if m == 2 or rng.random() < 0.5 else x.argmax(1) % 2
    if kind == "board":  # cells of a grid, coloured in turn or at random
        cells = np.floor(x[:, : min(m, 2)] * rng.uniform(0.6, 1.6) + rng.random()).astype(np.int64)
        if rng.random() < 0.5:
            scores = cells.sum(1) % 2
            return scores
        colours = rng.standard_normal((16, 16))
        return colours[cells[:, 0] % 16, cells[:, -1] % 16]
    holds = x > x[rng.integers(0, n, m), np.arange(m)] if rng.random() < 0.4 else x > np.median(x, axis=0)
    if kind == "list":  # the first condition that holds decides
        first = np.where(holds.any(1), holds.argmax(1), m)
        scores = rng.standard_normal(m + 1)[first]
    elif kind == "parity":
        scores = holds[:, : min(m, 4)].sum(1) % 2
    else:
        scores = rng.standard_normal(2**m)[holds @ (2 ** np.arange(m))]
    return scores


def repeat_rows(rng: np.random.Generator, y: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Which row each row (n,) is a copy of, mostly itself, and the targets, which don't always agree among copies."""
    n = len(y)
    copies = np.flatnonzero(rng.random(n) < rng.uniform(0.05, 0.5))
    sources = rng.integers(0, n, len(copies))
    rows = np.arange(n)
    rows[copies] = sources
    copied = y[rows]
    noisy = copies[rng.random(len(copies)) < rng.uniform(0.0, 0.4)]
    copied[noisy] = rng.permutation(y)[noisy]
    if n_classes and np.bincount(copied, minlength=n_classes).min() < min(4, n // n_classes):
        return np.arange(n), y
    if not n_classes and np.ptp(copied) < 1e-4:
        return np.arange(n), y
    return rows, copied
