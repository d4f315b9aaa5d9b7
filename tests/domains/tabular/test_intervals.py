"""Prediction intervals of regression: they hold the share of the truth that they promise, in every form of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from modelgpt_cli import build, describe, evaluate, export, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.tabular.estimator import ModelGPTRegressor
from modelgpt_cli.domains.tabular.intervals import conformal_quantile, rows_needed, two_quantiles


def noisy(n_rows: int, seed: int) -> pd.DataFrame:
    """A line whose noise grows from 0.1 to 2 with one of the columns."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=n_rows), "b": rng.uniform(size=n_rows)})
    frame["y"] = 3 * frame["a"] + (0.1 + 1.9 * frame["b"]) * rng.normal(size=n_rows)
    return frame


@pytest.fixture(scope="module")
def fitted() -> ModelGPTRegressor:
    frame = noisy(500, 0)
    columns = [Column("a", "numeric"), Column("b", "numeric")]
    return ModelGPTRegressor(members=4, columns=columns).fit(frame[["a", "b"]], frame["y"].to_numpy())


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scikit-learn's diabetes table in two halves, and a model of the first."""
    folder = tmp_path_factory.mktemp("diabetes")
    frame = load_diabetes(as_frame=True).frame.sample(frac=1, random_state=0)
    frame[:242].to_csv(folder / "train.csv", index=False)
    frame[242:].to_csv(folder / "test.csv", index=False)
    describe(folder / "train.csv", target="target", offline=True, output=folder / "req.txt")
    build(folder / "req.txt", output=folder / "model.safetensors", device="cpu")
    export(folder / "model.safetensors", output=folder / "model.onnx")
    return folder


def test_quantile_counts_the_new_row() -> None:
    scores = np.arange(1.0, 20.0)  # 19: the 18th of them leaves (19 + 1) * 0.1 = 2 above or equal
    assert conformal_quantile(np.random.default_rng(0).permutation(scores), 0.9) == 18
    assert conformal_quantile(scores[:9], 0.9) == 9
    assert conformal_quantile(scores[:8], 0.9) is None
    assert [rows_needed(c) for c in (0.5, 0.9, 0.95, 0.99)] == [1, 9, 19, 99]


def test_interval_holds_its_share_and_follows_the_noise(fitted: ModelGPTRegressor) -> None:
    new = noisy(2000, 1)
    lower, upper = fitted.predict_interval(new[["a", "b"]]).T
    inside = (lower <= new["y"]) & (new["y"] <= upper)
    # Four standard deviations: of the share of 2,000 rows, and of a quantile of 500 residuals.
    assert abs(inside.mean() - 0.9) < 4 * np.sqrt(0.09 / 2000 + 0.09 / 500)
    quiet, loud = new["b"].to_numpy() < 0.3, new["b"].to_numpy() > 0.7
    width = upper - lower
    assert width[loud].mean() > 2 * width[quiet].mean()
    constant = conformal_quantile(np.abs(new["y"].to_numpy() - fitted.predict(new[["a", "b"]])), 0.9)
    assert constant is not None
    assert width.mean() < 2 * constant  # narrower than an equal width with the same coverage, had that known the truth


def test_wider_coverage_is_wider() -> None:
    frame = noisy(300, 0)
    columns = [Column("a", "numeric"), Column("b", "numeric")]
    inside = {}
    for coverage in (0.5, 0.95):
        model = ModelGPTRegressor(members=4, coverage=coverage, columns=columns)
        model.fit(frame[["a", "b"]], frame["y"].to_numpy())
        new = noisy(1500, 1)
        lower, upper = model.predict_interval(new[["a", "b"]]).T
        inside[coverage] = float(((lower <= new["y"]) & (new["y"] <= upper)).mean())
    assert abs(inside[0.5] - 0.5) < 4 * np.sqrt(0.25 / 1500 + 0.25 / 300)
    assert abs(inside[0.95] - 0.95) < 4 * np.sqrt(0.0475 / 1500 + 0.0475 / 300)


