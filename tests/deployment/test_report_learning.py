"""Learning curves: a card built anew on more and more rows, in the report, in words and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench

from modelgpt_cli import build, report
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.deployment.report import learning
from modelgpt_cli.deployment.report.learning import LearningCurve, Point


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two classes, rows to build from and rows to measure on."""
    root = tmp_path_factory.mktemp("learning")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(208, 4)), columns=list("abcd"))
    frame["kind"] = np.where(frame["a"] + frame["b"] + 0.5 * rng.normal(size=208) > 0, "pear", "apple")
    frame[:128].to_csv(root / "train.csv", index=False)
    frame[128:].to_csv(root / "test.csv", index=False)
    build(root / "train.csv", target="kind", output=root / "m.onnx", members=1, offline=True)
    return root


def test_a_card_is_built_on_more_and_more_rows(fruit: Path, bench: Bench) -> None:
    given = ("report", fruit / "m.onnx", "--data", fruit / "test.csv", "--learning-curve", fruit / "train.csv")
    done = bench.run(*given, "-o", "r.html", "--json")
    assert done.code == 0, done.err
    curve = json.loads(done.out)["learning_curve"]
    assert (curve["name"], curve["unit"], curve["card"], curve["seed"]) == ("train.csv", "rows", "tabular-1", 0)
    assert [point["rows"] for point in curve["points"]] == [16, 32, 64, 128]
    for point in curve["points"]:
        low, high = point["intervals"]["accuracy"]
        assert low <= point["metrics"]["accuracy"] <= high
    assert curve["points"][-1]["metrics"]["accuracy"] > 0.75
    assert "Learning curve: 4 builds, on 16, 32, 64 and 128 rows of train.csv." in done.err
    assert "the others take some" in done.err
    text = (bench.folder / "r.html").read_text(encoding="utf-8")
    assert "Would more rows pay?" in text
    part = text.partition("Would more")[2].partition("<h2>")[0]
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", part, re.DOTALL)]
    assert [
        len(re.findall("<circle", ElementTree.tostring(one, "unicode").replace("ns0:", ""))) for one in drawings
    ] == [4, 4]
    assert "From 64 to 128 rows, accuracy went from" in part


def test_what_makes_no_curve_is_told(fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, test = pd.read_csv(fruit / "train.csv"), fruit / "test.csv"
    with pytest.raises(UsageError, match="needs labelled rows to measure on"):
        report(fruit / "m.onnx", learning_curve=rows, output=tmp_path / "r.html")
    with pytest.raises(UsageError, match="takes 32 rows to build from, and the table has 30"):
        report(fruit / "m.onnx", data=test, learning_curve=rows[:30], output=tmp_path / "r.html")

    def refuse(*_: object) -> Path:
        raise ModelGPTError("There is nothing to learn.")

    monkeypatch.setattr(learning._Builder, "build", refuse)
    with pytest.raises(ModelGPTError, match="fewer than two models could be built"):
        report(fruit / "m.onnx", data=test, learning_curve=rows, output=tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_a_share_that_makes_no_model_is_left_out() -> None:
    made = [Point(n, {"miou": 0.1 * n}) for n in (20, 40, 80)]
    curve = LearningCurve("train", "images", "dense", 0, [Point(10, reason="Too few."), *made], {"miou": "mIoU"})
    page = curve.to_page()
    assert page["rows"][0] == ("10", ["–"], "Too few.")
    assert page["words"] == "From 40 to 80 images, mIoU went from 4 to 8 (+4)."
    assert page["charts"][0].count("<circle") == 3
    assert curve.to_dict()["points"][0]["reason"] == "Too few."


@pytest.mark.slow
def test_a_task_of_its_own_has_a_curve_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from marked_texts import marked_texts, spans_jsonl

    monkeypatch.setattr(learning, "SHARES", (2, 1))
    train, test = (spans_jsonl(tmp_path / f"{k}.jsonl", marked_texts(n, seed=k)) for k, n in enumerate((40, 12)))
    build(train, output=tmp_path / "m.onnx", offline=True)
    curve = report(tmp_path / "m.onnx", data=test, learning_curve=train, output=tmp_path / "r.html").learning_curve
    assert curve is not None
    assert [point.rows for point in curve.points] == [20, 40]
    assert (curve.unit, curve.shown) == ("texts", ["f1"])
    assert "Would more texts pay?" in (tmp_path / "r.html").read_text(encoding="utf-8")
