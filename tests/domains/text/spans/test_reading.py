"""Marked texts read from what tools write, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from marked_texts import (
    conll,
    doccano,
    hub_tokens,
    label_studio,
    marked_texts,
    prodigy,
    spacy,
    spans_jsonl,
    write_lines,
)

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.text.spans import table
from modelgpt_cli.domains.text.spans.marks import read_cell

MARKED = marked_texts(12)


def spans(data: Any) -> list[tuple[str, list[tuple[int, int, str]]]]:
    dataset = load_dataset(data)
    assert dataset.schema.domain == "marked"
    assert dataset.schema.classes == ("food", "sport")
    text = dataset.schema.used[0].name
    cells = zip(dataset.sample[text], dataset.sample["spans"], strict=True)
    return [(text, [tuple(span) for span in read_cell(cell)]) for text, cell in cells]


@pytest.mark.parametrize("form", [label_studio, doccano, prodigy, hub_tokens])
def test_records_of_tools_are_read_alike(form: Callable[..., list[Any]], tmp_path: Path) -> None:
    assert spans(write_lines(tmp_path / "marked.jsonl", form(MARKED))) == MARKED
    (tmp_path / "marked.json").write_text(json.dumps(form(MARKED)))
    assert spans(tmp_path / "marked.json") == MARKED


def test_spacy_conll_and_what_predict_writes_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "spacy.json").write_text(json.dumps(spacy(MARKED)))
    assert spans(tmp_path / "spacy.json") == MARKED
    assert spans(conll(tmp_path / "marked.conll", MARKED)) == MARKED
    assert spans(conll(tmp_path / "marked.txt", MARKED)) == MARKED
    assert spans(spans_jsonl(tmp_path / "own.jsonl", MARKED)) == MARKED


def test_a_table_with_a_column_of_spans_is_read(tmp_path: Path) -> None:
    cells = [[{"start": a, "end": b, "label": c} for a, b, c in found] for _, found in MARKED]
    frame = pd.DataFrame({"text": [t for t, _ in MARKED], "entities": cells})
    assert spans(frame) == MARKED
    frame.assign(entities=frame["entities"].map(json.dumps)).to_csv(tmp_path / "marked.csv", index=False)
    assert spans(tmp_path / "marked.csv") == MARKED
    frame.to_parquet(tmp_path / "marked.parquet")
    assert spans(tmp_path / "marked.parquet") == MARKED


def test_a_folder_of_conll_files_is_read_with_its_test_file(tmp_path: Path) -> None:
    conll(tmp_path / "train.txt", MARKED)
    conll(tmp_path / "test.txt", MARKED[:3])
    assert spans(tmp_path) == MARKED
    assert load_dataset(tmp_path).test_path == tmp_path / "test.txt"


def test_a_table_without_spans_stays_what_it_is() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0] * 5, "label": ["x", "y"] * 10})
    assert load_dataset(frame).schema.domain == "tabular"


def test_label_studio_counts_in_utf16_units(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    marked = [(f"🙂🙂 goal {i}", [(3, 7, "sport")]) for i in range(4)] + [("soup", [(0, 4, "food")])]
    tasks = label_studio(marked)
    for task in tasks[:4]:
        value = task["annotations"][0]["result"][0]["value"]
        value["start"] += 2
        value["end"] += 2
    assert spans(write_lines(tmp_path / "marked.jsonl", tasks)) == marked
    assert "as JavaScript does" in caplog.text


def test_rejected_and_cancelled_records_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    examples = prodigy(MARKED)
    examples[1]["answer"] = "reject"
    examples[2]["answer"] = "ignore"
    assert len(spans(write_lines(tmp_path / "marked.jsonl", examples))) == len(MARKED) - 2
    assert "left out 2 records rejected, ignored" in caplog.text


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    read = table.read_records
    monkeypatch.setattr(table, "read_records", lambda *given: counted.append(1) or read(*given))
    examples = prodigy(MARKED)
    examples[1]["answer"] = "reject"
    path = write_lines(tmp_path / "marked.jsonl", examples)
    for _ in range(2):
        assert "left out 1 record" in load_dataset(path).warnings[0]
    assert len(counted) == 1
    examples[2]["answer"] = "reject"
    assert "left out 2 records" in load_dataset(write_lines(path, examples)).warnings[0]


def test_what_is_odd_is_told_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = doccano(MARKED)
    records[1]["label"] += [[0, 1, "food"], [0, 400, "food"]]
    records[1]["label"] += [records[1]["label"][0]]
    dataset = load_dataset(write_lines(tmp_path / "marked.jsonl", records))
    told = "\n".join(dataset.warnings)
    assert "1 span outside of its text" in told
    assert "of 12 texts have no span" in told


def test_tags_without_a_beginning_are_counted(tmp_path: Path) -> None:
    path = conll(tmp_path / "marked.conll", MARKED)
    path.write_text(path.read_text().replace("B-sport", "I-sport"))
    dataset = load_dataset(path)
    assert any("begun by an I- tag" in line for line in dataset.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("B-sport", "X-sport", 1), "the tag 'X-sport' is of no known kind"),
        (lambda text: text.replace("NN O", "O", 1), "has 2 columns, and those before have"),
        (lambda text: text.replace("B-", "").replace("I-", ""), "no file of tokens and tags|no known kind"),
    ],
)
def test_broken_conll_files_are_refused(change: Callable[[str], str], message: str, tmp_path: Path) -> None:
    path = conll(tmp_path / "marked.conll", MARKED)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:8], change("\n".join(lines[8:]))]))
    with pytest.raises(ModelGPTError, match=message):
        load_dataset(path)


def test_numbers_for_tags_are_refused(tmp_path: Path) -> None:
    records = [record | {"ner_tags": [0] * len(record["tokens"])} for record in hub_tokens(MARKED)]
    with pytest.raises(ModelGPTError, match="its tags are numbers"):
        load_dataset(write_lines(tmp_path / "marked.jsonl", records))


def test_texts_without_spans_and_wrong_offsets_are_refused(tmp_path: Path) -> None:
    bare = [{"tokens": ["a", "b"], "ner_tags": ["O", "O"]}] * 4
    with pytest.raises(ModelGPTError, match="none of its 4 texts has a span"):
        load_dataset(write_lines(tmp_path / "bare.jsonl", bare))
    shifted = [{"text": t, "label": [[a + 500, b + 500, c] for a, b, c in s]} for t, s in MARKED]
    with pytest.raises(ModelGPTError, match="spans lie outside of their texts"):
        load_dataset(write_lines(tmp_path / "shifted.jsonl", shifted))


def test_classes_of_the_requirement_hold(tmp_path: Path) -> None:
    path = spans_jsonl(tmp_path / "own.jsonl", MARKED)
    assert load_dataset(path, classes=("sport", "food"), domain="marked").schema.classes == ("sport", "food")
    with pytest.raises(UsageError, match="classes that the requirement doesn't name: food"):
        load_dataset(path, classes=("sport",), domain="marked")
    with pytest.raises(UsageError, match="holds marked texts, and texts are asked for"):
        load_dataset(path, domain="text")
