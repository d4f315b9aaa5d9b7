"""COCO JSON: images, annotations and categories in one file, or one for each part. Behind `find`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.collect import Collector, Counts
from modelgpt_cli.domains.image.annotations.moves import Found, around, corners_of
from modelgpt_cli.domains.image.annotations.objects import Annotations, Id, PointNames, Rle
from modelgpt_cli.domains.image.annotations.places import ImageFinder, part_of
from modelgpt_cli.domains.image.annotations.points import numbered_names, point_names
from modelgpt_cli.domains.image.annotations.rle import unpack_runs
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.listing import Listing

KIND = "COCO JSON"
_KEYS = ("images", "annotations", "categories")
_MARKS = ("bbox", "segmentation", "keypoints")
_MOST_FILES = 100
"""Of more JSON files, each has the annotations of one image, in some other format."""


@dataclass(frozen=True)
class _File:
    """One file: its place, and what it holds."""

    place: str
    content: Mapping[str, Any]
    part: str

    @property
    def folder(self) -> str:
        return self.place[: self.place.rfind("/") + 1]


def find_coco(name: str, listing: Listing, only: str | None = None) -> Annotations | None:
    """Return what the COCO files of a folder or archive hold; None where there is none.

    Parameters
    ----------
    name : str
        What messages call the folder or archive.
    only : str, optional
        The place of the one file that counts.

    Raises
    ------
    ModelGPTError
        What they say can't be used; names file and entry.
    """
    files = [file for place in _places(listing, only) if (file := _opened(listing, place)) is not None]
    if not files:
        return None
    collector, finder = Collector(name, KIND, listing), ImageFinder(listing.images)
    classes, numbers, notes = _classes(files)
    points = _points(files)
    for file in files:
        _collect(collector, finder, file, numbers[file.place], points)
    return collector.result(classes, points, notes, _class_ids(classes, numbers))


def may_be_coco(content: bytes) -> bool:
    """Whether a file holds the words that all of this format do."""
    return all(f'"{key}"'.encode() in content for key in _KEYS)


def _places(listing: Listing, only: str | None) -> list[str]:
    if only is not None:
        return [only]
    found = [place for place in listing.places if place.lower().endswith(".json")]
    return sorted(found, key=lambda place: (place.count("/"), place))[:_MOST_FILES]


def _opened(listing: Listing, place: str) -> _File | None:
    """The file, if it is of this format."""
    try:
        content = listing.source.open(place)
    except ImageError:
        return None
    if not may_be_coco(content):
        return None
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelGPTError(f"{place} is no whole JSON file.", str(error), "Export the annotations anew.") from error
    if not isinstance(values, dict) or not all(isinstance(values.get(key), list) for key in _KEYS):
        return None
    if values["annotations"] and not any(
        set(_MARKS) & set(one) for one in values["annotations"] if isinstance(one, dict)
    ):
        return None  # a class for each whole image, or panoptic masks
    return _File(place, values, part_of(place))


def _entries(file: _File, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What messages call each entry of a list, and the entry.

    Raises
    ------
    ModelGPTError
        One is no object, or two have one id.
    """
    what = {"images": "image", "annotations": "annotation", "categories": "category"}[key]
    seen: set[Any] = set()
    for k, entry in enumerate(file.content[key]):
        if not isinstance(entry, dict):
            raise ModelGPTError(f"{file.place}: entry {k + 1} of {key} is no object.", repr(entry)[:80])
        number = _id(entry, "id", f"{file.place}, {what} no. {k + 1}")
        where = f"{file.place}, {what} {number if number is not None else f'no. {k + 1}'}"
        if number is not None:
            if number in seen:
                raise ModelGPTError(
                    f"{file.place}: two entries of {key} have the id {number!r}.",
                    "An id stands for one entry.",
                    "Export the annotations anew, or number the entries one by one.",
                )
            seen.add(number)
        elif key != "annotations":
            raise ModelGPTError(f"{where} has no id.", "Annotations name images and categories by their ids.")
        yield where, entry


