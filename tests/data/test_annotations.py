"""JSON as annotation tools write it, pandas' orients, and fastText's lines: classes are found, spans refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import Dataset, load_dataset

N = 12
TEXTS = [f"{('The soup came cold', 'They smiled at us')[i % 2]}, guest number {i}" for i in range(N)]
LABELS = ["bad", "good"] * (N // 2)
SETS = [[label, *(["odd"] if i % 3 == 0 else [])] for i, label in enumerate(LABELS)]
Rows = list[Any]


def write(path: Path, rows: Rows) -> Path:
    lines = path.suffix == ".jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) if lines else json.dumps(rows), encoding="utf-8")
    return path


def check(dataset: Dataset, target: str = "label", several: bool = False, text: str = "text") -> None:
    schema = dataset.schema
    assert (schema.domain, schema.target, schema.multi_label) == ("text", target, several)
    assert schema.classes == (("bad", "good", "odd") if several else ("bad", "good"))
    assert [column.name for column in schema.used] == [text]
    assert dataset.sample[text].tolist() == TEXTS
    expected = [json.dumps(sorted(labels)) for labels in SETS] if several else LABELS
    assert dataset.sample[target].tolist() == expected


def spacy(text: str, labels: list[str]) -> Any:
    return {"text": text, "cats": {name: float(name in labels) for name in ("bad", "good", "odd")}, "entities": []}


def spacy_pair(text: str, labels: list[str]) -> Any:
    return [text, {"cats": {name: name in labels for name in ("bad", "good", "odd")}}]


def studio(text: str, labels: list[str]) -> Any:
    result = [{"type": "choices", "from_name": "label", "to_name": "text", "value": {"choices": labels}}]
    notes = {"created_at": "2024-05-01", "predictions": []}
    return {"id": len(text), "data": {"text": text}, "annotations": [{"id": 1, "result": result}]} | notes


def studio_min(text: str, labels: list[str]) -> Any:
    label = labels[0] if len(labels) == 1 else {"choices": labels}
    return {"text": text, "id": 4, "label": label, "annotator": 1, "annotation_id": 9, "lead_time": 2.5}


def prodigy(text: str, labels: list[str]) -> Any:
    options = [{"id": name, "text": name} for name in ("bad", "good", "odd")]
    return {"text": text, "options": options, "accept": labels, "answer": "accept", "_task_hash": 12}


def doccano(text: str, labels: list[str]) -> Any:
    return {"id": len(text), "text": text, "label": labels}


TOOLS = [spacy, spacy_pair, studio, studio_min, prodigy, doccano]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("tool", TOOLS, ids=[tool.__name__ for tool in TOOLS])
def test_tools(tmp_path: Path, tool: Callable[[str, list[str]], Any], several: bool) -> None:
    rows = [tool(text, labels if several else labels[:1]) for text, labels in zip(TEXTS, SETS, strict=True)]
    check(load_dataset(write(tmp_path / "t.json", rows)), several=several)
    if tool is not spacy_pair:  # a whole file alone holds arrays
        check(load_dataset(write(tmp_path / "t.jsonl", rows)), several=several)


def test_labels_first_seen_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.data.json_file._KEY_LINES", 5)
    rows = [doccano(text, ["bad", "odd"][: 1 + (i > 8)]) for i, text in enumerate(TEXTS)]
    with pytest.raises(ModelGPTError, match="a late row has several labels in 'label': bad, odd"):
        load_dataset(write(tmp_path / "t.jsonl", rows))


def test_prodigy_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = ["accept", "reject", "accept", "ignore"] * 3
    rows = [{"text": t, "label": "rude", "answer": a, "_task_hash": 1} for t, a in zip(TEXTS, answers, strict=True)]
    dataset = load_dataset(write(tmp_path / "t.jsonl", rows))
    assert dataset.class_counts == {"not rude": 3, "rude": 6}
    assert "left out 3 rows that were ignored, rejected or cancelled in Prodigy" in caplog.text
    rows = [r | {"label": label} for r, label in zip(rows, ["bad", "bad", "good", "good"] * 3, strict=True)]
    assert load_dataset(write(tmp_path / "u.jsonl", [*rows, *rows[:3]])).n_rows == 8  # what no one said isn't known


def test_a_table_with_an_answer_stays_a_table(tmp_path: Path) -> None:
    rows = [{"amount": i, "label": LABELS[i], "answer": ("accept", "reject")[i % 3 == 0]} for i in range(N)]
    dataset = load_dataset(write(tmp_path / "t.jsonl", rows), target="answer")
    assert [c.name for c in dataset.schema.used] == ["amount", "label"]


def test_what_was_cancelled_and_not_yet_labelled(tmp_path: Path) -> None:
    rows = [studio(text, [label]) for text, label in zip(TEXTS, LABELS, strict=True)]
    rows[2]["annotations"][0]["was_cancelled"] = True
    rows[3]["annotations"] = []
    dataset = load_dataset(write(tmp_path / "t.json", rows))
    assert dataset.n_rows == N - 2
    assert any("Skipped 1 of 11 rows without a target" in warning for warning in dataset.warnings)


SPAN = {"start": 0, "end": 3, "label": "DISH"}
SPANS = {
    "spaCy": [[text, {"entities": [[4, 8, "DISH"]]}] for text in TEXTS],
    "displacy": [{"text": text, "ents": [SPAN]} for text in TEXTS],
    "Label Studio": [
        {"data": {"text": t}, "annotations": [{"result": [{"type": "labels", "value": SPAN | {"labels": ["DISH"]}}]}]}
        for t in TEXTS
    ],
    "Prodigy": [{"text": t, "spans": [SPAN], "tokens": [{"start": 0, "end": 3}], "answer": "accept"} for t in TEXTS],
    "doccano": [{"id": i, "text": text, "label": [[4, 8, "DISH"]]} for i, text in enumerate(TEXTS)],
    "BIO": [{"tokens": text.split(), "ner_tags": [0] * len(text.split())} for text in TEXTS],
}


@pytest.mark.parametrize("tool", SPANS)
def test_spans_are_marked_texts(tmp_path: Path, tool: str) -> None:
    path = write(tmp_path / "t.json", SPANS[tool])
    if tool == "BIO":
        with pytest.raises(ModelGPTError, match="its tags are numbers"):
            load_dataset(path)
        return
    found = load_dataset(path).schema
    assert (found.domain, found.task, found.classes) == ("marked", "spans", ("DISH",))


def test_spans_without_a_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="holds spans: parts of each text that have a label"):
        load_dataset(write(tmp_path / "t.json", [{"id": i, "entities": [SPAN]} for i in range(4)]))


def test_spans_beside_a_class_are_left_out(tmp_path: Path) -> None:
    rows = [spacy(text, [label]) for text, label in zip(TEXTS, LABELS, strict=True)]
    check(load_dataset(write(tmp_path / "t.jsonl", [row | {"entities": [[0, 3, "X"]]} for row in rows])))
    trips = [{"name": t, "stops": [{"start": 1, "end": 4}], "late": LABELS[i]} for i, t in enumerate(TEXTS)]
    assert load_dataset(write(tmp_path / "u.jsonl", trips), target="late", text="name").n_rows == N


@pytest.mark.parametrize("orient", ["split", "records", "index", "columns", "values", "table"])
@pytest.mark.parametrize("named", [False, True])
def test_orients_of_pandas(tmp_path: Path, orient: Any, named: bool, caplog: pytest.LogCaptureFixture) -> None:
    index = [f"row {chr(97 + i)}" for i in range(N)] if named else None
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS}, index=index)
    frame.to_json(tmp_path / "t.json", orient=orient)
    if orient == "values":
        check(load_dataset(tmp_path / "t.json"), target="column_2", text="column_1")
        assert caplog.text.count("its rows are arrays without names") == 1
    else:
        check(load_dataset(tmp_path / "t.json"))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("form", ["{} {}", "{} , {}", "{}\t{}"])
def test_lines_of_fasttext(tmp_path: Path, form: str, several: bool) -> None:
    path = tmp_path / "t.txt"
    names = [[f"__label__{name}" for name in (labels if several else labels[:1])] for labels in SETS]
    lines = [form.format(" ".join(given), text) for given, text in zip(names, TEXTS, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    check(load_dataset(path), several=several)


def test_a_late_line_with_several_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.data.fasttext_file._PROBE", 4)
    lines = [f"__label__{label} {text}" for label, text in zip(LABELS, TEXTS, strict=True)]
    (tmp_path / "t.txt").write_text("\n".join([*lines, "__label__bad __label__odd late"]))
    with pytest.raises(ModelGPTError, match="a late line has several labels: bad, odd"):
        load_dataset(tmp_path / "t.txt")


def test_nested_objects(tmp_path: Path) -> None:
    rows = [
        {"post": {"body": text, "lang": "en"}, "verdict": {"label": label}}
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    path = write(tmp_path / "t.jsonl", rows)
    check(load_dataset(path), target="verdict.label", text="post.body")
    check(load_dataset(path, target="verdict.label", text="post.body"), target="verdict.label", text="post.body")
