"""Targets on a scale that suits them: skewed ones learned as logarithm, root or logit; the range of answers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from bad_input import Bench

from modelgpt_cli import ModelGPTRegressor, build, evaluate, export, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.tabular.choose_transform import _candidates, in_range, with_limits, with_mean
from modelgpt_cli.domains.tabular.model import INTERVAL
from modelgpt_cli.domains.tabular.target_transform import LIMIT, TargetTransform


def draw(kind: str, n: int = 240, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    middle, noise = 1.2 * frame["a"] - 0.5 * frame["b"], rng.normal(size=n)
    y = {
        "price": 1000 * np.exp(middle + 0.3 * noise),
        "debt": -50 * np.exp(middle + 0.2 * noise),
        "count": rng.poisson(np.exp(middle)).astype(float),
        "share": 1 / (1 + np.exp(-2 * middle - noise)),
        "both": np.sinh(2 * middle + 0.3 * noise),
        "plain": middle + noise,
    }[kind]
    return frame.assign(y=y)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prices") / "m.safetensors"
    build(draw("price"), target="y", output=path, members=4, device="cpu", offline=True)
    export(path, output=path.with_suffix(".onnx"))
    return path


@pytest.mark.parametrize("kind", ["price", "debt", "count", "share", "both", "plain"])
def test_there_and_back(kind: str) -> None:
    y = draw(kind)["y"].to_numpy()
    for one in _candidates(y):
        held = with_limits(one, one.forward(y))
        np.testing.assert_allclose(held.backward(torch.from_numpy(held.forward(y))), y, rtol=1e-6, atol=1e-6)
        step = 1e-5 * np.abs(y).max()
        inner = np.sort(y)[20:-20]
        slope = np.abs(one.forward(inner + step) - one.forward(inner - step)) / (2 * step)
        near = np.abs(slope - np.exp(one.log_slope(inner))) < 0.02 * slope
        assert near.mean() > 0.9  # the root has no slope at 0
        assert TargetTransform.of(one.kind, one.numbers()) == one


def test_the_range_is_that_of_the_targets() -> None:
    def limits(values: list[float]) -> tuple[float, float]:
        found = in_range(np.array(values))
        return found.lower, found.upper

    assert limits([0, 3, 20]) == (0, LIMIT)
    assert limits([0.1, 0.5]) == (0, 1)
    assert limits([-3, -0.5]) == (-LIMIT, 0)
    assert limits([-3, 0.5]) == (-LIMIT, LIMIT)


def test_the_shift_makes_a_mean() -> None:
    rng = np.random.default_rng(0)
    middle = rng.normal(size=20_000)
    y = np.exp(middle + 0.6 * rng.normal(size=20_000))
    found = with_mean(TargetTransform("log"), middle, y)
    assert found.shift == pytest.approx(0.18, abs=0.04)  # 0.6² / 2: the mean of a lognormal above its median
    assert float(found.backward(torch.from_numpy(middle + found.shift)).mean()) == pytest.approx(y.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("kind", "lower", "upper"), [("count", 0.0, np.inf), ("share", 0.0, 1.0), ("debt", -np.inf, 0.0), ("both", None, 0)]
)
def test_answers_keep_the_range_in_torch_and_onnx(kind: str, lower: float | None, upper: float, tmp_path: Path) -> None:
    train, new = draw(kind, 120), draw(kind, 400, 1) * [3, 3, 1]  # columns far beyond those of the build
    model = ModelGPTRegressor(members=1).fit(train[["a", "b"]].to_numpy(), train["y"].to_numpy())
    x = new[["a", "b"]].to_numpy()
    expected = np.column_stack([model.predict(x), model.predict_interval(x)])
    session = onnxruntime.InferenceSession(model.export(tmp_path / "m.onnx"))
    got = np.hstack(
        session.run(["prediction", "lower", "upper"], {f"x{i}": x[:, [i]].astype(np.float32) for i in (0, 1)})
    )
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4 * train["y"].std())
    assert (got[:, 1] <= got[:, 0]).all()
    assert (got[:, 0] <= got[:, 2]).all()
    if lower is None:
        assert "lower" not in model.model_.blueprint.transform
        return
    assert got.min() >= lower
    assert got.max() <= upper


def test_prices_from_build_to_evaluation(prices: Path, tmp_path: Path) -> None:
    card = inspect(prices.with_suffix(".onnx"))
    assert card["transform"]["kind"] == "log"
    assert card["transform"]["lower"] == 0
    assert any("is learned as log(y" in note for note in card["notes"])
    assert card["metrics"].keys() == {"model", "linear", "mean"}
    new = draw("price", 600, 1)
    found = evaluate(prices.with_suffix(".onnx"), new)
    assert card["metrics"]["model"]["r2"] == pytest.approx(found["r2"], abs=0.25)
    answers = predict(prices.with_suffix(".onnx"), new)
    assert answers.lower is not None
    assert answers.upper is not None
    for missed in ((new["y"] < answers.lower).mean(), (new["y"] > answers.upper).mean()):
        assert abs(missed - 0.05) < 4 * np.sqrt(0.0475 / 600 + 0.0475 / 240)
    assert (answers.upper - answers.prediction > answers.prediction - answers.lower).mean() > 0.9
    small = export(prices, output=tmp_path / "small.onnx", quantize="int8", data=new)
    assert small.after["r2"] == pytest.approx(small.before["r2"], abs=0.05)


def test_inspect_says_it(bench: Bench, prices: Path) -> None:
    done = bench.run("inspect", prices)
    assert done.code == 0, done.err
    assert re.search(r"answers: +learned as log\(y.*\), from 0\n", done.out)


def test_transformed_targets_are_tuned(prices: Path, tmp_path: Path) -> None:
    done = tune(prices, data=draw("price", 200, 2), output=tmp_path / "t.onnx", epochs=4, device="cpu")
    assert done.before["r2"] > 0.4
    found = evaluate(tmp_path / "t.onnx", draw("price", 600, 1))
    assert found["r2"] == pytest.approx(done.after["r2"], abs=0.25)
    assert inspect(tmp_path / "t.onnx")["transform"]["kind"] == "log"


def test_a_model_of_one_quantile_is_still_read(prices: Path) -> None:
    model = load_model(prices)
    state = model.state() | {"constants." + INTERVAL: torch.tensor([1.5, 0.0, -1.0, 1.0])}
    assert type(model)(model.blueprint, state).constants[INTERVAL].tolist() == [-1.5, 1.5, 0.0, -1.0, 1.0]
