"""Reports: what is in them, intervals, curves, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from image_models import LABELS, image, image_model
from PIL import Image
from sklearn.metrics import average_precision_score, roc_curve

from modelgpt_cli import build, report
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.deployment.report import charts
from modelgpt_cli.deployment.report.report import bootstrap
from modelgpt_cli.runtime.evaluate import Compared


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A regression from a number, a date and a word that looks like HTML, and rows of its kind."""
    root = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=160),
            "kind": rng.choice(["<b>bold</b>", "plain"], 160),
            "day": (pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, 160), unit="D")).strftime("%F"),
        }
    )
    frame["price"] = 2 * frame["size"] + (frame["kind"] == "plain") + 0.1 * rng.normal(size=160)
    build(frame[:100], target="price", output=root / "m.onnx", members=1)
    return root / "m.onnx", frame[100:]


def drawn(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_a_classifier_measured(iris_model: Path, bench: Bench, tmp_path: Path) -> None:
    data = pd.read_csv(iris_model / "iris.csv").sample(60, random_state=0)
    data.to_csv(tmp_path / "test.csv", index=False)
    given = ("report", iris_model / "model.onnx", "--data", tmp_path / "test.csv", "-o", tmp_path / "r.html")
    bench.run(*given, "--importance")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Measured on test.csv" in text
    assert "60 rows" in text
    assert "What is taken for what" in text
    assert "What it decides by" in text
    assert "Measured at build" in text
    assert "built from data of this name" not in text
    assert len(drawn(text)) == 1, "of three classes there is no ROC"
    assert "http" not in re.sub(r"https?://(www\.w3\.org|modelgpt)\S*", "", text), "nothing is loaded from elsewhere"


def test_a_regression_measured_and_its_words_are_no_html(priced: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    model, rows = priced
    report(model, data=rows, output=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold" in text
    assert "Predicted against true values" in text
    assert len(drawn(text)[0].findall(".//{*}circle") or re.findall("<circle", text)) == 60
    assert "2024-01-0" in text, "a date's bounds are dates"
    assert "Most wrong" in text
    with pytest.raises(UsageError, match="already exists"):
        report(model, output=tmp_path / "r.html")
    report(model, output=tmp_path / "r.html", force=True)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Measured on" not in text
    with pytest.raises(UsageError, match="needs labelled rows"):
        report(model, output=tmp_path / "other.html", importance=True)
    assert not (tmp_path / "other.html").exists()


def test_rows_of_the_name_that_it_was_built_from_are_told(iris_model: Path, tmp_path: Path) -> None:
    report(iris_model / "model.onnx", data=iris_model / "iris.csv", output=tmp_path / "r.html")
    assert "built from data of this name" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_intervals_hold_what_they_should() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 400)
    right = rng.random(400) < 0.8
    predicted = np.where(right, true, 1 - true)
    probabilities = np.stack([1 - (0.2 + 0.6 * predicted), 0.2 + 0.6 * predicted], 1)
    found = bootstrap(Compared(true, predicted, probabilities), 2, seed=0)
    low, high = found["accuracy"]
    expected = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (low, high) == pytest.approx((right.mean() - expected, right.mean() + expected), abs=0.012)
    one = bootstrap(Compared(np.zeros(50, int), np.zeros(50, int), np.tile([1.0, 0.0], (50, 1))), 2, seed=0)
    assert "roc_auc" not in one, "it isn't defined"
    many = np.tile(np.arange(2), 40_000)
    wide = bootstrap(Compared(many, np.where(np.arange(80_000) % 5 == 0, 1 - many, many), np.eye(2)[many]), 2, seed=0)
    assert wide["accuracy"][1] - wide["accuracy"][0] == pytest.approx(2 * 1.96 * 0.4 / np.sqrt(80_000), rel=0.25)


def test_curves_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    positive = rng.random(300) < 0.3
    score = np.round(rng.normal(size=300) + positive, 1)  # with ties
    alarms, hits, _ = roc_curve(positive, score, drop_intermediate=False)
    own_hits, own_alarms = charts._rates(positive, score)
    np.testing.assert_allclose((own_alarms, own_hits), (alarms, hits))
    points = re.search(r'class="line" points="([^"]*)"', charts.precision_recall(positive, score))
    assert points is not None
    x, y = np.array([point.split(",") for point in points[1].split()], dtype=float).T
    recall, precision = (x - charts._LEFT) / charts._SIDE, 1 - (y - 8) / charts._SIDE
    area = float((np.diff(np.append(0, recall)) * precision).sum())
    assert area == pytest.approx(average_precision_score(positive, score), abs=0.01)


def test_images_are_told_by_their_names(tmp_path: Path) -> None:
    write_model(image_model(), tmp_path / "m.onnx")
    for k, label in enumerate(LABELS):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(image(40, 50, 2 * k + i)).save(tmp_path / "data" / label / f"{i}.png")
    report(tmp_path / "m.onnx", data=tmp_path / "data", output=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<th>file</th>" in text
    assert all(f"{label}/{i}.png" in text for label in LABELS for i in range(2))
