"""Images that lie loose: classes in the files' names, or in a table beside or above them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_images import DOT, KINDS, all_readable, folder_of, places, refused, zip_of

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.files import Truth, find_images
from modelgpt_cli.domains.image.label_names import find_labels, label_of

TRUTH = Truth(tuple(KINDS), ("kind",))

# Classes in names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat.0.jpg", "cat"),
        ("cat_001.jpg", "cat"),
        ("cat (3).jpeg", "cat"),
        ("cat(3).JPG", "cat"),
        ("cloudy278.jpg", "cloudy"),
        ("american_bulldog_12.jpg", "american_bulldog"),
        ("class1_003.png", "class1"),
        ("cat.12", "cat"),
        ("a/b/dog-7.webp", "dog"),
        ("\u732b1.jpg", "\u732b"),
        ("0001.jpg", ""),
        ("cat.jpg", ""),
        ("cat3b.jpg", ""),
    ],
)
def test_a_name_is_a_label_and_a_number(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    "forms",
    [
        ("IMG_{:04d}.jpg", "DSC_{:04d}.jpg"),
        ("patient1_{}.png", "patient2_{}.png"),
        ("train_{}.png", "test_{}.png"),
        ("A{}.png", "B{}.png"),
        ("cat_{}.png",),
        ("img_cat_{}.png", "img_dog_{}.png"),
        ("{}.png", "cat_{}.png", "dog_{}.png"),
        ("Screenshot from 2024-01-{}.png", "cat_{}.png"),
    ],
)
def test_names_that_cameras_and_programs_give_are_no_classes(forms: tuple[str, ...]) -> None:
    assert find_labels([form.format(i) for form in forms for i in range(1, 6)]) == {}
    assert len(find_labels([f"{k}.{i}.jpg" for k in KINDS for i in range(3)])) == 6
    assert find_labels([f"{k}.{i}.jpg" for k in KINDS for i in range(2)]) == {}, "two of each may be chance"


def test_a_flat_folder_with_classes_in_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = places(tmp_path / "pets", *(f"{kind}.{i}.png" for kind in KINDS for i in range(4)))
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 4, "dog": 4}
    assert "classes by the names of the files: cat (cat.0.png, …: 4), dog (dog.0.png, …: 4)" in caplog.text
    assert load_dataset(zip_of(folder, tmp_path / "pets.zip")).class_counts == {"cat": 4, "dog": 4}
    for source in (folder, folder / "*.png"):
        found = find_images([source], TRUTH)
        assert [file.label for file in found] == ["cat"] * 4 + ["dog"] * 4
    (folder / "group.png").write_bytes(DOT)
    assert "but for 1 of 9: group.png" in refused(folder, "holds images, but no classes").cause
    (folder / "group.png").unlink()
    (folder / "sizes.csv").write_text("x,y\n" + "1.5,a\n2.5,b\n" * 20)
    assert "sizes.csv" in refused(folder, "holds a table, sizes.csv, and images").hint


@pytest.mark.parametrize("test", ["test1", "test"])
def test_flat_train_and_test_folders_are_no_classes(
    tmp_path: Path, test: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = places(tmp_path / "pets", *(f"train/{kind}.{i}.png" for kind in KINDS for i in range(4)))
    named = test == "test"
    places(folder, *(f"{test}/{f'cat.{i}' if named else i}.png" for i in range(3)))
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 4, "dog": 4}
    assert dataset.path == folder / "train"
    assert dataset.test_path == (folder / "test" if named else None)
    assert ("nothing says the classes there: test1/" in caplog.text) is not named
    assert len(find_images([folder], TRUTH)) == (3 if named else 8)
    assert len(find_images([folder])) == 11, "all are scored where no classes are wanted"


def test_a_folder_of_a_class_goes_before_the_names_in_it(tmp_path: Path) -> None:
    folder = places(tmp_path / "pets", "dog/cat_1.png")
    assert [file.label for file in find_images([folder / "dog" / "cat_1.png"], TRUTH)] == ["dog"]
    assert [file.label for file in find_images([folder / "dog"], TRUTH)] == ["dog"]


# A table beside or above --------------------------------------------------------------------------------------------


def competition(root: Path, table: str = "labels.csv", *, suffix: str = "") -> Path:
    """train/ and test/, whose images are called alike, and a table of the training images' labels."""
    names = [f"{i:03x}e7" for i in range(8)]
    places(root, *(f"{part}/{name}.png" for part in ("test", "train") for name in names))
    frame = pd.DataFrame({"id": [name + suffix for name in names], "kind": ["cat", "dog"] * 4})
    path = root / table
    if path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False, engine="openpyxl")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    (root / "sample_submission.csv").write_text("id,cat,dog\n000e7,0.5,0.5\n")
    return root


