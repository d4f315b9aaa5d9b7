"""``tune`` on the rows that a table's model was built from: before and after are of models that have not seen them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from modelgpt_cli import ModelGPTClassifier, build, evaluate, inspect, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.tabular import rebuild
from modelgpt_cli.domains.tabular.tune import CAREFUL_LR, DEFAULT_LR, SHARES, WORDS_LR, _rate, read_table
from modelgpt_cli.training.tune import TuneSettings

QUICK: dict[str, Any] = {"members": 1, "device": "cpu", "offline": True}


def noise(n: int = 100, seed: int = 0) -> pd.DataFrame:
    """Twelve columns and a class that has nothing to do with them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 12)), columns=[f"x{i}" for i in range(12)])
    return frame.assign(side=rng.permutation(np.repeat(["left", "right"], n // 2)))


def waves(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.uniform(-3, 3, (n, 2)), columns=["a", "b"])
    return frame.assign(y=np.sin(2 * frame["a"]) * frame["b"] + rng.normal(0, 0.2, n))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "m.onnx"
    build(noise(), target="side", output=path, **QUICK)
    return path


def test_before_is_not_flattered_and_noise_is_not_learned(noisy: Path, tmp_path: Path) -> None:
    by_heart = evaluate(noisy, noise())["roc_auc"]
    assert by_heart is not None
    assert by_heart > 0.75
    report = tune(noisy, data=noise(), output=tmp_path / "t.onnx", epochs=5, device="cpu")
    assert report.before["roc_auc"] < 0.65
    assert report.after["roc_auc"] < 0.65
    new = evaluate(tmp_path / "t.onnx", noise(2000, 1))["log_loss"]
    assert new is not None
    assert new < 0.75  # as good as knowing nothing: .693


def test_a_generator_that_is_not_at_hand(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    generator, header = rebuild.shared_generator(rebuild.generator_file(None, "tabular"))
    monkeypatch.setattr(rebuild, "shared_generator", lambda path: (generator, header | {"sha256": "another"}))
    report = tune(noisy, data=noise(), output=tmp_path / "t.onnx", device="cpu")
    assert "generator isn't the shipped one" in caplog.text
    assert report.before["log_loss"] > 0.6


@pytest.mark.slow
def test_what_helps_is_kept_and_told_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, new = waves(200, 20), waves(600, 21)
    model, tuned = tmp_path / "m.safetensors", tmp_path / "t.safetensors"
    build(train, target="y", output=model, **QUICK)
    with caplog.at_level(logging.WARNING):
        report = tune(model, data=train, output=tuned, epochs=20, device="cpu")
        assert report.kept == "after"
        tune(tuned, data=train, output=tmp_path / "again.safetensors", device="cpu")
    assert "was tuned before" in caplog.text
    for name, path in (("before", model), ("after", tuned)):
        found = evaluate(_exported(path), new)["r2"]
        assert getattr(report, name)["r2"] == pytest.approx(found, abs=0.1)
    made = load_model(tuned).blueprint.provenance["tuned"]
    assert made["kept"] == "after"
    assert made.get("share", 1.0) in SHARES
    before, after = load_model(model).state(), load_model(tuned).state()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert {name for name in moved if not name.startswith("constants.interval")} == {
        name for name in before if not name.startswith("constants.")
    }


@pytest.mark.slow
def test_the_estimator_is_as_honest() -> None:
    frame = noise()
    x, y = frame.drop(columns="side").to_numpy(), frame["side"].to_numpy()
    tuned = ModelGPTClassifier(members=1, tune_epochs=3).fit(x, y)
    new = noise(1000, 1)
    p = tuned.predict_proba(new.drop(columns="side").to_numpy())
    right = p[np.arange(1000), (new["side"] == "right").to_numpy().astype(int)]
    assert -np.log(right).mean() < 0.75


def _exported(path: Path) -> Path:
    from modelgpt_cli import export

    export(path, output=path.with_suffix(".onnx"), force=True)
    assert inspect(path.with_suffix(".onnx"))["task"] == "regression"
    return path.with_suffix(".onnx")


def test_the_rate_of_a_model_from_words_is_by_what_it_knows(noisy: Path) -> None:
    model: Any = load_model(noisy)
    table, known = read_table(model, noise(), TuneSettings())
    assert known
    one, many = TuneSettings(epochs=1), TuneSettings(epochs=100)
    assert _rate(model, table, one) == DEFAULT_LR
    model.blueprint.provenance["data"] = None  # as if it were from words alone, by a generator that knows no task
    assert [_rate(model, table, settings) for settings in (one, many)] == list(WORDS_LR)
    model.blueprint.provenance["generator"] = {"sha256": "another"}
    assert _rate(model, table, one) == CAREFUL_LR  # better than the classes' shares on these rows
    assert _rate(model, replace(table, y=1 - table.y), one) == WORDS_LR[0]  # nothing to lose
