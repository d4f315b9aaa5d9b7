"""Tables as they come: all kinds of columns, gaps, wide and narrow, few rows and many, rare classes, regression."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from modelgpt_cli import build, evaluate, inspect, predict
from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.tabular.fit import ONE_PASS, TableArrays, encode_rows, fit_table
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.head import HeadSums
from modelgpt_cli.domains.tabular.tasks import targets
from modelgpt_cli.model_generator import build as pipeline
from modelgpt_cli.model_generator.build import BuildReport


class Made:
    """A model built from a frame, and what there is to ask of it."""

    def __init__(self, frame: pd.DataFrame, folder: Path, target: str = "y", **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.data, self.path = folder / "data.csv", folder / "model.onnx"
        frame.to_csv(self.data, index=False)
        wanted = Requirement("Predict what is asked from what is known.", target=target)
        # Free text has its own tests (test_text_columns.py); here it would make every model large and slow.
        chosen = {"members": 1, "text_columns": "drop"} | options
        self.report: BuildReport = build(wanted, data=self.data, output=self.path, force=True, device="cpu", **chosen)
        self.card = inspect(self.path)

    @property
    def inputs(self) -> dict[str, str]:
        """Input columns and their types."""
        return {i["name"]: i["type"] for i in self.card["inputs"]}

    @property
    def dropped(self) -> dict[str, str]:
        """Columns left out, and why."""
        return {c["name"]: c["note"] for c in self.card["dropped"]}

    def score(self, frame: pd.DataFrame, metric: str, folder: Path) -> float:
        """Measure on other rows."""
        frame.to_csv(folder / "test.csv", index=False)
        value = evaluate(self.path, folder / "test.csv")[metric]
        assert value is not None
        return value


def mixed(n: int, seed: int = 0) -> pd.DataFrame:
    """A table with every kind of column; the class follows from four of them."""
    rng = np.random.default_rng(seed)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, n), unit="D")
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{i:06d}-{seed}" for i in range(n)],
            "income": rng.lognormal(10, 0.8, n).round(2),
            "rooms": rng.integers(1, 6, n),
            "member": rng.choice(["true", "false"], n),
            "city": rng.choice(["Bern", "Zürich", "Genève"], n, p=[0.5, 0.3, 0.2]),
            "since": day.strftime("%Y-%m-%d"),
            "country": "CH",
            "remarks": [f"wrote {i} long letters about nothing much at all {seed}" for i in range(n)],
        }
    )
    score = 2.0 * (frame["member"] == "true") + (frame["rooms"] > 3) - 2.5 * (frame["city"] == "Bern")
    score += (np.log(frame["income"]) - 10) + rng.normal(0, 0.3, n)
    frame["y"] = np.where(score > 0.3, "buys", "leaves")
    return frame


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of the mixed table, with missing cells in every column but the target."""
    frame, rng = mixed(500), np.random.default_rng(1)
    for column in frame.columns[1:-1]:
        if column != "country":
            frame.loc[rng.random(len(frame)) < 0.05, column] = None
    return Made(frame, tmp_path_factory.mktemp("shop"))


# Columns -------------------------------------------------------------------------------------------------------------


def test_columns_are_used_by_their_kind_and_others_dropped_with_a_word(shop: Made) -> None:
    assert shop.inputs == {
        "income": "numeric",
        "rooms": "numeric",
        "member": "boolean",
        "city": "categorical",
        "since": "datetime",
    }
    assert set(shop.dropped) == {"customer_id", "country", "remarks"}
    assert "free text" in shop.dropped["remarks"]
    assert "same value" in shop.dropped["country"]
    assert "different value" in shop.dropped["customer_id"]


def test_dropped_columns_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "modelgpt"):
        Made(mixed(60), tmp_path)
    said = "\n".join(caplog.messages)
    assert all(
        name in said for name in ("customer_id (a different value", "country (the same value", "'remarks' is left out")
    )


def test_mixed_table_is_learned(shop: Made, tmp_path: Path) -> None:
    assert shop.score(mixed(400, seed=5), "accuracy", tmp_path) >= 0.82


def test_prediction_takes_what_it_gets(shop: Made) -> None:
    rows = mixed(6, seed=2)
    usual = predict(shop.path, rows).probabilities
    odd = rows.copy()
    odd["city"] = ["Atlantis", None, "", "bern", "Zürich", "東京"]
    odd["income"] = ["inf", "-1e308", "unknown", None, "1e308", "12"]
    odd["since"] = ["1066-10-14", "not a date", None, "", "2999-12-31", "2020-02-30"]
    odd["member"] = [None, "perhaps", "TRUE", "", "false", "1"]
    scored = predict(shop.path, odd).probabilities
    assert np.isfinite(scored).all()
    np.testing.assert_allclose(scored.sum(1), 1, atol=1e-5)
    assert not np.allclose(scored, usual, atol=1e-3)


