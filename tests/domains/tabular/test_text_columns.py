"""Columns of free text: embedded, reduced and carried inside the model, or left out with a word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from conftest import clean_environment
from tokenizers import Tokenizer

from modelgpt_cli import build, describe, evaluate, export, inspect, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.tabular import text_rows
from modelgpt_cli.domains.tabular.graph_inputs import graph_inputs
from modelgpt_cli.domains.tabular.text_columns import fit_projection
from modelgpt_cli.requirement_generator.requirement_file import read_requirement

PRAISE = ("The food was wonderful", "I loved every minute of it", "Excellent, I would buy it again", "Works perfectly")
BLAME = (
    "The room was dirty",
    "It broke after two days",
    "Terrible taste, not fresh",
    "Worst purchase ever, never again",
)


def reviews(n_rows: int, seed: int) -> pd.DataFrame:
    """Reviews, a tenth of them missing, whose mood decides whether the customer comes back."""
    rng = np.random.default_rng(seed)
    happy = rng.integers(0, 2, n_rows)
    words = [f"{(BLAME, PRAISE)[h][rng.integers(4)]}, order {rng.integers(1000)}." for h in happy]
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n_rows),
            "city": rng.choice(["Rome", "Oslo"], n_rows),
            "review": [text if rng.random() > 0.1 else None for text in words],
            "back": np.where(happy, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reviews, their requirement, and a model of them in both formats."""
    folder = tmp_path_factory.mktemp("shop")
    reviews(120, 0).to_csv(folder / "train.csv", index=False)
    reviews(60, 1).to_csv(folder / "test.csv", index=False)
    describe(folder / "train.csv", target="back", offline=True, output=folder / "req.txt")
    for name in ("model.safetensors", "model.onnx"):
        build(folder / "req.txt", output=folder / name, members=2, device="cpu")
    return folder


@pytest.fixture(scope="module")
def accuracy(shop: Path) -> float:
    """Share of the test rows that the model gets right."""
    measured = evaluate(shop / "model.onnx", shop / "test.csv")["accuracy"]
    assert measured is not None
    return measured


def test_the_text_decides(shop: Path, accuracy: float) -> None:
    assert inspect(shop / "model.onnx")["inputs"][2]["type"] == "text"
    assert accuracy > 0.85  # a tenth has no text; age and city say nothing
    assert 23e6 < (shop / "model.onnx").stat().st_size < 25e6
    assert (shop / "model.safetensors").stat().st_size < 2e6  # there the packaged encoder is used


