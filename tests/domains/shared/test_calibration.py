"""A head's temperature, from held-out rows: found where it is wrong, left alone where it is right."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_texts import Make, topics_frame

from modelgpt_cli.core.metrics import calibration_error, log_loss
from modelgpt_cli.domains.shared.calibration import fit_temperature


def drawn(n: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 4) that are `factor` times the true ones, and labels drawn by the true ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    return logits * factor, labels


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_is_what_logits_are_off_by(factor: float) -> None:
    logits, labels = drawn(4000, factor)
    assert fit_temperature(logits, np.eye(4)[labels]) == pytest.approx(factor, rel=0.1)


def test_unseen_rows_gain_by_it() -> None:
    seen, answers = drawn(300, 3.0)
    temperature = fit_temperature(seen, np.eye(4)[answers])
    logits, labels = drawn(2000, 3.0, seed=1)
    before, after = softmax(logits), softmax(logits / temperature)
    assert log_loss(labels, after) < log_loss(labels, before) - 0.2  # type: ignore[operator]
    right = logits.argmax(1) == labels
    assert calibration_error(right, after.max(1)) < 0.5 * calibration_error(right, before.max(1))


def test_a_few_rows_don_t_move_it_far() -> None:
    logits = np.eye(3)[[0, 1, 2] * 3] * 2.0
    assert 0.3 < fit_temperature(logits, np.eye(3)[[0, 1, 2] * 3]) < 1, "all right, so the sharper the better"


def test_a_build_tells_its_temperature(make: Make) -> None:
    built = make(topics_frame(60))
    told = built.model.blueprint.calibration
    assert told["rows"] == 60
    assert told["after"] < told["before"]
    assert told["after"] == pytest.approx(built.report.metrics["model"]["log_loss"])
    few = make(topics_frame(6))
    assert few.model.blueprint.calibration == {}, "nothing was held out"
    words = make(None, "classes: [food, money, sport]")
    assert words.model.blueprint.calibration == {}
