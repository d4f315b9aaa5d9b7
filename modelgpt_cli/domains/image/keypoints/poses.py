"""The points of one object of each image, taken from annotations; and the length that errors are measured by.

Used by the runtime too, so that a model is measured on what it would be built from. Shapes: K points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from modelgpt_cli.domains.image.annotations.objects import MarkedImage, MarkedObject


@dataclass(frozen=True)
class Pose:
    """The points of an image's object.

    Attributes
    ----------
    place : str
        The image's.
    size : (int, int)
        Its width and height; (0, 0) where nobody says.
    points : ndarray
        float64 (K, 3): x, y in pixels, and 0 where a point is not labelled.
    box : tuple of float, optional
        Left, top, right, bottom.
    """

    place: str
    size: tuple[int, int]
    points: np.ndarray
    box: tuple[float, float, float, float] | None = None

    @property
    def labelled(self) -> np.ndarray:
        """Which points are labelled, bool (K,)."""
        return self.points[:, 2] > 0


@dataclass(frozen=True)
class Poses:
    """The objects that are learned from or measured, and what was left out.

    Attributes
    ----------
    kept : list of Pose
    bare : list of str
        Images without a labelled point.
    crowded : list of str
        Images of several objects with points, of which the largest counts.
    """

    kept: list[Pose]
    bare: list[str]
    crowded: list[str]


def take_poses(images: Iterable[MarkedImage], n_points: int) -> Poses:
    """Take the largest object with labelled points of each image."""
    found = Poses([], [], [])
    for image in images:
        objects = [one for one in image.objects if _has_points(one) and not one.crowd]
        if not objects:
            found.bare.append(image.place)
            continue
        if len(objects) > 1:
            found.crowded.append(image.place)
        one = max(objects, key=_area)
        assert one.points is not None, "only objects with points are kept"
        points = np.zeros((n_points, 3))
        points[: len(one.points)] = one.points
        found.kept.append(Pose(image.place, image.size, points, one.box))
    return found


def _has_points(one: MarkedObject) -> bool:
    return one.points is not None and bool((one.points[:, 2] > 0).any())


def _area(one: MarkedObject) -> float:
    left, top, right, bottom = one.box or _around(one.points)
    return (right - left) * (bottom - top)


def _around(points: np.ndarray | None) -> tuple[float, float, float, float]:
    """The box around labelled points."""
    assert points is not None
    there = points[points[:, 2] > 0]
    (left, top), (right, bottom) = there[:, :2].min(0), there[:, :2].max(0)
    return float(left), float(top), float(right), float(bottom)


def normaliser(pose: Pose, pair: Sequence[int]) -> float:
    """Return the length in pixels that errors in an image are divided by; NaN where there is none.

    Parameters
    ----------
    pair : sequence of int
        Two points, whose distance it is; without, it is the diagonal of the box around the labelled points. Where one
        point alone is labelled it is that of the object's box, and where there is no box that of the image.
    """
    if pair:
        first, second = (pose.points[k] for k in pair)
        if not (first[2] > 0 and second[2] > 0):
            return float("nan")
        return _positive(float(np.hypot(*(first - second)[:2])))
    for box in (_around(pose.points), pose.box, (0, 0, *pose.size)):
        if box is not None and (length := float(np.hypot(box[2] - box[0], box[3] - box[1]))) > 0:
            return length
    return float("nan")


def _positive(length: float) -> float:
    return length if length > 0 else float("nan")


def normaliser_words(names: Sequence[str], pair: Sequence[int]) -> str:
    """Say what errors are divided by."""
    if pair:
        return f"the distance from {names[pair[0]]} to {names[pair[1]]}"
    return "the diagonal of the box around the points"
