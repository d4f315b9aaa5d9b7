"""What is learned from an image's places and boxes: where a thing has its centre, how far its edges are, and boxes that
are nearly right, or wrong. Numpy alone; boxes are in places.

Shapes: n places or boxes, m true boxes, h, w places of an image, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelgpt_cli.domains.image.annotations.objects import MarkedObject
from modelgpt_cli.domains.image.detection.boxes import areas, iou, shared

CENTRE = 0.2
"""Spread of a thing's centre, in its sides: a Gaussian's. .15 gave as much, .3 nine points of the mAP less."""
SURE = 0.8
"""A thing whose centre lies between places has one of at least this: of small ones the nearest place becomes 1."""
LEAST_CENTRE = 0.1
"""A place with less of a centre is ground."""
BOX_CENTRE = 0.5
"""Distances to edges are learned at places with so much of a centre."""
LEAST_SIDE = 0.05
"""Places: nearer edges are taken to be so far."""
JITTERED, BESIDE = 8, 60
"""Boxes that are drawn around each true one, and anywhere in an image."""
MOST_JITTERED = 800
"""Of an image: a thousand things say little that eighty don't."""
RIGHT, WRONG = 0.7, 0.3
"""IoU from which a box counts as right in full, and up to which as wrong in full."""
MOVED = 0.35
"""IoU from which a box is near enough to be moved onto a true one."""
_CROWDED = 0.5