def _classes(files: Sequence[_File]) -> tuple[list[str], dict[str, dict[Any, int]], list[str]]:
    """The classes of all files, in the order of their ids; of each file id → class; and notes."""
    names: list[str] = []
    numbers: dict[str, dict[Any, int]] = {}
    notes = []
    for file in files:
        own: dict[Any, str] = {}
        entries = list(_entries(file, "categories"))
        used = {_id(one, "category_id", where) for where, one in _entries(file, "annotations")}
        for where, entry in sorted(entries, key=lambda pair: _sortable(pair[1]["id"])):
            label = str(entry.get("name", "")).strip()
            if not label:
                raise ModelGPTError(f"{where} has no name.", "", "Name each class.")
            others = [other for _, other in entries if other is not entry]
            if entry["id"] not in used and others and all(other.get("supercategory") == label for other in others):
                notes.append(f"{file.place}: {label!r} is what all other classes are below, and no class itself.")
                continue
            own[entry["id"]] = label
        twice = [label for label, n in Counter(own.values()).items() if n > 1]
        if twice:
            raise ModelGPTError(f"{file.place} has two classes called {twice[0]!r}.", "", "Name each class once.")
        names += [label for label in own.values() if label not in names]
        numbers[file.place] = {number: names.index(label) for number, label in own.items()}
    return names, numbers, list(dict.fromkeys(notes))


def _class_ids(classes: Sequence[str], numbers: Mapping[str, Mapping[Id, int]]) -> dict[str, Id]:
    """Class → its id; without those that files have under different ones."""
    found: dict[str, set[Id]] = {}
    for own in numbers.values():
        for number, k in own.items():
            found.setdefault(classes[k], set()).add(number)
    return {label: ids.pop() for label, ids in found.items() if len(ids) == 1}


def _sortable(number: Any) -> tuple[bool, float, str]:
    return (not isinstance(number, (int, float)), number if isinstance(number, (int, float)) else 0, str(number))


