"""Permutation importance: what a shuffled column costs, by hand and as a user asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from image_models import image_folder, image_model
from text_models import tiny_text_model
from tiny_models import tiny_model

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.metrics import METRICS
from modelgpt_cli.runtime.evaluate import evaluate
from modelgpt_cli.runtime.importance import SampledSource
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.runtime.table import Rows

N = 400


@pytest.fixture
def rows() -> pd.DataFrame:
    """The sign of `a` decides, mostly; the level of `c` a little; `noise` not at all."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"noise": rng.normal(size=N), "a": rng.normal(size=N), "c": rng.choice(["yes", "no"], N)})
    return frame.assign(target=np.where(3 * frame["a"] + (frame["c"] == "yes") > 0.5, "y", "x"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(
        tmp_path / "m.onnx",
        {"noise": "numeric", "a": "numeric", "c": "categorical"},
        labels=["x", "y"],
        bias=[0.5, 0.0],
        weight={"noise": [0, 0], "a": [0, 3], "c": [0, 1]},
    )


def test_what_decides_comes_first_and_what_does_not_costs_nothing(model: Path, rows: pd.DataFrame) -> None:
    done = evaluate(model, rows, importance=True, importance_metric="accuracy", importance_repeats=4)
    found = done.importance
    assert found is not None
    assert (found.metric, found.value, found.rows, found.repeats) == ("accuracy", done["accuracy"], N, 4)
    assert list(found.columns) == ["a", "c", "noise"]
    assert found.columns["noise"] == (0.0, 0.0)
    mean, sd = found.columns["a"]
    assert 0.3 < mean < 0.6
    assert 0 < sd < 0.1


def test_it_is_the_mean_over_shuffles_of_the_column(model: Path, rows: pd.DataFrame) -> None:
    found = evaluate(model, rows, importance=True, importance_repeats=3, seed=5).importance
    assert found is not None
    rng, losses = np.random.default_rng([5, 1]), []
    for _ in range(3):
        shuffled = rows.assign(a=rows["a"].to_numpy()[rng.permutation(N)])
        losses.append(evaluate(model, shuffled)["log_loss"] - evaluate(model, rows)["log_loss"])  # type: ignore[operator]
    assert found.columns["a"] == pytest.approx((np.mean(losses), np.std(losses)))


def test_it_depends_on_the_seed_alone(model: Path, rows: pd.DataFrame) -> None:
    first = evaluate(model, rows, importance=True).importance
    assert evaluate(model, rows, importance=True, chunk_rows=7).importance == first
    assert evaluate(model, rows, importance=True, seed=1).importance != first
    lacking = evaluate(model, rows.drop(columns="noise"), importance=True).importance
    assert first is not None
    assert lacking is not None
    assert lacking.columns == {name: first.columns[name] for name in ("a", "c")}


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.task == "regression"])
def test_any_metric_of_numbers(metric: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    weight = {"a": [2.0], "c": [1.0]}
    regressor = tiny_model(tmp_path / "r.onnx", {"a": "numeric", "c": "categorical"}, weight=weight)
    frame = rows.assign(target=2 * rows["a"] + (rows["c"] == "yes") + 0.1 * rows["noise"])
    if METRICS[metric].reads == "bounds":
        with pytest.raises(UsageError, match="There is no metric"):
            evaluate(regressor, frame, importance=True, importance_metric=metric)
        return
    found = evaluate(regressor, frame, importance=True, importance_metric=metric).importance
    assert found is not None
    assert found.columns["a"][0] > found.columns["c"][0] > 0


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "roc_auc", "log_loss", "calibration_error"])
def test_any_metric_of_classes(metric: str, model: Path, rows: pd.DataFrame) -> None:
    found = evaluate(model, rows, importance=True, importance_metric=metric, importance_repeats=2).importance
    assert found is not None
    assert found.columns["a"][0] > 0


def test_rows_without_a_true_value_are_left_out(model: Path, rows: pd.DataFrame) -> None:
    lacking = pd.concat([rows, rows.head(50).assign(target=None)])
    found = evaluate(model, lacking, importance=True).importance
    assert found is not None
    assert found.rows == N


@pytest.mark.parametrize("chunk_rows", [10, 64, 1000])
def test_a_sample_is_even_and_the_same_in_any_chunks(model: Path, rows: pd.DataFrame, chunk_rows: int) -> None:
    frame = rows.assign(noise=np.arange(N))
    sampled = SampledSource(Rows(Model(model), frame, labelled=True), 50, seed=0)
    assert sum(chunk.rows for chunk in sampled.chunks(chunk_rows)) == N
    columns, truth = sampled.sample()
    order = np.random.default_rng([0, 1]).random(N).argsort()[:50]
    assert columns["noise"].tolist() == sorted(order.tolist())
    assert truth.tolist() == frame["target"].to_numpy()[np.sort(order)].tolist()


def test_texts_of_two_columns(tmp_path: Path) -> None:
    write_model(tiny_text_model(labels=("bad", "good"), pair=True), tmp_path / "pairs.onnx")
    words = np.array(["the film", "a good book", "very slow", "not bad"])
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice(words, 40) for name in ("text", "other")})
    frame["label"] = rng.choice(["bad", "good"], 40)
    found = evaluate(tmp_path / "pairs.onnx", frame, importance=True, importance_repeats=2).importance
    assert found is not None
    assert set(found.columns) == {"text", "other"}


def test_as_a_user_sees_it(model: Path, rows: pd.DataFrame, bench: Bench) -> None:
    rows.to_csv(bench.folder / "d.csv", index=False)
    shown = bench.run("evaluate", model, "d.csv", "--importance").out
    assert "Permutation importance (400 rows, 5 shuffles a column):" in shown
    table = shown.partition("Permutation importance")[2].splitlines()
    assert table[2].split() == ["column", "rise", "of", "log", "loss", "±"]
    assert [line.split()[0] for line in table[3:6]] == ["a", "c", "noise"]
    done = json.loads(bench.run("evaluate", model, "d.csv", "--importance", "--importance-repeats", "2", "--json").out)
    assert done["importance"]["columns"]["noise"] == {"mean": 0.0, "sd": 0.0}
    assert done["importance"]["repeats"] == 2
    assert "importance" not in json.loads(bench.run("evaluate", model, "d.csv", "--json").out)
    line = ["evaluate", model, "d.csv", "--importance", "--importance-metric"]
    bench.refuse(2, "There is no metric 'rmse' of this model", *line, "rmse")


def test_images_have_no_columns(tmp_path: Path, bench: Bench) -> None:
    write_model(image_model(), bench.folder / "images.onnx")
    image_folder(bench.folder / "images", per_class=1)
    bench.refuse(2, "--importance is not for models of images", "evaluate", "images.onnx", "images", "--importance")