@dataclass(frozen=True)
class Truth:
    """The things of an image.

    Attributes
    ----------
    boxes : float64 (m, 4)
    labels : int64 (m,)
    crowds : float64 (k, 4)
        What lies in these is neither learned from nor wrong.
    crowd_labels : int64 (k,)
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowds: np.ndarray
    crowd_labels: np.ndarray

    @classmethod
    def of(cls, objects: Sequence[MarkedObject]) -> Truth:
        """In pixels, of the objects that have a box."""
        rows = [one for one in objects if one.box is not None]
        parts = []
        for part in ([one for one in rows if not one.crowd], [one for one in rows if one.crowd]):
            parts.append(np.array([one.box for one in part], np.float64).reshape(-1, 4))
            parts.append(np.array([one.label for one in part], np.int64))
        return cls(*parts)

    def scaled(self, across: float, down: float) -> Truth:
        """With other units."""
        factors = [across, down, across, down]
        return replace(self, boxes=self.boxes * factors, crowds=self.crowds * factors)

    def mirrored(self, width: float) -> Truth:
        """As in a mirror, of an image so wide."""
        return replace(self, boxes=_mirrored(self.boxes, width), crowds=_mirrored(self.crowds, width))

    def crowded(self, boxes: np.ndarray) -> np.ndarray:
        """Which boxes lie mostly in a crowd, bool (n,)."""
        if not len(self.crowds):
            return np.zeros(len(boxes), bool)
        found: np.ndarray = (shared(boxes, self.crowds) / np.maximum(areas(boxes), 1e-9)[:, None]).max(1) > _CROWDED
        return found


def _mirrored(boxes: np.ndarray, width: float) -> np.ndarray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


@dataclass(frozen=True)
class Centres:
    """What an image's places are.

    Attributes
    ----------
    heat : float32 (h w, C)
        How much each is the centre of a thing of each class.
    nearest : int64 (h w,)
        The thing that it is the centre of most.
    strength : float32 (h w,)
        How much it is that.
    ignored : bool (h w,)
        Whether it lies in a crowd.
    """

    heat: np.ndarray
    nearest: np.ndarray
    strength: np.ndarray
    ignored: np.ndarray


def centres_of(truth: Truth, height: int, width: int, classes: int) -> Centres:
    """Find what the places are; `truth` is in places."""
    down, right = np.arange(height) + 0.5, np.arange(width) + 0.5
    heat = np.zeros((height, width, classes), np.float32)
    strength = np.zeros((height, width), np.float32)
    nearest = np.zeros((height, width), np.int64)
    for k, (x0, y0, x1, y1) in enumerate(truth.boxes):
        # Beyond three spreads there is nothing; of a small thing the nearest places count all the same.
        spread_x, spread_y = (max(side, 1.0) * CENTRE for side in (x1 - x0, y1 - y0))
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        columns = _window(x, 3 * spread_x + 1, width)
        rows = _window(y, 3 * spread_y + 1, height)
        across = np.exp(-0.5 * ((right[columns] - x) / spread_x) ** 2)
        bump = (np.exp(-0.5 * ((down[rows] - y) / spread_y) ** 2)[:, None] * across).astype(np.float32)
        if bump.max() < SURE:
            bump /= max(float(bump.max()), 1e-9)
        part = heat[rows, columns, truth.labels[k]]
        np.maximum(part, bump, out=part)
        better = bump > strength[rows, columns]
        strength[rows, columns][better] = bump[better]
        nearest[rows, columns][better] = k
    ignored = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in truth.crowds:
        ignored |= ((down > y0) & (down < y1))[:, None] & ((right > x0) & (right < x1))
    ignored &= strength < LEAST_CENTRE
    return Centres(heat.reshape(-1, classes), nearest.reshape(-1), strength.reshape(-1), ignored.reshape(-1))


def _window(centre: float, reach: float, places: int) -> slice:
    """Places that lie around a centre, at least one."""
    start = int(np.clip(np.floor(centre - reach), 0, places - 1))
    return slice(start, int(np.clip(np.ceil(centre + reach), start + 1, places)))


def distances(boxes: np.ndarray, rows: np.ndarray, width: int, sizes: np.ndarray) -> np.ndarray:
    """Logarithms of how far the left, top, right and bottom edges are from places, float32 (n, 4).

    Parameters
    ----------
    boxes : (n, 4)
        Of each place the thing's.
    rows : int64 (n,)
        Places, counted line by line.
    sizes : (n, 2)
        Usual width and height of the class, whose halves are the unit.
    """
    y, x = rows // width + 0.5, rows % width + 0.5
    reach = np.stack([x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y], 1)
    found: np.ndarray = np.log(np.maximum(reach, LEAST_SIDE) / np.concatenate([sizes, sizes], 1) * 2)
    return found.astype(np.float32)


def drawn_boxes(truth: Truth, height: int, width: int, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boxes to learn the second look from: around the true ones, and anywhere, of all classes' usual sizes, (n, 4)."""
    kept = np.arange(len(truth.boxes))
    if len(kept) * JITTERED > MOST_JITTERED:
        kept = rng.choice(kept, MOST_JITTERED // JITTERED, replace=False)
    near = truth.boxes[np.repeat(kept, JITTERED)]
    sides, much = near[:, 2:] - near[:, :2], rng.uniform(0, 1, (len(near), 1))
    centres = (near[:, :2] + near[:, 2:]) / 2 + rng.normal(0, 0.22, (len(near), 2)) * sides * much
    sides = sides * np.exp(rng.normal(0, 0.35, (len(near), 2)) * much)
    usual = sizes[rng.integers(0, len(sizes), BESIDE)] * np.exp(rng.normal(0, 0.3, (BESIDE, 2)))
    centres = np.concatenate([centres, rng.uniform(0, 1, (BESIDE, 2)) * [width, height]])
    half = np.concatenate([sides, usual]) / 2
    return np.concatenate([centres - half, centres + half], 1)


def rightness(boxes: np.ndarray, truth: Truth, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How right boxes are.

    Returns
    -------
    float32 (n, C)
        As a thing of each class, 0 to 1; see `RIGHT` and `WRONG`.
    float64 (n,)
        The largest IoU with any thing.
    int64 (n,)
        That thing.
    """
    n = len(boxes)
    if not len(truth.boxes):
        return np.zeros((n, classes), np.float32), np.zeros(n), np.zeros(n, np.int64)
    overlap = iou(boxes, truth.boxes)
    right = np.zeros((n, classes), np.float32)
    for label in np.unique(truth.labels):
        best = overlap[:, truth.labels == label].max(1)
        right[:, label] = np.clip((best - WRONG) / (RIGHT - WRONG), 0, 1)
    return right, overlap.max(1), overlap.argmax(1)
