"""YOLO's text files: one for each image, a line of numbers for each object, in shares of the image. Behind `find`.

Boxes, outlines (YOLO-seg) and key points (YOLO-pose); the classes in data.yaml or a list of names.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from yaml import YAMLError

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.domains.image.annotations.collect import Collector
from modelgpt_cli.domains.image.annotations.moves import Found, around
from modelgpt_cli.domains.image.annotations.names import NAME_FILES, list_place, listed_names
from modelgpt_cli.domains.image.annotations.objects import Annotations, PointNames
from modelgpt_cli.domains.image.annotations.places import ImageFinder
from modelgpt_cli.domains.image.annotations.points import numbered_names, point_names
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.listing import Listing

KIND = "YOLO"
_FOLDERS = (("labels", "images"), ("labels", "image"), ("labels", "imgs"), ("labels", "img"))
_PROBED = 20
"""Of the text files beside images so many are looked into; captions of images lie there, too."""
_MOST = 1.01
"""A share of an image may be so large: outlines from other tools reach beyond it by their rounding."""
_LOPSIDED = 0.05
"""Of the lengths of both diagonals: corners that people have set lie so far from those of a box."""
_LEVEL = 0.02
"""An edge is level where it falls by less than this share of its length."""
_ROLES = ("train", "val", "test")


@dataclass(frozen=True)
class _Config:
    """What data.yaml says, or a list of names.

    Attributes
    ----------
    place : str
        The file; "" where there is none.
    names : mapping of int to str
        Index → class; empty where nothing names them.
    dims : int
        Numbers of each key point: 2 or 3; 0 without key points.
    """

    place: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    points: PointNames | None = None
    dims: int = 0
    parts: Mapping[str, str] = field(default_factory=dict)
    """Image in a list → "train", "val" or "test"."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """The same of folders, each ending in a slash."""


def find_yolo(name: str, listing: Listing, only: str | None = None) -> Annotations | None:
    """Return what the YOLO files of a folder or archive hold; None where there is none.

    Raises
    ------
    ModelGPTError
        What they say can't be used; names file and line.
    """
    if only is not None:
        return None
    finder = ImageFinder(listing.images)
    texts = [place for place in listing.places if place.lower().endswith(".txt") and not _is_list(place)]
    images = {place: image for place in texts if (image := finder.beside(place, _FOLDERS)) is not None}
    config = _config(listing)
    if not images or (not config.place.endswith((".yaml", ".yml")) and not _looks_so(listing, list(images))):
        return None
    collector = Collector(name, KIND, listing)
    lines = {place: _lines(listing, place) for place in images}
    names = config.names or _numbered(lines)
    classes = [names[k] for k in sorted(names)]
    twice = [label for label, n in Counter(classes).items() if n > 1]
    if twice:
        raise ModelGPTError(f"{config.place} names two classes {twice[0]!r}.", "", "Name each class once.")
    index = {number: k for k, number in enumerate(sorted(names))}
    folders = {str(PurePosixPath(place).parent) for place in images}
    for place in texts:
        if place not in images and str(PurePosixPath(place).parent) in folders and _holds_numbers(listing, place):
            collector.counts.add("missing", place)
    objects = {
        place: [_object(words, f"{place}, line {k}", index, config) for k, words in lines[place]] for place in images
    }
    turned = _are_turned_boxes([one for some in objects.values() for one in some])
    for place, image in images.items():
        found = [_upright(one, collector) for one in objects[place]] if turned else objects[place]
        collector.add(image, (0, 0), found, file=place, part=_part(config, image), shares=True)
    notes = [] if config.names else ["Nothing names the classes: they are called by their numbers."]
    return collector.result(classes, config.points, notes)


def _is_list(place: str) -> bool:
    return PurePosixPath(place).name.lower() in NAME_FILES


def _looks_so(listing: Listing, places: Sequence[str]) -> bool:
    """Whether the first files beside images that aren't empty hold numbers alone, a whole one first."""
    texts = [_text(listing, place).strip() for place in places[:_PROBED]]
    filled = [text for text in texts if text]
    return bool(filled) and sum(map(_is_numbers, filled)) > len(filled) / 2


def _holds_numbers(listing: Listing, place: str) -> bool:
    return _is_numbers(_text(listing, place).strip())


