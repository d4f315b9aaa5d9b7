"""The synthetic prior for tables: well-formed, reproducible, quick, and worth learning from."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.synthetic.draw import FAMILIES, PriorConfig, SyntheticTask, draw_task


def draw_many(count: int, seed: int = 0, *, n_rows: int = 300, **sizes: object) -> list[SyntheticTask]:
    rng = np.random.default_rng(seed)
    return [draw_task(rng, n_rows=n_rows, **sizes) for _ in range(count)]


def width(task: SyntheticTask) -> int:
    return task.x.shape[1] + sum(1 if m == 2 else m for m in task.levels)


def design(task: SyntheticTask) -> np.ndarray:
    """Imputed, one-hot, standardised: what a plain baseline is given."""
    x = np.where(np.isnan(task.x), np.nanmean(task.x, axis=0), task.x) if task.x.shape[1] else task.x
    blocks = [task.codes[:, [j]] == np.arange(m) for j, m in enumerate(task.levels)]
    return np.clip(StandardScaler().fit_transform(np.concatenate([x, *blocks], axis=1)), -6, 6)


def only(family: str) -> PriorConfig:
    return PriorConfig(weights={family: 1.0})


@pytest.mark.parametrize(
    ("n_rows", "n_classes", "max_features"),
    [(300, 2, 24), (300, 20, 24), (300, 0, 24), (200, 3, 120), (40, 10, 5), (4, 2, 2), (4, 0, 2), (20, 20, 8)],
)
def test_tasks_are_well_formed(n_rows: int, n_classes: int, max_features: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow or a 0/0 inside the prior is a bug
        tasks = draw_many(40, n_rows=n_rows, n_classes=n_classes, max_features=max_features)
    for t in tasks:
        assert t.x.shape[0] == t.codes.shape[0] == t.y.shape[0] == n_rows
        assert t.codes.shape[1] == len(t.levels)
        assert 1 <= width(t) <= max_features
        assert (t.x.dtype, t.codes.dtype) == (np.float32, np.int64)
        assert not np.isinf(t.x).any()
        for column, m in zip(t.codes.T, t.levels, strict=True):
            assert m >= 2
            assert -1 <= column.min() <= column.max() < m
            assert len(np.unique(column[column >= 0])) > 1
        for column in t.x.T:
            assert np.nanmin(column) < np.nanmax(column)
        if n_classes:
            assert t.y.dtype == np.int64
            assert np.bincount(t.y, minlength=n_classes).shape == (n_classes,)
            assert np.bincount(t.y).min() >= min(4, n_rows // n_classes)
        else:
            assert t.y.dtype == np.float32
            assert np.abs(t.y).max() <= 5.0
            assert t.y.std() > 0.1
        assert t.n_classes == n_classes


def test_same_generator_state_same_task() -> None:
    first, second, other = (draw_many(20, seed, n_classes=3) for seed in (7, 7, 8))
    for a, b in zip(first, second, strict=True):
        assert (a.family, a.levels) == (b.family, b.levels)
        for name in ("x", "codes", "y"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert any(a.x.shape != b.x.shape or not np.array_equal(a.y, b.y) for a, b in zip(first, other, strict=True))


def test_families_are_drawn_by_weight() -> None:
    drawn = [t.family for t in draw_many(400, n_rows=60, n_classes=2)]
    shares = {f: drawn.count(f) / len(drawn) for f in FAMILIES}
    for family, weight in PriorConfig().weights.items():
        assert shares[family] == pytest.approx(weight, abs=0.08)
    assert {t.family for t in draw_many(20, n_classes=2, config=only("forest"))} == {"forest"}


def test_tables_look_like_real_ones() -> None:
    tasks = draw_many(300, n_classes=2)
    missing = np.mean([np.isnan(t.x).any() or (t.codes < 0).any() for t in tasks])
    assert 0.15 < missing < 0.4
    assert 0.3 < np.mean([bool(t.levels) for t in tasks]) < 0.9
    assert max(max(t.levels, default=0) for t in tasks) > 12
    minority = np.array([t.y.mean() for t in tasks])
    assert (np.minimum(minority, 1 - minority) < 0.15).sum() > 10
    assert (np.minimum(minority, 1 - minority) > 0.4).sum() > 80
    whole = [np.array_equal(c, np.rint(c)) for t in tasks for c in t.x.T if not np.isnan(c).any()]
    assert 0.05 < np.mean(whole) < 0.6
    clean = draw_many(60, n_classes=2, config=PriorConfig(p_missing=0.0))
    assert not any(np.isnan(t.x).any() or (t.codes < 0).any() for t in clean)


def test_rates_of_missing_cells_stay_in_range() -> None:
    tasks = draw_many(60, n_rows=400, n_classes=2, config=PriorConfig(p_missing=1.0, missing_rate=(0.05, 0.3)))
    rates = np.concatenate([np.r_[np.isnan(t.x).mean(0), (t.codes < 0).mean(0)] for t in tasks])
    rates = rates[rates > 0]
    assert len(rates) > 100
    assert rates.max() < 0.4
    assert rates.min() > 0.01


@pytest.mark.parametrize("n_classes", [2, 10, 0])
def test_quick_enough_for_training(n_classes: int) -> None:
    draw_many(5, n_rows=500, n_classes=n_classes)
    start = time.process_time()
    draw_many(50, 1, n_rows=500, n_classes=n_classes)
    assert 50 / (time.process_time() - start) > 100  # about 500 a second on one idle core


def scores_of(task: SyntheticTask, model: LogisticRegression | RandomForestClassifier) -> float:
    x, half = design(task), len(task.y) // 2
    return model.fit(x[:half], task.y[:half]).score(x[half:], task.y[half:])


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_can_be_learned_but_not_always(family: str) -> None:
    gains = []
    for task in draw_many(9, 3, n_rows=300, n_classes=3, config=only(family)):
        majority = np.bincount(task.y).max() / len(task.y)
        best = max(scores_of(task, LogisticRegression()), scores_of(task, RandomForestClassifier(15, random_state=0)))
        gains.append((best - majority) / (1 - majority))
    assert np.mean(gains) > 0.2
    assert np.std(gains) > 0.1  # easy and hard ones


def test_forest_tasks_favour_forests() -> None:
    quiet = PriorConfig(weights={"forest": 1.0}, p_noise=0.0, p_label_noise=0.0)
    tasks = draw_many(16, 5, n_rows=500, n_classes=2, config=quiet)
    linear = np.mean([scores_of(t, LogisticRegression()) for t in tasks])
    forest = np.mean([scores_of(t, RandomForestClassifier(20, random_state=0)) for t in tasks])
    assert forest > linear + 0.02


def test_regression_targets_follow_the_columns() -> None:
    r2 = []
    for task in draw_many(40, 2, n_rows=400, n_classes=0, config=only("additive")):
        x, half = design(task), 200
        r2.append(max(0.0, RidgeCV(np.logspace(-1, 3, 5)).fit(x[:half], task.y[:half]).score(x[half:], task.y[half:])))
    assert np.mean(r2) > 0.35


@pytest.mark.parametrize(
    ("sizes", "word"),
    [
        ({"n_rows": 100, "n_classes": 1}, "n_classes"),
        ({"n_rows": 3, "n_classes": 2}, "n_rows"),
        ({"n_rows": 8, "n_classes": 9}, "n_rows"),
        ({"n_rows": 100, "n_classes": 2, "max_features": 1}, "max_features"),
    ],
)
def test_impossible_sizes_are_named(sizes: dict[str, int], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        draw_task(np.random.default_rng(0), **sizes)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"weights": {"networks": 1.0}}, "networks"),
        ({"weights": {"network": 0.0}}, "above 0"),
        ({"p_missing": 1.5}, "p_missing"),
        ({"missing_rate": (0.5, 0.1)}, "missing_rate"),
        ({"trees": 0}, "trees"),
        ({"max_levels": 1}, "max_levels"),
    ],
)
def test_bad_configuration_is_named(bad: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        PriorConfig(**bad)
