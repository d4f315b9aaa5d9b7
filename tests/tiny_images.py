"""Small images for tests: what a camera might take, what a pencil might draw, and folders and archives of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.domains.image.source import read_images

KINDS = {"cat": (190, 120, 60), "dog": (60, 110, 180)}
"""Classes, and the colour of their blot."""


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    """A file's bytes."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


DOT = encoded(np.full((3, 4, 3), 99, np.uint8), "PNG")
"""The smallest of images, as a file."""


def scene(seed: int, side: int = 96) -> np.ndarray:
    """Full of detail in all colours, as a street is: uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3))
    for size in (3, 6, 12, 24, 48, side):  # some of the light at each scale, as in nature
        coarse = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
        pixels += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=float)
    pixels = (pixels - pixels.mean()) / pixels.std() * 55 + 120
    return np.clip(pixels, 0, 255).astype(np.uint8)


def blot(seed: int, colour: tuple[int, int, int] = (190, 120, 60), side: int = 96, ground: int = 180) -> np.ndarray:
    """A shaded thing on a plain ground, as an object on a table is: uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side] / side
    x, y = rng.uniform(0.4, 0.6, 2)
    inside = np.clip((0.28 - np.hypot(right - x, down - y)) * 12, 0, 1)[..., None]
    shade = (0.5 + right)[..., None]
    light = (ground - 30 * down)[..., None]
    pixels = (1 - inside) * light + inside * shade * np.array(colour) + rng.normal(0, 4, (side, side, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def surface(seed: int, side: int = 96) -> np.ndarray:
    """Grey and rough all over, as metal is: uint8 [side, side, 3]."""
    grey = np.clip(np.random.default_rng(seed).normal(120, 12, (side, side, 1)), 0, 255)
    return np.repeat(grey, 3, axis=2).astype(np.uint8)


def sketch(seed: int, side: int = 96, *, filled: bool = False) -> np.ndarray:
    """Black lines on white, or flat colours between them where `filled`: uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 255, dtype=np.uint8)
    for _ in range(3):
        top, left = rng.integers(8, side // 2, 2)
        height, width = rng.integers(side // 4, side // 2 - 10, 2)
        box = pixels[top : top + height, left : left + width]
        box[:] = 0
        box[2:-2, 2:-2] = rng.integers(0, 255, 3) if filled else 255
    return pixels


def folder_of(root: Path, n: int = 6, domains: tuple[str, ...] = ("",)) -> Path:
    """A folder with a sub-folder of n images for each class, in each domain where there are any."""
    for domain in domains:
        for label, colour in KINDS.items():
            (root / domain / label).mkdir(parents=True)
            for i in range(n):
                (root / domain / label / f"{i:03d}.jpg").write_bytes(encoded(blot(i, colour)))
    return root


def zip_of(folder: Path, archive: Path) -> Path:
    """The files of a folder as a zip archive."""
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder).as_posix())
    return archive


def refused(path: Path, words: str, **options: object) -> ModelGPTError:
    """Loading fails with an error that holds `words`."""
    with pytest.raises(ModelGPTError) as caught:
        load_dataset(path, **options)  # type: ignore[arg-type]
    assert words in str(caught.value)
    return caught.value


def places(root: Path, *names: str) -> Path:
    """A folder with a dot at each place."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(DOT)
    return root


def all_readable(dataset: Dataset) -> bool:
    column = dataset.schema.used[0].name
    return all(isinstance(found, np.ndarray) for _, found in read_images(dataset, dataset.sample[column]))
