"""Columns of more levels than have features of their own: cross-fitted statistics of the target, looked up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from modelgpt_cli import ModelGPTClassifier, build, evaluate, export, inspect, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.domains.shared.folds import GROUP, TIME, Split
from modelgpt_cli.domains.tabular.encoder import MISSING, UNSEEN, fit_encoder
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.level_statistics import add_statistics, refit_rows
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor
from modelgpt_cli.domains.tabular.requirement_only import cut_levels

LEVELS, EACH = 120, 8


def rows(kind: str = "yes or no", seed: int = 0, n: int = LEVELS * EACH) -> pd.DataFrame:
    """A customer of `LEVELS` decides on the target; x says nothing."""
    rng = np.random.default_rng(0)
    taste = {
        "yes or no": np.where(rng.random(LEVELS) < 0.5, "yes", "no"),
        "colour": rng.choice(["red", "green", "blue"], LEVELS),
        "number": rng.normal(size=LEVELS),
    }[kind]
    rng = np.random.default_rng(seed)
    customer = rng.permutation(np.arange(n) % LEVELS)
    y = taste[customer] + 0.1 * rng.normal(size=n) if kind == "number" else taste[customer]
    return pd.DataFrame({"customer": [f"c{i}" for i in customer], "x": rng.normal(size=n), "y": y})


def arrays(frame: pd.DataFrame, classes: tuple[str, ...] = ("no", "yes")) -> tuple[TablePreprocessor, TableArrays]:
    columns = (Column("customer", "categorical"), Column("x", "numeric"))
    preprocessor = make_preprocessor(columns, frame, many_levels=True)
    x, codes = preprocessor.arrays(frame)
    y = np.array([classes.index(label) for label in frame["y"]]) if classes else frame["y"].to_numpy()
    return preprocessor, TableArrays(x, codes, y, len(classes), tuple(map(len, preprocessor.levels)))


def test_no_row_knows_its_own_answer_by_its_statistics() -> None:
    preprocessor, table = arrays(rows())
    _, first = add_statistics(preprocessor, table)
    assert first.x.shape == (len(table.y), 2)
    assert np.array_equal(first.x[:, :1], table.x)
    for row in range(3):
        turned = table.y.copy()
        turned[row] = 1 - turned[row]
        level = table.codes[:, 0] == table.codes[row, 0]
        _, other = add_statistics(preprocessor, replace(table, y=turned))
        assert other.x[row, 1] == first.x[row, 1]
        assert np.abs(other.x[level, 1] - first.x[level, 1]).max() > 0.03  # but others of its level are told


def test_the_look_up_shrinks_and_knows_missing_and_unseen_levels() -> None:
    frame = rows("number")
    frame.loc[:20, "customer"] = None
    frame.loc[:20, "y"] = 9.0
    preprocessor, table = arrays(frame, ())
    found, _ = add_statistics(preprocessor, table)
    (statistics,) = found.statistics
    assert statistics is not None
    assert statistics.table.shape == (len(preprocessor.levels[0]) + 2, 1)
    mean, std = table.y.mean(), table.y.std()
    values = statistics(np.array([0, MISSING, UNSEEN]))[:, 0] * std + mean
    own = table.y[table.codes[:, 0] == 0].mean()
    assert values == pytest.approx([own, 9.0, mean], abs=0.3)
    frame.loc[0, "customer"] = "nobody"
    x, codes = found.arrays(frame)
    assert codes[0, 0] == UNSEEN
    assert x[0, 1] == statistics.table[-1, 0]


def test_groups_and_time_hold_for_statistics_too() -> None:
    preprocessor, table = arrays(rows())
    by_level = replace(table, split=Split(GROUP, table.codes[:, 0].copy()))
    _, grouped = add_statistics(preprocessor, by_level)
    assert np.ptp(grouped.x[:, 1]) < 0.1  # other folds know nothing of a customer: the mean of all
    _, forward = add_statistics(preprocessor, replace(table, split=Split(TIME, np.arange(len(table.y), dtype=float))))
    first = slice(0, len(table.y) // 6)
    assert np.ptp(forward.x[first, 1]) == 0
    assert np.ptp(forward.x[-100:, 1]) > 0.8


def test_levels_that_say_nothing_are_cut_as_ever() -> None:
    frame = rows()
    frame["y"] = np.random.default_rng(1).choice(["no", "yes"], len(frame))
    preprocessor, table = arrays(frame)
    found, plain = add_statistics(preprocessor, table)
    assert found.statistics == ()
    assert plain.x.shape == (len(frame), 1)
    cut = make_preprocessor(preprocessor.columns, frame)
    assert found.levels == cut.levels
    assert np.array_equal(plain.codes, cut.arrays(frame)[1])


def test_few_levels_are_left_alone() -> None:
    frame = rows().assign(customer=lambda f: f["customer"].where(f["customer"].str.len() < 3, "other"))
    preprocessor, table = arrays(frame)
    assert add_statistics(preprocessor, table) == (preprocessor, table)
    assert preprocessor == make_preprocessor(preprocessor.columns, frame)
    assert refit_rows(preprocessor, table) is table


def test_thousands_of_levels_are_told_apart_and_few_have_features() -> None:
    n, rng = 8_000, np.random.default_rng(0)
    frame = pd.DataFrame({"customer": [f"c{i % n}" for i in range(2 * n)], "x": rng.normal(size=2 * n)})
    frame["y"] = np.tile(rng.normal(size=n), 2)
    preprocessor, table = add_statistics(*arrays(frame, ()))
    assert len(preprocessor.levels[0]) == n
    assert np.corrcoef(table.x[:, 1], table.y)[0, 1] > 0.8  # where the other row of the level is in another fold
    encoder = fit_encoder(table.x, table.codes, table.levels)
    assert encoder.tables[0].shape[0] == MAX_LEVELS + 2
    codes = np.array([[0], [MAX_LEVELS], [n - 1], [UNSEEN]])
    flat = encoder.apply(table.x[:4], codes)[2].numpy()
    assert flat[0].any()
    assert not flat[1:].any()


def test_without_data_the_first_levels_are_told_apart_and_that_is_said() -> None:
    columns = [Column("city", "categorical", levels=tuple(f"c{i}" for i in range(100))), Column("x", "numeric")]
    found, (note,) = cut_levels(columns)
    assert [c.levels for c in found] == [columns[0].levels[:MAX_LEVELS], ()]
    assert "'city' has 100 levels" in note
    assert cut_levels(found) == (found, [])


@pytest.mark.parametrize("kind", [pytest.param("colour", marks=pytest.mark.slow), "number"])
def test_a_build_tells_all_levels_apart(tmp_path: Path, kind: str) -> None:
    model = tmp_path / "m.onnx"
    report = build(rows(kind), target="y", output=model, members=1, offline=True, device="cpu")
    metric = "r2" if kind == "number" else "accuracy"
    assert report.metrics["model"][metric] > 0.9
    assert evaluate(model, rows(kind, seed=1))[metric] > 0.95
    assert any(f"'customer' has {LEVELS} levels" in note for note in report.notes)
    assert len(inspect(model)["inputs"][0]["levels"]) == LEVELS > MAX_LEVELS
    assert "constants.levels.0" in {tensor.name for tensor in onnx.load(model).graph.initializer}
    if kind == "number":
        return
    # The way through files and finetuning.
    export(model, output=tmp_path / "copy.onnx")
    expected = load_model(model).predict(rows(kind))
    assert np.array_equal(load_model(tmp_path / "copy.onnx").predict(rows(kind)), expected)
    build(str(report.requirement), rows(kind), output=tmp_path / "m.safetensors", members=1, device="cpu")
    assert np.abs(load_model(tmp_path / "m.safetensors").predict(rows(kind)) - expected).max() < 1e-5
    tune(model, data=rows(kind), output=tmp_path / "tuned.onnx", epochs=1, device="cpu")
    assert evaluate(tmp_path / "tuned.onnx", rows(kind, seed=1))[metric] > 0.95


def test_the_estimator_does_so_too() -> None:
    train, new = rows(), rows(seed=1)
    model = ModelGPTClassifier(members=1).fit(train[["customer", "x"]], train["y"])
    assert model.score(new[["customer", "x"]], new["y"]) > 0.95


@pytest.mark.slow
def test_a_long_table_keeps_its_sample_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.model_generator.build.SAMPLE_ROWS", 600)
    frame = rows()
    frame.to_csv(tmp_path / "train.csv", index=False)
    report = build(
        tmp_path / "train.csv", target="y", output=tmp_path / "m.onnx", members=1, offline=True, device="cpu"
    )
    assert report.metrics["model"]["accuracy"] > 0.9
    assert evaluate(tmp_path / "m.onnx", rows(seed=1))["accuracy"] > 0.95
