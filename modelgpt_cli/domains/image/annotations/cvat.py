"""CVAT's own XML, "CVAT for images 1.1": boxes, polygons, masks, points and skeletons. Behind `find`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.collect import Collector
from modelgpt_cli.domains.image.annotations.marks import Mark, Marks
from modelgpt_cli.domains.image.annotations.moves import Found, around, corners_of, ellipse
from modelgpt_cli.domains.image.annotations.objects import Annotations, Rle
from modelgpt_cli.domains.image.annotations.places import ImageFinder, part_of
from modelgpt_cli.domains.image.annotations.rle import encode_mask
from modelgpt_cli.domains.image.annotations.xml_file import number_of, read_xml, text_of
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.layout import named_role
from modelgpt_cli.domains.image.listing import Listing

KIND = "CVAT XML"
_ROOT = "annotations"
_PROBED = 20


def find_cvat(name: str, listing: Listing, only: str | None = None) -> Annotations | None:
    """Return what the CVAT files of a folder or archive hold; None where there is none.

    Raises
    ------
    ModelGPTError
        What they say can't be used; names file and image; or they are of a video.
    """
    places = [place for place in listing.places if place.lower().endswith(".xml")] if only is None else [only]
    roots = {}
    for place in sorted(places, key=lambda place: (place.count("/"), place))[:_PROBED]:
        content = _content(listing, place)
        if may_be_cvat(content) and (root := read_xml(content, place)).tag == _ROOT:
            roots[place] = root
    if not roots:
        return None
    for place, root in roots.items():
        if root.find("track") is not None:
            raise ModelGPTError(
                f"{place} has the tracks of a video.",
                "Images with what is marked in each are read.",
                'Export it as "CVAT for images 1.1", with the images.',
            )
    collector, finder = Collector(name, KIND, listing), ImageFinder(listing.images)
    marks = Marks(collector, _labels(roots.values(), points=False), _skeleton(roots.values()))
    for place, root in roots.items():
        for image in root.iter("image"):
            _image(marks, finder, image, place)
    return marks.result()


def may_be_cvat(content: bytes) -> bool:
    """Whether a file holds the words that all of this format do."""
    return b"<annotations>" in content or b"<annotations " in content


def _content(listing: Listing, place: str) -> bytes:
    try:
        return listing.source.open(place)
    except ImageError:
        return b""


def _labels(roots: Collection[Element], *, points: bool) -> list[str]:
    """The labels of the task, in its order: those of objects, or of the points of skeletons."""
    found = []
    for root in roots:
        for label in root.findall("meta//labels/label"):
            name = text_of(label, "name")
            if name and bool(text_of(label, "parent")) == points:
                found.append(name)
    return list(dict.fromkeys(found))


def _skeleton(roots: Collection[Element]) -> list[str]:
    """The names of the points of skeletons, of the first where the task doesn't list them."""
    if listed := _labels(roots, points=True):
        return listed
    first = next((one for root in roots for one in root.iter("skeleton")), None)
    return [] if first is None else [point.get("label", "") for point in first.findall("points")]


def _image(marks: Marks, finder: ImageFinder, image: Element, place: str) -> None:
    """Add an image with its marks."""
    name = image.get("name", "")
    if not name:
        raise ModelGPTError(f"{place}: an image has no name.", "It says which file is meant.", "Export it anew.")
    part = named_role((image.get("subset") or "").lower()) or part_of(place)
    found = finder.find(name, place[: place.rfind("/") + 1], part, file=place)
    if found is None:
        marks.collector.counts.add("missing", name)
        return
    where = f"{place}, image {name}"
    sides = [round(number_of(image.get(side), where, side)) for side in ("width", "height") if image.get(side)]
    size = (sides[0], sides[1]) if len(sides) == 2 and min(sides) > 0 else (0, 0)
    made = []
    for k, shape in enumerate((one for one in image if one.tag != "tag"), 1):
        if (mark := _mark(marks, shape, f"{where}, {shape.tag} {k}", size)) is not None:
            made.append(mark)
    marks.add(found, size, made, file=place, part=part)


def _mark(marks: Marks, shape: Element, where: str, size: tuple[int, int]) -> Mark | None:
    label = shape.get("label", "")
    if not label:
        raise ModelGPTError(f"{where} has no label.", "It is the object's class.", "Mend the annotations.")

    def number(key: str, default: str = "") -> float:
        return number_of(shape.get(key, default), where, key)

    if shape.tag == "box":
        box = (number("xtl"), number("ytl"), number("xbr"), number("ybr"))
        if angle := number("rotation", "0") % 360:
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            turned = corners_of(*middle, box[2] - box[0], box[3] - box[1], math.radians(angle))
            marks.collector.counts.add("rotated", where)
            box = around(turned)
        return Mark(label, Found(0, where, box))
    if shape.tag == "polygon":
        return Mark(label, Found(0, where, outline=[_positions(shape, where)]))
    if shape.tag == "ellipse":
        outline = ellipse(number("cx"), number("cy"), number("rx"), number("ry"), number("rotation", "0"))
        return Mark(label, Found(0, where, outline=[outline]))
    if shape.tag == "mask":
        return Mark(label, Found(0, where, outline=_mask(shape, where, size)))
    if shape.tag == "points":
        positions = _positions(shape, where)
        seen = np.full((len(positions), 1), 1.0 if shape.get("occluded") == "1" else 2.0)
        return Mark(label, Found(0, where, points=np.hstack([positions, seen])), loose=True)
    if shape.tag == "skeleton":
        return Mark(label, Found(0, where, points=_skeleton_points(shape, where, marks.skeleton)))
    marks.collector.counts.add("kinds", where)
    return None


def _positions(shape: Element, where: str) -> np.ndarray:
    """The positions of a shape, float64 (n, 2)."""
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ModelGPTError(f"{where}: its points are {shape.get('points')!r:.60}.", "x,y;x,y;... is read.", "Mend it.")
    return np.array([[number_of(value, where, "a point") for value in pair] for pair in pairs], dtype=np.float64)


def _mask(shape: Element, where: str, size: tuple[int, int]) -> Rle:
    """A mask of a part of the image: runs row by row, beginning with those that are outside."""
    left, top, width, height = (int(number_of(shape.get(k), where, k)) for k in ("left", "top", "width", "height"))
    runs = np.array([int(number_of(run, where, "its rle")) for run in (shape.get("rle") or "").split(",")])
    if min(left, top, width, height) < 0 or (runs < 0).any() or runs.sum() != width * height:
        raise ModelGPTError(
            f"{where}: its runs don't fill {width} x {height} pixels.", "The mask is damaged.", "Export it anew."
        )
    if left + width > size[0] or top + height > size[1]:
        raise ModelGPTError(f"{where}: the mask reaches beyond the image.", "The file is damaged.", "Export it anew.")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask = np.zeros((size[1], size[0]), dtype=bool)
    mask[top : top + height, left : left + width] = inside
    return encode_mask(mask)


def _skeleton_points(shape: Element, where: str, names: Sequence[str]) -> np.ndarray:
    """The points of a skeleton by their names, float64 (K, 3)."""
    found = np.zeros((len(names), 3))
    for point in shape.findall("points"):
        label = point.get("label", "")
        if label not in names:
            raise ModelGPTError(
                f"{where} has the point {label!r}, which other skeletons don't have.",
                "A model learns one set of points.",
                "Keep the skeletons of one class.",
            )
        if point.get("outside") != "1":
            seen = 1.0 if point.get("occluded") == "1" else 2.0
            found[names.index(label)] = (*_positions(point, where)[0], seen)
    return found