def test_graph_equals_torch_whatever_the_batch(shop: Path) -> None:
    model = load_model(shop / "model.onnx")
    rows = pd.read_csv(shop / "test.csv")
    expected = model.predict(typed(rows, model.blueprint.used))
    for chunk in (7, 1000):
        scored = predict(shop / "model.onnx", shop / "test.csv", chunk_rows=chunk)
        np.testing.assert_allclose(scored.probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(
        load_model(shop / "model.safetensors").predict(typed(rows, model.blueprint.used)), expected
    )


def test_with_onnxruntime_and_tokenizers_alone(shop: Path) -> None:
    """As docs/onnx.md has it, in so far as text is concerned."""
    session = onnxruntime.InferenceSession(str(shop / "model.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    tokenizer = Tokenizer.from_str(metadata["modelgpt_tokenizer"])
    rows = pd.read_csv(shop / "test.csv").dropna()[:5]
    feeds = {}
    for column in json.loads(metadata["modelgpt"])["inputs"]:
        cells = rows[column["name"]].tolist()
        if column["type"] == "text":
            encoded = tokenizer.encode_batch(cells)
            feeds[column["input"]] = np.array([e.ids for e in encoded])
            feeds[column["mask"]] = np.array([e.attention_mask for e in encoded])
        else:
            dtype = np.float32 if column["type"] == "numeric" else object
            feeds[column["input"]] = np.array(cells, dtype=dtype).reshape(-1, 1)
    label, probabilities = session.run(["label", "probabilities"], feeds)
    scored = predict(shop / "model.onnx", rows)
    assert label.tolist() == scored.label.tolist()  # type: ignore[union-attr]
    np.testing.assert_allclose(probabilities, scored.probabilities, atol=1e-5)


def test_predicts_without_torch(shop: Path) -> None:
    program = (
        "import sys; from modelgpt_cli.runtime.predict import predict; "
        "done = predict('model.onnx', 'test.csv'); assert 'torch' not in sys.modules; print(done.rows)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shop, env=clean_environment(), capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "60", done.stderr


def test_missing_column_counts_as_missing_texts(shop: Path) -> None:
    rows = pd.read_csv(shop / "test.csv")
    without = predict(shop / "model.onnx", rows.drop(columns="review"))
    empty = predict(shop / "model.onnx", rows.assign(review=None))
    np.testing.assert_array_equal(without.probabilities, empty.probabilities)
    blank = predict(shop / "model.onnx", rows.assign(review="   "))
    np.testing.assert_array_equal(blank.probabilities, empty.probabilities)


@pytest.mark.parametrize("quantize", ["fp16", "int8"])
def test_exports_quantised(shop: Path, accuracy: float, tmp_path: Path, quantize: str) -> None:
    report = export(shop / "model.safetensors", output=tmp_path / "q.onnx", quantize=quantize)
    assert report.size_bytes < (shop / "model.onnx").stat().st_size
    quantized = evaluate(tmp_path / "q.onnx", shop / "test.csv")["accuracy"]
    assert quantized == pytest.approx(accuracy, abs=0.04)


@pytest.mark.slow
def test_tunes(shop: Path, tmp_path: Path) -> None:
    report = tune(shop / "model.onnx", data=shop / "train.csv", output=tmp_path / "t.onnx", epochs=2, device="cpu")
    assert report.rows == 120
    assert inspect(tmp_path / "t.onnx")["inputs"] == inspect(shop / "model.onnx")["inputs"]
    accuracy = evaluate(tmp_path / "t.onnx", shop / "test.csv")["accuracy"]
    assert accuracy is not None
    assert accuracy > 0.85


def test_dropped_as_asked_for(shop: Path, tmp_path: Path) -> None:
    report = build(shop / "req.txt", output=tmp_path / "m.onnx", members=1, text_columns="drop")
    assert report.size_bytes < 1e6
    assert any("'review' is left out: as asked for" in note for note in report.notes)
    assert [column["name"] for column in inspect(tmp_path / "m.onnx")["dropped"]] == ["review"]
    with pytest.raises(UsageError, match="text-columns"):
        build(shop / "req.txt", output=tmp_path / "n.onnx", text_columns="maybe")


def test_dropped_where_a_limit_forbids_it(shop: Path, tmp_path: Path) -> None:
    text = (shop / "req.txt").read_text().replace("data: ", f"data: {shop}/") + "limits: {size: 1 MB}\n"
    (tmp_path / "req.txt").write_text(text)
    report = build(tmp_path / "req.txt", output=tmp_path / "m.onnx", members=1)
    assert report.size_bytes <= 1_000_000
    assert any("the limit is 1 MB" in note for note in report.notes)


@pytest.mark.parametrize("limits", [Limits(size="20MB"), Limits(parameters="20M")])
def test_limits_that_forbid_the_encoder(limits: Limits) -> None:
    reason = text_rows.text_columns_allowed(limits, "embed")
    assert "the limit is" in reason
    assert text_rows.text_columns_allowed(Limits(size="30MB", parameters="30M"), "embed") == ""


@pytest.mark.slow
def test_latency_that_forbids_the_encoder(shop: Path, tmp_path: Path) -> None:
    text = (shop / "req.txt").read_text().replace("data: ", f"data: {shop}/")
    (tmp_path / "req.txt").write_text(text + "limits: {latency_ms: 20, batch_size: 64}\n")
    report = build(tmp_path / "req.txt", output=tmp_path / "m.onnx", members=1)
    assert any("'review' is left out: the text encoder takes" in note for note in report.notes)
    assert report.limits["latency_ms"] <= 20


@pytest.mark.slow
def test_long_tables_are_cut_with_a_word(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "TEXT_ROWS", 60)
    report = build(shop / "req.txt", output=tmp_path / "m.onnx", members=1)
    assert any("Learned from 60 of 120 rows" in note for note in report.notes)
    assert report.n_rows == 60


@pytest.mark.slow
def test_only_three_columns_of_text(tmp_path: Path) -> None:
    parts = [reviews(34, seed)["review"].rename(f"text {seed}") for seed in range(4)]
    frame = pd.concat([*parts, reviews(34, 9)[["age", "back"]]], axis=1)
    frame.to_csv(tmp_path / "train.csv", index=False)
    describe(tmp_path / "train.csv", target="back", offline=True, output=tmp_path / "req.txt")
    report = build(tmp_path / "req.txt", output=tmp_path / "m.onnx", members=1)
    assert report.size_bytes < 25e6  # one encoder for all three
    kinds = {column["name"]: column["type"] for column in inspect(tmp_path / "m.onnx")["inputs"]}
    assert kinds == {"text 0": "text", "text 1": "text", "text 2": "text", "age": "numeric"}
    assert any("'text 3' is left out: at most 3" in note for note in report.notes)


@pytest.mark.slow
def test_regression_from_text_alone_has_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = reviews(100, 0).dropna()
    frame["stars"] = np.where(frame["back"] == "yes", 4.5, 1.5) + rng.normal(0, 0.3, len(frame))
    frame[["review", "stars"]].to_csv(tmp_path / "train.csv", index=False)
    words = "Predict how many stars a customer gives from the words of the review.\n---\ndomain: tabular\n"
    (tmp_path / "req.txt").write_text(words)
    report = build(tmp_path / "req.txt", data=tmp_path / "train.csv", output=tmp_path / "m.onnx", members=2)
    assert report.metrics["model"]["r2"] > 0.8
    scored = predict(tmp_path / "m.onnx", tmp_path / "train.csv")
    assert scored.lower is not None
    assert scored.upper is not None
    assert (scored.lower < scored.upper).all()


def test_projection_of_few_and_equal_texts() -> None:
    nothing = fit_projection([None, "  "], 4)
    np.testing.assert_array_equal(nothing.components, 0)
    same = fit_projection(["the very same words"] * 20, 4)
    assert np.isfinite(same(["the very same words", None, "others"])).all()
    some = fit_projection([f"{word} number {i}" for i in range(30) for word in ("cats", "rockets")], 4)
    values = some([f"{word} number {i}" for i in range(30) for word in ("cats", "rockets")])
    np.testing.assert_allclose(values[:, :-1].std(0), 1, atol=0.1)
    np.testing.assert_array_equal(values[:, -1], 1)


def test_names_of_text_inputs_stay_apart() -> None:
    columns = [
        Column("a.input_ids", "numeric"),
        Column("a", "text", components=4),
        Column("lower", "text", components=4),
    ]
    assert graph_inputs(columns) == [
        ("a.input_ids",),
        ("a_.input_ids", "a_.attention_mask"),
        ("lower_.input_ids", "lower_.attention_mask"),
    ]


def test_damaged_tokenizer_is_one_clear_error() -> None:
    for text in (None, "", "{}"):
        with pytest.raises(ModelGPTError, match="tokenizer can't be read"):
            load_tokenizer(text)


def test_describe_counts_free_text_in_and_keeps_its_cells_to_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reviews = [
        f"It came on day {i} of the year and {'pleased' if i % 2 else 'annoyed'} everybody here" for i in range(80)
    ]
    frame = pd.DataFrame({"review": reviews, "price": rng.normal(size=80), "good": np.arange(80) % 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    offline = describe(tmp_path / "t.csv", target="good", offline=True, output=tmp_path / "r.txt")
    assert "1 text column" in offline.requirement.sentence
    (review,) = (c for c in read_requirement(tmp_path / "r.txt").columns if c.name == "review")
    assert review.is_text
    asked = describe(tmp_path / "t.csv", target="good", dry_run=True)
    assert "review" in str(asked.prompt)
    assert "everybody" not in str(asked.prompt)