def _points(files: Sequence[_File]) -> PointNames | None:
    """What key points are called, and what joins them."""
    named: dict[tuple[str, ...], tuple[str, Sequence[tuple[int, int]]]] = {}
    for file in files:
        for where, entry in _entries(file, "categories"):
            given = entry.get("keypoints")
            if names := tuple(map(str, given if isinstance(given, list) else ())):
                named.setdefault(names, (where, _edges(entry, len(names), where)))
    if len(named) > 1:
        first, second = list(named.values())[:2]
        raise ModelGPTError(
            f"{first[0]} and {second[0]} have different key points.",
            "A model learns one set of points.",
            "Keep the objects of one class, or give all classes the same points.",
        )
    if named:
        names, (_, edges) = next(iter(named.items()))
        return point_names(names, edges)
    most = max((len(one["keypoints"]) // 3 for one in _annotations(files) if _is_list(one.get("keypoints"))), default=0)
    return point_names(numbered_names(most)) if most else None


def _annotations(files: Sequence[_File]) -> Iterator[Mapping[str, Any]]:
    return (one for file in files for one in file.content["annotations"] if isinstance(one, dict))


def _edges(entry: Mapping[str, Any], n: int, where: str) -> list[tuple[int, int]]:
    """The skeleton, whose pairs count from 1."""
    found = []
    for pair in entry.get("skeleton") or ():
        if not _is_list(pair) or len(pair) != 2 or not all(isinstance(k, int) and 1 <= k <= n for k in pair):
            raise ModelGPTError(f"{where} has {pair!r} in its skeleton.", f"Pairs of points from 1 to {n} are in it.")
        found.append((pair[0] - 1, pair[1] - 1))
    return found


def _collect(
    collector: Collector, finder: ImageFinder, file: _File, numbers: Mapping[Any, int], points: PointNames | None
) -> None:
    """Hand over a file's images, each with its objects."""
    objects: dict[Any, list[Found]] = {entry["id"]: [] for _, entry in _entries(file, "images")}
    _check_pixels(file)
    for where, entry in _entries(file, "annotations"):
        image = _id(entry, "image_id", where)
        if image not in objects:
            collector.counts.add("unlisted", where)
            continue
        objects[image].append(_object(entry, where, numbers, points, collector.counts))
    for where, entry in _entries(file, "images"):
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise ModelGPTError(f"{where} has no file_name.", "It says which image is meant.")
        place = finder.find(name, file.folder, file.part, file=file.place)
        if place is None:
            collector.counts.add("missing", name)
            continue
        size = (_whole(entry.get("width")), _whole(entry.get("height")))
        size, number = size if all(size) else (0, 0), entry["id"]
        collector.add(place, size, objects[number], file=file.place, part=file.part, number=number)


def _check_pixels(file: _File) -> None:
    """Boxes of which no number is above 1 are shares of the image."""
    boxes = [one["bbox"] for one in file.content["annotations"] if isinstance(one, dict) and _is_list(one.get("bbox"))]
    numbers = [number for box in boxes for number in box if isinstance(number, (int, float))]
    if numbers and max(numbers) <= 1:
        raise ModelGPTError(
            f"{file.place}: no number in its boxes is above 1.",
            "They look like shares of the image; COCO has x, y, width and height in pixels.",
            "Export the annotations anew.",
        )


def _object(
    entry: Mapping[str, Any], where: str, numbers: Mapping[Any, int], points: PointNames | None, counts: Counts
) -> Found:
    number = _id(entry, "category_id", where)
    if number not in numbers:
        known = ", ".join(map(str, list(numbers)[:20]))
        raise ModelGPTError(
            f"{where} has the category_id {number!r}, and there is no such category.",
            f"The categories have the ids {known}.",
            "Mend the annotations, or list the category.",
        )
    return Found(
        numbers[number],
        where,
        _box(entry.get("bbox"), where, _angle(entry, where), counts),
        _outline(entry.get("segmentation"), where),
        _key_points(entry.get("keypoints"), points, where),
        bool(entry.get("iscrowd")),
    )


def _angle(entry: Mapping[str, Any], where: str) -> float:
    """By how many degrees a box is turned, about its middle: CVAT says it beside the box as it was before."""
    attributes = entry.get("attributes")
    value = attributes.get("rotation") if isinstance(attributes, dict) else None
    return 0.0 if value is None else _numbers([value], where, "rotation")[0] % 360


def _box(values: Any, where: str, angle: float, counts: Counts) -> tuple[float, float, float, float] | None:
    if values is None or values == []:
        return None
    box = _numbers(values, where, "bbox")
    if len(box) != 4:
        raise ModelGPTError(
            f"{where}: its bbox has {len(box)} numbers.",
            "Four are read: left, top, width and height. A turned box has more, and is not read.",
            "Export upright boxes, or outlines.",
        )
    left, top, width, height = box
    if angle and width > 0 and height > 0:
        counts.add("rotated", where)
        return around(corners_of(left + width / 2, top + height / 2, width, height, math.radians(angle)))
    return (left, top, left + width, top + height)


def _outline(values: Any, where: str) -> list[np.ndarray] | Rle | None:
    """Polygons, or a mask; None where there is none."""
    if not values:
        return None
    if isinstance(values, dict):
        size: Any = values.get("size")
        counts = values.get("counts")
        if not _is_list(size) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise ModelGPTError(f"{where}: its segmentation has no size.", "Height and width are wanted.")
        if isinstance(counts, str):
            runs = [float(run) for run in unpack_runs(counts.encode())]
        else:
            runs = _numbers(counts, where, "segmentation")
        if not all(run.is_integer() and run >= 0 for run in runs) or sum(runs) != size[0] * size[1]:
            raise ModelGPTError(
                f"{where}: its runs don't fill {size[1]} x {size[0]} pixels.", "The mask is damaged.", "Export it anew."
            )
        return Rle(tuple(map(int, runs)), (size[0], size[1]))
    if not _is_list(values):
        raise ModelGPTError(f"{where}: its segmentation is neither a list of polygons nor a mask.", repr(values)[:60])
    parts = [values] if isinstance(values[0], (int, float)) else values
    if all(_is_list(part) and len(part) == 2 and not _is_list(part[0]) for part in parts):
        parts = [parts]  # pairs of one polygon
    found = []
    for part in parts:
        pairs = _is_list(part) and all(map(_is_list, part))
        flat = _numbers([n for pair in part for n in pair] if pairs else part, where, "polygon")
        if len(flat) % 2:
            raise ModelGPTError(f"{where}: a polygon has {len(flat)} numbers.", "Pairs of x and y are wanted.")
        found.append(np.array(flat, dtype=np.float64).reshape(-1, 2))
    return found


def _key_points(values: Any, points: PointNames | None, where: str) -> np.ndarray | None:
    if not values or points is None:
        return None
    numbers = _numbers(values, where, "keypoints")
    wanted = 3 * len(points.names)
    if len(numbers) != wanted:
        raise ModelGPTError(
            f"{where}: its keypoints have {len(numbers)} numbers.",
            f"There are {len(points.names)} points, of x, y and visibility each: {wanted} numbers.",
            "Mend the annotations, or the names of the points in their category.",
        )
    found = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    return found if (found[:, 2] > 0).any() else None


def _numbers(values: Any, where: str, what: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ModelGPTError(f"{where}: its {what} is no list of numbers.", repr(values)[:60]) from error


def _id(entry: Mapping[str, Any], key: str, where: str) -> Id | None:
    """An id, or the id of another entry; None where it isn't there."""
    value = entry.get(key)
    if value is not None and not isinstance(value, (int, float, str)):
        raise ModelGPTError(f"{where}: its {key} is {value!r:.40}.", "A number is wanted.", "Mend the annotations.")
    return value


def _is_list(values: Any) -> bool:
    return isinstance(values, list)


def _whole(value: Any) -> int:
    """A width or height; 0 where it isn't said."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1e9 else 0
