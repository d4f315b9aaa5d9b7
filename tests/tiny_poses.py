"""Small images of a turned kite with the places of its corners, and COCO JSON of them; for tests of key points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tiny_images import encoded

NAMES = ("tip", "left_wing", "right_wing", "tail")
EDGES = ((1, 2), (1, 3), (3, 4), (4, 2))
"""Pairs that count from 1, as COCO has them."""
_SHAPE = np.array([(0, -24), (-13, -4), (13, -4), (0, 26)], np.float64)
_COLOURS = ((200, 40, 40), (40, 90, 220), (240, 200, 40), (30, 150, 70))


def kite(seed: int, height: int = 80, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A kite on rough ground, somewhere and turned: uint8 (H, W, 3), and its corners, float64 (4, 2), x and y."""
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-0.6, 0.6), rng.uniform(0.85, 1.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    points = _SHAPE @ turn.T + (width / 2, height / 2) + rng.uniform(-7, 7, 2)
    ground = Image.fromarray((np.full((height, width, 3), 140) + rng.normal(0, 8, (height, width, 3))).astype(np.uint8))
    draw = ImageDraw.Draw(ground)
    corners = [tuple(points[k]) for k in (0, 1, 3, 2)]
    draw.polygon(corners, fill=(235, 235, 225), outline=(20, 20, 20))
    for (x, y), colour in zip(points, _COLOURS, strict=True):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
    return np.asarray(ground), points


def marked(number: int, points: np.ndarray, visible: Sequence[int] | None = None, **more: Any) -> dict[str, Any]:
    """An annotation of an image: points (K, 2), with the box around them."""
    flags = [2] * len(points) if visible is None else visible
    cells = [[*point, flag] if flag else [0, 0, 0] for point, flag in zip(points.tolist(), flags, strict=True)]
    (left, top), (right, bottom) = points.min(0) - 4, points.max(0) + 4
    box = [left, top, right - left, bottom - top]
    about = {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return about | {"keypoints": [n for cell in cells for n in cell]} | more


def write_coco(
    root: Path,
    images: Sequence[np.ndarray],
    annotations: Sequence[Mapping[str, Any]],
    names: Sequence[str] = NAMES,
    edges: Sequence[tuple[int, int]] = EDGES,
) -> Path:
    """A folder of images with annotations.json; the image of the k-th is number k + 1."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    listed = []
    for k, image in enumerate(images):
        (root / "images" / f"{k:02d}.jpg").write_bytes(encoded(image, quality=92))
        listed.append({"id": k + 1, "file_name": f"{k:02d}.jpg", "width": image.shape[1], "height": image.shape[0]})
    category = {"id": 1, "name": "kite", "keypoints": list(names), "skeleton": [list(edge) for edge in edges]}
    content = {"images": listed, "annotations": list(annotations), "categories": [category]}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def write_kites(root: Path, seeds: Sequence[int], keep: Sequence[int] = (0, 1, 2, 3)) -> Path:
    """A folder of kites, with some of their corners."""
    drawn = [kite(seed) for seed in seeds]
    annotations = [marked(k + 1, points[list(keep)]) for k, (_, points) in enumerate(drawn)]
    edges = EDGES if len(keep) == len(NAMES) else ()
    return write_coco(root, [image for image, _ in drawn], annotations, [NAMES[k] for k in keep], edges)
