"""Which images `predict` and `evaluate` find, and of which class: as a build from the same files would have them."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_images import DOT, KINDS, blot, encoded, folder_of, places, zip_of

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.files import Truth, decoded, find_images

TRUTH = Truth(tuple(KINDS), ("label", "class"))


def classes(path: Path, truth: Truth = TRUTH) -> dict[str, str | None]:
    """Name to true class."""
    return {Path(file.name).as_posix(): file.label for file in find_images([path], truth)}


def reasons(path: Path) -> dict[str, str]:
    """What can't be read of a place, by name in its folder."""
    found = {}
    for part in decoded(find_images([path])):
        for file, image in zip(part.files, part.images, strict=True):
            if isinstance(image, ImageError):
                found[os.path.basename(file.name)] = image.reason
    return found


# Folders ------------------------------------------------------------------------------------------------------------


def test_of_train_and_test_the_test_part_is_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, n in (("train", 5), ("test", 2)):
        folder_of(tmp_path / "pets" / name, n)
    with caplog.at_level("INFO", logger="modelgpt"):
        found = classes(tmp_path / "pets")
    assert sorted(found.values(), key=str) == ["cat", "cat", "dog", "dog"]
    assert all("/test/" in name for name in found)
    assert "measured on its folder test/ alone" in caplog.text
    assert load_dataset(tmp_path / "pets").n_rows == 10, "what the build takes"
    assert len(find_images([tmp_path / "pets"])) == 14, "all are scored where no classes are wanted"
    archive = zip_of(tmp_path / "pets", tmp_path / "pets.zip")
    assert set(classes(archive)) == {f"test/{kind}/00{i}.jpg" for kind in KINDS for i in range(2)}
    assert len(find_images([archive / "train"])) == 10
    (tmp_path / "only" / "test").mkdir(parents=True)
    folder_of(tmp_path / "only" / "test" / "x", 2)
    assert set(classes(tmp_path / "only").values()) == set(KINDS)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ([f"{k}/images/{i}.png" for k in KINDS for i in "12"], {"cat", "dog"}),
        ([f"{d}/{k}/1.png" for d in ("day", "night") for k in KINDS], {"cat", "dog"}),
        (["day/cat/1.png", "night/cat/1.png"], {"cat"}),
        (["small/cat/1.png", "large/dog/1.png"], {"cat", "dog"}),
        (["cat/1.png", "owl/1.png"], {"cat", "owl"}),
        (["loose.png", "cat/1.png", "dog/1.png"], {"cat", "dog"}),
    ],
)
def test_the_folder_that_is_the_class(tmp_path: Path, layout: list[str], expected: set[str]) -> None:
    assert set(classes(places(tmp_path / "pets", *layout)).values()) == expected


def test_folders_whose_meaning_is_not_clear(tmp_path: Path) -> None:
    folder = places(tmp_path / "pets", "cat/1.png", "dog/1.png", "dog/more/2.png")
    with pytest.raises(ModelGPTError, match="not equally deep"):
        classes(folder)
    assert len(find_images([folder])) == 3, "to be scored they may lie as they like"


def test_one_folder_is_of_the_class_that_it_is_called_by(tmp_path: Path) -> None:
    folder = places(tmp_path, "Cat/1.png", "holiday/2.png")
    assert set(classes(folder / "Cat").values()) == {"Cat"}
    assert set(classes(folder / "Cat" / "1.png").values()) == {"Cat"}
    for path in (folder / "holiday", folder / "holiday" / "2.png"):
        with pytest.raises(ModelGPTError, match="holds images, but no classes"):
            classes(path)


def test_what_is_no_ordinary_file_is_neither_waited_for_nor_followed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 2)
    os.mkfifo(folder / "cat" / "pipe.jpg")
    (folder / "cat" / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "cat" / "round.jpg").symlink_to(folder / "cat" / "round.jpg")
    (folder / "cat" / ".hidden.jpg").write_bytes(DOT)
    (folder / "dog" / "up").symlink_to(folder)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "x.jpg").write_bytes(DOT)
    found = reasons(folder)
    assert found.pop("round.jpg")
    assert found == {"pipe.jpg": "no ordinary file", "gone.jpg": "no such file"}
    assert len(find_images([folder])) == 7
    assert len(find_images([folder / "cat" / "gone.jpg"])) == 1, "a link to nothing is there, and can't be read"