def test_onnx_gives_the_same_bounds(diabetes: Path) -> None:
    model, rows = load_model(diabetes / "model.safetensors"), pd.read_csv(diabetes / "test.csv").astype(float)
    expected = model.predict(rows, interval=True)
    session = onnxruntime.InferenceSession(str(diabetes / "model.onnx"))
    feed = {i.name: rows[i.name].to_numpy(np.float32)[:, None] for i in session.get_inputs()}
    names = ["prediction", "lower", "upper"]
    assert [output.name for output in session.get_outputs()] == names
    got = np.concatenate(session.run(names, feed), axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert (got[:, 1] < got[:, 0]).all()
    assert (got[:, 0] < got[:, 2]).all()


def test_diabetes_from_file_to_evaluation(diabetes: Path, tmp_path: Path) -> None:
    done = evaluate(diabetes / "model.onnx", diabetes / "test.csv")
    assert done.coverage == 0.9
    coverage, width = done["interval_coverage"], done["interval_width"]
    assert coverage is not None
    assert abs(coverage - 0.9) < 4 * np.sqrt(0.09 / 200 + 0.09 / 242)
    assert done.to_dict()["coverage"] == 0.9
    scored = predict(diabetes / "model.onnx", diabetes / "test.csv")
    assert scored.lower is not None
    assert scored.upper is not None
    assert float((scored.upper - scored.lower).mean()) == pytest.approx(width, rel=1e-5)
    predict(diabetes / "model.onnx", diabetes / "test.csv", output=tmp_path / "p.csv")
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table.columns) == ["prediction", "lower", "upper"]
    np.testing.assert_allclose(table["upper"], scored.upper, rtol=1e-6)
    card = inspect(diabetes / "model.onnx")["interval"]
    assert card["coverage"] == 0.9
    assert card["rows"] == 242


@pytest.mark.parametrize("quantize", ["fp16", "int8"])
def test_quantised_models_keep_it(diabetes: Path, tmp_path: Path, quantize: str) -> None:
    export(diabetes / "model.safetensors", output=tmp_path / "q.onnx", quantize=quantize)
    before = evaluate(diabetes / "model.onnx", diabetes / "test.csv")["interval_coverage"]
    after = evaluate(tmp_path / "q.onnx", diabetes / "test.csv")["interval_coverage"]
    assert after == pytest.approx(before, abs=0.02)


def test_without_it(diabetes: Path, tmp_path: Path) -> None:
    report = build(diabetes / "req.txt", output=tmp_path / "m.onnx", coverage=0, members=1, device="cpu")
    assert report.interval == {}
    assert "interval_coverage" not in evaluate(tmp_path / "m.onnx", diabetes / "test.csv").metrics
    predict(tmp_path / "m.onnx", diabetes / "test.csv", output=tmp_path / "p.csv")
    assert list(pd.read_csv(tmp_path / "p.csv").columns) == ["prediction"]


def test_too_few_rows_are_said(diabetes: Path, tmp_path: Path) -> None:
    pd.read_csv(diabetes / "train.csv")[:15].to_csv(tmp_path / "few.csv", index=False)
    report = build(diabetes / "req.txt", data=tmp_path / "few.csv", output=tmp_path / "m.onnx", coverage=0.95)
    assert report.interval == {}
    assert any("takes 19 cross-validated rows" in note for note in report.notes)
    assert predict(tmp_path / "m.onnx", tmp_path / "few.csv").lower is None


def test_classification_says_that_it_has_none(tmp_path: Path) -> None:
    frame = noisy(40, 0)
    frame["y"] = np.where(frame["y"] > 0, "up", "down")
    frame.to_csv(tmp_path / "train.csv", index=False)
    describe(tmp_path / "train.csv", target="y", offline=True, output=tmp_path / "req.txt")
    report = build(tmp_path / "req.txt", output=tmp_path / "m.onnx", coverage=0.8, members=1)
    assert any("--coverage is for regression" in note for note in report.notes)
    assert report.interval == {}
    quiet = build(tmp_path / "req.txt", output=tmp_path / "m2.onnx", members=1)
    assert not any("--coverage" in note for note in quiet.notes)