def test_prediction_does_without_optional_columns(shop: Made) -> None:
    rows = mixed(5, seed=2)
    without = predict(shop.path, rows.drop(columns=["city", "customer_id", "remarks", "country", "y"])).probabilities
    blank = predict(shop.path, rows.assign(city=None)).probabilities
    np.testing.assert_allclose(without, blank, atol=1e-6)  # an absent column is a column of missing cells


def test_order_of_columns_does_not_matter(shop: Made) -> None:
    rows = mixed(20, seed=3)
    one = predict(shop.path, rows).probabilities
    two = predict(shop.path, rows[rows.columns[::-1]]).probabilities
    np.testing.assert_array_equal(one, two)


def test_that_a_cell_is_missing_can_be_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gone = rng.random(300) < 0.5
    frame = pd.DataFrame({"a": np.where(gone, np.nan, rng.normal(size=300)), "b": rng.normal(size=300)})
    made = Made(frame.assign(y=np.where(gone, "lost", "kept")), tmp_path)
    assert made.report.metrics["model"]["accuracy"] >= 0.97


def test_day_of_the_week_can_be_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 1000, 600), unit="D")
    frame = pd.DataFrame({"day": day.strftime("%d/%m/%Y"), "noise": rng.normal(size=600)})
    made = Made(frame.assign(y=np.where(day.day_of_week >= 5, "weekend", "workday")), tmp_path)
    assert made.inputs["day"] == "datetime"
    assert made.report.metrics["model"]["accuracy"] >= 0.95


def test_types_file_goes_before_guessing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, 6, 300)  # an order without meaning
    frame = pd.DataFrame({"code": code, "junk": rng.normal(size=300), "note": rng.choice(["a", "b"], 300)})
    frame["y"] = np.array(["up", "down", "up", "down", "down", "up"])[code]
    (tmp_path / "types.yaml").write_text("code: categorical\njunk: identifier\n")
    made = Made(frame, tmp_path, types=tmp_path / "types.yaml")
    assert made.inputs == {"code": "categorical", "note": "categorical"}
    assert "asked for" in made.dropped["junk"]
    assert made.report.metrics["model"]["accuracy"] >= 0.99


def test_many_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 300, 900)
    frame = pd.DataFrame({"shop": [f"shop {k}" for k in level], "x": rng.normal(size=900)})
    made = Made(frame.assign(y=np.where(frame["x"] + (level < 20) > 0, "yes", "no")), tmp_path)
    assert made.inputs["shop"] == "categorical"
    assert made.report.metrics["model"]["accuracy"] >= 0.85


# Width and classes ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_many_more_columns_than_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 400))
    frame = pd.DataFrame(x, columns=[f"gene {j}" for j in range(400)]).round(3)
    made = Made(frame.assign(y=np.where(x[:, :40].sum(1) > 0, "ill", "well")), tmp_path)
    assert len(made.inputs) == 400
    assert made.report.metrics["model"]["accuracy"] > 0.5
    assert made.score(frame.assign(y=np.where(x[:, :40].sum(1) > 0, "ill", "well")), "accuracy", tmp_path) >= 0.9


@pytest.mark.slow
def test_two_hundred_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(200, 10)) * 4
    names = np.array([f"species {k}" for k in range(200)])
    kind = rng.permutation(np.repeat(np.arange(200), 2))
    frame = pd.DataFrame(centre[kind] + rng.normal(size=(400, 10)), columns=list("abcdefghij"))
    made = Made(frame.assign(y=names[kind]), tmp_path)
    assert len(made.card["labels"]) == 200
    assert made.report.metrics["model"]["accuracy"] >= 0.5
    assert predict(made.path, made.data).probabilities.shape == (400, 200)


def test_rare_class_is_not_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rare = rng.permutation(1500) < 15
    frame = pd.DataFrame(rng.normal(size=(1500, 5)), columns=list("abcde"))
    frame.loc[rare, ["a", "b"]] += 3
    made = Made(frame.assign(y=np.where(rare, "fraud", "fine")), tmp_path)
    assert made.report.metrics["model"]["roc_auc"] >= 0.95
    scored = predict(made.path, made.data)
    assert (scored.label[rare] == "fraud").mean() >= 0.5
    assert (scored.label[~rare] == "fine").mean() >= 0.99


def test_class_with_one_row(tmp_path: Path) -> None:
    frame = mixed(80)
    frame.loc[7, "y"] = "undecided"
    made = Made(frame, tmp_path)
    assert made.card["labels"] == ["buys", "leaves", "undecided"]
    assert any("'undecided': one row" in note for note in made.report.notes)
    assert np.isfinite(made.report.metrics["model"]["log_loss"])


def test_labels_that_differ_in_writing_are_reported_and_merged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = mixed(120)
    frame.loc[::3, "y"] = frame.loc[::3, "y"].map(lambda label: f" {label.upper()}. ")
    with caplog.at_level(logging.WARNING, "modelgpt"):
        apart = Made(frame, tmp_path / "apart")
    assert len(apart.card["labels"]) == 4
    assert any("--merge-labels" in message for message in caplog.messages)
    merged = Made(frame, tmp_path / "merged", merge_labels=True)
    assert merged.card["labels"] == ["buys", "leaves"]
    assert merged.report.metrics["model"]["accuracy"] > apart.report.metrics["model"]["accuracy"] + 0.1


