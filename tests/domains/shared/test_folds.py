"""Folds that keep groups whole or go forward in time."""

from __future__ import annotations

import numpy as np
import pytest

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.folds import ALIKE, GROUP, TIME, Split, hold_out, make_folds
from modelgpt_cli.domains.shared.held_out import fold_of

K = 4


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_a_split_the_folds_are_random_ones() -> None:
    y = rng().integers(0, 3, 50)
    judged = np.arange(50) % 5 != 0
    folds = make_folds(y, 3, K, rng(), judged)
    assert np.array_equal(folds.fold, fold_of(y, 3, K, rng(), judged))
    assert np.array_equal(folds.used, folds.fold != np.arange(K)[:, None])
    assert not folds.forward


@pytest.mark.parametrize("kind", [GROUP, ALIKE])
def test_no_group_is_divided(kind: str) -> None:
    keys = np.repeat(np.arange(30), 10)
    y = np.repeat(rng().integers(0, 2, 30), 10)
    folds = make_folds(y, 2, K, rng(), split=Split(kind, keys, "patient"))
    assert all(len(set(folds.fold[keys == key])) == 1 for key in range(30))
    assert np.bincount(folds.fold).min() >= 60  # of 75 in the mean
    for k in range(K):
        assert 0.5 < y[folds.fold == k].mean() / y.mean() < 1.5
        assert not set(keys[folds.used[k]]) & set(keys[folds.held_out[k]])


def test_rows_without_a_group_stand_alone() -> None:
    keys = np.array([-1] * 50 + [0] * 10)
    folds = make_folds(np.zeros(60), 0, K, rng(), split=Split(GROUP, keys))
    assert len(set(folds.fold[:50])) == K
    assert len(set(folds.fold[50:])) == 1
    assert Split(GROUP, keys).n_groups == 1


def test_generated_rows_are_not_held_out() -> None:
    keys, judged = np.arange(40) // 4, np.arange(40) < 30
    folds = make_folds(np.zeros(40), 0, K, rng(), judged, Split(GROUP, keys))
    assert (folds.fold[30:] == -1).all()
    assert folds.used[:, 30:].all()
    folds = make_folds(np.zeros(40), 0, K, rng(), judged, Split(TIME, np.arange(40.0)))
    assert (folds.fold[30:] == -1).all()
    assert folds.used[:, 30:].all()


def test_forward_in_time_learns_from_earlier_rows_alone() -> None:
    time = rng().permutation(100).astype(float)
    folds = make_folds(np.zeros(100), 0, K, rng(), split=Split(TIME, time, "day"))
    assert folds.forward
    assert (folds.fold == -1).sum() == 20
    assert time[folds.fold == -1].max() == 19
    for k in range(K):
        assert folds.held_out[k].sum() == 20
        assert time[folds.used[k]].max() < time[folds.held_out[k]].min()
        assert folds.used[k].sum() == 20 * (k + 1)


def test_rows_of_one_point_in_time_stay_together() -> None:
    time = np.repeat([1.0, 2.0, 3.0], 30)
    time[0] = np.nan
    folds = make_folds(np.zeros(90), 0, K, rng(), split=Split(TIME, time))
    assert all(len(set(folds.fold[time == point])) == 1 for point in (1.0, 2.0, 3.0))
    assert folds.used[:, 0].all()
    assert (folds.fold[time == 3.0] >= 0).all()


def test_two_points_in_time_are_enough() -> None:
    time = np.array([1.0] * 2 + [2.0] * 98)
    folds = make_folds(np.zeros(100), 0, K, rng(), split=Split(TIME, time))
    assert (folds.fold[2:] == 0).all()
    assert folds.used[0].sum() == 2


def test_one_group_or_one_point_can_not_be_held_out() -> None:
    with pytest.raises(UsageError, match="--group patient"):
        Split(GROUP, np.zeros(9, dtype=np.int64), "patient").check()
    with pytest.raises(UsageError, match="--time day"):
        Split(TIME, np.array([1.0, 1.0, np.nan]), "day").check()
    Split(GROUP, np.array([0, 0, -1]), "patient").check()


@pytest.mark.parametrize("points", [2, 7, 100])
def test_the_last_rows_are_held_out_by_time(points: int) -> None:
    time = np.sort(rng().integers(0, points, 100)).astype(float)
    time[::10] = np.nan
    train, held = hold_out(np.zeros(100), 0, 0.2, rng(), split=Split(TIME, time, "day"))
    assert len(held)
    assert np.nanmax(time[train]) < time[held].min()
    assert np.isnan(time[train]).sum() == 10
    assert sorted([*train, *held]) == list(range(100))


def test_a_share_of_the_groups_is_held_out() -> None:
    keys = np.repeat(np.arange(20), 5)
    train, held = hold_out(np.zeros(100), 0, 0.2, rng(), split=Split(GROUP, keys, "g"))
    assert len(held) == 20
    assert not set(keys[train]) & set(keys[held])
    few = hold_out(np.zeros(10), 0, 0.1, rng(), split=Split(GROUP, np.arange(10) // 5, "g"))
    assert [len(part) for part in few] == [5, 5]


def test_generated_copies_of_held_out_rows_are_not_learned_from() -> None:
    keys = np.array([*range(30), *range(5), *([-1] * 5)])
    judged = np.arange(40) < 30
    folds = make_folds(np.zeros(40), 0, K, rng(), judged, Split(ALIKE, keys))
    assert (folds.fold[30:] == -1).all()
    assert folds.used[:, 35:].all()
    for copy, original in zip(range(30, 35), range(5), strict=True):
        assert not folds.used[folds.fold[original], copy]
        assert folds.used[:, copy].sum() == K - 1
