"""Label Studio's JSON: boxes, ellipses, polygons and key points in percent of the image. Behind `find`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.collect import Collector
from modelgpt_cli.domains.image.annotations.marks import Mark, Marks
from modelgpt_cli.domains.image.annotations.moves import Found, around, ellipse
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.annotations.places import ImageFinder, part_of
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.listing import Listing

KIND = "Label Studio JSON"
KINDS = ("rectanglelabels", "polygonlabels", "keypointlabels", "ellipselabels", "brushlabels")
_WORDS = tuple(f'"{kind}"'.encode() for kind in KINDS)
_MOST_FILES = 100
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What stands before the name of a file that was uploaded."""


def find_label_studio(name: str, listing: Listing, only: str | None = None) -> Annotations | None:
    """Return what the Label Studio exports of a folder or archive hold; None where there is none.

    Raises
    ------
    ModelGPTError
        What they say can't be used; names file and task.
    """
    places = [place for place in listing.places if place.lower().endswith(".json")] if only is None else [only]
    exports = {}
    for place in sorted(places, key=lambda place: (place.count("/"), place))[:_MOST_FILES]:
        if (tasks := _opened(listing, place)) is not None:
            exports[place] = tasks
    if not exports:
        return None
    collector, finder = Collector(name, KIND, listing), ImageFinder(listing.images)
    marks = Marks(collector, shares=True)
    for place, tasks in exports.items():
        for k, task in enumerate(tasks):
            _task(marks, finder, task, place, f"{place}, task {task.get('id', k + 1)}")
    return marks.result()


def may_be_label_studio(content: bytes) -> bool:
    """Whether a file holds a word that only marks of objects in images have."""
    return any(word in content for word in _WORDS)


