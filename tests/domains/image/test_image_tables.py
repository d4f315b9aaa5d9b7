"""Images as a `Dataset`, from archives and from tables of paths. Beside `test_image_data`."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_images import DOT, KINDS, all_readable, folder_of, refused, zip_of

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import load_dataset

# Archives -----------------------------------------------------------------------------------------------------------


def test_an_archive_is_read_in_place(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3, ("photo", "webcam"))
    (folder / "readme.txt").write_text("Pets of our street.")
    (folder / "__MACOSX" / "photo").mkdir(parents=True)
    (folder / "__MACOSX" / "photo" / "._000.jpg").write_bytes(b"rubbish")
    (tmp_path / "here").mkdir()
    archive = zip_of(folder, tmp_path / "here" / "pets.zip")
    dataset = load_dataset(archive)
    assert (dataset.name, dataset.path, dataset.description) == ("pets", archive, "Pets of our street.")
    assert dataset.class_counts == {"cat": 6, "dog": 6}
    assert set(dataset.sample["domain"]) == {"photo", "webcam"}
    assert all_readable(dataset)
    assert os.listdir(archive.parent) == ["pets.zip"]


def test_train_and_test_in_an_archive(tmp_path: Path) -> None:
    for name, n in (("train", 5), ("test", 2)):
        folder_of(tmp_path / "in" / "pets" / name, n)
    archive = zip_of(tmp_path / "in", tmp_path / "all.zip")
    dataset = load_dataset(archive)
    assert (dataset.name, dataset.path) == ("pets", archive / "pets" / "train")
    assert dataset.test_path == archive / "pets" / "test"
    assert load_dataset(dataset.path).n_rows == dataset.n_rows == 10
    assert load_dataset(dataset.test_path).class_counts == {"cat": 2, "dog": 2}


@pytest.mark.parametrize("name", ["/cat/1.png", "../cat/1.png", "cat/../../1.png", "C:/cat/1.png", "..\\cat\\1.png"])
def test_an_archive_that_reaches_out(tmp_path: Path, name: str) -> None:
    archive = zip_of(folder_of(tmp_path / "pets", 3), tmp_path / "pets.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, DOT)
    refused(archive, "whose path leads out of it")


def test_a_spoilt_archive(tmp_path: Path) -> None:
    archive = zip_of(folder_of(tmp_path / "pets", 3), tmp_path / "pets.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo("dog/001.jpg").header_offset
    content[start + 100] ^= 255
    archive.write_bytes(content)
    assert "dog/001.jpg (damaged in the archive)" in load_dataset(archive).warnings[0]
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as opened:
        opened.writestr("data.bin", "x,y\n1,a\n")
    refused(empty, "ZIP archive without images")


# Tables -------------------------------------------------------------------------------------------------------------


def table_of(root: Path, **more: object) -> pd.DataFrame:
    folder_of(root / "images", 4)
    rows = [(f"images/{label}/{i:03d}.jpg", label) for label in KINDS for i in range(4)]
    frame = pd.DataFrame(rows, columns=["path", "animal"])
    return frame.assign(**more)[["path", *more, "animal"]]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_paths(tmp_path: Path, kind: str) -> None:
    frame = table_of(tmp_path, age=np.arange(8) / 3)
    path = tmp_path / f"pets.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    dataset = load_dataset(path)
    assert dataset.schema.columns == (
        Column("path", "image", role="image"),
        Column("age", "identifier", note="not used beside the image"),
    )
    assert (dataset.schema.domain, dataset.schema.target) == ("image", "animal")
    assert (dataset.name, dataset.class_counts) == ("pets", {"cat": 4, "dog": 4})
    assert dataset.sample.columns.tolist() == ["path", "animal"]
    assert all_readable(dataset)
    again = load_dataset(path, columns=[Column("path", "image", role="image")], target="animal", domain="image")
    assert again.sample.equals(dataset.sample)


def test_the_fingerprint_of_a_table_is_of_the_images_too(tmp_path: Path) -> None:
    frame = table_of(tmp_path)
    frame.to_csv(tmp_path / "pets.csv", index=False)
    first = load_dataset(tmp_path / "pets.csv").fingerprint
    frame.assign(animal=frame["animal"][::-1].tolist()).to_csv(tmp_path / "pets.csv", index=False)
    second = load_dataset(tmp_path / "pets.csv").fingerprint
    (tmp_path / "images" / "cat" / "000.jpg").write_bytes(DOT)
    assert len({first, second, load_dataset(tmp_path / "pets.csv").fingerprint}) == 3


def test_rows_that_lack_something(tmp_path: Path) -> None:
    frame = table_of(tmp_path, domain=["day", "night"] * 4)
    frame.loc[0, "path"] = None
    frame.loc[1, "path"] = "images/cat/nowhere.jpg"
    frame.loc[2, "path"] = "images\\cat\\002.jpg"
    frame.loc[7, "animal"] = None
    frame.to_csv(tmp_path / "train.csv", index=False)
    dataset = load_dataset(tmp_path)
    assert dataset.class_counts == {"cat": 2, "dog": 3}
    assert dataset.sample["path"].tolist()[0] == "images/cat/002.jpg"
    assert dataset.sample["domain"].tolist() == ["day", "night", "day", "night", "day"]
    assert dataset.warnings[0] == "Skipped 1 of 8 rows without a target."
    assert "Skipped 2 of 7 images" in dataset.warnings[1]
    assert "(no path)" in dataset.warnings[1]
    assert "images/cat/nowhere.jpg (no such file)" in dataset.warnings[1]


def test_paths_to_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost = tmp_path / "lost.csv"
    pd.DataFrame({"file": [f"{i}.jpg" for i in range(30)], "kind": ["a", "b"] * 15}).to_csv(lost, index=False)
    assert "relative to its folder" in refused(lost, "None of the 30 images of lost.csv can be read").hint
    frame = pd.read_csv(lost).assign(age=np.arange(30) / 7)[["file", "age", "kind"]]
    frame.to_csv(lost, index=False)
    assert load_dataset(lost).schema.domain == "tabular"
    assert "The images that column file names are not there" in caplog.text
    web = tmp_path / "web.csv"
    frame.assign(file=[f"https://example.org/{i}.jpg" for i in range(30)]).to_csv(web, index=False)
    assert load_dataset(web).schema.domain == "tabular"
    assert "Column file holds addresses of images, which are not fetched" in caplog.text
    assert "nothing is fetched" in refused(web, "has no column of images", domain="image").cause


def test_two_columns_of_images_and_a_word_on_which(tmp_path: Path) -> None:
    frame = table_of(tmp_path)
    frame.insert(1, "mask", frame["path"])
    frame.to_csv(tmp_path / "pets.csv", index=False)
    refused(tmp_path / "pets.csv", "2 columns of images: path, mask")
    (tmp_path / "types.yaml").write_text("mask: identifier\n")
    assert load_dataset(tmp_path / "pets.csv", types=tmp_path / "types.yaml").schema.used[0].name == "path"
    (tmp_path / "types.yaml").write_text("mask: image\n")
    assert load_dataset(tmp_path / "pets.csv", types=tmp_path / "types.yaml").schema.used[0].name == "mask"


def test_numbers_can_not_be_told_from_images(tmp_path: Path) -> None:
    frame = table_of(tmp_path)
    frame.assign(animal=np.arange(8) / 3).to_csv(tmp_path / "pets.csv", index=False)
    with pytest.raises(UsageError, match="'animal' is to be predicted as a number"):
        load_dataset(tmp_path / "pets.csv")
    (tmp_path / "types.yaml").write_text("path: image\n")
    refused(tmp_path / "pets.csv", "can't be both", target="path", types=tmp_path / "types.yaml")


def test_images_are_asked_for_where_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1.5,a\n2.5,b\n" * 20)
    refused(path, "t.csv has no column of images", domain="image")
    refused(path, "t.csv has no column of images", domain="image", columns=[Column("x", "numeric")])
    refused(path, "no column of images 'photo'", columns=[Column("photo", "image", role="image")])
