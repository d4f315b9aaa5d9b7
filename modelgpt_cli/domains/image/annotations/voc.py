"""Pascal VOC XML: a file for each image, as labelImg, CVAT and Roboflow write it too. Behind `find`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.collect import Collector
from modelgpt_cli.domains.image.annotations.moves import Found, around, corners_of
from modelgpt_cli.domains.image.annotations.names import listed_names
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.annotations.places import ImageFinder
from modelgpt_cli.domains.image.annotations.xml_file import number_of, read_xml, text_of
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.listing import Listing

KIND = "Pascal VOC XML"
_ROOT = "annotation"
_PROBED = 5
"""Of the XML files so many are looked into; where the root of none is this format's, the others' isn't either."""
_FOLDERS = tuple(
    (ours, theirs)
    for ours in ("annotations", "annotation", "labels", "xml", "xmls")
    for theirs in ("jpegimages", "images", "image", "imgs", "img")
)
_SETS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}
"""Lists in ImageSets/Main; of an image in several the first holds."""


def find_voc(name: str, listing: Listing, only: str | None = None) -> Annotations | None:
    """Return what the VOC files of a folder or archive hold; None where there is none.

    Raises
    ------
    ModelGPTError
        What they say can't be used; names file and object.
    """
    places = [place for place in listing.places if place.lower().endswith(".xml")]
    if only is not None or not any(may_be_voc(_content(listing, place)) for place in places[:_PROBED]):
        return None
    roots = {
        place: root
        for place in places
        if may_be_voc(content := _content(listing, place)) and (root := read_xml(content, place)).tag == _ROOT
    }
    if not roots:
        return None
    collector, finder = Collector(name, KIND, listing), ImageFinder(listing.images)
    labels = {text_of(one, "name") for root in roots.values() for one in root.iter("object")} - {""}
    listed = [label for label in listed_names(listing) if label in labels or label.lower() != "background"]
    classes = listed + sorted(labels - set(listed))
    sets = _sets(listing)
    for place, root in roots.items():
        image = _image(finder, place, root)
        if image is None:
            collector.counts.add("missing", place)
            continue
        part = sets.get((_base(place), PurePosixPath(place).stem), "")
        if sets and not part:
            collector.counts.add("unset", place)
        objects = [
            _object(collector, one, f"{place}, object {k + 1}", classes) for k, one in enumerate(root.iter("object"))
        ]
        collector.add(image, _size(root, place), objects, file=place, part=part)
    return collector.result(classes)


def may_be_voc(content: bytes) -> bool:
    """Whether a file holds the words that all of this format do."""
    return b"<annotation>" in content or b"<annotation " in content


def _content(listing: Listing, place: str) -> bytes:
    try:
        return listing.source.open(place)
    except ImageError:
        return b""


def _image(finder: ImageFinder, place: str, root: Element) -> str | None:
    """The image of a file: of the same name beside it, the one that it names, or of the same name anywhere."""
    if found := finder.beside(place, _FOLDERS):
        return found
    folder = place[: place.rfind("/") + 1]
    if (name := text_of(root, "filename")) and (found := finder.find(name, folder, file=place)):
        return found
    return finder.called(PurePosixPath(place).stem, folder, file=place)


def _size(root: Element, place: str) -> tuple[int, int]:
    """Width and height; (0, 0) where they aren't said."""
    sides = [text_of(root, f"size/{side}") for side in ("width", "height")]
    if not all(sides):
        return 0, 0
    width, height = (round(number_of(side, place, "a side of the size")) for side in sides)
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _object(collector: Collector, one: Element, where: str, classes: Sequence[str]) -> Found:
    label = text_of(one, "name")
    if not label:
        raise ModelGPTError(f"{where} has no name.", "It is the object's class.", "Mend the annotations.")
    box = None
    if (edges := one.find("bndbox")) is not None:
        left, top, right, bottom = (
            number_of(edges.findtext(edge), where, edge) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        box = (left, top, right, bottom)
        if (angle := _rotation(one, where)) and right > left and bottom > top:
            box = around(corners_of((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, angle))
            collector.counts.add("rotated", where)
    elif (turned := one.find("robndbox")) is not None:
        values = [number_of(turned.findtext(key), where, key) for key in ("cx", "cy", "w", "h", "angle")]
        box = around(corners_of(values[0], values[1], values[2], values[3], values[4]))
        collector.counts.add("rotated", where)
    return Found(classes.index(label), where, box, _polygon(one, where), crowd=text_of(one, "difficult") == "1")


def _rotation(one: Element, where: str) -> float:
    """By which angle a box is turned about its middle: CVAT says it, in degrees, beside the box as it was before."""
    values = (a.findtext("value") for a in one.findall("attributes/attribute") if text_of(a, "name") == "rotation")
    value = next(values, None)
    return 0.0 if value is None else math.radians(number_of(value, where, "its rotation") % 360)


def _polygon(one: Element, where: str) -> list[np.ndarray] | None:
    """An outline: x1, y1, x2, ... in an element of its own."""
    found = one.find("polygon")
    if found is None:
        return None
    values = {child.tag: child.text for child in found}
    corners: list[list[float]] = []
    while f"x{len(corners) + 1}" in values:
        k = len(corners) + 1
        corners.append([number_of(values.get(f"{axis}{k}"), where, f"{axis}{k} of its polygon") for axis in "xy"])
    return [np.array(corners, dtype=np.float64).reshape(-1, 2)]


def _base(place: str) -> str:
    """The folder that holds the folder of a file."""
    return "/".join(PurePosixPath(place).parts[:-2])


def _sets(listing: Listing) -> dict[tuple[str, str], str]:
    """Folder of a set of data, and an image's name without its ending → "train", "test" or "val"."""
    found: dict[tuple[str, str], str] = {}
    for stem, role in _SETS.items():
        for place in listing.places:
            parts = PurePosixPath(place).parts
            if [part.lower() for part in parts[-3:]] == ["imagesets", "main", f"{stem}.txt"]:
                for line in _content(listing, place).decode("utf-8", errors="replace").splitlines():
                    if words := line.split():
                        found.setdefault(("/".join(parts[:-3]), words[0]), role)
    return found