def _is_numbers(text: str) -> bool:
    number = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
    return bool(re.match(rf"\d+(\.0*)?([ \t]+{number}){{4,}}[ \t]*(\r?\n|$)", text))


def _text(listing: Listing, place: str) -> str:
    try:
        return listing.source.open(place).decode("utf-8-sig", errors="replace")
    except ImageError:
        return ""


def _lines(listing: Listing, place: str) -> list[tuple[int, list[float]]]:
    """The numbers in each line that isn't empty, with the line's own number."""
    found = []
    for k, line in enumerate(_text(listing, place).splitlines(), 1):
        if words := line.split():
            try:
                found.append((k, [float(word) for word in words]))
            except ValueError:
                raise ModelGPTError(
                    f"{place}, line {k}: {line.strip()[:60]!r} is no line of numbers.",
                    "An object is a class and numbers from 0 to 1: class x y width height.",
                    "Mend the file.",
                ) from None
    return found


def _numbered(lines: Mapping[str, Sequence[tuple[int, list[float]]]]) -> dict[int, str]:
    """Classes that nothing names, by the numbers that are used."""
    most = max((int(numbers[0]) for some in lines.values() for _, numbers in some if numbers[0] >= 0), default=0)
    return {k: f"class {k}" for k in range(most + 1)}


def _object(numbers: Sequence[float], where: str, index: Mapping[int, int], config: _Config) -> Found:
    number = numbers[0]
    if not number.is_integer() or int(number) not in index:
        known = f"{config.place} names {len(index)} classes, {min(index)} to {max(index)}." if config.names else ""
        raise ModelGPTError(f"{where}: there is no class {number:g}.", known, "Mend the file, or the list of classes.")
    label, values = index[int(number)], list(numbers[1:])
    if not all(map(math.isfinite, values)):
        raise ModelGPTError(f"{where}: a number is not finite.", "", "Mend the file.")
    points = config.points
    if points is not None and len(values) == 4 + config.dims * len(points.names):
        found = np.array(values[4:], dtype=np.float64).reshape(-1, config.dims)
        _check_shares([*values[:4], *found[:, :2].reshape(-1).tolist()], where)
        seen = found[:, 2] if config.dims == 3 else np.where((found != 0).any(1), 2.0, 0.0)
        marks = np.column_stack([found[:, :2], seen])
        return Found(label, where, _box(values), points=marks if (seen > 0).any() else None)
    _check_shares(values, where)
    if len(values) == 4:
        return Found(label, where, _box(values))
    if len(values) % 2 or len(values) < 4:
        wanted = "a class and 4 numbers (a box: x y width height), or the x and y of 3 corners or more"
        if points is not None:
            wanted += f", or those of a box and {len(points.names)} points of {config.dims} numbers"
        raise ModelGPTError(
            f"{where} has {len(numbers)} numbers.",
            f"An object is {wanted}. Confidences and angles are not read.",
            "Mend the file, or export the labels anew.",
        )
    return Found(label, where, outline=[np.array(values, dtype=np.float64).reshape(-1, 2)])


def _are_turned_boxes(objects: Sequence[Found]) -> bool:
    """Whether outlines are boxes turned by an angle (YOLO-OBB): all have four corners whose diagonals halve each other.

    Where all of these are upright they are outlines. What is a parallelogram is one in shares of the image, too.
    """
    corners = [one.outline[0] for one in objects if isinstance(one.outline, list)]
    if not corners or len(corners) < len(objects) or any(len(one) != 4 for one in corners):
        return False
    four = np.stack(corners)
    apart = np.linalg.norm(four[:, 0] + four[:, 2] - four[:, 1] - four[:, 3], axis=1)
    length = np.linalg.norm(four[:, 0] - four[:, 2], axis=1) + np.linalg.norm(four[:, 1] - four[:, 3], axis=1)
    return bool((apart <= _LOPSIDED * length).all()) and any(map(_is_turned, corners))


def _is_turned(corners: np.ndarray) -> bool:
    """Whether the first edge of a box, float64 (4, 2), is neither level nor upright."""
    across, down = np.abs(corners[1] - corners[0]).tolist()
    return bool(min(across, down) > _LEVEL * max(across, down))


def _upright(one: Found, collector: Collector) -> Found:
    """Give an object that is a turned box the upright box around it; its corners stay its outline."""
    assert isinstance(one.outline, list)
    corners = one.outline[0]
    if _is_turned(corners):
        collector.counts.add("rotated", one.where)
    return replace(one, box=around(corners))


