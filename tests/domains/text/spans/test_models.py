"""Models of marked texts from end to end, with the tiny encoder: built, written, read back, run and measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from marked_texts import conll, marked_texts, spans_jsonl
from tiny_server import client

from modelgpt_cli import build, bundle, describe, evaluate, predict, verify
from modelgpt_cli import report as write_report
from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.text.spans.model import SpanModel
from modelgpt_cli.domains.text.spans.words import make_windows, read_texts
from modelgpt_cli.requirement_generator.requirement_file import parse_requirement
from modelgpt_cli.runtime.session import Model


@pytest.fixture(scope="module")
def made(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A model built from 40 texts, and its report."""
    folder = tmp_path_factory.mktemp("spans")
    data = spans_jsonl(folder / "marked.jsonl", marked_texts(40))
    report = build(data, output=folder / "m.onnx", backbone=str(world / "tiny"), offline=True, device="cpu")
    return folder / "m.onnx", report


def test_a_build_describes_the_task_and_finds_the_spans(made: tuple[Path, Any], tmp_path: Path) -> None:
    model, report = made
    assert report.metrics["model"]["f1"] > 0.7
    assert "word look-up" in report.metrics
    text = report.requirement.read_text()
    assert "task: spans" in text
    assert text.startswith("Find the food and sport in each text")
    requirement = parse_requirement(text)
    assert (requirement.domain, requirement.classes) == ("marked", ("food", "sport"))
    test = marked_texts(30, seed=1)
    found = evaluate(model, spans_jsonl(tmp_path / "test.jsonl", test))
    assert found["f1"] > 0.7
    assert set(found.classes) == {"food", "sport"}
    assert found.classes["food"]["rows"] == sum(label == "food" for _, spans in test for *_, label in spans)
    assert evaluate(model, conll(tmp_path / "test.conll", test)).metrics == found.metrics


def test_a_server_finds_the_spans_of_texts_that_are_sent(made: tuple[Path, Any]) -> None:
    model, _ = made
    texts = [text for text, _ in marked_texts(4, seed=4)]
    expected = list(predict(model, texts).answers["spans"])
    with client(model) as server:
        found = server.post("/predict", json=texts).json()["predictions"]
        assert [row["spans"] for row in found] == expected
        tensor = {"name": "text", "datatype": "BYTES", "shape": [4], "data": texts}
        outputs = server.post("/v2/models/m/infer", json={"inputs": [tensor]}).json()["outputs"]
        assert [json.loads(one) for one in outputs[0]["data"]] == expected


def test_predictions_have_positions_and_are_read_back(made: tuple[Path, Any], tmp_path: Path) -> None:
    model, _ = made
    text, true = marked_texts(9, seed=4)[1]
    spans = predict(model, text).answers["spans"][0]
    assert [(one["start"], one["end"], one["label"]) for one in spans] == true
    for one in spans:
        assert text[one["start"] : one["end"]] == one["text"]
        assert 0 < one["score"] <= 1
    lines = tmp_path / "new.txt"
    lines.write_text(f"{text}\nagain\n\n")
    predict(model, str(lines), output=tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert rows == [{"spans": spans}, {"spans": []}, {"spans": []}]
    predict(model, {"text": [text]}, output=tmp_path / "p.csv", keep="text")
    with (tmp_path / "p.csv").open() as file:
        row = next(csv.DictReader(file))
    assert (row["text"], json.loads(row["spans"])) == (text, spans)
    assert evaluate(model, tmp_path / "p.csv")["f1"] == 1.0


def test_answers_depend_neither_on_the_batch_nor_on_the_window(made: tuple[Path, Any]) -> None:
    model, _ = made
    texts = [text for text, _ in marked_texts(9, seed=2)]
    together = predict(model, {"text": texts}).answers["spans"]
    alone = [predict(model, {"text": [text]}).answers["spans"][0] for text in texts]
    assert [[one["text"] for one in spans] for spans in together] == [[one["text"] for one in spans] for spans in alone]
    long = "again the team with soup " * 60
    spans = predict(model, {"text": [long]}).answers["spans"][0]
    assert max(one["end"] for one in spans) > 0.9 * len(long)
    assert all(long[one["start"] : one["end"]] == one["text"] for one in spans)


def test_windows_cover_all_words_and_overlap(made: tuple[Path, Any]) -> None:
    loaded = load_model(made[0])
    assert isinstance(loaded, SpanModel)
    texts = read_texts(loaded.tokenizer, ["again the team " * 30, "", "x" * 400])
    windows = make_windows(texts, loaded.tokenizer, 16)
    assert max(map(len, windows.ids)) <= 16
    covered = [{k for n, (a, b) in zip(windows.text, windows.words, strict=True) if n == i for k in range(a, b)}
               for i in range(3)]  # fmt: skip
    assert covered == [set(range(90)), set(), {0}]
    first, second = windows.words[:2]
    assert second[0] < first[1]


@pytest.mark.parametrize("quantize", ["fp16", "int8"])
def test_smaller_files_find_the_same(made: tuple[Path, Any], quantize: str, tmp_path: Path) -> None:
    export(made[0], output=tmp_path / "small.onnx", quantize=quantize)
    texts = {"text": [text for text, _ in marked_texts(12, seed=3)]}
    found, wanted = (
        [{(one["start"], one["label"]) for one in spans} for spans in predict(model, texts).answers["spans"]]
        for model in (tmp_path / "small.onnx", made[0])
    )
    assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) > 0.8


