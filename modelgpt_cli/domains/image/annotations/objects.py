"""Marked objects as every format gives them: plain dataclasses, in pixels of the upright image.

Shapes: K key points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from modelgpt_cli.domains.image.layout import role_of
from modelgpt_cli.domains.image.source import Files

Id: TypeAlias = int | float | str
"""What annotations call an image or a class by."""


@dataclass(frozen=True)
class Rle:
    """A run-length encoded mask, as COCO has it.

    Attributes
    ----------
    counts : bytes or tuple of int
        Compressed, or runs of pixels column by column, beginning with those that are outside.
    size : (int, int)
        Height and width.
    """

    counts: bytes | tuple[int, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class MarkedObject:
    """One object of an image.

    Attributes
    ----------
    label : int
        Index of its class.
    box : tuple of float, optional
        Left, top, right, bottom; inside the image, and not empty. The one around its outline where the file has none.
    outline : tuple of ndarray, or Rle; optional
        Polygons, float64 (n, 2) of x and y each, of the parts of its mask; or the mask.
    points : ndarray, optional
        Key points, float64 (K, 3): x, y, and 0 not labelled, 1 hidden, 2 visible.
    crowd : bool
        Whether it stands for many of its class: neither learned from nor counted as missed.
    """

    label: int
    box: tuple[float, float, float, float] | None = None
    outline: tuple[np.ndarray, ...] | Rle | None = None
    points: np.ndarray | None = None
    crowd: bool = False


@dataclass(frozen=True)
class MarkedImage:
    """An image with its objects; none is background alone, which has been looked at.

    Attributes
    ----------
    place : str
        Path inside the folder or archive, with slashes.
    size : (int, int)
        Width and height of the upright image.
    part : str
        "train", "test" or "val", where the annotations say; "" where the folder that it lies in does.
    number : int, float or str, optional
        Its id, where the format has some.
    """

    place: str
    size: tuple[int, int]
    objects: tuple[MarkedObject, ...] = ()
    part: str = ""
    number: Id | None = None

    @property
    def role(self) -> str:
        """ "train", "test" or "val"; "" where nothing says."""
        return self.part or role_of(self.place)


@dataclass(frozen=True)
class PointNames:
    """What key points are called.

    Attributes
    ----------
    names : tuple of str
    mirrored : tuple of int
        Of each point the one that it becomes in a mirror.
    edges : tuple of (int, int)
        Points that are joined by a line.
    """

    names: tuple[str, ...]
    mirrored: tuple[int, ...]
    edges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Annotations:
    """What a folder or archive holds.

    Attributes
    ----------
    name : str
        What messages call it.
    format : str
        "COCO JSON", "Pascal VOC XML", "YOLO", ...
    images : tuple of MarkedImage
        Of all parts, in the order of their places.
    classes : tuple of str
    files : Files
        Opens the images by their places.
    points : PointNames, optional
        Where objects have key points.
    unannotated : tuple of str
        Images in the folder that no annotation names.
    own_boxes : bool
        Whether boxes are the files' own, rather than all of them drawn around outlines.
    numbers : mapping of str to int, float or str
        Class → its id, where the format has some; without those that several files have under different ones.
    notes : tuple of str
        What was mended or left out, one sentence each, with counts and the name of the first.
    """

    name: str
    format: str
    images: tuple[MarkedImage, ...]
    classes: tuple[str, ...]
    files: Files
    points: PointNames | None = None
    unannotated: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    own_boxes: bool = True
    numbers: Mapping[str, Id] = field(default_factory=dict)

    def part(self, role: str) -> Sequence[MarkedImage]:
        """Return the images of the part "train" or "test"; all belong to "train" where nothing says more."""
        roles = [image.role for image in self.images]
        learned = "train" if "train" in roles else ""
        tested = next((name for name in ("test", "val") if name in roles), None)
        if role == "train" and learned not in roles:  # a folder called test by itself
            return self.images
        wanted = learned if role == "train" else tested
        return tuple(image for image, its in zip(self.images, roles, strict=True) if its == wanted)
