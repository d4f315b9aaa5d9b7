"""Columns of the synthetic prior: latent inputs on the way in, the look of real tables on the way out.

Mechanisms (`prior_functions`) compute targets from clean latent columns; `dress` then makes the observed table:
distractors, discretised columns, warps, outliers, missing cells. Letters: n rows, d numeric columns, c categorical.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelgpt_cli.domains.tabular.synthetic.config import PriorConfig


@dataclass
class Table:
    """Columns on their way from a mechanism to the observed table."""

    x: np.ndarray  # float32 (n, d)
    codes: np.ndarray  # int64 (n, c), -1 = missing
    levels: list[int]  # c

    @property
    def width(self) -> int:
        """Its one-hot width: a numeric or two-level column counts 1, a column of L levels L."""
        width: int = self.x.shape[1] + sum(column_width(levels) for levels in self.levels)
        return width


def column_width(levels: int) -> int:
    """One-hot width of a categorical column."""
    return 1 if levels == 2 else levels


def standardise(x: np.ndarray) -> np.ndarray:
    """Centre and scale columns (n, k); constant ones become zero."""
    x = x - x.mean(0)
    scaled: np.ndarray = (x / np.maximum(np.sqrt((x * x).mean(0)), 1e-6)).astype(np.float32)
    return scaled


def draw_levels(rng: np.random.Generator, room: int, config: PriorConfig) -> int:
    """How many levels a categorical column gets: mostly few, never wider than `room` (at least 2)."""
    top = config.max_levels * (2 if rng.random() < 0.02 else 1)
    levels = 2 if rng.random() < 0.3 else 3 + int(rng.exponential(3.5))
    if top > config.max_levels:
        levels = int(rng.integers(config.max_levels, top + 1))
    levels = min(levels, top)
    return levels if column_width(levels) <= room else max(2, room)


def draw_codes(rng: np.random.Generator, n: int, levels: int, config: PriorConfig) -> np.ndarray:
    """Codes (n,) with level frequencies from nearly even to a few common levels and a long tail."""
    if config.p_rare and rng.random() < config.p_rare:
        shares = rng.permutation(np.arange(1.0, levels + 1) ** -rng.uniform(1.5, 3.5))
        return rng.choice(levels, n, p=shares / shares.sum())
    shares = rng.dirichlet(np.full(levels, rng.choice([0.5, 1.0, 3.0, 20.0])))
    return np.minimum(np.searchsorted(np.cumsum(shares), rng.random(n)), levels - 1)


def draw_numeric(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Latent numeric columns, float32 (n, d), about unit scale: one shape of distribution, often correlated."""
    shape = rng.choice(["normal", "uniform", "mixture", "heavy", "factors"], p=[0.3, 0.15, 0.15, 0.05, 0.35])
    if shape == "uniform":
        return (rng.random((n, d), dtype=np.float32) - 0.5) * 3.4
    x = rng.standard_normal((n, d), dtype=np.float32)
    if shape == "heavy":
        return x / np.sqrt(rng.chisquare(4.0, (n, 1)) / 4.0).astype(np.float32)
    if shape == "mixture":
        centres = rng.standard_normal((int(rng.integers(2, 6)), d), dtype=np.float32) * rng.uniform(1.0, 3.0)
        return standardise(x + centres[rng.integers(0, len(centres), n)])
    if shape == "factors":
        rank = int(rng.integers(1, max(2, d // 2 + 1)))
        loading = rng.standard_normal((rank, d), dtype=np.float32) * (rng.random((rank, d)) < rng.uniform(0.3, 1.0))
        factors = rng.standard_normal((n, rank), dtype=np.float32)
        return standardise(factors @ loading + x * np.float32(rng.uniform(0.1, 1.0)))
    return x


def draw_inputs(rng: np.random.Generator, n: int, width: int, config: PriorConfig) -> tuple[Table, np.ndarray]:
    """Root causes: a table no wider than `width`, and the latent design float32 (n, k) that mechanisms read.

    The design holds the numeric columns, a random embedding of each categorical one, and sometimes its indicators.
    """
    share = rng.uniform(0.05, 0.7) if rng.random() < config.p_categorical else 0.0
    levels: list[int] = []
    room = width
    while share and room >= 1 and width - room < share * width:
        levels.append(draw_levels(rng, room, config))
        room -= column_width(levels[-1])
    x = draw_numeric(rng, n, room)
    codes = np.zeros((n, len(levels)), np.int64)
    design = [x]
    for j, m in enumerate(levels):
        codes[:, j] = draw_codes(rng, n, m, config)
        design.append(rng.standard_normal(m, dtype=np.float32)[codes[:, j], None])
        if m > 2 and rng.random() < 0.3:
            design.append((codes[:, j, None] == rng.permutation(m)[: 1 + m // 2]).astype(np.float32))
    return Table(x, codes, levels), standardise(np.concatenate(design, axis=1))


def dress(rng: np.random.Generator, table: Table, width: int, config: PriorConfig) -> Table:
    """The observed table: distractors up to `width`, discretised and warped columns, missing cells, shuffled."""
    table = add_distractors(rng, table, width, config)
    if table.x.shape[1] and rng.random() < config.p_categorical:
        table = discretise(rng, table, width, config)
    x = warp(rng, table.x, config)
    x = x[:, x.min(0) < x.max(0)] if x.shape[1] else x
    kept = [j for j in range(len(table.levels)) if (table.codes[:, j] != table.codes[0, j]).any()]
    x = x[:, rng.permutation(x.shape[1])]
    kept = [kept[j] for j in rng.permutation(len(kept))]
    table = Table(np.ascontiguousarray(x), table.codes[:, kept], [table.levels[j] for j in kept])
    if rng.random() < config.p_missing:
        blank_cells(rng, table, config)
    return table


def add_distractors(rng: np.random.Generator, table: Table, width: int, config: PriorConfig) -> Table:
    """Fill the table up to `width` with noise, permuted columns and noisy copies: no news in any of them."""
    n, d = table.x.shape
    x, codes, levels = [table.x], [table.codes], list(table.levels)
    room = width - table.width
    while room > 0:
        draw = rng.random()
        fresh = draw_levels(rng, room, config)
        if draw < 0.2 and rng.random() < config.p_categorical:
            codes.append(draw_codes(rng, n, fresh, config)[:, None])
            levels.append(fresh)
            room -= column_width(fresh)
            continue
        if d and draw < 0.5:
            column = rng.permutation(table.x[:, rng.integers(d)])[:, None]
        elif d and draw < 0.8:
            column = table.x[:, [rng.integers(d)]] * np.float32(rng.choice([-1.0, 1.0]))
            column = column + rng.standard_normal((n, 1), dtype=np.float32) * np.float32(10 ** rng.uniform(-2, 0.3))
        else:
            column = rng.standard_normal((n, 1), dtype=np.float32)
        x.append(column)
        room -= 1
    return Table(np.concatenate(x, axis=1), np.concatenate(codes, axis=1), levels)


def discretise(rng: np.random.Generator, table: Table, width: int, config: PriorConfig) -> Table:
    """Turn some numeric columns into codes by uneven cuts, mostly with the order of the codes lost."""
    d = table.x.shape[1]
    chosen = rng.permutation(d)[: int(rng.integers(0, 1 + max(1, d // 2)))]
    codes, levels = [table.codes], list(table.levels)
    room = width - table.width
    for j in chosen:
        m = draw_levels(rng, room + 1, config)
        room -= column_width(m) - 1
        cuts = np.sort(table.x[rng.integers(0, len(table.x), m - 1), j])
        code = np.searchsorted(cuts, table.x[:, j])
        codes.append((rng.permutation(m)[code] if rng.random() < 0.7 else code)[:, None])
        levels.append(m)
    return Table(np.delete(table.x, chosen, axis=1), np.concatenate(codes, axis=1), levels)


WARPS = ("exp", "power", "log", "rank", "squash", "integers", "few", "spike", "counts")


def warp(rng: np.random.Generator, x: np.ndarray, config: PriorConfig) -> np.ndarray:
    """Monotone warps per column, then each column's own scale and offset, now and then outliers. Finite float32."""
    n, d = x.shape
    x = np.clip(standardise(x), -8.0, 8.0)
    if rng.random() < config.p_warp:
        share = rng.uniform(0.1, 1.0)
        kinds = rng.choice(WARPS, int(rng.integers(1, 5)))
        for j in np.flatnonzero(rng.random(d) < share):
            x[:, j] = _warp_column(rng, x[:, j], str(rng.choice(kinds)))
    if rng.random() < 0.5:
        x *= (10.0 ** rng.uniform(-2.0, 3.5, d)).astype(np.float32)
        x += (x.std(0) * rng.normal(0.0, 2.0, d)).astype(np.float32) if d else 0.0
        whole = (rng.random(d) < 0.3) & (x.std(0) > 1.0) if d else np.zeros(0, bool)
        x[:, whole] = np.rint(x[:, whole])
    if rng.random() < config.p_outliers:
        far = rng.random((n, d), dtype=np.float32) < rng.uniform(0.001, 0.02)
        x = np.where(far, x * np.float32(10.0 ** rng.uniform(0.5, 2.0)), x)
    return x


def _warp_column(rng: np.random.Generator, z: np.ndarray, kind: str) -> np.ndarray:
    """One standardised column (n,) through one monotone warp."""
    if kind == "exp":
        warped: np.ndarray = np.exp(z * np.float32(rng.uniform(0.3, 1.5)))
    elif kind == "power":
        warped = np.sign(z) * np.abs(z) ** np.float32(rng.uniform(1.5, 3.0))
    elif kind == "log":
        warped = np.log(z - z.min() + np.float32(rng.uniform(0.02, 0.5)))
    elif kind == "rank":
        warped = np.argsort(np.argsort(z, kind="stable"), kind="stable").astype(np.float32)
    elif kind == "squash":
        warped = np.tanh(z * np.float32(rng.uniform(0.5, 3.0)))
    elif kind == "integers":
        warped = np.rint(z * np.float32(rng.uniform(0.7, 10.0)))
    elif kind == "few":
        cuts = np.sort(z[rng.integers(0, len(z), int(rng.integers(2, 8)))])
        warped = np.searchsorted(cuts, z).astype(np.float32)
    elif kind == "spike":
        warped = np.maximum(z - np.quantile(z, rng.uniform(0.1, 0.8)), 0.0)
    else:
        warped = np.floor(np.exp(z * np.float32(rng.uniform(0.4, 1.2)) + np.float32(rng.uniform(-0.5, 2.5))))
    return warped


def blank_cells(rng: np.random.Generator, table: Table, config: PriorConfig) -> None:
    """Blank cells in place: at random, whole groups of columns together, or depending on a column's own value."""
    n, d = table.x.shape
    share = rng.uniform(0.1, 1.0)
    low, high = np.log(config.missing_rate)
    together = rng.random(n)
    together_rate = np.exp(rng.uniform(low, high))
    for j in np.flatnonzero(rng.random(d + len(table.levels)) < share):
        column = table.x[:, j] if j < d else table.codes[:, j - d]
        rate = np.exp(rng.uniform(low, high))
        kind = rng.random()
        if kind < 0.55:
            blank = rng.random(n) < rate
        elif kind < 0.75:
            blank = together < together_rate
        else:  # not at random: the largest, smallest or commonest values go first, more or less strictly
            rank = np.argsort(np.argsort(column * rng.choice([-1, 1]), kind="stable"), kind="stable") / n
            first = np.argsort(rank + rng.normal(0.0, rng.uniform(0.02, 0.5), n))
            blank = np.zeros(n, bool)
            blank[first[: int(rate * n)]] = True
        left = column[~blank]
        if len(left) > 1 and (left != left[0]).any():
            column[blank] = np.nan if j < d else -1