def test_whole_number_classes_stay_numbers(tmp_path: Path) -> None:
    frame = mixed(80)
    frame["y"] = (frame["y"] == "buys").astype(int)
    import onnxruntime as ort

    made = Made(frame, tmp_path)
    session = ort.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].type == "tensor(int64)"
    assert set(predict(made.path, made.data).label) == {"0", "1"}


# Rows ----------------------------------------------------------------------------------------------------------------


def test_two_rows_make_a_model_and_say_what_it_is_worth(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "c": ["p", "q"], "y": ["small", "large"]})
    made = Made(frame, tmp_path)
    assert any("Too few rows (2)" in note for note in made.report.notes)
    assert made.report.metrics == {}
    assert predict(made.path, frame).label.tolist() == ["small", "large"]


def streamed_table(seed: int = 0) -> pd.DataFrame:
    """1,500 rows of three numbers and a category."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(1500, 3)), columns=list("abc"))
    frame["kind"] = rng.choice(["one", "two", "three"], 1500)
    score = frame["a"] * frame["b"] + frame["c"] + 2 * (frame["kind"] == "two") + rng.normal(0, 0.3, 1500)
    return frame.assign(score=score.round(4), y=np.where(score > 0.5, "high", "low"))


@pytest.mark.parametrize("target", ["y", "score"])
def test_more_rows_than_the_sample(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = streamed_table().drop(columns={"y", "score"} - {target})
    metric = "accuracy" if target == "y" else "r2"
    test = streamed_table(1).drop(columns={"y", "score"} - {target})
    whole = Made(frame, tmp_path / "whole", target).score(test, metric, tmp_path)
    monkeypatch.setattr(pipeline, "SAMPLE_ROWS", 400)
    rows = []
    original = HeadSums.add

    def add(self: HeadSums, first: torch.Tensor, linear: torch.Tensor, target: torch.Tensor) -> None:
        rows.append(len(first))
        original(self, first, linear, target)

    monkeypatch.setattr(HeadSums, "add", add)
    sampled = Made(frame, tmp_path / "sampled", target)
    assert sampled.report.n_rows <= 400  # cross-validated on the sample
    assert sum(rows) >= 1500  # the head has seen every row
    assert sampled.score(test, metric, tmp_path) >= whole - 0.1  # the bodies have seen 300 rows instead of 512


def test_streamed_head_is_the_head_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    x, codes = rng.normal(size=(900, 4)).astype(np.float32), rng.integers(0, 3, (900, 1))
    y = (x[:, 0] * x[:, 1] + (codes[:, 0] == 1) > 0).astype(np.int64)

    def in_chunks(size: int) -> TableArrays:
        def stream() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for start in range(0, 900, size):
                part = slice(start, start + size)
                yield x[part], codes[part], y[part]

        return TableArrays(x[:200], codes[:200], y[:200], 2, (3,), stream)

    generator, _ = load_generator(asset("weights", "tabular", "generator.safetensors"))
    one, two = (fit_table(generator, in_chunks(size), members=2) for size in (7, 900))
    alone = in_chunks(900).take(np.arange(200))
    sample = fit_table(generator, alone, members=2)
    heads = one.heads(ONE_PASS, in_chunks(7))
    torch.testing.assert_close(heads, two.heads(ONE_PASS, in_chunks(900)), atol=1e-2, rtol=1e-2)
    assert not torch.allclose(heads, sample.heads(ONE_PASS, alone), atol=0.1)
    sums = HeadSums(one.members, 2)
    sums.add(*encode_rows(one.encoder, x, codes), targets(torch.from_numpy(y), 2, False))
    torch.testing.assert_close(one.sums.gram, sums.gram, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(one.sums.moment, sums.moment, atol=1e-2, rtol=1e-4)


# Regression ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "scale"), [(1e9, 1e5), (-273.15, 1e-3), (0.0, 1e-20), (0.0, 1e15)])
def test_regression_at_any_scale(offset: float, scale: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(250, 4)), columns=list("abcd"))
    signal = frame["a"] + frame["b"] ** 2 - frame["c"] + rng.normal(0, 0.2, 250)
    made = Made(frame.assign(y=signal * scale + offset), tmp_path)
    assert made.card["task"] == "regression"
    assert made.report.metrics["model"]["r2"] >= 0.7
    assert made.score(pd.read_csv(made.data), "r2", tmp_path) >= 0.75


def test_regression_with_an_outlier(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(250, 3)), columns=list("abc"))
    y = frame["a"] * 2 + frame["b"]
    frame["y"] = y
    frame.loc[3, "y"] = 1e12
    made = Made(frame, tmp_path)
    assert np.isfinite(predict(made.path, made.data).prediction).all()
