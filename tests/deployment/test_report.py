"""Reports: what is in them, intervals, curves, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from image_models import LABELS, image, image_model
from PIL import Image
from sklearn.metrics import average_precision_score, roc_curve
from text_models import tiny_text_model
from tiny_models import tiny_model

from modelgpt_cli import build, report
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.deployment.report import charts, pdf
from modelgpt_cli.deployment.report.measured import bootstrap
from modelgpt_cli.runtime import session
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
    assert text.count('<img src="data:image/jpeg;base64,') == 6
    assert all(f">{label}/{i}.png<" in text for label in LABELS for i in range(2))
    assert str(tmp_path) not in text, "no path of this machine"


def test_examples_hold_what_the_rows_hold(tmp_path: Path) -> None:
    columns = {"size": "numeric", "word": "categorical"}
    levels = {"inputs": [{"name": name, "input": name, "type": kind} for name, kind in columns.items()]}
    tiny_model(tmp_path / "m.onnx", columns, labels=("a", "b"), weight={"size": [-1.0, 1.0]}, metadata=levels)
    rows = ["size,word,target", "1,first,", "-3,<i>second</i>,b", "2,third,b", "4,fourth,a"]
    (tmp_path / "test.csv").write_text("\n".join(rows))
    report(tmp_path / "m.onnx", data=tmp_path / "test.csv", output=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    worst = text.partition("Most wrong")[2].partition("Right, and least sure")[0]
    assert re.findall(r'<tr class="told"><td>\s*(\d+)', worst) == ["4", "2"], "rows without a true value count too"
    assert "<b>word</b> &lt;i&gt;second&lt;/i&gt;" in worst
    assert "third" in text.partition("Right, and least sure")[2]


def test_texts_are_quoted(tmp_path: Path) -> None:
    write_model(tiny_text_model(labels=("good", "bad")), tmp_path / "m.onnx")
    frame = pd.DataFrame({"text": ["a good film", "a bad <film> " * 80] * 4, "label": ["good", "bad"] * 4})
    report(tmp_path / "m.onnx", data=frame, target="label", output=tmp_path / "r.html")
    quotes = re.findall(r"<q>(.*?)</q>", (tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "a good film" in quotes
    assert max(map(len, quotes)) < 1000
    assert any(quote.startswith("a bad &lt;film&gt;") and quote.endswith("…") for quote in quotes)


def test_the_model_is_opened_once(iris_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = session._open
    monkeypatch.setattr(session, "_open", lambda *args: opened.append(args) or real(*args))
    report(iris_model / "model.onnx", data=iris_model / "iris.csv", output=tmp_path / "r.html", importance=True)
    assert len(opened) == 1


@pytest.mark.parametrize("browser", ["there", "broken"])
def test_a_pdf_is_printed_by_the_browser_that_is_named(
    browser: str, iris_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "browser"
    out = 'out=$(printf "%s\\n" "$@" | sed -n "s/^--print-to-pdf=//p"); printf "%%PDF-1.4" > "$out"'
    program.write_text(f"#!/bin/sh\n{out if browser == 'there' else 'echo no display >&2; exit 3'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("MODELGPT_CHROMIUM", str(program))
    model, paths = iris_model / "model.onnx", {"output": tmp_path / "r.html", "pdf": tmp_path / "r.pdf"}
    if browser == "there":
        assert report(model, **paths).pdf == tmp_path / "r.pdf"
        assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
        return
    with pytest.raises(ModelGPTError, match="can't print the report") as raised:
        report(model, **paths)
    assert "no display" in raised.value.cause
    assert not (tmp_path / "r.pdf").exists()


def test_without_anything_to_print_with_it_says_what_to_install(
    iris_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELGPT_CHROMIUM", raising=False)
    monkeypatch.setattr(pdf.shutil, "which", lambda _: None)
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    with pytest.raises(ModelGPTError, match="needs Chromium or WeasyPrint"):
        report(iris_model / "model.onnx", output=tmp_path / "r.html", pdf=tmp_path / "r.pdf")
    assert not list(tmp_path.iterdir()), "told before any work"
    monkeypatch.setenv("MODELGPT_CHROMIUM", str(tmp_path / "no"))
    with pytest.raises(ModelGPTError, match="no program"):
        report(iris_model / "model.onnx", output=tmp_path / "r.html", pdf=tmp_path / "r.pdf")


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="There is no Chromium on this machine.")
def test_a_real_pdf(iris_model: Path, tmp_path: Path) -> None:
    report(iris_model / "model.onnx", output=tmp_path / "r.html", pdf=tmp_path / "r.pdf")
    assert (tmp_path / "r.pdf").read_bytes()[:5] == b"%PDF-"
    assert (tmp_path / "r.pdf").stat().st_size > 10_000


def test_a_build_writes_its_report_and_model_card(iris_model: Path, bench: Bench) -> None:
    data = pd.read_csv(iris_model / "iris.csv")
    data.to_csv("iris.csv", index=False)
    asked = ("--offline", "--members", "1", "--report", "r.html", "--model-card", "README.md")
    done = bench.run("build", "iris.csv", "-t", "species", "-o", "m.onnx", *asked)
    assert done.out == "m.onnx\n"
    assert "Measured at build" in Path("r.html").read_text(encoding="utf-8")
    card = Path("README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: unknown\nlibrary_name: onnx\npipeline_tag: tabular-classification\n")
    assert "| sepal length (cm) | numeric |" in card
    bench.refuse(2, "already exists", "build", "iris.csv", "-o", "n.onnx", "--report", "r.html")
    bench.refuse(2, "is for a model.onnx", "build", "iris.csv", "-o", "n.safetensors", "--model-card", "c.md")
