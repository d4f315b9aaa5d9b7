"""Folders of .txt files, one sub-folder per class: what counts, what is passed over, and every odd file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.text.requirement import texts_of


def text(i: int) -> str:
    """What a visitor says of a film: good where `i` is even."""
    return f"{('a warm and funny film', 'dull from start to end')[i % 2]}, number {i}"


def folder_of(root: Path, n: int = 12) -> Path:
    """A folder with a sub-folder of .txt files for each of two classes."""
    for i in range(n):
        label = ("good", "bad")[i % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{i:03d}.txt").write_text(text(i), encoding="utf-8")
    return root


def test_a_folder_of_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "films")
    (folder / "README.md").write_text("What people say of films.\n")
    (folder / "list.txt").write_text("good bad")
    (folder / ".hidden").mkdir()
    (folder / "good" / ".trash.txt").write_text("gone")
    (folder / "good" / "scan.pdf").write_bytes(b"%PDF")
    (folder / "empty").mkdir()
    (folder / "bad" / "100.TXT").write_bytes("\ufeffshouted loudly, \u00e9 and all".encode())
    with caplog.at_level("INFO", logger="modelgpt"):
        dataset = load_dataset(folder)
    assert "passed over empty, list.txt, good/scan.pdf" in caplog.text
    assert "hidden" not in caplog.text
    assert (dataset.name, dataset.path, dataset.test_path) == ("films", folder, None)
    assert dataset.description == "What people say of films."
    assert (dataset.schema.domain, dataset.schema.target) == ("text", "label")
    assert [column.name for column in texts_of(dataset.schema.columns)] == ["text"]
    assert dataset.class_counts == {"bad": 7, "good": 6}
    assert dataset.sample["text"].tolist()[:2] == [text(1), text(3)]
    assert dataset.sample["text"].iloc[6] == "shouted loudly, \u00e9 and all"
    assert [len(frame) for frame in dataset.frames(rows=5)] == [5, 5, 3]


def test_the_fingerprint_of_a_folder_is_of_all_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "films")
    before = load_dataset(folder).fingerprint
    assert before == load_dataset(folder_of(tmp_path / "copy")).fingerprint
    assert before.startswith("sha256:")
    os.rename(folder / "good" / "000.txt", folder / "bad" / "000.txt")
    assert load_dataset(folder).fingerprint != before


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing")])
def test_train_and_test_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    for name, n in zip(names, (12, 8), strict=True):
        folder_of(tmp_path / "films" / name, n)
    table = open_table(tmp_path / "films")
    assert table.path == tmp_path / "films" / names[0]
    assert table.test_path == tmp_path / "films" / names[1]
    assert sum(len(frame) for frame in table.frames()) == 12
    assert sum(len(frame) for frame in open_table(table.test_path).frames()) == 8
    assert load_dataset(tmp_path / "films").name == "films"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.txt").write_text(f"the {name} was late again, by {i} hours")
    assert load_dataset(tmp_path).schema.classes == ("bus", "train")


def test_a_table_in_the_folder_goes_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "films")
    (folder / "data.csv").write_text("x,y\n1,a\n2,b\n")
    assert open_table(folder).columns == ["x", "y"]


def test_bytes_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "films")
    (folder / "good" / "000.txt").write_bytes(b"caf\xe9 and cake")
    (folder / "good" / "002.txt").write_bytes("caf\u00e9 and cake".encode("utf-16"))
    (folder / "good" / "004.txt").write_bytes(b"")
    (folder / "good" / "006.txt").write_text("long " * 200_000)
    dataset = load_dataset(folder)
    list(dataset.frames())
    assert dataset.sample["text"].tolist()[6:8] == ["caf\ufffd and cake", "caf\u00e9 and cake"]
    assert [r.getMessage() for r in caplog.records if "UTF-8" in r.getMessage()] == [
        "films: 1 of 12 files are not UTF-8; the bytes that can't be read became \ufffd."
    ]
    assert dataset.warnings == ["1 of 12 texts is empty."]
    assert len(dataset.sample["text"].iloc[9]) == 999_999


def test_files_without_classes_can_be_predicted_but_not_learned_from(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "readme.txt"):
        (tmp_path / name).write_text(f"this is {name}")
    table = open_table(tmp_path)
    assert table.columns == ["text"]
    assert next(table.frames())["text"].tolist() == ["this is a.txt", "this is b.txt"]
    with pytest.raises(ModelGPTError, match="texts, but no classes") as caught:
        load_dataset(tmp_path)
    assert "sub-folder" in caught.value.cause


def test_one_folder_is_one_class(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    for i in range(3):
        (tmp_path / "good" / f"{i}.txt").write_text(f"a warm and funny film, number {i}")
    with pytest.raises(ModelGPTError, match="one class only: 'good'"):
        load_dataset(tmp_path)


def test_a_file_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "films")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ModelGPTError, match="can't be read"):
        load_dataset(folder)
