"""Folders of images as a `Dataset`: what is skipped, what is refused, every odd file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_images import DOT, KINDS, all_readable, blot, encoded, folder_of, places, refused, zip_of

from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.source import read_images, without_unreadable

# Folders ------------------------------------------------------------------------------------------------------------


def test_a_folder_per_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "pets")
    (folder / "README.md").write_text("Pets of our street.\n")
    (folder / "cat" / "notes.pdf").write_bytes(b"%PDF")
    (folder / "cat" / ".hidden.jpg").write_bytes(DOT)
    (folder / ".git").mkdir()
    (folder / ".git" / "x.png").write_bytes(DOT)
    (folder / "dog" / "wrong.JPG").write_bytes(DOT)
    with caplog.at_level("INFO", logger="modelgpt"):
        dataset = load_dataset(folder)
    assert "passed over cat/notes.pdf: no image" in caplog.text
    assert (dataset.name, dataset.path, dataset.test_path) == ("pets", folder, None)
    assert dataset.description == "Pets of our street."
    assert dataset.schema.columns == (Column("image", "image", role="image"),)
    assert (dataset.schema.domain, dataset.schema.task, dataset.schema.target) == ("image", "classification", "label")
    assert (dataset.schema.classes, dataset.class_counts) == (("cat", "dog"), {"cat": 6, "dog": 7})
    assert list(dataset.sample.columns) == ["image", "label"]
    assert dataset.sample["image"].tolist()[:2] == ["cat/000.jpg", "cat/001.jpg"]
    assert [len(frame) for frame in dataset.frames()] == [13]
    found = dict(read_images(dataset, ["cat/001.jpg", "dog/wrong.JPG", "dog/none.jpg"]))
    assert isinstance(found["cat/001.jpg"], np.ndarray)
    assert found["cat/001.jpg"].shape == (96, 96, 3)
    assert np.array_equal(found["dog/wrong.JPG"], np.full((3, 4, 3), 99))
    assert isinstance(found["dog/none.jpg"], ImageError)
    assert found["dog/none.jpg"].reason == "no such file"


def test_domains(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3, ("photo", "webcam", "night"))
    (folder / "night" / "owl").mkdir()  # one domain may know a class more
    for i in range(3):
        (folder / "night" / "owl" / f"{i}.png").write_bytes(DOT)
    dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 9, "dog": 9, "owl": 3}
    assert list(dataset.sample.columns) == ["image", "label", "domain"]
    row = dataset.sample.set_index("image").loc["webcam/dog/001.jpg"]
    assert (row["label"], row["domain"]) == ("dog", "webcam")


def test_levels_that_say_nothing(tmp_path: Path) -> None:
    around = places(tmp_path / "a", *(f"pets/{k}/images/{i}.png" for k in KINDS for i in range(3)))
    assert load_dataset(around).class_counts == {"cat": 3, "dog": 3}
    between = places(tmp_path / "b", *(f"{d}/images/{k}/{i}.png" for d in ("x", "y") for k in KINDS for i in range(3)))
    dataset = load_dataset(between)
    assert dataset.class_counts == {"cat": 6, "dog": 6}
    assert set(dataset.sample["domain"]) == {"x", "y"}


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val")])
def test_train_and_test_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    for name, n in zip(names, (5, 2), strict=True):
        folder_of(tmp_path / "pets" / name, n, ("indoors", "outdoors"))
    dataset = load_dataset(tmp_path / "pets")
    assert (dataset.name, dataset.n_rows) == ("pets", 20)
    assert dataset.path == tmp_path / "pets" / names[0]
    assert dataset.test_path == tmp_path / "pets" / names[1]
    assert load_dataset(dataset.test_path).class_counts == {"cat": 4, "dog": 4}


def test_the_fingerprint_is_of_places_and_bytes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets")
    before = load_dataset(folder).fingerprint
    assert before.startswith("sha256:")
    assert before == load_dataset(folder_of(tmp_path / "copy")).fingerprint == open_table(folder).fingerprint()
    assert before == load_dataset(zip_of(folder, tmp_path / "pets.zip")).fingerprint
    os.rename(folder / "cat" / "000.jpg", folder / "dog" / "900.jpg")
    assert load_dataset(folder).fingerprint != before


def test_numbers_are_class_names_and_so_are_five_hundred(tmp_path: Path) -> None:
    folder = places(tmp_path / "many", *(f"{k:03d}/{i}.png" for k in range(500) for i in range(2)))
    dataset = load_dataset(folder)
    assert (len(dataset.schema.classes), dataset.schema.task, dataset.n_rows) == (500, "classification", 1000)
    single = load_dataset(places(tmp_path / "one", *(f"{k}/a.png" for k in range(30))))
    assert len(single.schema.classes) == 30


def test_a_class_with_one_image(tmp_path: Path) -> None:
    folder = places(folder_of(tmp_path / "pets"), "owl/1.png")
    assert load_dataset(folder).warnings == ["'owl': one image only, too little to learn this class or to test it."]


# Files that can't be read -------------------------------------------------------------------------------------------


def spoilt(root: Path) -> Path:
    folder = folder_of(root)
    (folder / "cat" / "000.jpg").write_bytes(b"")
    (folder / "dog" / "001.jpg").write_bytes(b"<html>not found</html>")
    return folder


def test_what_can_not_be_read_is_skipped_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = load_dataset(spoilt(tmp_path / "pets"))
    words = "2 of 12 images, which can't be read (cat: 1 of 6, dog: 1 of 6): "
    words += "cat/000.jpg (empty file); dog/001.jpg (no image in a known format)."
    assert dataset.warnings == [f"Skipped {words}"]
    assert words in caplog.text
    assert dataset.class_counts == {"cat": 5, "dog": 5}
    assert dataset.n_rows == len(dataset.sample) == 10
    assert all_readable(dataset)


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 20)
    for i in range(9):
        (folder / "cat" / f"{i:03d}.jpg").write_bytes(b"")
    (warning,) = load_dataset(folder).warnings
    assert "Skipped 9 of 40" in warning
    assert warning.endswith("cat/004.jpg (empty file); and 4 more.")


def test_a_class_that_loses_all_is_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"")
    error = refused(folder, "No image of the class 'dog' can be read.")
    assert "dog/000.jpg (empty file)" in error.cause
    for path in (folder / "cat").iterdir():
        path.write_bytes(b"")
    refused(folder, "None of the 6 images of pets can be read")


def test_what_is_cut_short_is_found_when_it_is_decoded(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    whole = (folder / "cat" / "000.jpg").read_bytes()
    (folder / "cat" / "000.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    dataset = load_dataset(folder)
    assert dataset.n_rows == 6
    found = read_images(dataset, dataset.sample["image"])
    reasons = {place: error.reason for place, error in found if isinstance(error, ImageError)}
    assert reasons == {"cat/000.jpg": "cut short"}
    kept, words = without_unreadable(dataset.sample, "image", dataset.sample["label"], reasons)
    assert len(kept) == 5
    assert words == ["Skipped 1 of 6 images, which can't be read (cat: 1 of 3): cat/000.jpg (cut short)."]


def test_links(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    elsewhere = tmp_path / "elsewhere.jpg"
    elsewhere.write_bytes(encoded(blot(9)))
    (folder / "cat" / "link.jpg").symlink_to(elsewhere)
    (folder / "cat" / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "cat" / "round.jpg").symlink_to(folder / "cat" / "round.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "dog" / "up").symlink_to(tmp_path)
    dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 4, "dog": 3}
    assert "Skipped 2 of 9 images" in dataset.warnings[0]
    assert "cat/gone.jpg (no such file)" in dataset.warnings[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    os.mkfifo(folder / "cat" / "pipe.jpg")
    assert "cat/pipe.jpg (no ordinary file)" in load_dataset(folder).warnings[0]


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        ([f"{kind}/{i}.png" for kind in ("pet/cat", "pet/dog", "car/bus", "car/van") for i in "12"],
         "car holds bus, van, and pet holds cat, dog: not the same classes"),
        (["cat/1.png", "cat/2.png", "dog/1.png", "dog/more/2.png"], "not equally deep"),
        ([f"{a}/{b}/{k}/1.png" for a in "xy" for b in "xy" for k in KINDS], "3 levels of folders"),
        ([f"{a}/{k}/1.png" for a, k in (("x", "cat"), ("y", "dog"))], "not the same classes"),
    ],
)  # fmt: skip
def test_folders_nested_in_another_way(tmp_path: Path, names: list[str], cause: str) -> None:
    error = refused(places(tmp_path / "pets", *names), "folders within folders")
    assert cause in error.cause
    assert "domain/class/image" in error.hint


def test_images_without_classes(tmp_path: Path) -> None:
    refused(places(tmp_path / "loose", "a.png", "b.png"), "holds images, but no classes")
    refused(places(tmp_path / "one", "cat/a.png", "cat/b.png"), "one class only: 'cat'")


def test_images_and_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "pets", 20)
    (folder / "cat" / "notes.txt").write_text("all of them taken in May")
    assert load_dataset(folder).schema.domain == "image"
    for i in range(10):
        (folder / "dog" / f"{i:03d}.txt").write_text("a dog")
    refused(folder, "both images (40) and texts (11)")
    texts = tmp_path / "texts"
    for i in range(40):
        (texts / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (texts / "ab"[i % 2] / f"{i}.txt").write_text(f"the letter number {i} was written by hand")
    (texts / "a" / "scan.png").write_bytes(DOT)
    assert load_dataset(texts).schema.domain == "text"


def test_a_table_beside_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    table = "x,y\n" + "1.5,a\n2.5,b\n" * 20
    (folder / "measures.csv").write_text(table)
    assert "measures.csv" in refused(folder, "holds a table, measures.csv, and images").hint
    assert load_dataset(folder / "measures.csv").schema.domain == "tabular"
    (folder / "measures.csv").rename(folder / "train.csv")
    assert load_dataset(folder).schema.domain == "tabular"
    plots = places(tmp_path / "study", "plots/1.png")
    (plots / "measures.csv").write_text(table)
    assert load_dataset(plots).schema.domain == "tabular"


def test_other_things_are_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    refused(folder, "texts are asked for", domain="text")
    refused(folder, "texts are asked for", text="label")
    refused(folder, "a table is asked for", columns=[Column("age", "numeric")])
    refused(folder, "predicted as a number", task="regression")
    refused(folder, "no target column 'lable'", target="lable")
    refused(folder, "disagree on the classes", classes=["cat", "cow"])
    dataset = load_dataset(folder, classes=["cat", "cow", "dog"], domain="image")
    assert dataset.class_counts == {"cat": 3, "cow": 0, "dog": 3}
    assert "name alone" in dataset.warnings[0]
