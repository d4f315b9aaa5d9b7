"""What is said of images: each measure on made-up images whose looks are known, the draw, and the sheet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tiny_images import KINDS, blot, encoded, folder_of, scene, sketch, surface

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.contact_sheet import MOST_SHOWN, TILE, contact_sheet, sheet_size
from modelgpt_cli.domains.image.looks import Looks, mark_image
from modelgpt_cli.domains.image.profile import profile_images


def looks(*images: np.ndarray) -> Looks:
    return Looks.of([mark_image(pixels) for pixels in images])


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def blurred(pixels: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


SCENES = [scene(i) for i in range(5)]
BLOTS = [blot(i, colour) for i in range(3) for colour in KINDS.values()]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([resized(p, 64) for p in SCENES], "very low-resolution colour photographs with busy background, evenly lit"),
        (SCENES, "low-resolution colour photographs with busy background, evenly lit"),
        (
            [resized(resized(p, 30), 128) for p in SCENES],
            "low-resolution, soft colour photographs with busy background, evenly lit",
        ),
        (BLOTS, "low-resolution colour photographs with plain background, evenly lit"),
        ([p // 3 for p in SCENES], "low-resolution, dark colour photographs with busy background, evenly lit"),
        ([surface(i) for i in range(5)], "low-resolution grey photographs of a textured surface, evenly lit"),
        ([sketch(i) for i in range(5)], "low-resolution black-and-white line drawings with plain background"),
        ([sketch(i, filled=True) for i in range(5)], "low-resolution colour drawings with plain background"),
    ],
)
def test_the_words(images: list[np.ndarray], words: str) -> None:
    assert looks(*images).phrase() == words


def test_lighting() -> None:
    bright, middling, dark = (looks(*(p // 2 + add for p in BLOTS)) for add in (120, 40, 0))
    assert [found.words["light"] for found in (bright, middling, dark)] == ["bright", "", "dark"]
    assert {found.words["background"] for found in (bright, middling, dark)} == {"with plain background"}


def test_images_of_several_kinds() -> None:
    mixed = looks(*SCENES, *(sketch(i) for i in range(3))).words
    assert mixed["kind"] == "photographs and drawings"
    assert mixed["colour"] == "colour and grey"
    assert looks(*SCENES, *(p // 2 for p in SCENES)).words["evenness"] == ""
    assert looks(*BLOTS, *(p // 4 for p in BLOTS)).words["evenness"] == "of widely varying brightness"


@pytest.mark.parametrize(("side", "word"), [(95, "very low-resolution"), (239, "low-resolution"), (240, ""), (719, ""),
                                            (720, "high-resolution")])  # fmt: skip
def test_resolution_is_the_short_side_as_stored(side: int, word: str) -> None:
    assert Looks.of([mark_image(SCENES[0], side)]).words["size"] == word


def test_sharpness_does_not_depend_on_the_size() -> None:
    large = resized(SCENES[0], 96 * 8)
    detailed = np.clip(large + np.random.default_rng(0).normal(0, 40, large.shape), 0, 255).astype(np.uint8)
    assert looks(detailed).words["sharpness"] == "sharp"
    for image in (blurred(detailed, 12), resized(blurred(detailed, 12), 256)):
        assert looks(image).words["sharpness"] == "soft"
    assert looks(SCENES[0]).blur < looks(blurred(SCENES[0], 1)).blur < looks(blurred(SCENES[0], 3)).blur


def test_jpeg_does_not_turn_grey_into_colour() -> None:
    grey = np.repeat(scene(3)[..., :1], 3, axis=2)
    decoded = np.asarray(Image.open(io.BytesIO(encoded(grey, quality=60))).convert("RGB"))
    assert looks(decoded).words["colour"] == "grey"
    assert looks(SCENES[3]).words["colour"] == "colour"


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2), (300, 3)])
def test_odd_sizes_can_be_measured(shape: tuple[int, int]) -> None:
    assert looks(np.full((*shape, 3), 120, np.uint8)).phrase().startswith("very low-resolution grey")


def test_what_is_known_is_not_said_again() -> None:
    every, some = looks(*SCENES, *BLOTS), looks(*SCENES)
    assert every.phrase() == "low-resolution colour photographs with plain background, evenly lit"
    assert some.phrase(every) == "photographs with busy background"
    assert some.phrase(some) == "photographs"


def test_the_profile_draws_evenly_and_names_domains(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 2, ("table", "street"))
    for i in range(60):
        (folder / "street" / "cat" / f"x{i}.jpg").write_bytes(encoded(scene(i)))
    for path in (folder / "street").glob("*/0*.jpg"):
        path.write_bytes(encoded(scene(7)))
    dataset = load_dataset(folder)
    found = profile_images(dataset)
    assert found.n_measured == 68
    assert set(found.shown[:4]) == {"cat (table)", "cat (street)", "dog (table)", "dog (street)"}
    assert found.shown[8:] == ("cat (street)",) * 8
    assert found.domains["table"].words["background"] == "with plain background"
    assert found.domains["street"].words["background"] == "with busy background"
    assert found == profile_images(dataset)
    assert found.shown != profile_images(dataset, seed=1).shown


def test_images_that_turn_out_to_be_cut_short(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", 3)
    for path in folder.glob("cat/*.jpg"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    dataset = load_dataset(folder)
    assert profile_images(dataset).n_measured == 3
    (warning,) = dataset.warnings
    assert warning.startswith("3 images can't be decoded, and will be skipped: ")
    assert "cat/000.jpg (cut short)" in warning
    for path in folder.glob("dog/*.jpg"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    with pytest.raises(ModelGPTError, match="None of 6 images of pets that were tried can be decoded"):
        profile_images(load_dataset(folder))


def test_the_sheet() -> None:
    large, small, wide = (np.full((*size, 3), 250, np.uint8) for size in ((900, 900), (20, 20), (100, 400)))
    sheet = contact_sheet([large, small, wide, large, large])
    assert sheet_size(sheet) == (4 * 168 + 8, 2 * 168 + 8)
    with Image.open(io.BytesIO(sheet)) as opened:
        assert opened.format == "JPEG"
        white = np.asarray(opened.convert("L")) > 220
    assert abs(white.sum() - (3 * TILE**2 + 20**2 + 160 * 40)) < 0.02 * white.sum()
    assert sheet_size(contact_sheet([small] * 40)) == sheet_size(contact_sheet([small] * MOST_SHOWN)) == (680, 680)
    assert len(contact_sheet([scene(i, 200) for i in range(16)])) < 300_000