def test_the_file_is_read_back_with_the_same_answers(made: tuple[Path, Any], tmp_path: Path) -> None:
    loaded = load_model(made[0])
    write_model(loaded, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    frame = loaded.empty_rows().assign(text=["the goal with bread"])
    assert np.array_equal(loaded.predict(frame), again.predict(frame))


def test_what_is_not_for_spans_says_so(made: tuple[Path, Any], tmp_path: Path) -> None:
    model, _ = made
    with pytest.raises(UsageError, match="--min-confidence is not for marked texts"):
        predict(model, "the goal with bread", min_confidence=0.5)
    with pytest.raises(UsageError, match="--importance is not for marked texts"):
        evaluate(model, spans_jsonl(tmp_path / "t.jsonl", marked_texts(5)), importance=True)
    with pytest.raises(UsageError, match="holds no marked texts to compare with"):
        evaluate(model, {"text": ["a b"], "spans": ["x"]})
    (tmp_path / "req.txt").write_text("Find cities and days.\n---\ntask: spans\n")
    with pytest.raises(UsageError, match="without the classes' names"):
        build(tmp_path / "req.txt", output=tmp_path / "m.onnx")
    from modelgpt_cli import tune

    with pytest.raises(ModelGPTError, match="There is no tune for marked texts yet"):
        tune(model, data=spans_jsonl(tmp_path / "u.jsonl", marked_texts(9)), output=tmp_path / "t.onnx")


def test_a_card_that_contradicts_itself_is_refused(made: tuple[Path, Any], tmp_path: Path) -> None:
    proto = onnx.load(made[0])
    entry = next(one for one in proto.metadata_props if one.key == "modelgpt")
    card = json.loads(entry.value)
    card["decoding"]["transitions"] = card["decoding"]["transitions"][1:]
    entry.value = json.dumps(card)
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelGPTError, match="no table of 6 times 6 numbers"):
        Model(tmp_path / "m.onnx")


def test_one_class_is_enough_and_spans_that_cut_words_are_told(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marked = [(t, [s for s in spans if s[2] == "food"]) for t, spans in marked_texts(24)]
    marked[1] = (marked[1][0], [(a + 1, b, c) for a, b, c in marked[1][1]])
    data = spans_jsonl(tmp_path / "marked.jsonl", marked)
    report = build(data, output=tmp_path / "m.safetensors", backbone=str(world / "tiny"), offline=True, device="cpu")
    assert load_model(report.path).blueprint.labels == ("food",)
    assert "that cut a word" in caplog.text


def test_the_sentence_names_many_classes_by_their_number(tmp_path: Path) -> None:
    marked = [(f"word{i} again", [(0, len(f"word{i}"), f"kind {i}")]) for i in range(12)]
    found = describe(spans_jsonl(tmp_path / "many.jsonl", marked), offline=True)
    assert "12 classes" in found.requirement.sentence


def test_a_report_names_what_it_finds_and_a_bundle_checks_it(made: tuple[Path, Any], tmp_path: Path) -> None:
    model, _ = made
    data = spans_jsonl(tmp_path / "test.jsonl", marked_texts(30, seed=5))
    write_report(model, data=data, output=tmp_path / "r.html", model_card=tmp_path / "README.md")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<q>") == 9
    assert "food: " in text
    assert "pipeline_tag: token-classification" in (tmp_path / "README.md").read_text(encoding="utf-8")
    bundle(model, output=tmp_path / "b.zip", data=data, rows=3)
    done = verify(tmp_path / "b.zip")
    assert (done.faults, done.golden_rows) == ([], 3)