def test_folders_too_deep_to_be_looked_into_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = places(tmp_path / "pets", "cat/1.png", "/".join("abcdefghijk") + "/1.png")
    assert len(find_images([folder])) == 1
    assert "more than 8 levels down; not looked into" in caplog.text


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 2)
    odd = os.fsencode(folder) + b"/n\xe9on"
    try:
        os.mkdir(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for name in (b"/1.png", b"/caf\xe9.png"):
        Path(os.fsdecode(odd + name)).write_bytes(encoded(blot(1), "PNG"))
    Path(os.fsdecode(odd + b"/\xff.png")).write_bytes(b"")
    dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 2, "dog": 2, "n\ufffdon": 2}
    of = "(n\ufffdon: 1 of 3): n\ufffdon/\ufffd.png (empty file)"
    assert dataset.warnings == [f"Skipped 1 of 7 images, which can't be read {of}."]
    truth = Truth(dataset.schema.classes, ("label",))
    assert set(classes(folder, truth).values()) == {"cat", "dog", "n\ufffdon"}
    assert os.fsencode(find_images([Path(os.fsdecode(odd))])[-1].name) == odd + b"/\xff.png"
    assert reasons(folder) == {os.fsdecode(b"\xff.png"): "empty file"}


# Archives -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [None, TRUTH])
def test_archives_that_are_not_to_be_trusted(tmp_path: Path, truth: Truth | None) -> None:
    archive = zip_of(folder_of(tmp_path / "pets", 2), tmp_path / "pets.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-30])
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("cat/../../x.png", DOT)
    with pytest.raises(ModelGPTError, match="whose path leads out of it"):
        find_images([archive], truth)
    (tmp_path / "none.zip").write_bytes(b"")
    for path in (cut, tmp_path / "none.zip"):
        with pytest.raises(ModelGPTError, match="damaged or cut short"):
            find_images([path], truth)
        with pytest.raises(ModelGPTError, match="damaged or cut short"):
            load_dataset(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for kind, colour in KINDS.items():
            for i in range(2):
                opened.writestr(f"{kind}/{i}.jpg", encoded(blot(i, colour)))
        opened.writestr("cat/bomb.jpg", bytes(40 << 20))
        opened.writestr("dog/tight.bmp", encoded(np.zeros((900, 900, 3), np.uint8), "BMP"))
    found = reasons(archive)
    assert set(found) == {"bomb.jpg"}
    assert "that unpack to 41,943,040: no image does so" in found["bomb.jpg"]
    (warning,) = load_dataset(archive).warnings
    assert "Skipped 1 of 6 images" in warning


def test_a_bomb_that_says_it_is_small(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("cat/1.png", DOT)
        opened.writestr("cat/bomb.jpg", bytes(1 << 20))
    content = bytearray(archive.read_bytes())
    struct.pack_into("<I", content, content.rfind(b"cat/bomb.jpg") - 46 + 24, 1000)
    archive.write_bytes(content)
    assert reasons(archive) == {"bomb.jpg": "damaged in the archive"}


# Tables -------------------------------------------------------------------------------------------------------------


def test_the_columns_of_a_table_are_found_as_in_a_build(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", 2)
    rows = [(f"in\\{kind}\\{i:03d}.jpg", kind, "x") for kind in KINDS for i in range(2)]
    frame = pd.DataFrame([*rows, (None, "cat", "x"), ("in/none.jpg", None, "x")], columns=["photo", "animal", "by"])
    frame.to_csv(tmp_path / "pets.csv", index=False)
    found = find_images([tmp_path / "pets.csv"], Truth(tuple(KINDS), ("animal",)))
    assert [file.label for file in found] == ["cat", "cat", "dog", "dog", "cat", None]
    assert found[0].name == "in/cat/000.jpg"
    assert reasons(tmp_path / "pets.csv") == {"": "no path", "none.jpg": "no such file"}
    with pytest.raises(UsageError, match="no column 'kind'"):
        find_images([tmp_path / "pets.csv"], Truth(tuple(KINDS), ("kind",)))


def test_a_sheet_is_of_each_workbook_and_of_nothing_else(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 2)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*.jpg"))
    for name in ("one.xlsx", "two.xlsx"):
        with pd.ExcelWriter(tmp_path / name, engine="openpyxl") as writer:
            pd.DataFrame({"image": names, "label": "cat"}).to_excel(writer, sheet_name="All", index=False)
            pd.DataFrame({"image": names[:1], "label": "dog"}).to_excel(writer, sheet_name="Some", index=False)
    assert [file.label for file in find_images([with_sheet(str(tmp_path / "*.xlsx"), "Some")], TRUTH)] == ["dog"] * 2
    several = with_sheet([tmp_path / "one.xlsx", f"{tmp_path / 'two.xlsx'}#Some"], "Some")
    assert [file.label for file in find_images(several, TRUTH)] == ["dog"] * 2
    for other in (folder, next(folder.rglob("*.jpg"))):
        with pytest.raises(UsageError, match="no table"):
            find_images([with_sheet(other, "Some")])
