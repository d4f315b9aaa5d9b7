"""Boxes: how much they overlap, which are kept of several of one thing, and which are right. Numpy alone.

Boxes are left, top, right, bottom. Shapes: n, m boxes, C classes.
"""

from __future__ import annotations

import numpy as np


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (n,) of boxes (n, 4)."""
    found: np.ndarray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return found


def shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area that each two boxes share, (n, m), of boxes (n, 4) and (m, 4)."""
    sides = np.minimum(first[:, None, 2:], second[None, :, 2:]) - np.maximum(first[:, None, :2], second[None, :, :2])
    found: np.ndarray = np.maximum(sides, 0).prod(2)
    return found


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each two boxes, (n, m)."""
    inside = shared(first, second)
    union = areas(first)[:, None] + areas(second)[None] - inside
    found: np.ndarray = inside / np.maximum(union, 1e-9)
    return found


def suppressed(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Rows of the boxes that are kept, the best first: none overlaps a better one by more than `most` (IoU)."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[iou(boxes[best][None], boxes[order])[0] <= most]
    return np.array(kept, dtype=np.int64)


def matched(boxes: np.ndarray, true: np.ndarray, least: float = 0.5) -> np.ndarray:
    """Which boxes, the best first, are right, bool (n,): each true one is found once, by an IoU of `least`."""
    overlap = iou(boxes, true)
    right = np.zeros(len(boxes), bool)
    free = np.ones(len(true), bool)
    for i in range(len(boxes) if len(true) else 0):
        shares = np.where(free, overlap[i], -1)
        best = int(shares.argmax())
        if shares[best] >= least:
            right[i], free[best] = True, False
    return right
