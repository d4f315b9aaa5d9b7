"""Which files count as images: all that Pillow opens, by name or content; of HEIC what it needs."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, features
from tiny_images import DOT, KINDS, blot, encoded, folder_of, places, refused, zip_of

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image import decode, formats
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.files import Truth, decoded, find_images, report_unreadable

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)
"""The head of an iPhone's photo, and nothing behind it."""
NAMES = {
    "1.jfif": "JPEG", "2.jpe": "JPEG", "3.ppm": "PPM", "4.pgm": "PPM", "5.tiff": "TIFF", "6.tga": "TGA", "7.pcx": "PCX",
    "8.PNG": "PNG", "9": "PNG", "10.jpg_large": "JPEG", "11.jpg": "WEBP", "12.sgi": "SGI", "13.ico": "ICO",
}  # fmt: skip
if features.check("avif"):
    NAMES["14.avif"] = "AVIF"
if features.check("jpg_2000"):
    NAMES["15.jp2"] = "JPEG2000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with an image of each format, and files of other kinds among them."""
    root = tmp_path_factory.mktemp("formats") / "pets"
    for kind, colour in KINDS.items():
        (root / kind).mkdir(parents=True)
        image = Image.fromarray(blot(1, colour, 32))
        for name, form in NAMES.items():
            (image.convert("L") if name.endswith(".pgm") else image).save(root / kind / name, form)
        (root / kind / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(99))
        (root / kind / "short").write_bytes(b"x")
        (root / kind / "letter").write_bytes(b"BM is how this letter begins, and P5 or GIF could be as well. " * 9)
        (root / kind / "drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    return root


def test_all_that_pillow_opens_is_an_image_in_folders_zips_tables_and_globs(folder: Path, tmp_path: Path) -> None:
    counts = dict.fromkeys(KINDS, len(NAMES))
    dataset = load_dataset(folder)
    assert dataset.class_counts == counts
    assert not [warning for warning in dataset.warnings if "can't be read" in warning]
    archive = zip_of(folder, tmp_path / "pets.zip")
    assert load_dataset(archive).class_counts == counts
    rows = [(f"{kind}/{name}", kind) for kind in KINDS for name in NAMES]
    pd.DataFrame(rows, columns=["file", "kind"]).to_csv(folder.parent / "pets.csv", index=False)
    frame = pd.read_csv(folder.parent / "pets.csv").assign(file=lambda f: "pets/" + f["file"])
    frame.to_csv(folder.parent / "pets.csv", index=False)
    assert load_dataset(folder.parent / "pets.csv", target="kind").class_counts == counts
    for source in (folder, archive, folder.parent / "pets.csv", folder / "*", folder / "*" / "*"):
        files = find_images([source])
        assert len(files) == 2 * len(NAMES), source
        assert not [i for part in decoded(files) for i in part.images if isinstance(i, ImageError)]


def test_a_name_that_says_nothing_is_looked_into_once_and_not_for_ever() -> None:
    looked: list[str] = []

    def head(place: str) -> bytes:
        looked.append(place)
        return b"no image, but the beginning of a letter"

    many = [f"part-{i:05d}" for i in range(5000)]
    assert formats.images_among([*many, "a.jpg"], head, lambda place: True) == ["a.jpg"]
    assert 500 <= len(looked) <= 1000
    assert formats.images_among([f"{i}.txt" for i in range(9)], lambda place: DOT, lambda place: True) == []
    found = formats.images_among(many, lambda place: DOT if place > "part-02" else b"", lambda place: True)
    assert found == many[2000:], "where some are images, all are looked into"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_without_a_suffix_is_not_waited_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    os.mkfifo(folder / "cat" / "pipe")
    assert load_dataset(folder).class_counts == {"cat": 3, "dog": 3}


def test_postscript_is_never_run() -> None:
    with pytest.raises(ImageError, match="no image in a known format"):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(99), "AVIF"),
        (HEIC, "HEIC"),
    ],
)
def test_what_can_not_be_read_is_called_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert reason in caught.value.reason


# HEIC ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decode, formats):
        monkeypatch.setattr(module, "reads_heic", lambda: False)


