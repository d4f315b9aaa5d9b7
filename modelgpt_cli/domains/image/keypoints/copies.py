"""Copies of an image with its points: turned, resized, moved and mirrored. Needs Pillow.

Shapes: H, W pixels, K points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

TURN, RESIZE, MOVE = 0.2, 0.15, 0.08
"""Standard deviations of what a copy is changed by: radians, the logarithm of the scale, shares of width and height."""


def mirror(image: np.ndarray, points: np.ndarray, exchanged: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mirror an image, uint8 (H, W, 3), and its points (K, 3).

    Parameters
    ----------
    exchanged : sequence of int
        Of each point the one that it becomes.
    """
    found = points[list(exchanged)].copy()
    found[:, 0] = image.shape[1] - found[:, 0]
    return np.ascontiguousarray(image[:, ::-1]), found


def moved(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Turn, resize and move an image, uint8 (H, W, 3), and its points (K, 3) at random, around the image's centre.

    What comes into sight is what is at the edge. Points that are out of sight are not labelled any more. What it is
    resized by comes last.
    """
    height, width = image.shape[:2]
    angle, scale = rng.normal(0, TURN), float(np.exp(rng.normal(0, RESIZE)))
    shift = rng.normal(0, MOVE, 2) * (width, height)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    centre = np.array([width / 2, height / 2])
    offset = centre + shift - turn @ centre
    back = np.linalg.inv(turn)
    beyond = max(height, width) // 2
    padded = np.pad(image, ((beyond, beyond), (beyond, beyond), (0, 0)), mode="edge")
    start = beyond - back @ offset
    numbers = (*back[0], start[0], *back[1], start[1])
    seen = Image.fromarray(padded).transform(
        (width, height), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR
    )
    found = points.copy()
    found[:, :2] = points[:, :2] @ turn.T + offset
    inside = ((found[:, :2] >= 0) & (found[:, :2] <= (width, height))).all(1)
    found[~inside, 2] = 0
    return np.asarray(seen), found, scale
