"""Images with marked objects in every format that people keep them in; for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_images import encoded

WIDTH, HEIGHT = 80, 60
CLASSES = ("cat", "dog")
Corners = Sequence[tuple[float, float]]
BOXES: Mapping[str, list[tuple[str, tuple[float, float, float, float]]]] = {
    "a": [("cat", (8, 6, 40, 30)), ("dog", (20, 12, 76, 54))],
    "b": [("dog", (4, 3, 24, 33))],
    "c": [],
}
"""Image → class and box (left, top, right, bottom) of each object; the last is background."""
OUTLINES: Mapping[str, list[tuple[str, Corners]]] = {
    name: [(label, [(x, y), (u, y), (u, v), (x, v)]) for label, (x, y, u, v) in objects]
    for name, objects in BOXES.items()
}
POINTS = ("left_ear", "right_ear", "nose")
MARKED: Mapping[str, list[tuple[float, float, int]]] = {
    "a": [(10, 12, 2), (36, 12, 2), (20, 24, 1)],
    "b": [(8, 6, 2), (20, 6, 2), (0, 0, 0)],
}
"""Image → x, y and visibility of its object's points."""


def put(path: Path, content: str | bytes) -> None:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def image(seed: int = 0, width: int = WIDTH, height: int = HEIGHT, **options: Any) -> bytes:
    """A JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return encoded(pixels, quality=60, **options)


def put_images(root: Path, names: Sequence[str] = tuple(BOXES)) -> Path:
    """Images called so."""
    for k, name in enumerate(names):
        put(root / f"{name}.jpg", image(k))
    return root


def coco(names: Sequence[str] = tuple(BOXES), *, outlines: bool = False, points: bool = False) -> dict[str, Any]:
    """What a COCO file of the images holds; to be spoiled by tests."""
    annotations = []
    for k, name in enumerate(names):
        for label, (left, top, right, bottom) in BOXES[name][: 1 if points else None]:
            one: dict[str, Any] = {
                "id": len(annotations) + 1, "image_id": k + 1, "category_id": CLASSES.index(label) + 1,
                "bbox": [left, top, right - left, bottom - top], "iscrowd": 0,
            }  # fmt: skip
            if outlines:
                one["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
            if points:
                one["keypoints"] = [value for point in MARKED[name] for value in point]
            annotations.append(one)
    return {
        "images": [
            {"id": k + 1, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT} for k, name in enumerate(names)
        ],
        "annotations": annotations,
        "categories": [
            {"id": k + 1, "name": label, **({"keypoints": list(POINTS)} if points else {})}
            for k, label in enumerate(CLASSES)
        ],
    }  # fmt: skip


def write_coco(root: Path, spoil: Callable[[dict[str, Any]], Any] | None = None, **options: bool) -> Path:
    """A folder of images with annotations.json beside."""
    put_images(root)
    content = coco(**options)
    if spoil is not None:
        spoil(content)
    put(root / "annotations.json", json.dumps(content))
    return root


def voc(name: str, boxes: Sequence[tuple[str, Sequence[float]]] | None = None, more: str = "") -> str:
    """The XML of an image."""
    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for label, box in (BOXES[name] if boxes is None else boxes)
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{name}.jpg</filename>{size}{objects}{more}</annotation>"


def write_voc(root: Path) -> Path:
    """JPEGImages and Annotations."""
    put_images(root / "JPEGImages")
    for name in BOXES:
        put(root / "Annotations" / f"{name}.xml", voc(name))
    return root


def yolo(name: str) -> str:
    """The lines of an image's boxes."""
    lines = [
        f"{CLASSES.index(label)} {(x + u) / 2 / WIDTH} {(y + v) / 2 / HEIGHT} {(u - x) / WIDTH} {(v - y) / HEIGHT}\n"
        for label, (x, y, u, v) in BOXES[name]
    ]
    return "".join(lines)


def yolo_outlines(name: str) -> str:
    """The lines of an image's outlines."""
    lines = [
        f"{CLASSES.index(label)} " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners) + "\n"
        for label, corners in OUTLINES[name]
    ]
    return "".join(lines)


def write_yolo(root: Path, lines: Callable[[str], str] = yolo, *, more: str = "") -> Path:
    """images/, labels/ and data.yaml."""
    put_images(root / "images")
    for name in BOXES:
        put(root / "labels" / f"{name}.txt", lines(name))
    put(root / "data.yaml", f"names: [{', '.join(CLASSES)}]\nnc: {len(CLASSES)}\n{more}")
    return root


def cvat(shapes: Mapping[str, str], more: str = "") -> str:
    """CVAT's XML, with the shapes of each image."""
    labels = "".join(f"<label><name>{label}</name></label>" for label in CLASSES)
    images = "".join(
        f'<image id="{k}" name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">{shapes.get(name, "")}</image>'
        for k, name in enumerate(BOXES)
    )
    meta = f"<meta><task><labels>{labels}{more}</labels></task></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{images}</annotations>'


def cvat_box(label: str, box: Sequence[float], more: str = "") -> str:
    """A box."""
    return f'<box label="{label}" xtl="{box[0]}" ytl="{box[1]}" xbr="{box[2]}" ybr="{box[3]}" {more}/>'


def cvat_polygon(label: str, corners: Corners) -> str:
    """An outline."""
    return f'<polygon label="{label}" points="{";".join(f"{x},{y}" for x, y in corners)}"/>'


def write_cvat(root: Path, shapes: Mapping[str, str] | None = None, more: str = "") -> Path:
    """annotations.xml beside images/."""
    put_images(root / "images")
    drawn = {name: "".join(cvat_box(*one) for one in objects) for name, objects in BOXES.items()}
    put(root / "annotations.xml", cvat(drawn if shapes is None else shapes, more))
    return root


def studio_result(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """A mark of Label Studio's, in percent."""
    return {
        "type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": {**value, kind: [label]},
    }  # fmt: skip


def studio_box(label: str, box: Sequence[float], **more: Any) -> dict[str, Any]:
    """A box."""
    x, y, u, v = box
    shares = {"x": x / WIDTH, "y": y / HEIGHT, "width": (u - x) / WIDTH, "height": (v - y) / HEIGHT}
    value = {key: 100 * share for key, share in shares.items()}
    return studio_result("rectanglelabels", label, **value, **more)


def studio_polygon(label: str, corners: Corners) -> dict[str, Any]:
    """An outline."""
    return studio_result("polygonlabels", label, points=[[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners])


def write_studio(root: Path, results: Mapping[str, list[dict[str, Any]]] | None = None) -> Path:
    """export.json beside the images, whose names in it begin as uploaded files' do."""
    put_images(root)
    if results is None:
        results = {name: [studio_box(*one) for one in objects] for name, objects in BOXES.items()}
    tasks = [
        {"id": k, "data": {"image": f"/data/upload/3/0a1b2c3d-{name}.jpg"}, "annotations": [{"result": found}]}
        for k, (name, found) in enumerate(results.items())
    ]
    put(root / "export.json", json.dumps(tasks))
    return root
