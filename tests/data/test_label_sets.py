"""Tables whose rows have any number of labels: recognised, asked about where it isn't clear, and never by mistake."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_texts import TOPICS, topics_frame

from modelgpt_cli import describe
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.label_cells import format_labels, parse_labels, split_cell
from modelgpt_cli.requirement_generator.requirement_file import format_requirement, parse_requirement

LABELS = ["food", "money", "sport"]


def notes_frame(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, list[list[str]]]:
    """Texts with words of none to three topics, and these."""
    rng = np.random.default_rng(seed)
    texts, sets = [], []
    for i in range(n):
        chosen = [label for label in LABELS if rng.random() < 0.45]
        words = [word for label in chosen for word in rng.choice(TOPICS[label], 3)]
        texts.append(" ".join(["today", *rng.permutation(words), "again and so on", str(i)]))
        sets.append(chosen)
    return pd.DataFrame({"text": texts}), sets


def with_lists(write: Any, **options: Any) -> Dataset:
    frame, sets = notes_frame()
    return load_dataset(frame.assign(labels=[write(labels) for labels in sets]), **options)


@pytest.mark.parametrize(
    "write",
    [
        lambda labels: labels,
        lambda labels: str(labels),
        lambda labels: format_labels(labels),
        lambda labels: ";".join(labels) or "[]",
        lambda labels: " | ".join(reversed(labels)) or "[]",
        lambda labels: ", ".join(labels) or "[]",
    ],
    ids=["objects", "python", "json", "semicolons", "bars", "commas"],
)
def test_a_column_of_lists_is_recognised(write: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelgpt")
    dataset = with_lists(write)
    assert dataset.schema.domain == "text"
    assert dataset.schema.multi_label
    assert dataset.schema.classes == tuple(LABELS)
    _, sets = notes_frame()
    assert [list(parse_labels(cell)) for cell in dataset.sample["labels"]] == sets
    assert dataset.class_counts == {label: sum(label in one for one in sets) for label in LABELS}
    assert "Multi-label: the column 'labels' holds any number of labels a row" in caplog.text


def one_hot(n: int = 60) -> pd.DataFrame:
    frame, sets = notes_frame(n)
    return frame.assign(**{label: [int(label in one) for one in sets] for label in LABELS})


def test_columns_of_0_and_1_are_recognised() -> None:
    dataset = load_dataset(one_hot())
    assert (dataset.schema.target, dataset.schema.classes) == ("labels", tuple(LABELS))
    assert [c.name for c in dataset.schema.columns] == ["text"]
    assert [list(parse_labels(cell)) for cell in dataset.sample["labels"]] == notes_frame()[1]


def test_the_requirement_says_so_and_reads_back() -> None:
    found = describe(one_hot(), offline=True)
    assert found.requirement.multi_label
    assert "\nmulti_label: true\n" in found.text
    assert "any number of" in found.requirement.sentence
    again = parse_requirement(found.text)
    assert (again.multi_label, again.classes) == (True, tuple(LABELS))
    assert "multi_label" not in format_requirement(Requirement("Is it so?", classes=("a", "b")))


def test_rows_without_a_list_are_left_out_and_told() -> None:
    dataset = with_lists(lambda labels: ";".join(labels) or None)
    empty = sum(not labels for labels in notes_frame()[1])
    assert dataset.n_rows == 60 - empty
    assert any(f"Skipped {empty} of 60 rows" in warning for warning in dataset.warnings)


@pytest.mark.parametrize(
    ("frame", "hint"),
    [
        (one_hot()[["text", "food", "sport"]], "--target COLUMN"),
        (one_hot().assign(food=[1, 0, 0] * 20, money=[0, 1, 0] * 20, sport=[0, 0, 1] * 20), "--target COLUMN"),
        (
            topics_frame(60).assign(label=["a, b", "b, c", "a, c", "d, a", "a", "e, b"] * 10),
            "--no-multi-label",
        ),
    ],
    ids=["two columns", "one 1 a row", "half of the parts mixed"],
)
def test_what_is_not_clear_is_asked(frame: pd.DataFrame, hint: str) -> None:
    with pytest.raises(UsageError, match="may be multi-label") as caught:
        load_dataset(frame)
    assert "--multi-label" in str(caught.value)
    assert hint in str(caught.value)
    assert load_dataset(frame, multi_label=True).schema.multi_label
    assert not load_dataset(frame, multi_label=False).schema.multi_label


@pytest.mark.parametrize(
    "labels",
    [
        ["Bern, Switzerland", "Rome, Italy", "Oslo, Norway"],
        ["yes, gladly", "no, never", "perhaps"],
        ["good", "bad", "so-so"],
        ["rock & roll; loud", "jazz; quiet", "folk"],
    ],
)
def test_classes_with_a_comma_stay_classes(labels: list[str]) -> None:
    frame = topics_frame(60).assign(label=labels * 20)
    dataset = load_dataset(frame)
    assert not dataset.schema.multi_label
    assert set(dataset.schema.classes) == set(labels)


def test_a_named_target_is_one_column() -> None:
    dataset = load_dataset(one_hot(), target="food", text="text")
    assert (dataset.schema.target, dataset.schema.classes) == ("food", ("0", "1"))


def test_tables_of_numbers_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(1, 90, 60), **{name: rng.integers(0, 2, 60) for name in "abcd"}})
    assert load_dataset(frame).schema.domain == "tabular"
    lists = frame.assign(label=[";".join("ab"[: 1 + i % 2]) if i % 3 else "b" for i in range(60)])
    with pytest.raises(UsageError, match="is multi-label, and models of tables have one answer a row"):
        load_dataset(lists)
    assert load_dataset(lists, multi_label=False).schema.classes == ("a", "a;b", "b")


def test_a_requirement_with_such_classes_is_obeyed() -> None:
    frame = topics_frame(60).assign(label=["a;b", "b", "a"] * 20)
    assert load_dataset(frame, classes=["a", "a;b", "b"]).schema.classes == ("a", "a;b", "b")
    assert load_dataset(frame).schema.classes == ("a", "b")


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (topics_frame(60), {}, "has no row with several labels"),
        (topics_frame(60), {"target": "label"}, "has no row with several labels in 'label'"),
        (one_hot().assign(food=[2] + [1] * 59), {"target": "labels", "classes": LABELS}, "column 'food' says"),
        (one_hot().drop(columns="food"), {"target": "labels", "classes": LABELS}, "It lacks 'food'"),
        (topics_frame(60).assign(label=[["a;b"], ["c"]] * 30), {}, "A label can't hold ';'"),
        (topics_frame(60).assign(label=[["a"], []] * 30), {}, "one label only"),
        (topics_frame(60).assign(label=[["a"], ["b"]] * 30), {"classes": ["a", "c"]}, "does not name: 'b'"),
        (topics_frame(60).assign(label=[["a"], ["b"]] * 30), {"merge_labels": True}, "--merge-labels is for"),
    ],
)
def test_what_can_t_be_is_refused(data: pd.DataFrame, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelGPTError) as caught:
        load_dataset(data, **({"multi_label": True} | options))
    assert words in str(caught.value)


def test_folders_have_one_label_each(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.txt").write_text(f"a text of {label} number {i}")
    assert not load_dataset(tmp_path).schema.multi_label
    with pytest.raises(UsageError, match=r"--multi-label: .* holds a folder for each class"):
        load_dataset(tmp_path, multi_label=True)


def test_cells_of_any_writing() -> None:
    assert split_cell("['a', 'b; c']", ";") == ("a", "b; c")
    assert split_cell("[a, b", ",") == ("[a", "b")
    assert split_cell("a;; b ;", ";") == ("a", "b")
    assert parse_labels(format_labels(["é", "a", "a"])) == ("a", "é")


def test_a_requirement_of_labels_promises_what_they_have() -> None:
    with pytest.raises(UsageError, match="quality: accuracy is for rows of one label"):
        parse_requirement("Tag it.\n---\nmulti_label: true\nclasses: [a, b]\nquality: {accuracy: 0.9}\n")
    with pytest.raises(UsageError, match="multi_label can't be 'maybe'"):
        parse_requirement("Tag it.\n---\nmulti_label: maybe\n")
    with pytest.raises(UsageError, match="can't hold ';'"):
        parse_requirement("Tag it.\n---\nmulti_label: true\nclasses: ['a;b', c]\n")
    with pytest.raises(UsageError, match="not for the task regression"):
        parse_requirement("Tag it.\n---\nmulti_label: true\ntask: regression\n")
