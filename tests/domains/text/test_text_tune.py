"""Tuning of text models (ModelGPT-F): the better of before and after is kept, and the other leaves no trace."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_texts import Make, stars_frame, topics_frame

from modelgpt_cli import tune
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.text import tune as tuning
from modelgpt_cli.domains.text.tune import TextTuning, read_texts
from modelgpt_cli.training.tune import TuneSettings


def run(model: Any, rows: Any, y: np.ndarray, **settings: Any) -> tuple[dict[str, float], dict[str, float], str]:
    """Finetune; metrics before and after, and which is kept."""
    done = TextTuning(model).run(rows, y, TuneSettings(**settings))
    return done.before, done.after, done.kept


def test_tuning_keeps_the_better(make: Make, tmp_path: Path) -> None:
    built = make(None, "classes: [food, money, sport]")
    topics_frame(120, seed=5).to_csv(tmp_path / "more.csv", index=False)
    rows, y, *_ = read_texts(built.model, tmp_path / "more.csv", TuneSettings())
    assert (len(rows), y.dtype, y.max()) == (120, np.int64, 2)
    before, after, kept = run(built.model, rows, y, epochs=6, lr=2e-3)
    assert kept == "after"
    assert after["log_loss"] < 0.6 * before["log_loss"]
    assert after["accuracy"] > before["accuracy"]
    assert not built.model.training
    assert built.labels("soup bread cook", "loan tax bank") == ["food", "money"]


def test_what_was_better_before_is_restored_exactly(make: Make) -> None:
    built = make(topics_frame(90))
    state = {name: value.clone() for name, value in built.model.state().items()}
    frame = topics_frame(60, seed=5)
    rows = built.model.encode(frame)
    y = np.array([built.model.blueprint.labels.index(label) for label in frame["label"]])
    expected = built.probabilities("goal", "soup")
    before, after, kept = run(built.model, rows, y, epochs=1, lr=10.0)
    assert kept == "before"
    assert after["log_loss"] >= before["log_loss"]
    assert all(torch.equal(value, state[name]) for name, value in built.model.state().items())
    np.testing.assert_array_equal(built.probabilities("goal", "soup"), expected)


def test_a_model_is_not_judged_by_rows_that_its_head_was_solved_on(make: Make, tmp_path: Path) -> None:
    built = make(topics_frame(60))
    made = built.model.blueprint.metrics["model"]
    topics_frame(60, seed=5).to_csv(tmp_path / "more.csv", index=False)
    model, tuned = tmp_path / "model.safetensors", tmp_path / "tuned.safetensors"
    report = tune(model, data=tmp_path / "data.csv", output=tuned, epochs=6, lr=2e-3)
    assert report.before == made
    assert report.kept == "after"
    assert tune(model, data=tmp_path / "more.csv", output=tuned, force=True).before != made
    tune(model, data=tmp_path / "data.csv", output=tuned, epochs=6, lr=2e-3, force=True)
    again = tune(tuned, data=tmp_path / "data.csv", output=tmp_path / "again.safetensors")
    assert again.before != made  # they were of another model


def test_tuning_a_number(make: Make) -> None:
    built = make(stars_frame(60))
    built.model.head_bias.data += 3.0  # three standard deviations off
    frame = stars_frame(100, seed=3)
    rows, y = built.model.encode(frame), frame["stars"].to_numpy(np.float32)
    before, after, kept = run(built.model, rows, y, epochs=10, lr=2e-3)
    assert kept == "after"
    assert after["rmse"] < 0.7 * before["rmse"]


def test_tuning_is_a_function_of_the_seed(make: Make) -> None:
    frame = topics_frame(60, seed=5)
    found = []
    for seed in (0, 0, 1):
        built = make(topics_frame(30))
        y = np.array([built.model.blueprint.labels.index(label) for label in frame["label"]])
        found.append(run(built.model, built.model.encode(frame), y, seed=seed)[1]["log_loss"])
    assert found[0] == found[1] != found[2]


def test_classes_that_the_model_does_not_know_are_refused(make: Make, tmp_path: Path) -> None:
    built = make(topics_frame(40, ("sport", "food")))
    topics_frame(40).to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(UsageError, match="a class that the model doesn't know: 'money'"):
        read_texts(built.model, tmp_path / "more.csv", TuneSettings())
    with pytest.raises(ModelGPTError, match="Too few rows to tune on"):
        run(built.model, built.model.encode(topics_frame(1)), np.zeros(1, np.int64))


def test_tuning_takes_a_sample_of_many_rows(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built = make(topics_frame(40, ("sport", "food")))
    topics_frame(60, ("sport", "food")).to_csv(tmp_path / "more.csv", index=False)
    monkeypatch.setattr(tuning, "SAMPLE_ROWS", 20)
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        rows, *_ = read_texts(built.model, tmp_path / "more.csv", TuneSettings())
    assert len(rows) == 20
    assert "sample of 20 of 60 rows" in caplog.text
