"""A segmentation's scores made logits by held-out images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from modelgpt_cli.domains.image.dense import fit
from modelgpt_cli.domains.image.dense.calibration import calibrate


def test_classes_that_scores_mix_up_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(3000, 3))
    shares = softmax(logits, axis=1)
    scores = logits @ np.array([[0.1, 0.0, 0.0], [0.09, 0.1, 0.0], [0.0, 0.0, 0.02]])  # the last is given too rarely
    weight, bias = calibrate(scores, shares, np.ones(3000), 60)
    right = shares.argmax(1)
    assert (scores.argmax(1) == right).mean() < 0.8
    assert ((scores @ weight + bias).argmax(1) == right).mean() > 0.95
    kept, _ = calibrate(scores[:60], shares[:60], np.ones(60), 1)
    assert np.abs(kept - 8 * np.eye(3)).max() < np.abs(weight - 8 * np.eye(3)).max()  # one image moves them less


def test_a_head_takes_a_calibration_in() -> None:
    torch.manual_seed(0)
    weight, bias, inputs = torch.randn(5, 3), torch.randn(3), torch.randn(20, 5)
    sums = fit.SegmentationSums(np.array([5.0, 3.0, 0.0]), 1, 0)
    calibration = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32), np.ones(3, np.float32)
    chosen = fit.Chosen(1.0, 0.0, 0.0, calibrated=True)
    found, shift, none = fit.weighed(sums, (weight, bias), chosen, calibration)
    expected = (inputs @ weight + bias) @ torch.from_numpy(calibration[0]) + 1
    assert torch.allclose((inputs @ found + shift)[:, :2], expected[:, :2], atol=1e-5)
    assert shift[2] == fit.NEVER
    assert none is None


@pytest.mark.parametrize("useful", [True, False])
def test_held_out_images_say_whether_they_are_calibrated(useful: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One class of three is scored too low everywhere, or nothing is wrong."""
    monkeypatch.setattr(fit, "LEAST_IMAGES", 4)
    rng, held = np.random.default_rng(0), []
    mixed = torch.diag(torch.tensor([1.0, 1.0, 0.3 if useful else 1.0]))
    solved = torch.zeros(2864, 3), torch.zeros(3)
    solved[0][:3] = mixed
    sums = fit.SegmentationSums(np.ones(3), 2, 0)
    for k in range(8):
        places = rng.integers(0, 3, (4, 6))
        maps = [torch.zeros(1, c, 4, 6) for c in (240, 672, 1280)]
        maps[0][:, :3] = torch.eye(3)[places.reshape(-1)].T.reshape(1, 3, 4, 6) + 0.5 * torch.rand(1, 3, 4, 6)
        held.append(fit.Held(maps, places.astype(np.uint8).repeat(8, 0).repeat(8, 1), k % 2))
    sums.held = held
    monkeypatch.setattr(fit, "_choose", lambda *_: (fit.Chosen(1.0, 0.0, 0.0), {0: solved, 1: solved}))

    class Solver:
        def solve(self, precision: float) -> fit.Head:
            return solved

    monkeypatch.setattr(fit.SegmentationSums, "solver", lambda *_: Solver())
    assert fit.fit_segmentation(sums, ["a", "b", "c"]).chosen.calibrated is useful
