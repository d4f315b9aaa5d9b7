"""What a box's surroundings say: a small grid of an image's maps inside it, and where a box is to be moved.

The second of a detector's two looks, as R-CNN's (Girshick et al., arXiv 1311.2524), with both of its regressions in
closed form. Boxes are in places: a stride of 8 pixels of what the network sees.
Shapes: K boxes, h, w places, c channels, R inputs of a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 5
"""Cells a side that are read of a box. Of 40 blood cell images held out, mAP from .5 to .95 was .508 with 4 and .522
with 5 of 40 learned, .448 and .465 of 10; the mAP at .5 was .79 after the first look alone, .89 after both."""
ZOOM = 1.3
"""So much larger than the box is what is read: its edges are seen from both sides."""
SAMPLES = 2
"""Points a side of each cell."""
CHANNELS = (48, 64)
"""Of the maps at strides of 8 and 16, once projected to their principal components."""
STRIDES = (1, 2)
N_SHAPE = 5
N_REGION = sum(CHANNELS) * GRID**2 + N_SHAPE
"""R"""
LEAST_SIDE = 0.25
"""Places: no box is smaller."""
MOST_LOG = 3.0
"""Sides that the first look gives are at most e to this power times the class's own, and at least 1 over it."""
MOST_MOVE = 1.0
"""Shares of a box's sides, and logarithms of them, by which it is moved at most."""


def projected(maps: Sequence[Tensor], weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[Tensor]:
    """Principal components of rooted maps at strides of 8 and 16: (1, 48, h, w), (1, 64, h/2, w/2)."""
    return [
        F.conv2d(one, weight.T[:, :, None, None], bias)
        for one, weight, bias in zip(maps[: len(weights)], weights, biases, strict=True)
    ]


def region_inputs(components: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """What the second look reads of boxes (K, 4): (K, R)."""
    centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (ZOOM / 2)
    zoomed = torch.cat([centres - half, centres + half], 1)
    parts = [read_inside(one, zoomed / stride - 0.5) for one, stride in zip(components, STRIDES, strict=True)]
    sides = (boxes[:, 2:] - boxes[:, :2]).log()
    shape = [sides, sides**2, sides.prod(1, keepdim=True)]
    return torch.cat([*parts, *shape], 1)


def read_inside(one: Tensor, boxes: Tensor) -> Tensor:
    """Means of a map (1, c, h, w) in the cells of boxes (K, 4) whose 0 is the first place's middle: (K, c GRID²).

    As torchvision's roi_align, not aligned, whose import takes seconds; a box is read as one place wide at least.
    """
    height, width = one.shape[2:]
    lines = one[0].flatten(1).T  # (h w, c)
    steps = (torch.arange(GRID * SAMPLES) + 0.5) / (GRID * SAMPLES)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0)
    points = boxes[:, None, :2] + steps[None, :, None] * sides[:, None]  # (K, s, 2)
    columns, rows = (_ends(points[:, :, k], last) for k, last in ((0, width), (1, height)))
    total: Tensor | None = None
    for row, share_down in rows:
        for column, share_across in columns:
            share = (share_down[:, :, None] * share_across[:, None]).flatten()[:, None]
            part = lines[(row[:, :, None] * width + column[:, None]).flatten()] * share
            total = part if total is None else total + part
    assert total is not None
    cells = total.reshape(len(boxes), GRID, SAMPLES, GRID, SAMPLES, -1).mean((2, 4))
    return cells.permute(0, 3, 1, 2).flatten(1)


def _ends(points: Tensor, places: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The places around points (K, s) of a line, and what each counts; nothing, of a point a place beyond an end."""
    there = ((points >= -1) & (points <= places)).float()
    points = points.clamp(0, places - 1)
    start = points.floor()
    after = points - start
    first = start.long()
    return (first, (1 - after) * there), ((first + 1).clamp(max=places - 1), after * there)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes cut to an image of so many places; each keeps a side of `LEAST_SIDE`."""
    limits = torch.tensor([width, height], dtype=boxes.dtype)
    starts = torch.minimum(boxes[:, :2].clamp(min=0), limits - LEAST_SIDE)
    ends = torch.maximum(torch.minimum(boxes[:, 2:], limits), starts + LEAST_SIDE)
    return torch.cat([starts, ends], 1)


def moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (K, 4), moved: by shares of their sides, then logarithms of how much larger they get, (K, 4)."""
    moves = moves.clamp(-MOST_MOVE, MOST_MOVE)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + moves[:, :2] * sides
    half = sides * moves[:, 2:].exp() / 2
    return torch.cat([centres - half, centres + half], 1)


def moves_to(boxes: Tensor, true: Tensor) -> Tensor:
    """The moves (K, 4) that make boxes (K, 4) those that they ought to be."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], true[:, 2:] - true[:, :2]
    shifts = (true[:, :2] + true[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / sides
    return torch.cat([shifts, (wanted / sides).log()], 1)


def boxes_at(rows: Tensor, columns: Tensor, distances: Tensor, sizes: Tensor) -> Tensor:
    """Boxes by places and distances to their edges.

    Parameters
    ----------
    rows, columns : int64 (K,)
    distances : (K, 4)
        To the left, top, right and bottom edge: logarithms, in halves of the class's usual sides.
    sizes : (K, 2)
        Usual width and height of the class.

    Returns
    -------
    Tensor
        (K, 4)
    """
    centres = torch.stack([columns, rows], 1) + 0.5
    reach = distances.clamp(-MOST_LOG, MOST_LOG).exp() * torch.cat([sizes, sizes], 1) / 2
    return torch.cat([centres - reach[:, :2], centres + reach[:, 2:]], 1)
