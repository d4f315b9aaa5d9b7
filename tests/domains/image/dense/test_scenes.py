"""Images with masks, as people keep them: which are found, what their values stand for, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, folder_of, places, refused, zip_of
from tiny_scenes import LABELS, add_pair, palette_png, png, scene, write_scenes

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.domains.image.dense.dataset import ReadScenes
from modelgpt_cli.domains.image.dense.masks import IGNORE, MaskReader


def masks_of(dataset: Dataset) -> list[np.ndarray]:
    source = cast(ReadScenes, dataset.source)
    reader = MaskReader(source.open, source.coding)
    return [reader.read(place, (72, 96)) for place in dataset.sample["mask"]]


def as_drawn(dataset: Dataset) -> bool:
    return all((found == scene(k)[1]).all() for k, found in enumerate(masks_of(dataset)))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("train/images", "train/masks"),
        ("all/JPEGImages", "all/SegmentationClass"),
        ("images/train", "annotations/train"),
        ("img", "labels"),
    ],
)
def test_layouts(tmp_path: Path, images: str, masks: str) -> None:
    dataset = load_dataset(write_scenes(tmp_path / "set", 2, images=images, masks=masks))
    assert (dataset.schema.domain, dataset.schema.task) == ("dense", "segmentation")
    assert dataset.schema.classes == LABELS
    assert as_drawn(dataset)


def test_side_by_side_zipped_and_with_a_test_part(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    for k in range(2):
        image, mask = scene(k)
        (beside / f"{k}.jpg").write_bytes(encoded(image))
        (beside / f"{k}_mask.png").write_bytes(png(mask))
    (beside / "classes.txt").write_text("\n".join(LABELS))
    assert as_drawn(load_dataset(beside))
    root = write_scenes(tmp_path / "set", 3, images="train/images", masks="train/masks")
    write_scenes(root, 5, images="test/images", masks="test/masks")
    folder, archive = load_dataset(root), load_dataset(zip_of(root, tmp_path / "set.zip"))
    assert folder.n_rows == archive.n_rows == 3
    assert folder.test_path == root / "test"
    assert folder.fingerprint == archive.fingerprint


def test_class_folders_of_images_are_none(tmp_path: Path) -> None:
    """Neither cats and dogs, nor folders that happen to be called like those of masks."""
    assert load_dataset(folder_of(tmp_path / "pets")).schema.domain == "image"
    others = places(tmp_path / "faces", *(f"{kind}/{kind}{k}.png" for kind in ("mask", "image") for k in range(4)))
    assert load_dataset(others).schema.domain == "image"


def test_values_by_palette_colour_and_two_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn = [scene(k) for k in range(2)]
    for k, (image, mask) in enumerate(drawn):
        add_pair(tmp_path / "palette", str(k), image, None)
        palette_png(tmp_path / "palette" / "masks" / f"{k}.png", mask)
        add_pair(tmp_path / "colour", str(k), image, png(mask, [(0, 0, 0), (255, 0, 0), (0, 0, 255)]))
        add_pair(tmp_path / "cells", str(k), image, png(np.where(mask == 1, 255, 0).astype(np.uint8)))
    assert load_dataset(tmp_path / "palette").schema.classes == ("class 0", "class 1", "class 2")
    plain = load_dataset(tmp_path / "colour")
    assert plain.schema.classes == ("colour #000000", "colour #0000ff", "colour #ff0000")
    (tmp_path / "colour" / "class_dict.csv").write_text("name,r,g,b\nground,0,0,0\ndisc,255,0,0\nbox,0,0,255\n")
    named = load_dataset(tmp_path / "colour")
    assert named.schema.classes == LABELS
    assert as_drawn(named)
    with caplog.at_level(logging.INFO, "modelgpt"):
        cells = load_dataset(tmp_path / "cells")
    assert cells.schema.classes == ("background", "cells")
    assert (masks_of(cells)[0] == (drawn[0][1] == 1)).all()
    share = 100 * np.mean([(mask == 1).mean() for _, mask in drawn])
    assert f"2 images with masks, 96 x 72 pixels. Pixels: background {100 - share:.3g} %" in caplog.text


def test_ignored_pixels(tmp_path: Path) -> None:
    image, mask = scene(0)
    mask[:10] = 255
    add_pair(write_scenes(tmp_path, 1), "00", image, png(mask))
    found = load_dataset(tmp_path)
    assert sum(found.class_counts.values()) == 62 * 96
    assert (masks_of(found)[0][:10] == IGNORE).all()


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    write_scenes(tmp_path, 3)
    add_pair(tmp_path, "bare", scene(8)[0], None)
    (tmp_path / "masks" / "alone.png").write_bytes(png(scene(9)[1]))
    (tmp_path / "classes.txt").write_text("\n".join((*LABELS, "cloud")))
    dataset = load_dataset(tmp_path)
    assert dataset.n_rows == 3
    told = " ".join(dataset.warnings)
    for words in ("1 of 4 images have no mask", "1 mask has no image, such as masks/alone.png", "No pixel of cloud"):
        assert words in told


def _resized(root: Path) -> None:
    add_pair(root, "01", scene(1)[0], png(scene(1)[1][::2, ::2]))


def _out_of_range(root: Path) -> None:
    Image.fromarray(np.full((72, 96), 700, np.uint16)).save(root / "masks" / "01.png")


def _jpeg(root: Path) -> None:
    for path in list((root / "masks").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()


def _one_class(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.write_bytes(png(np.ones((72, 96), np.uint8)))


def _blurred(root: Path) -> None:
    (root / "classes.txt").unlink()
    soft = np.clip(np.random.default_rng(0).normal(100, 60, (72, 96)), 0, 255).astype(np.uint8)
    (root / "masks" / "01.png").write_bytes(png(soft))


def _one_too_many(root: Path) -> None:
    add_pair(root, "01", scene(1)[0], png(np.where(scene(1)[1] == 1, 7, 0).astype(np.uint8)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_resized, "masks/01.png has 48 x 36 pixels, and its image 96 x 72"),
        (_out_of_range, "masks/01.png has the value 700"),
        (_one_too_many, "masks/01.png has the value 7, which stands for no class"),
        (_jpeg, "are JPEG"),
        (_one_class, "only 'disc' is in them"),
        (_blurred, "different grey values"),
    ],
)
def test_refused(tmp_path: Path, spoil: Any, words: str) -> None:
    spoil(write_scenes(tmp_path, 2))
    refused(tmp_path, words)


def test_classes_of_a_requirement(tmp_path: Path) -> None:
    write_scenes(tmp_path, 2)
    turned = load_dataset(tmp_path, classes=("box", "ground", "disc"))
    assert (masks_of(turned)[0] == np.array([1, 2, 0])[scene(0)[1]]).all()
    with pytest.raises(UsageError, match="the requirement names cat, dog"):
        load_dataset(tmp_path, classes=("cat", "dog"))
    (tmp_path / "classes.txt").unlink()
    assert load_dataset(tmp_path, classes=LABELS).schema.classes == LABELS


def test_no_mask_can_be_read(tmp_path: Path) -> None:
    write_scenes(tmp_path, 1)
    (tmp_path / "masks" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ModelGPTError, match="None of the 1 images"):
        load_dataset(tmp_path)
