"""Second sets for detection and key points: things and faces of the shared data, pasted onto landscapes.

Train and test parts have other things, faces and landscapes. Written as COCO JSON, in archives like those of the shared
data. What is pasted is a rectangle, so that its edge helps to find it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .common import data_folder
from .dense.words import GROUNDS, Photos

PARTS = ("train", "test")
Drawn = tuple[Image.Image, list[dict[str, Any]]]
"""A scene, and its annotations without ids."""


@dataclass(frozen=True)
class Things:
    """Scenes of things of some classes of objects15, none of which covers another.

    Attributes
    ----------
    classes : slice
        Of the set's, in the order of their names.
    longer : (int, int)
        Pixels of a thing's longer side; its logarithm is even.
    most : int
        Things tried in a scene; those that would cover another are left out.
    size : (int, int)
        Width and height.
    """

    classes: slice
    longer: tuple[int, int]
    most: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Faces:
    """Scenes of one image of face_points each.

    Attributes
    ----------
    turn : float
        Degrees to either side, even.
    share : (float, float)
        The image's longer side, in shorter sides of the scene; even.
    size : (int, int)
        Width and height.
    """

    turn: float
    share: tuple[float, float]
    size: tuple[int, int]


THINGS = {
    "things": Things(slice(0, 6), (50, 380), 4, (640, 480)),
    "small_things": Things(slice(6, 10), (24, 90), 10, (1024, 768)),
}
FACES = {
    "faces_moved": Faces(0, (0.4, 0.9), (320, 240)),
    "faces_moved_and_turned": Faces(45, (0.4, 0.9), (320, 240)),
    "faces_upside_down": Faces(180, (0.7, 0.95), (240, 240)),
}
THING_SCENES = (120, 60)
"""Of the train and the test part."""


def add_set(parser: argparse.ArgumentParser, own: str, pasted: Iterable[str]) -> None:
    """Add ``--set``: one of the shared data, by default, or one that is pasted."""
    parser.add_argument("--set", choices=[own, *pasted], default=own, help="another one, pasted onto landscapes")


def archive_of(name: str, folder: Path, seed: int) -> Path:
    """Return the archive of a set of the shared data, or of one that is pasted, which is written to a folder."""
    if name in THINGS or name in FACES:
        return pasted_set(name, folder, seed)
    return data_folder("dense") / f"{name}.zip"


def pasted_set(name: str, folder: Path, seed: int) -> Path:
    """Write a set, and return its archive."""
    path = folder / f"{name}.zip"
    rng, grounds = np.random.default_rng([seed, 71]), Photos(GROUNDS)
    with zipfile.ZipFile(path, "w") as archive:
        for part in range(2):
            if name in THINGS:
                scenes, categories = _things(THINGS[name], part)
            else:
                scenes, categories = _faces(FACES[name], part)
            images, annotations = [], []
            for k, scene in enumerate(scenes):
                image, marked = scene(grounds, rng)
                about = {"id": k + 1, "file_name": f"{k:04}.jpg", "width": image.width, "height": image.height}
                images.append(about)
                annotations += [one | {"image_id": k + 1} for one in marked]
                encoded = io.BytesIO()
                image.save(encoded, "JPEG", quality=92)
                archive.writestr(f"{PARTS[part]}/images/{about['file_name']}", encoded.getvalue())
            numbered = [one | {"id": k + 1, "iscrowd": 0} for k, one in enumerate(annotations)]
            content = {"images": images, "annotations": numbered, "categories": categories}
            archive.writestr(f"{PARTS[part]}/annotations.json", json.dumps(content))
    return path


_Scenes = tuple[Sequence[Callable[[Photos, np.random.Generator], Drawn]], Sequence[Mapping[str, Any]]]


def _ground(grounds: Photos, part: int, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A landscape of a part, of a size."""
    places = [place for some in grounds.places.values() for place in some[part::2]]
    image, (width, height) = grounds.open(str(rng.choice(places))), size
    grown = max(width / image.width, height / image.height)
    return image.resize((math.ceil(image.width * grown), math.ceil(image.height * grown))).crop((0, 0, width, height))


def _things(how: Things, part: int) -> _Scenes:
    photos = Photos("objects15/catalogue")
    labels = list(photos.places)[how.classes]

    def scene(grounds: Photos, rng: np.random.Generator) -> Drawn:
        canvas, (width, height) = _ground(grounds, part, how.size, rng), how.size
        taken = np.zeros((height, width), bool)
        marked = []
        for _ in range(rng.integers(1, how.most + 1)):
            k = int(rng.integers(len(labels)))
            thing = photos.open(str(rng.choice(photos.places[labels[k]][part::2])))
            longer = np.exp(rng.uniform(*np.log(how.longer))) / max(thing.size)
            w, h = (max(8, int(side * longer)) for side in thing.size)
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            if taken[top : top + h, left : left + w].any():
                continue
            taken[top : top + h, left : left + w] = True
            canvas.paste(thing.resize((w, h)), (left, top))
            marked.append({"category_id": k + 1, "bbox": [left, top, w, h], "area": w * h})
        return canvas, marked

    categories = [{"id": k + 1, "name": label} for k, label in enumerate(labels)]
    return [scene] * THING_SCENES[part], categories


def _faces(how: Faces, part: int) -> _Scenes:
    archive = zipfile.ZipFile(data_folder("dense") / "face_points.zip")
    content = json.loads(archive.read(f"{PARTS[part]}/annotations.json"))
    marked = {one["image_id"]: one for one in content["annotations"]}

    def scene_of(about: Mapping[str, Any]) -> Callable[[Photos, np.random.Generator], Drawn]:
        def scene(grounds: Photos, rng: np.random.Generator) -> Drawn:
            face = Image.open(io.BytesIO(archive.read(f"{PARTS[part]}/images/{about['file_name']}"))).convert("RGB")
            points = np.array(marked[about["id"]]["keypoints"], np.float64).reshape(-1, 3)
            return _pasted_face(face, points, _ground(grounds, part, how.size, rng), how, rng)

        return scene

    return [scene_of(about) for about in content["images"]], content["categories"]


def _pasted_face(
    face: Image.Image, points: np.ndarray, canvas: Image.Image, how: Faces, rng: np.random.Generator
) -> Drawn:
    """A face turned, resized and pasted at random, with its points (K, 3) there."""
    grown = rng.uniform(*how.share) * min(how.size) / max(face.size)
    angle = math.radians(rng.uniform(-how.turn, how.turn))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * grown
    reach = np.abs(turn) @ face.size / 2
    middle = [rng.uniform(min(r, side / 2), max(side - r, side / 2)) for r, side in zip(reach, how.size, strict=True)]
    back, half = np.linalg.inv(turn), np.array(face.size) / 2
    start = half - back @ middle
    numbers = (*back[0], start[0], *back[1], start[1])
    seen = face.transform(how.size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    canvas.paste(seen, (0, 0), Image.new("L", face.size, 255).transform(how.size, Image.Transform.AFFINE, numbers))
    found = points.copy()
    found[:, :2] = (points[:, :2] - half) @ turn.T + middle
    found[points[:, 2] == 0] = 0
    kept = found[found[:, 2] > 0, :2]
    (left, top), (w, h) = kept.min(0), np.ptp(kept, axis=0)
    box = [float(one) for one in (left, top, w, h)]
    marks = [round(float(number), 2) for number in found.reshape(-1)]
    return canvas, [{"category_id": 1, "keypoints": marks, "bbox": box, "area": box[2] * box[3]}]
