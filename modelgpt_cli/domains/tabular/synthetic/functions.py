"""The mechanisms of the synthetic prior: each draws a latent table and the scores (or classes) that its rows get.

Letters: n rows, d features, T trees, k scores (one for regression and binned targets, else one per class).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelgpt_cli.domains.tabular.synthetic.columns import (
    Table,
    column_width,
    draw_codes,
    draw_inputs,
    draw_levels,
    draw_numeric,
    standardise,
)
from modelgpt_cli.domains.tabular.synthetic.config import PriorConfig

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky": lambda z: np.where(z > 0, z, 0.1 * z),
    "sine": lambda z: np.sin(1.5 * z),
    "abs": np.abs,
    "step": lambda z: (z > 0).astype(np.float32),
    "square": lambda z: np.square(np.clip(z, -4, 4)),
    "identity": lambda z: z,
    "gaussian": lambda z: np.exp(-z * z),
}
ACTIVATION_WEIGHTS = np.array([0.22, 0.22, 0.08, 0.07, 0.09, 0.08, 0.07, 0.10, 0.07])


@dataclass
class Ask:
    """What a mechanism is asked for."""

    n: int
    """Rows."""
    k: int
    """Scores per row."""
    width: int
    """One-hot width that its table may take."""
    n_classes: int
    """Classes of the target, 0 for regression."""


@dataclass
class Drawn:
    """What a mechanism gives: its latent table and either scores or, where the classes come first, labels."""

    table: Table
    scores: np.ndarray  # float32 (n, k)
    labels: np.ndarray | None = None  # int64 (n,)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _log_integer(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number in [low, high], small ones more often."""
    return min(high, int(_log_uniform(rng, low, high + 1)))


