"""The simplest models that a build is compared with: judged on the folds that the head was judged on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelgpt_cli.domains.shared.baselines import LINEAR, MAJORITY, MEAN, baseline_scores
from modelgpt_cli.domains.shared.folds import Folds
from modelgpt_cli.domains.shared.head import HeadFit
from modelgpt_cli.domains.text.fit import word_model

EMPTY = torch.zeros(0)
TEXTS = ["good thing", "bad thing"] * 4
FOLDS = Folds(np.arange(8) // 2, np.arange(8) // 2 != np.arange(4)[:, None])


def one_hot(labels: list[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels)).float()


def scores(
    texts: list[str], target: torch.Tensor, regression: bool = False, scale: tuple[float, float] = (0.0, 1.0)
) -> dict[str, dict[str, float]]:
    fit = HeadFit(EMPTY, EMPTY, folds=FOLDS)
    return baseline_scores(fit, target, regression, scale, lambda: word_model(texts, regression))


def test_words_that_tell_the_classes_apart_are_learned() -> None:
    found = scores(TEXTS, one_hot([0, 1] * 4))
    assert found[LINEAR]["accuracy"] == 1
    assert found[MAJORITY]["accuracy"] == pytest.approx(0.5)
    assert found[LINEAR]["log_loss"] < found[MAJORITY]["log_loss"]


def test_where_nothing_can_be_learned_the_linear_model_is_the_majority() -> None:
    wordless = scores(["!"] * 8, one_hot([0, 1] * 4))
    assert wordless[LINEAR] == wordless[MAJORITY]
    # Without the last fold only one class is left to learn from.
    lone = scores(TEXTS, one_hot([0] * 6 + [1, 1]))
    assert np.isfinite(list(lone[LINEAR].values())).all()


def test_numbers() -> None:
    target = torch.tensor([1.0, -1.0] * 4)[:, None]
    found = scores(TEXTS, target, regression=True, scale=(10.0, 2.0))
    assert found[MEAN]["rmse"] == pytest.approx(2.0)
    assert found[LINEAR]["rmse"] < 1


def test_without_folds_nothing_is_learned() -> None:
    def never() -> tuple[object, np.ndarray]:
        raise AssertionError("there is nothing to learn it for")

    assert baseline_scores(HeadFit(EMPTY, EMPTY), one_hot([0, 1]), False, (0.0, 1.0), never) == {}
