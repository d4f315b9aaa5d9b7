"""What a build on a backbone chooses: the strength of the generated head, and which rows the head is solved on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from modelgpt_cli.domains.shared import head
from modelgpt_cli.domains.shared.backbone_build import CLASS_FLOOR, _even_draw
from modelgpt_cli.domains.shared.folds import Folds
from modelgpt_cli.parameter_generator.adapter import Words

ROWS = 64
OTHER = 0.25
"""The strength that is compared with the generated one, 1."""


def folds_of(rows: int) -> Folds:
    """Four folds, in turn."""
    fold = np.arange(rows) % 4
    return Folds(fold, fold != np.arange(4)[:, None])


@pytest.mark.parametrize(
    ("middle", "spread", "chosen"),
    [
        (0.5, 0.0, OTHER),  # better on every row
        (0.5, 0.5, OTHER),  # by twice the noise of the mean, though by less than rows differ
        (0.6, 1.0, 1.0),  # by a fifth of the noise
        (0.7, 0.0, 1.0),  # worse
    ],
)
def test_the_strength_moves_only_for_more_than_noise(
    middle: float, spread: float, chosen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each strength answers with itself, so the targets say by how much a row is nearer to the other one."""
    monkeypatch.setattr(
        head, "_solve", lambda source, prior, phi, target, strength, **_: torch.tensor([[0.0], [strength]])
    )
    source = head.HeadSource(
        words=Words(torch.zeros(4), torch.zeros(1, 4), regression=True, pair=False), strengths=(1.0, OTHER)
    )
    target = torch.tensor([middle + spread, middle - spread] * (ROWS // 2))[:, None]
    best, answers = head._cross_validate(source, torch.zeros(ROWS, 1), target, folds_of(ROWS))
    assert best == chosen
    np.testing.assert_allclose(answers, chosen)


def test_few_rows_choose_no_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        head, "_solve", lambda source, prior, phi, target, strength, **_: torch.tensor([[0.0], [strength]])
    )
    words = Words(torch.zeros(4), torch.zeros(1, 4), regression=True, pair=False)
    source = head.HeadSource(words=words, strengths=(1.0, OTHER))
    few = head.CHOICE_ROWS - 1
    target = torch.full((few, 1), OTHER)
    assert head._cross_validate(source, torch.zeros(few, 1), target, folds_of(few))[0] == 1.0


def test_eight_rows_of_each_class_are_drawn_first() -> None:
    labels = np.array(["common"] * 985 + ["rare"] * 10 + ["rarer"] * 5)
    frame = pd.DataFrame({"text": np.arange(1000), "label": np.random.default_rng(0).permutation(labels)})
    counts = []
    for seed in range(10):
        drawn = _even_draw(frame, 60, "label", "classification", seed)
        assert len(drawn) == 60
        assert drawn["text"].is_monotonic_increasing  # in the order of the data
        counts.append(drawn["label"].value_counts())
    assert CLASS_FLOOR == 8
    assert min(count["rare"] for count in counts) == 8  # an even share would be less than one
    assert all(count["rarer"] == 5 for count in counts)  # all there are
    numbers = _even_draw(frame.assign(label=np.arange(1000.0)), 60, "label", "regression", 0)
    assert len(numbers) == 60
