"""From what a format's files say to `objects.Annotations`: the one place where positions are checked and mended.

Each format hands over what it has read, image by image; whatever is left out or clipped is counted here, and told in
one sentence of a kind. Shapes: K key points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.moves import SIDEWAYS, Found, boxed, scaled, turned
from modelgpt_cli.domains.image.annotations.objects import Annotations, Id, MarkedImage, MarkedObject, PointNames, Rle
from modelgpt_cli.domains.image.decode import ImageError, opened
from modelgpt_cli.domains.image.listing import Listing

ROUNDING = 1.0
"""Pixels that a box may reach beyond its image without a word: formats count from 0 or from 1, and round."""
MOST_CONTRADICTING = 0.5
"""Where more of the images than this have another size than their annotations say, these are not of them."""
_MASK_FOLDERS = frozenset(
    {"masks", "mask", "labels", "label", "segmentationclass", "segmentationobject", "segmentations"}
)
_SENTENCES = {
    "clipped": ("box reaches", "boxes reach", "beyond the image{}, such as {}: clipped."),
    "outside": ("box lies", "boxes lie", "outside of the image{}, or without width or height, such as {}: left out."),
    "thin": ("outline has", "outlines have", "fewer than three points, such as {1}: left out."),
    "points": ("key point lies", "key points lie", "outside of the image{}, such as {}: taken as not labelled."),
    "mask": ("mask has", "masks have", "another size than the image{}, such as {}: left out."),
    "nothing": ("object has", "objects have", "neither a box nor an outline nor key points, such as {1}: left out."),
    "rotated": ("box is", "boxes are", "turned by an angle, such as {1}: the upright box around is taken."),
    "unset": ("annotated image is", "annotated images are", "in no list of the sets, such as {1}: left out."),
    "several": (
        "image has", "images have", "several annotations, such as {1}: the first is read.",
    ),
    "kinds": ("mark is", "marks are", "of a kind that is not read, such as {1}: left out."),
    "missing": ("annotated image is", "annotated images are", "not among the files, such as {1}: left out."),
    "unlisted": ("annotation is", "annotations are", "of an image that the file doesn't list, such as {1}: left out."),
    "unread": ("image has", "images have", "annotations and can't be read, such as {1}: left out."),
    "contradicting": ("image has", "images have", "another size than its annotations say, such as {1}: left out."),
    "ambiguous": (
        "image is", "images are", "turned by EXIF data, and its size doesn't tell whether the annotations are of the "
        "turned image, such as {1}: taken to be.",
    ),
    "turned": (
        "image is", "images are", "turned by EXIF data, and annotated as stored, such as {1}: its annotations "
        "are turned too.",
    ),
}  # fmt: skip
"""Kind of finding → how it is told of one, of several, and the rest of the sentence."""


@dataclass
class Counts:
    """Findings by kind: how many, and the first."""

    numbers: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, where: str) -> None:
        """Count one."""
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        self.first.setdefault(kind, where)

    def notes(self) -> list[str]:
        """A sentence of each kind."""
        found = []
        for kind, (one, several, rest) in _SENTENCES.items():
            if n := self.numbers.get(kind, 0):
                words = rest.format("" if n == 1 else "s", self.first[kind])
                found.append(f"{f'1 {one}' if n == 1 else f'{n:,} {several}'} {words}")
        return found


class Collector:
    """Gathers the images of a folder or archive, whatever their format.

    Parameters
    ----------
    name : str
        What messages call the folder or archive.
    kind : str
        The format.
    listing : Listing
        Its files.
    """

    def __init__(self, name: str, kind: str, listing: Listing) -> None:
        self.name, self.kind, self.listing, self.counts = name, kind, listing, Counts()
        self._images: dict[str, MarkedImage] = {}
        self._listed: dict[str, str] = {}
        self._boxes = self._lost = 0

    def add(
        self,
        place: str,
        size: tuple[int, int],
        objects: Iterable[Found],
        *,
        file: str,
        part: str = "",
        shares: bool = False,
        number: Id | None = None,
    ) -> None:
        """Add an image that is among the files.

        Parameters
        ----------
        place : str
        size : (int, int)
            Width and height, as the annotations have them; (0, 0) where they don't say.
        file : str
            The annotations' own, for messages.
        part : str
            "train", "test" or "val", where the annotations say; "" where the image's folder does.
        shares : bool
            Whether positions are shares of width and height, from 0 to 1, rather than pixels.
        number : int, float or str, optional
            Its id, where the format has some.

        Raises
        ------
        ModelGPTError
            The image has been added before.
        """
        if place in self._listed:
            other = self._listed[place]
            both = f"{file} lists the image {place} twice" if other == file else f"{other} and {file} both list {place}"
            raise ModelGPTError(
                f"{self.name}: {both}.",
                "Which of the two entries holds cannot be told.",
                "Keep one entry of each image." if other == file else f"Give one of the files itself, such as {other}.",
            )
        self._listed[place] = file
        try:
            stored, turn = _stored_size(self.listing.source.open(place))
        except ImageError:
            if shares or size == (0, 0):
                self.counts.add("unread", place)
                return
            stored, turn = size, 1
        upright = (stored[1], stored[0]) if turn in SIDEWAYS else stored
        sideways = False
        if size == (0, 0) or size == upright:
            if size != (0, 0) and turn > 1 and (turn not in SIDEWAYS or stored[0] == stored[1]):
                self.counts.add("ambiguous", place)
        elif size == stored:
            sideways = True
            self.counts.add("turned", place)
        elif not shares or _shape_differs(size, upright):
            self.counts.add("contradicting", f"{place}: {_by(upright)} pixels, {_by(size)} in {file}")
            return
        kept = []
        for one in objects:
            if shares:
                one = scaled(one, stored if sideways else upright)
            if sideways:
                one = turned(one, turn, stored)
            if (checked := self._checked(one, upright)) is not None:
                kept.append(checked)
        self._images[place] = MarkedImage(place, upright, tuple(kept), part, number)

    def result(
        self,
        classes: Sequence[str],
        points: PointNames | None = None,
        notes: Sequence[str] = (),
        numbers: Mapping[str, Id] | None = None,
    ) -> Annotations:
        """Return all that was added; of each class its id, where the format has some.

        Raises
        ------
        ModelGPTError
            No annotated image is there; most have another size than is said of them; or no box is inside its image.
        """
        told = self.counts.notes()
        if self.counts.numbers.get("contradicting", 0) > MOST_CONTRADICTING * len(self._listed):
            raise ModelGPTError(
                f"{self.name}: {told[-1] if len(told) == 1 else self._told('contradicting')}",
                "Positions are pixels of the images that were annotated, and these have been resized or exchanged.",
                "Give the images that were annotated, or export the annotations for these.",
            )
        if not self._images:
            raise ModelGPTError(
                f"{self.name}: none of the images that its annotations ({self.kind}) name is there.",
                " ".join(told),
                "Put the images beside the annotations, or into a folder images/ there.",
            )
        if self._boxes and self._lost == self._boxes:
            raise ModelGPTError(
                f"{self.name}: all of its {self._boxes:,} boxes lie outside of their images, or are empty.",
                f"The first: {self.counts.first['outside']}.",
                "Look whether they are in pixels, and in the order that the format has.",
            )
        images = tuple(self._images[place] for place in sorted(self._images))
        own = any(one.box is not None for image in images for one in image.objects)
        images = tuple(
            replace(image, objects=tuple(boxed(one, image.size) for one in image.objects)) for image in images
        )
        if empty := [image.place for image in images if not image.objects]:
            several = f"{len(empty):,} images have" if len(empty) > 1 else "1 image has"
            told.append(f"{several} nothing marked, such as {empty[0]}: taken to be background alone.")
        bare = self._unannotated()
        if bare:
            several = f"{len(bare):,} images have" if len(bare) > 1 else "1 image has"
            told.append(f"{several} no annotations, such as {bare[0]}: left out, as nothing says what is in them.")
        return Annotations(
            self.name, self.kind, images, tuple(classes), self.listing.source, points, tuple(bare), (*told, *notes),
            own, numbers or {},
        )  # fmt: skip

    def _told(self, kind: str) -> str:
        return next(iter(Counts({kind: self.counts.numbers[kind]}, self.counts.first).notes()))

    def _unannotated(self) -> list[str]:
        """Images that no annotation names; masks beside them are none."""
        folders = {str(PurePosixPath(place).parent) for place in self._listed}
        return [
            place
            for place in self.listing.images
            if place not in self._listed
            and (
                str(PurePosixPath(place).parent) in folders
                or not _MASK_FOLDERS & {part.lower() for part in PurePosixPath(place).parts[:-1]}
            )
        ]

    def _checked(self, one: Found, size: tuple[int, int]) -> MarkedObject | None:
        """An object inside its image; None where nothing of it is left."""
        box = self._box(one, size)
        outline = self._outline(one, size)
        points = self._points(one, size)
        if one.box is not None and box is None:
            return None
        if box is None and outline is None and points is None:
            if one.outline is None:
                self.counts.add("nothing", one.where)
            return None
        return MarkedObject(one.label, box, outline, points, one.crowd)

    def _box(self, one: Found, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        if one.box is None:
            return None
        self._boxes += 1
        left, top, right, bottom = one.box
        inside = (max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1])))
        good = all(map(math.isfinite, one.box)) and right > left and bottom > top
        if not good or inside[2] <= inside[0] or inside[3] <= inside[1]:
            self._lost += 1
            self.counts.add("outside", one.where)
            return None
        if max(abs(a - b) for a, b in zip(inside, one.box, strict=True)) > ROUNDING:
            self.counts.add("clipped", one.where)
        return inside

    def _outline(self, one: Found, size: tuple[int, int]) -> tuple[np.ndarray, ...] | Rle | None:
        if one.outline is None:
            return None
        if isinstance(one.outline, Rle):
            if one.outline.size != (size[1], size[0]):
                self.counts.add("mask", one.where)
                return None
            return one.outline
        kept = tuple(part for part in one.outline if len(part) > 2 and np.isfinite(part).all())
        if len(kept) < len(one.outline) or not kept:
            self.counts.add("thin", one.where)
        return kept or None

    def _points(self, one: Found, size: tuple[int, int]) -> np.ndarray | None:
        if one.points is None:
            return None
        points = np.array(one.points, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            there = (points[:, :2] >= -ROUNDING) & (points[:, :2] <= np.array(size) + ROUNDING)
        for k in np.flatnonzero((points[:, 2] > 0) & ~there.all(1)):
            self.counts.add("points", one.where)
            points[k] = 0.0
        points[points[:, 2] <= 0] = 0.0
        points[:, :2] = np.clip(points[:, :2], 0.0, np.array(size, dtype=np.float64))
        return points


def _stored_size(content: bytes) -> tuple[tuple[int, int], int]:
    """Width and height as a file stores them, and how its EXIF data say that it is turned: 1 to 8."""
    with opened(content) as image:
        turn = image.getexif().get(0x0112, 1)
        return image.size, turn if turn in range(1, 9) else 1


def _shape_differs(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is not the other, resized."""
    return abs(size[0] * other[1] - size[1] * other[0]) > 2 * max(*size, *other)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