def draw_network(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """A random network: features are its root causes, or nodes up- and downstream of the target."""
    causal = rng.random() < 0.5
    if causal:
        table, roots = draw_inputs(rng, ask.n, ask.width, config)
        roots = roots[:, rng.permutation(roots.shape[1])[: _log_integer(rng, 1, roots.shape[1])]]
    else:
        roots = draw_numeric(rng, ask.n, _log_integer(rng, 1, max(2, ask.width)))
    depth = 1 + int((config.network_depth - 1) * rng.beta(1.0, 1.8) + 0.5)
    top = max(config.network_width, ask.k + 4)
    width = max(_log_integer(rng, 3, top), ask.k + 2)
    if not causal:  # enough nodes to read `width` features and k targets from
        width = max(width, -(-(ask.width + ask.k) // depth))
    layers = _run_network(rng, roots, depth, width)
    if causal:
        readout = rng.standard_normal((width, ask.k), dtype=np.float32) * (rng.random((width, ask.k)) < 0.5)
        readout[rng.integers(0, width, ask.k), np.arange(ask.k)] += 1.0
        return Drawn(table, layers[-1] @ readout)
    nodes = np.concatenate(layers, axis=1)
    first = nodes.shape[1] - width if rng.random() < 0.6 else 0  # effects of everything, or any node
    targets = first + rng.permutation(nodes.shape[1] - first)[: ask.k]
    others = np.setdiff1d(np.arange(nodes.shape[1]), targets)
    if rng.random() < 0.5:  # a contiguous run of nodes shares causes more than a scattered choice
        start = rng.integers(0, len(others) - ask.width + 1)
        chosen = others[start : start + ask.width]
    else:
        chosen = rng.permutation(others)[: ask.width]
    return Drawn(Table(nodes[:, chosen], np.zeros((ask.n, 0), np.int64), []), nodes[:, targets])


def _run_network(rng: np.random.Generator, h: np.ndarray, depth: int, width: int) -> list[np.ndarray]:
    """The layers' nodes, each (n, width): sparse random weights, mixed activations, noise at every node."""
    density = rng.uniform(0.15, 1.0)
    gain = _log_uniform(rng, 0.5, 3.0)
    noise = _log_uniform(rng, 0.01, 0.5) if rng.random() < 0.5 else 0.0
    palette = rng.choice(list(ACTIVATIONS), int(rng.integers(1, 5)), p=ACTIVATION_WEIGHTS)
    layers = []
    for _ in range(depth):
        weight = rng.standard_normal((h.shape[1], width), dtype=np.float32)
        weight *= rng.random(weight.shape) < density
        weight[rng.integers(0, len(weight), width), np.arange(width)] += 1.0  # no node is left without a cause
        z = standardise(h @ weight) * np.float32(gain) + rng.standard_normal(width, dtype=np.float32)
        out = np.empty_like(z)
        for part, name in zip(np.array_split(np.arange(width), len(palette)), palette, strict=True):
            out[:, part] = ACTIVATIONS[name](z[:, part])
        h = standardise(out)
        if noise:
            scale = (noise * rng.random(width)).astype(np.float32)
            h = h + rng.standard_normal(h.shape, dtype=np.float32) * scale
        layers.append(h)
    return layers


def draw_forest(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """A random ensemble of trees, oblivious or ordinary, on few or many of the inputs."""
    table, design = draw_inputs(rng, ask.n, ask.width, config)
    used = rng.permutation(design.shape[1])[: _log_integer(rng, min(2, design.shape[1]), design.shape[1])]
    features = design[:, used]
    depth = int(rng.integers(1, config.tree_depth + 1))
    trees = 1 if rng.random() < 0.15 else _log_integer(rng, 1, config.trees)
    leaf = (
        _oblivious_leaves(rng, features, trees, depth) if rng.random() < 0.6 else _leaves(rng, features, trees, depth)
    )
    weights = rng.uniform(0.7, 1.0) ** np.arange(trees) if rng.random() < 0.5 else np.ones(trees)
    values = rng.standard_normal((trees, 2**depth, ask.k), dtype=np.float32)
    if rng.random() < 0.3:  # votes: a leaf speaks for one class, or says yes or no
        values = (values >= values.max(2, keepdims=True) if ask.k > 1 else values > 0).astype(np.float32)
    elif rng.random() < 0.3:  # most leaves say nothing
        values *= rng.random((trees, 2**depth, 1)) < rng.uniform(0.15, 0.6)
    scores = np.zeros((ask.n, ask.k), np.float32)
    for t in range(trees):
        scores += (values[t] * np.float32(weights[t]))[leaf[:, t]]
    return Drawn(table, scores)


def _thresholds(rng: np.random.Generator, x: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Thresholds shaped as `features`, each the feature's value at a random row, mostly from the middle of three."""
    rows = rng.integers(0, len(x), (3, *features.shape))
    thresholds: np.ndarray = np.median(x[rows, features], axis=0) if rng.random() < 0.5 else x[rows[0], features]
    return thresholds


def _oblivious_leaves(rng: np.random.Generator, x: np.ndarray, trees: int, depth: int) -> np.ndarray:
    """Leaf numbers (n, T) of trees that ask one question per level."""
    features = rng.integers(0, x.shape[1], (trees, depth))
    bits = x[:, features] > _thresholds(rng, x, features)  # (n, T, depth)
    return bits @ (2 ** np.arange(depth))


def _leaves(rng: np.random.Generator, x: np.ndarray, trees: int, depth: int) -> np.ndarray:
    """Leaf numbers (n, T) of trees with a question of its own at every node."""
    features = rng.integers(0, x.shape[1], (trees, 2**depth - 1))
    thresholds = _thresholds(rng, x, features)
    node = np.zeros((len(x), trees), np.int64)
    rows, tree = np.arange(len(x))[:, None], np.arange(trees)
    for _ in range(depth):
        node = 2 * node + 1 + (x[rows, features[tree, node]] > thresholds[tree, node])
    leaves: np.ndarray = node - (2**depth - 1)
    return leaves


def draw_additive(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """Linear scores, or sums of random one-dimensional functions, sparse or dense; sometimes a few products."""
    table, design = draw_inputs(rng, ask.n, ask.width, config)
    d = design.shape[1]
    if rng.random() < 0.5:
        design = standardise(_shape_functions(rng, design))
    weight = rng.standard_normal((d, ask.k), dtype=np.float32)
    if rng.random() < 0.3:  # a few features matter much, the others little
        weight *= np.exp(rng.normal(0.0, 1.2, (d, 1))).astype(np.float32)
    weight *= rng.random((d, 1)) < rng.uniform(0.2, 1.0)
    weight[rng.integers(d)] += rng.choice([-1.0, 1.0], ask.k).astype(np.float32)
    scores = design @ weight
    if rng.random() < 0.2:
        left, right = rng.integers(0, d, (2, int(rng.integers(1, 4))))
        products = design[:, left] * design[:, right]
        scores = scores + products @ rng.standard_normal((len(left), ask.k), dtype=np.float32)
    return Drawn(table, scores)


def _shape_functions(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Every column (n, d) through a random function of its own: wave, bump, saturation, steps or a broken line."""
    out = np.empty_like(x)
    for j in range(x.shape[1]):
        z, kind = x[:, j], int(rng.integers(6))
        if kind == 0:
            out[:, j] = np.sin(z * rng.uniform(0.5, 3.0) + rng.uniform(0, 6.28))
        elif kind == 1:
            out[:, j] = np.exp(-np.square((z - rng.normal()) / rng.uniform(0.3, 1.2)))
        elif kind == 2:
            out[:, j] = np.tanh((z - rng.normal()) * rng.uniform(0.5, 4.0))
        elif kind == 3:
            out[:, j] = z
        else:
            knots = np.sort(z[rng.integers(0, len(z), int(rng.integers(2, 8)))])
            heights = rng.standard_normal(len(knots) + 1)
            steps = kind == 4
            out[:, j] = heights[np.searchsorted(knots, z)] if steps else np.interp(z, knots, heights[:-1])
    return out


def draw_clusters(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """Blobs, rings or boxes that overlap more or less; the class, or the level of a regression, is the blob's."""
    n, d = ask.n, ask.width
    groups = ask.n_classes or int(rng.integers(2, 9))
    blobs = groups * int(rng.integers(1, 5))
    m = _log_integer(rng, 1, d)
    owner = rng.permutation(np.arange(blobs) % groups)
    shares = rng.dirichlet(np.full(groups, rng.choice([2.0, 8.0, 100.0])))
    blob = rng.choice(blobs, n, p=shares[owner] / np.bincount(owner, minlength=groups)[owner])
    apart = _log_uniform(rng, 1.0, 10.0) if ask.n_classes else _log_uniform(rng, 2.5, 12.0)
    centres = rng.standard_normal((blobs, m), dtype=np.float32) * np.float32(apart / m**0.5)
    z = rng.standard_normal((n, m), dtype=np.float32)
    shape = rng.choice(["gaussian", "ring", "box", "heavy"], p=[0.55, 0.15, 0.15, 0.15])
    if shape == "ring":
        radius = np.exp(rng.normal(0.3, 0.6, blobs)).astype(np.float32)[blob, None] * np.float32(m**0.5)
        z = z / np.sqrt((z * z).sum(1, keepdims=True)) * radius + z * np.float32(rng.uniform(0.02, 0.4))
        centres = centres * np.float32(rng.uniform(0.0, 0.6))
    elif shape == "box":
        z = (rng.random((n, m), dtype=np.float32) - 0.5) * 3.4
    elif shape == "heavy":
        z /= np.sqrt(rng.chisquare(3.0, (n, 1)) / 3.0).astype(np.float32)
    spread = np.exp(rng.normal(0.0, rng.uniform(0.0, 0.8), (blobs, m))).astype(np.float32)
    z = z * spread[blob]
    if m > 1 and rng.random() < 0.6:  # each blob leans its own way
        lean = np.eye(m, dtype=np.float32) + rng.standard_normal((blobs, m, m), dtype=np.float32) * np.float32(
            0.5 / m**0.5
        )
        for b in range(blobs):
            z[blob == b] = z[blob == b] @ lean[b]
    x = np.concatenate([z + centres[blob], rng.standard_normal((n, d - m), dtype=np.float32)], axis=1)
    if d > 1 and rng.random() < 0.3:
        rotation = np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))[0]
        x = x @ rotation
    table = Table(standardise(x), np.zeros((n, 0), np.int64), [])
    slope = rng.standard_normal((m, 1), dtype=np.float32) * np.float32(rng.uniform(0.0, 0.3))
    scores = rng.standard_normal((groups, 1), dtype=np.float32)[owner[blob]] + z @ slope
    return Drawn(table, scores, owner[blob].astype(np.int64) if ask.n_classes else None)


def draw_categories(rng: np.random.Generator, ask: Ask, config: PriorConfig) -> Drawn:
    """Mostly categorical columns; the target looks up tables over one to three of them, or follows a rule on them."""
    numeric = 0 if rng.random() < 0.4 else int(rng.integers(0, max(1, ask.width // 3) + 1))
    room = max(2, ask.width) - min(numeric, max(0, ask.width - 2))
    few = rng.random() < 0.3  # the same few levels everywhere, as in questionnaires, boards and switches
    same = draw_levels(rng, room, config)
    levels: list[int] = []
    while room > 0:
        levels.append(same if few and column_width(same) <= room else draw_levels(rng, room, config))
        room -= column_width(levels[-1])
    codes = np.stack([draw_codes(rng, ask.n, m, config) for m in levels], axis=1)
    if rng.random() < 0.3:  # correlated columns: many rows follow one of a few types
        kinds = np.stack([rng.integers(0, m, 4) for m in levels], axis=1)[rng.integers(0, 4, ask.n)]
        codes = np.where(rng.random(codes.shape) < rng.uniform(0.2, 0.7), kinds, codes)
    spare = max(0, ask.width - sum(column_width(m) for m in levels))
    x = draw_numeric(rng, ask.n, spare)
    rule = rng.random()
    scores = _look_up(rng, codes, levels, ask) if rule < 0.7 else _follow_rule(rng, codes, levels, ask.k)
    if spare and rng.random() < 0.5:  # numbers whose slope may depend on a category
        j = int(rng.integers(len(levels)))
        slopes = rng.standard_normal((levels[j], ask.k), dtype=np.float32)
        if rng.random() < 0.5:
            slopes[:] = slopes[0]
        scores = standardise(scores) + x[:, [rng.integers(spare)]] * slopes[codes[:, j]]
    for j in reversed(range(len(levels))):  # ordinal codes, as files often hold them
        if levels[j] > 2 and rng.random() < 0.12:
            x = np.concatenate([x, codes[:, [j]].astype(np.float32)], axis=1)
            codes = np.delete(codes, j, axis=1)
            del levels[j]
    return Drawn(Table(x, codes.astype(np.int64), levels), scores)


def _look_up(rng: np.random.Generator, codes: np.ndarray, levels: list[int], ask: Ask) -> np.ndarray:
    """Scores (n, k): a sum of random tables over single columns, pairs and triples."""
    scores = np.zeros((ask.n, ask.k), np.float32)
    order = int(rng.integers(1, 4))
    cells_at_most = max(8, ask.n // 6)  # beyond this a table cannot be learned from n rows
    for _ in range(_log_integer(rng, 1, 8)):
        flat, cells = np.zeros(ask.n, np.int64), 1
        for j in rng.permutation(len(levels))[:order]:
            if cells * levels[j] > cells_at_most and cells > 1:
                continue
            flat, cells = flat * levels[j] + codes[:, j], cells * levels[j]
        values = rng.standard_normal((cells, ask.k), dtype=np.float32)
        if rng.random() < 0.25:
            values = np.sign(values)
        scores += values[flat] * np.float32(np.exp(rng.normal(0.0, 0.5)))
    return scores


def _follow_rule(rng: np.random.Generator, codes: np.ndarray, levels: list[int], k: int) -> np.ndarray:
    """Scores (n, k): how many conditions hold, whether enough, one conjunction of several, or an odd number hold."""
    scores = np.empty((len(codes), k), np.float32)
    kind = rng.integers(0, 4)
    for out in range(k):
        m = _log_integer(rng, 1, min(8, len(levels)))
        columns = rng.permutation(len(levels))[:m]
        accepted = [rng.permutation(levels[j])[: max(1, int(levels[j] * rng.uniform(0.2, 0.7)))] for j in columns]
        holds = np.stack([np.isin(codes[:, j], a) for j, a in zip(columns, accepted, strict=True)], axis=1)
        if kind == 0:
            scores[:, out] = holds.sum(1)
        elif kind == 1:
            scores[:, out] = holds.sum(1) >= rng.integers(1, m + 1)
        elif kind == 2:
            groups = rng.random((int(rng.integers(1, 5)), m)) < 0.5
            scores[:, out] = np.any([holds[:, g].all(1) if g.any() else holds[:, 0] for g in groups], axis=0)
        else:
            scores[:, out] = holds[:, : min(m, 4)].sum(1) % 2
    return scores


MECHANISMS: dict[str, Callable[[np.random.Generator, Ask, PriorConfig], Drawn]] = {
    "network": draw_network,
    "forest": draw_forest,
    "additive": draw_additive,
    "clusters": draw_clusters,
    "categories": draw_categories,
}