@pytest.mark.parametrize("table", ["labels.csv", "train.tsv", "labels.jsonl", "labels.parquet", "train.xlsx"])
def test_a_table_of_labels_above_the_images(tmp_path: Path, table: str, caplog: pytest.LogCaptureFixture) -> None:
    root = competition(tmp_path / "breeds", table, suffix=".png" if table == "train.tsv" else "")
    for path in (root, root / table, root / "train"):
        with caplog.at_level(logging.INFO, logger="modelgpt"):
            dataset = load_dataset(path)
        assert (dataset.schema.domain, dataset.schema.target) == ("image", "kind")
        assert dataset.class_counts == {"cat": 4, "dog": 4}
        assert dataset.name == "breeds"
        assert all_readable(dataset)
        assert f"{table}: column id names the images in train/, kind their classes" in caplog.text
        assert [file.label for file in find_images([path], TRUTH)] == ["cat", "dog"] * 4
        caplog.clear()
    assert len(find_images([root / "train"])) == 8
    with pytest.raises(ModelGPTError, match="holds images, but no classes"):
        find_images([root / "test"], TRUTH)


def test_a_table_of_labels_in_an_archive(tmp_path: Path) -> None:
    archive = zip_of(competition(tmp_path / "breeds"), tmp_path / "all.zip")
    for path in (archive, archive / "labels.csv"):
        dataset = load_dataset(path)
        assert dataset.class_counts == {"cat": 4, "dog": 4}
        assert dataset.path == archive / "labels.csv"
        assert all_readable(dataset)
        assert [file.label for file in find_images([path], TRUTH)] == ["cat", "dog"] * 4


def test_a_table_among_the_images(tmp_path: Path) -> None:
    folder = places(tmp_path / "pets", *(f"{i}.png" for i in range(101, 109)))
    pd.DataFrame({"number": range(101, 109), "kind": ["cat", "dog"] * 4}).to_csv(folder / "kinds.csv", index=False)
    assert load_dataset(folder).class_counts == {"cat": 4, "dog": 4}
    (folder / "103.jpg").write_bytes(DOT)
    assert "103 (several images are called so)" in load_dataset(folder).warnings[0]
    (folder / "103.jpg").unlink()
    (folder / "101.png").rename(folder / "101.PNG")
    for form in ("C:\\somewhere\\else\\{}.png", "/gone/pets/{}.png", "pets/{}"):
        cells = [form.format(i) for i in range(101, 109)]
        pd.DataFrame({"path": cells, "kind": ["cat", "dog"] * 4}).to_csv(folder / "kinds.csv", index=False)
        assert load_dataset(folder).class_counts == {"cat": 4, "dog": 4}, form


def test_a_table_that_names_a_part_of_the_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = competition(tmp_path / "breeds")
    for name in ("000e7", "001e7"):
        (root / "train" / f"{name}.png").unlink()
        (root / "test" / f"{name}.png").unlink()
    places(root, "train/more.png", "train/most.png")
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        dataset = load_dataset(root)
    assert "2 more images in train/ are not in it with a label, and not used" in caplog.text
    assert dataset.class_counts == {"cat": 3, "dog": 3}
    assert "(cat: 1 of 4, dog: 1 of 4): 000e7 (no such file); 001e7 (no such file)" in dataset.warnings[0]


def test_a_table_of_numbers_beside_images_stays_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = places(tmp_path / "study", "plots/1.png", "plots/2.png")
    ages = {"id": range(1, 61), "age": rng.integers(20, 80, 60), "dose": rng.normal(size=60).round(3)}
    pd.DataFrame({**ages, "ill": ["yes", "no"] * 30}).to_csv(root / "study.csv", index=False)
    assert load_dataset(root / "study.csv").schema.domain == "tabular"
    places(root, *(f"scans/{i}.png" for i in range(1, 61)))
    assert load_dataset(root / "study.csv").schema.domain == "image"
    (root / "types.yaml").write_text("id: identifier\n")
    assert load_dataset(root / "study.csv", types=root / "types.yaml").schema.domain == "tabular"


def test_two_tables_of_labels(tmp_path: Path) -> None:
    root = competition(tmp_path / "breeds", "first.csv")
    (root / "second.csv").write_bytes((root / "first.csv").read_bytes())
    with pytest.raises(UsageError, match=r"Several tables name the images of train: first\.csv, second\.csv"):
        load_dataset(root / "train")
    (root / "second.csv").rename(root / "labels.csv")
    assert load_dataset(root / "train").path == root / "labels.csv"


def test_class_folders_need_no_table(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 2)
    (tmp_path / "labels.csv").write_text("id,kind\n000,cat\n001,dog\n")
    assert load_dataset(folder).schema.target == "label"


def test_images_of_the_same_names_in_two_folders(tmp_path: Path) -> None:
    root = competition(tmp_path / "breeds")
    (root / "test").rename(root / "thumbs")
    (root / "train").rename(root / "large")
    error = refused(root, "The names in column 'id' of labels.csv are those of images in large/ and thumbs/.")
    assert error.hint == f"Give the folder itself, for example {root / 'large'}."
    dataset = load_dataset(root / "thumbs")
    (root / "large" / "000e7.png").write_bytes(b"")
    assert load_dataset(root / "thumbs").class_counts == dataset.class_counts == {"cat": 4, "dog": 4}


def test_rows_of_all_folders_are_found_though_the_first_are_of_one(tmp_path: Path) -> None:
    root = places(tmp_path / "breeds", *(f"{'train' if i < 300 else 'more'}/x{i}e.png" for i in range(310)))
    pd.DataFrame({"id": [f"x{i}e" for i in range(310)], "kind": ["cat", "dog"] * 155}).to_csv(
        root / "a.csv", index=False
    )
    assert load_dataset(root).n_rows == 310