def _box(values: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = values[:4]
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _check_shares(values: Sequence[float], where: str) -> None:
    if max(values, default=0.0) > _MOST:
        raise ModelGPTError(
            f"{where} has the number {max(values):g}.",
            "Positions are shares of the image's width and height, from 0 to 1; these look like pixels or percent.",
            "Divide them by width and height, or export the labels anew.",
        )


# data.yaml ------------------------------------------------------------------------------------------------------------


def _config(listing: Listing) -> _Config:
    """What data.yaml says, else the list of names."""
    found = [place for place in listing.places if place.lower().endswith((".yaml", ".yml"))]
    for place in sorted(found, key=lambda place: (place.count("/"), place)):
        text = _text(listing, place)
        if re.search(r"(?m)^names\s*:", text):
            try:
                values = parse_yaml(text)
            except YAMLError as error:
                raise ModelGPTError(f"{place} is no YAML.", " ".join(str(error).split())[:200], "Mend it.") from error
            if isinstance(values, dict):
                return _read_config(listing, place, values)
    place = list_place(listing) or ""
    names = {k: label for k, label in enumerate(listed_names(listing)) if label}
    return _Config(place, names)


def _read_config(listing: Listing, place: str, values: Mapping[str, Any]) -> _Config:
    names = values.get("names")
    named = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(named, dict) or not named or not all(isinstance(k, int) for k in named):
        raise ModelGPTError(
            f"{place}: its names are no list of classes.",
            "names: [cat, dog], or {0: cat, 1: dog}, is read.",
            "Mend it.",
        )
    count = values.get("nc")
    if isinstance(count, int) and count != len(named):
        raise ModelGPTError(f"{place}: nc is {count}, and names has {len(named)} classes.", "", "Make the two agree.")
    points, dims = _read_points(place, values)
    parts: dict[str, str] = {}
    folder = place[: place.rfind("/") + 1]
    for role in _ROLES:
        given = values.get(role)
        for path in given if isinstance(given, list) else [given]:
            if isinstance(path, str) and path.strip():
                for one in _listed(listing, folder, path):
                    parts.setdefault(one, role)
    folders = {path: role for path, role in parts.items() if path.endswith("/")}
    return _Config(place, {k: str(label) for k, label in named.items()}, points, dims, parts, folders)


def _read_points(place: str, values: Mapping[str, Any]) -> tuple[PointNames | None, int]:
    """What key points are called, and how many numbers each has."""
    shape = values.get("kpt_shape")
    if shape is None:
        return None, 0
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3) or not _is_count(shape[0]):
        raise ModelGPTError(f"{place}: its kpt_shape is {shape!r}.", "[17, 3] or [17, 2] is read, for 17 points.", "")
    n = shape[0]
    given = values.get("kpt_names")
    given = next(iter(given.values()), None) if isinstance(given, dict) else given
    names = [str(name) for name in given] if isinstance(given, list) and len(given) == n else numbered_names(n)
    flip = values.get("flip_idx")
    if flip is not None and (not isinstance(flip, list) or sorted(flip) != list(range(n))):
        raise ModelGPTError(f"{place}: its flip_idx is {flip!r}.", f"It has each of the numbers 0 to {n - 1} once.", "")
    return point_names(names, mirrored=flip), shape[1]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _listed(listing: Listing, folder: str, path: str) -> list[str]:
    """The folder that a path in data.yaml means, or the images in the list that it means, by their last names."""
    path = re.sub(r"^(\.{0,2}/)+", "", path.replace("\\", "/")).rstrip("/")
    if not path.lower().endswith(".txt"):
        return [f"{path}/"]
    place = next((p for p in (folder + path, path) if p in listing.places), None)
    lines = _text(listing, place).splitlines() if place else []
    return [re.sub(r"^(\.{0,2}/)+", "", line.strip().replace("\\", "/")) for line in lines if line.strip()]


def _part(config: _Config, image: str) -> str:
    """Which part data.yaml has an image in; "" where its folder says."""
    steps = image.split("/")
    for k in range(len(steps)):
        if role := config.parts.get("/".join(steps[k:])):
            return role
    inside = f"/{image}"
    return next((role for path, role in config.folders.items() if f"/{path}" in inside), "")