def _opened(listing: Listing, place: str) -> list[dict[str, Any]] | None:
    """The tasks of a file, if it is of this format."""
    try:
        content = listing.source.open(place)
    except ImageError:
        return None
    if not may_be_label_studio(content):
        return None
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelGPTError(f"{place} is no whole JSON file.", str(error), "Export the annotations anew.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        return None
    return tasks if any(_image_name(task) for task in tasks) else None


def _task(marks: Marks, finder: ImageFinder, task: Mapping[str, Any], place: str, where: str) -> None:
    name = _image_name(task)
    if not name:
        raise ModelGPTError(f"{where} names no image.", "Its data hold no path of one.", "Export the images' project.")
    folder, part = place[: place.rfind("/") + 1], part_of(place)
    image = next((found for one in _names(name) if (found := finder.find(one, folder, part, file=place))), None)
    results = _results(marks, task, where)
    if results is None:
        return  # not annotated
    if image is None:
        marks.collector.counts.add("missing", name)
        return
    size = (0, 0)
    made = []
    for k, result in enumerate(results, 1):
        size = _size(result) or size
        if (mark := _mark(marks, result, f"{where}, result {k}")) is not None:
            made.append(mark)
    marks.add(image, size, made, file=place, part=part)


def _results(marks: Marks, task: Mapping[str, Any], where: str) -> list[dict[str, Any]] | None:
    """The marks of a task, as its first annotation has them; None where nobody has annotated it."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        kept = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
        if not kept:
            return None
        if len(kept) > 1:
            marks.collector.counts.add("several", where)
        results = kept[0].get("result")
        return [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []
    found = [one for value in task.values() if isinstance(value, list) for one in value if _kind(one)]  # JSON-MIN
    return found or None


def _image_name(task: Mapping[str, Any]) -> str:
    """The path of a task's image; "" where it has none."""
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    assert isinstance(data, dict)
    for value in data.values():
        if isinstance(value, str):
            parts = urlsplit(value)
            for path in (*parse_qs(parts.query).get("d", ()), parts.path):
                if is_image_name(path):
                    return unquote(path)
    return ""


def _names(path: str) -> Iterator[str]:
    """What the image's file may be called: as the path, and without what uploading has put before its name."""
    yield path.lstrip("/")
    name = path.rsplit("/", 1)[-1]
    yield _UPLOADED.sub("", name)


def _kind(result: Any) -> str:
    """The kind of a mark; "" where it is none of an object."""
    if not isinstance(result, dict):
        return ""
    value = result["value"] if isinstance(result.get("value"), dict) else result
    return next((kind for kind in KINDS if kind in value), "")


def _mark(marks: Marks, result: Mapping[str, Any], where: str) -> Mark | None:
    kind = _kind(result)
    if not kind:
        if "value" in result and result.get("type") not in ("choices", "textarea", "rating", "number", "relation"):
            marks.collector.counts.add("kinds", where)
        return None
    value = result["value"] if isinstance(result.get("value"), dict) else result
    labels = value[kind]
    if not isinstance(labels, list) or not labels:
        raise ModelGPTError(f"{where} has no label.", "It is the object's class.", "Label it, or delete it.")
    if kind == "brushlabels":
        raise ModelGPTError(
            f"{where} is a mask by brush.",
            "Label Studio's own JSON packs these in a way that only it reads.",
            "Export as COCO, or as PNG into a folder masks/ beside images/.",
        )

    def number(key: str, default: float | None = None) -> float:
        given = value.get(key, default)
        if not isinstance(given, (int, float)):
            raise ModelGPTError(f"{where}: its {key} is {given!r:.40}.", "A number in percent is wanted.", "Mend it.")
        return given / 100

    own, group = str(result.get("id") or ""), str(result.get("parentID") or "")
    name, angle = str(labels[0]), 100 * number("rotation", 0) % 360
    sides = _size(result) or (1, 1)
    if kind == "polygonlabels":
        return Mark(name, Found(0, where, outline=[_polygon(value.get("points"), where)]), own=own)
    if kind == "keypointlabels":
        points = np.array([[number("x"), number("y"), 2.0]])
        return Mark(name, Found(0, where, points=points), loose=True, own=own, group=group)
    if kind == "ellipselabels":
        across, down = number("radiusX") * sides[0], number("radiusY") * sides[1]
        outline = ellipse(number("x") * sides[0], number("y") * sides[1], across, down, angle) / sides
        return Mark(name, Found(0, where, outline=[outline]), own=own)
    left, top, width, height = (number(key) for key in ("x", "y", "width", "height"))
    box = (left, top, left + width, top + height)
    if angle:
        marks.collector.counts.add("rotated", where)
        box = _turned(box, angle, sides)
    return Mark(name, Found(0, where, box), own=own)


def _size(result: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the image that was marked; None where they aren't said."""
    sides = [result.get("original_width"), result.get("original_height")]
    if not all(isinstance(side, (int, float)) and 0 < side < 1e9 for side in sides):
        return None
    width, height = (round(side) for side in sides if side is not None)
    return width, height


def _turned(box: Sequence[float], degrees: float, sides: tuple[int, int]) -> tuple[float, float, float, float]:
    """The upright box around one that is turned about its top left corner; all in shares of the sides."""
    width, height = (box[2] - box[0]) * sides[0], (box[3] - box[1]) * sides[1]
    turn = math.radians(degrees)
    right = np.array([width * math.cos(turn), width * math.sin(turn)])
    down = np.array([-height * math.sin(turn), height * math.cos(turn)])
    start = np.array([box[0] * sides[0], box[1] * sides[1]])
    return around(np.stack([start, start + right, start + down, start + right + down]) / sides)


def _polygon(points: Any, where: str) -> np.ndarray:
    try:
        return np.array(points, dtype=np.float64).reshape(-1, 2) / 100
    except (TypeError, ValueError) as error:
        raise ModelGPTError(f"{where}: its points are no pairs of numbers.", repr(points)[:60], "Mend it.") from error
