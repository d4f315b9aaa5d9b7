"""Small images with masks, and the forms in which people keep them; for tests of dense vision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_images import encoded

LABELS = ("ground", "disc", "box")
COLOURS = np.array([(150, 170, 140), (200, 60, 50), (50, 70, 190)], np.float64)


def scene(seed: int, height: int = 72, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A disc and a box on rough ground: uint8 (H, W, 3), and class indices uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    y, x = rng.integers(20, height - 20), rng.integers(18, width // 2 - 6)
    mask[np.hypot(down - y, right - x) < 14] = 1
    top, left = rng.integers(4, height - 34), rng.integers(width // 2 + 2, width - 34)
    mask[top : top + 28, left : left + 30] = 2
    image = COLOURS[mask] + rng.normal(0, 9, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask


def png(mask: np.ndarray, colours: Sequence[tuple[int, int, int]] | None = None) -> bytes:
    """A mask as a PNG of indices, or of colours."""
    return encoded(mask if colours is None else np.array(colours, np.uint8)[mask], "PNG")


def palette_png(path: Path, mask: np.ndarray) -> None:
    """A mask as a palette PNG."""
    image = Image.fromarray(mask, "P")
    image.putpalette([9, 9, 9, 250, 0, 0, 0, 0, 250] + [0] * 759)
    image.save(path)


def write_scenes(root: Path, n: int = 6, *, masks: str = "masks", images: str = "images", names: bool = True) -> Path:
    """A folder of n images and masks, with the list of classes beside them."""
    for k in range(n):
        image, mask = scene(k)
        add_pair(root, f"{k:02d}", image, png(mask), images=images, masks=masks)
    if names:
        (root / "classes.txt").write_text("\n".join(LABELS) + "\n")
    return root


def add_pair(
    root: Path, stem: str, image: np.ndarray, mask: bytes | None, *, images: str = "images", masks: str = "masks"
) -> None:
    """One image, and its mask's file."""
    for folder in (images, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / images / f"{stem}.jpg").write_bytes(encoded(image, quality=92))
    if mask is not None:
        (root / masks / f"{stem}.png").write_bytes(mask)


def split_scenes(folder: Path) -> Path:
    """Write five images to learn from and three to test on; return their folder."""
    root = write_scenes(folder / "shapes", 5, images="train/images", masks="train/masks")
    for k in range(5, 8):
        image, mask = scene(k)
        add_pair(root, str(k), image, png(mask), images="test/images", masks="test/masks")
    return root