def test_impossible_coverage_is_refused(diabetes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="coverage"):
        build(diabetes / "req.txt", output=tmp_path / "m.onnx", coverage=1.5)
    assert not (tmp_path / "m.onnx").exists()


def test_without_coverage_there_are_no_bounds() -> None:
    frame = noisy(40, 0)
    model = ModelGPTRegressor(members=1, coverage=0, columns=[Column("a", "numeric")])
    model.fit(frame[["a"]], frame["y"].to_numpy())
    with pytest.raises(ModelGPTError, match="no prediction interval"):
        model.predict_interval(frame[["a"]])


def test_tuning_refits_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(-3, 3, (900, 2)), columns=["a", "b"])
    frame["y"] = np.sin(2 * frame["a"]) * frame["b"] + rng.normal(0, 0.2, 900)
    frame[:40].to_csv(tmp_path / "few.csv", index=False)
    frame[:600].to_csv(tmp_path / "more.csv", index=False)
    frame[600:].to_csv(tmp_path / "test.csv", index=False)
    describe(tmp_path / "few.csv", target="y", offline=True, output=tmp_path / "req.txt")
    build(tmp_path / "req.txt", output=tmp_path / "m.onnx", members=2, device="cpu")
    report = tune(tmp_path / "m.onnx", data=tmp_path / "more.csv", output=tmp_path / "t.onnx", epochs=12, device="cpu")
    assert report.kept == "after"
    before, after = (evaluate(tmp_path / name, tmp_path / "test.csv") for name in ("m.onnx", "t.onnx"))
    assert after["interval_width"] < before["interval_width"]  # type: ignore[operator]
    assert abs(after["interval_coverage"] - 0.9) < 4 * np.sqrt(0.09 / 300 + 0.09 / 120)  # type: ignore[operator]


@pytest.mark.slow
def test_tuning_does_not_flatter_itself_with_rows_that_the_build_saw(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(-3, 3, (700, 2)), columns=["a", "b"])
    frame["y"] = np.sin(2 * frame["a"]) * frame["b"] + rng.normal(0, 0.5, 700)
    train, new = frame[:250], frame[250:]
    build(train, target="y", output=tmp_path / "m.onnx", members=2, device="cpu", offline=True)
    report = tune(tmp_path / "m.onnx", data=train, output=tmp_path / "t.onnx", epochs=20, device="cpu")
    assert report.kept == "after"
    found = evaluate(tmp_path / "t.onnx", new)
    assert report.after["rmse"] == pytest.approx(found["rmse"], rel=0.15)
    assert abs(found["interval_coverage"] - 0.9) < 4 * np.sqrt(0.09 / 450 + 0.09 / 250)  # type: ignore[operator]


def test_both_sides_miss_alike() -> None:
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=999) - 0.5
    below, above = two_quantiles(scores, 0.9) or (0.0, 0.0)
    assert (scores < below).mean() == pytest.approx(0.05, abs=0.002)
    assert (scores > above).mean() == pytest.approx(0.05, abs=0.002)
    few = two_quantiles(scores[:12], 0.9)  # too few for each side, enough for both together
    assert few is not None
    assert few[0] == -few[1]
    assert two_quantiles(scores[:8], 0.9) is None


def test_skewed_errors_miss_alike() -> None:
    def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 2))
        return x, 3 * x[:, 0] - 5 + 2 * rng.gamma(0.7, size=n)

    model = ModelGPTRegressor(members=2).fit(*draw(500, 0))
    x, y = draw(2000, 1)
    lower, upper = model.predict_interval(x).T
    for missed in ((y < lower).mean(), (y > upper).mean()):
        assert abs(missed - 0.05) < 4 * np.sqrt(0.0475 / 2000 + 0.0475 / 500)
    predicted = model.predict(x)
    assert (upper - predicted).mean() > 1.5 * (predicted - lower).mean()
