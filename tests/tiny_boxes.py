"""Small images with boxes, and COCO's JSON of them; for tests of detection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_images import encoded

LABELS = ("disc", "square")
Box = tuple[int, float, float, float, float]
"""Class, left, top, right, bottom."""


def shapes(seed: int, side: int = 160, n: int = 3, radius: tuple[int, int] = (14, 20)) -> tuple[np.ndarray, list[Box]]:
    """Red discs and blue squares on rough ground that don't touch: uint8 (H, W, 3), and their boxes."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), (150, 170, 140), np.float64)
    down, right = np.mgrid[:side, :side]
    boxes: list[Box] = []
    for _ in range(200):
        half = int(rng.integers(*radius))
        x, y = rng.integers(half + 2, side - half - 2, 2)
        if len(boxes) == n:
            break
        if any(
            x + half > b[1] - 3 and x - half < b[3] + 3 and y + half > b[2] - 3 and y - half < b[4] + 3 for b in boxes
        ):
            continue
        label = len(boxes) % 2
        inside = (
            np.hypot(down - y, right - x) < half if label == 0 else np.maximum(abs(down - y), abs(right - x)) < half
        )
        image[inside] = ((200, 60, 50), (50, 70, 190))[label]
        boxes.append((label, float(x - half), float(y - half), float(x + half), float(y + half)))
    image += rng.normal(0, 9, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), boxes


def write_boxes(root: Path, images: Sequence[tuple[np.ndarray, Sequence[Box]]], start: int = 0, **more: Any) -> Path:
    """A folder of images with annotations.json; more keys for each annotation."""
    (root / "images").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for k, (image, boxes) in enumerate(images):
        (root / "images" / f"{start + k:03d}.png").write_bytes(encoded(image, "PNG"))
        for label, x0, y0, x1, y1 in boxes:
            bbox = [x0, y0, x1 - x0, y1 - y0]
            rows.append({"id": len(rows) + 1, "image_id": k, "category_id": label + 1, "bbox": bbox} | more)
    known = {
        "images": [
            {"id": k, "file_name": f"{start + k:03d}.png", "width": image.shape[1], "height": image.shape[0]}
            for k, (image, _) in enumerate(images)
        ],
        "categories": [{"id": k + 1, "name": label} for k, label in enumerate(LABELS)],
        "annotations": rows,
    }
    (root / "annotations.json").write_text(json.dumps(known))
    return root
