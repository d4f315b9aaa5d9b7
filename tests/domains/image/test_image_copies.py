"""Images that are there more than once: kept in one fold, and told where their labels contradict each other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from image_models import image
from PIL import Image
from tiny_images import KINDS, encoded, folder_of, scene, sketch

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.likeness import alike_split, find_alike
from modelgpt_cli.domains.image.preprocess import View, pixels
from modelgpt_cli.domains.image.rows import read_labelled
from modelgpt_cli.domains.shared.folds import make_folds

VIEW = View(64, 64, (0.5,) * 3, (0.25,) * 3)


def values(*images: np.ndarray) -> torch.Tensor:
    return torch.cat([pixels([one], VIEW) for one in images])


def stored_anew(pixels: np.ndarray) -> list[np.ndarray]:
    """The same image as a poor JPEG, at half its size, and lit by a tenth more."""
    poor = np.asarray(Image.open(io.BytesIO(encoded(pixels, quality=40))))
    half = np.asarray(Image.fromarray(pixels).resize((48, 48)))
    return [poor, half, np.clip(pixels * 1.1, 0, 255).astype(np.uint8)]


def test_an_image_stored_sized_or_lit_anew_is_the_same_and_another_is_not() -> None:
    images = [scene(0), *stored_anew(scene(0)), scene(1), *(sketch(i) for i in range(6)), sketch(0), image(64, 64, 1)]
    keys = find_alike(values(*images), ["a", "b"] * 6 + ["a"])
    assert keys.tolist()[:4] == [keys[0]] * 4
    assert keys[5] == keys[11] >= 0
    assert (np.delete(keys, [0, 1, 2, 3, 5, 11]) == -1).all()


def test_a_burst_is_one_group_where_there_is_more_than_it() -> None:
    burst = [scene(7) for _ in range(12)]
    for i, one in enumerate(burst):
        one[i, :9] = 255
    others = [scene(20 + i) for i in range(36)]
    keys = find_alike(values(*burst, *others), ["a"] * 24 + ["b"] * 24)
    assert len(set(keys[:12].tolist())) == 1
    assert keys[0] >= 0
    assert (keys[12:] == -1).all()


def test_images_of_one_tone_are_alike_only_if_equal() -> None:
    tones = [np.full((64, 64, 3), tone, np.uint8) for tone in (10, 10, 90, 200)]
    assert (find_alike(values(*tones, scene(1), scene(2)), ["a"] * 6) >= 0).tolist() == [True] * 2 + [False] * 4


@pytest.mark.parametrize("n", [8, 40])
def test_a_camera_that_does_not_move_shows_no_copies(n: int) -> None:
    """All images correlate, whatever is in them; folds must not follow from that. Equal ones are found all the same."""
    street, images = scene(5), []
    for i in range(n):
        seen = street.copy()
        seen[40:46, 40:46] = [250, 40, 40] if i % 2 else [40, 40, 250]
        seen[10 : 10 + i % 9, i : i + 2] = 255
        images.append(seen)
    images[3] = images[1]
    keys = find_alike(values(*images), ["red" if i % 2 else "blue" for i in range(n)])
    assert np.bincount(keys[keys >= 0]).max() <= 10
    assert keys[1] == keys[3] >= 0
    assert len(np.unique(np.where(keys < 0, np.arange(n) + n, keys))) >= n // 2


def test_near_duplicates_stay_in_one_fold_and_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for k, kind in enumerate(KINDS):
        (folder / kind).mkdir(parents=True)
        for i in range(8):
            (folder / kind / f"{i}.png").write_bytes(encoded(scene(10 * k + i), "PNG"))
    for i, copy in enumerate(stored_anew(scene(3))):
        (folder / "cat" / f"copy{i}.png").write_bytes(encoded(copy, "PNG"))
    (folder / "dog" / "wrong.jpg").write_bytes(encoded(scene(5)))
    dataset = load_dataset(folder)
    read = read_labelled(dataset, dataset.sample, VIEW)
    split, notes = alike_split(read, "image")
    assert split is not None
    assert split.kind == "alike"
    assert notes[0] == "4 of 20 images are near-duplicates of others, and kept in one fold with them."
    assert "Almost equal images have different labels, 2 in all: cat/5.png (cat) and dog/wrong.jpg (dog)" in notes[1]
    y = (read.cells == "dog").astype(int)
    for seed in range(5):
        fold = make_folds(y, 2, 5, np.random.default_rng(seed), split=split).fold
        of = dict(zip(read.frame["image"], fold, strict=True))
        assert len({of[f"cat/{name}.png"] for name in ("3", "copy0", "copy1", "copy2")}) == 1
        assert of["cat/5.png"] == of["dog/wrong.jpg"]
        assert len(set(fold)) == 5


def test_no_copies_no_words(tmp_path: Path) -> None:
    dataset = load_dataset(folder_of(tmp_path / "pets", 1))
    read = read_labelled(dataset, dataset.sample, VIEW)
    assert alike_split(read, "image") == (None, [])


def test_equal_files_of_two_classes_are_told_when_they_are_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 4)
    (folder / "dog" / "x.jpg").write_bytes((folder / "cat" / "001.jpg").read_bytes())
    (folder / "dog" / "y.jpg").write_bytes((folder / "dog" / "001.jpg").read_bytes())  # of one class: no contradiction
    (warning,) = load_dataset(folder).warnings
    assert warning.startswith(
        "Identical images have different labels, 2 in all: cat/001.jpg (cat) and dog/x.jpg (dog)."
    )
    rows = [
        ("pets/cat/000.jpg", "cat"),
        ("pets/cat/000.jpg", "dog"),
        ("pets/dog/000.jpg", "dog"),
        ("pets/cat/002.jpg", "cat"),
    ]
    pd.DataFrame(rows, columns=["file", "kind"]).to_csv(tmp_path / "pets.csv", index=False)
    (warning,) = load_dataset(tmp_path / "pets.csv").warnings
    assert "pets/cat/000.jpg (cat) and pets/cat/000.jpg (dog)" in warning