@pytest.mark.usefixtures("without_heif")
def test_a_class_of_heic_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    for i in range(6):
        (folder / "owl").mkdir(exist_ok=True)
        (folder / "owl" / f"IMG_{i}.HEIC").write_bytes(HEIC)
    for source in (folder, zip_of(folder, tmp_path / "pets.zip")):
        error = refused(source, "No image of the class 'owl' can be read.")
        assert "In all, 6 of 12 can't: owl/IMG_0.HEIC (HEIC, which needs pillow-heif)" in error.cause
        assert error.hint == 'Run: pip install "modelgpt-cli[heic]"'
    files = find_images([folder], Truth(("cat", "dog", "owl"), ("label",)))
    broken = [(file.name, formats.NO_HEIC) for file in files if file.label == "owl"]
    with pytest.raises(ModelGPTError, match="No image of the class 'owl' can be read") as caught:
        report_unreadable(broken, files, "are left out", labelled=True)
    assert "modelgpt-cli[heic]" in caught.value.hint


@pytest.mark.usefixtures("without_heif")
def test_a_class_that_loses_some_is_told_with_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    (folder / "cat" / "a.heic").write_bytes(HEIC)
    (folder / "dog" / "b.jpg").write_bytes(HEIC)  # as some senders rename them
    (folder / "dog" / "c").write_bytes(HEIC)
    dataset = load_dataset(folder)
    assert dataset.class_counts == {"cat": 3, "dog": 3}
    (warning,) = dataset.warnings
    assert "Skipped 3 of 9 images, which can't be read (cat: 1 of 4, dog: 2 of 5): cat/a.heic (HEIC, which" in warning
    assert warning.endswith('Run: pip install "modelgpt-cli[heic]"')
    files = find_images([folder])
    report_unreadable([(files[0].name, formats.NO_HEIC)], files, "have empty cells")
    assert "have empty cells" in caplog.text
    with pytest.raises(ModelGPTError) as caught:
        report_unreadable([(files[0].name, formats.NO_HEIC)], files[:1], "have empty cells")
    assert "modelgpt-cli[heic]" in caught.value.hint


def test_with_pillow_heif_heic_is_an_image_like_any_other(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    folder = folder_of(tmp_path / "pets", 2)
    for kind, colour in KINDS.items():
        content = io.BytesIO()
        Image.fromarray(blot(3, colour, 64)).save(content, "HEIF", quality=90)
        (folder / kind / "IMG_1.HEIC").write_bytes(content.getvalue())
        (folder / kind / "other").write_bytes(content.getvalue())
    dataset = load_dataset(folder)
    assert (dataset.class_counts, dataset.warnings) == ({"cat": 4, "dog": 4}, [])
    assert decode_image(content.getvalue()).shape == (64, 64, 3)
    with pytest.raises(ImageError, match="damaged HEIC"):
        decode_image(HEIC)
    with pytest.raises(ImageError, match="more than the 900 allowed"):
        decode_image(content.getvalue(), most_pixels=900)


def test_a_folder_beside_the_classes_without_an_image_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    (folder / "owl").mkdir()
    (folder / "owl" / "flight.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    (folder / "rat").mkdir()
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        assert load_dataset(folder).class_counts == {"cat": 3, "dog": 3}
    assert "pets: nothing is in rat/." in caplog.text
    assert "no class, as no file in it is an image: owl (1 file)" in caplog.text


def test_a_drawing_is_named_where_it_is_all_that_a_class_has(tmp_path: Path) -> None:
    folder = places(folder_of(tmp_path / "pets", 3), "owl/1.svg")
    (folder / "owl" / "1.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert "SVG, no image of pixels" in refused(folder, "No image of the class 'owl' can be read.").cause


def test_of_a_glob_what_is_no_image_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = places(tmp_path / "camera", "1.png", "2.png")
    (folder / "list.csv").write_text("image,label\n1.png,cat\n")
    (folder / "three").write_bytes(encoded(blot(1)))
    with caplog.at_level(logging.INFO, logger="modelgpt"):
        assert [os.path.basename(file.name) for file in find_images([folder / "*"])] == ["1.png", "2.png", "three"]
    assert "list.csv: no image" in caplog.text
