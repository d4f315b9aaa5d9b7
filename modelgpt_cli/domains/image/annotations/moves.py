"""Positions moved: from shares to pixels, and with an image that is turned upright; and the box around an outline.

Shapes: n positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from modelgpt_cli.domains.image.annotations.objects import MarkedObject, Rle
from modelgpt_cli.domains.image.annotations.rle import decode_rle, encode_mask

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Move: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Positions, float64 (n, 2), to others."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF's ways to turn an image that exchange width and height."""


@dataclass
class Found:
    """An object as a file has it, before anything is checked.

    Attributes
    ----------
    label : int
    where : str
        What messages call it: "labels/01.txt, line 3".
    box : Box, optional
    outline : sequence of ndarray, or Rle; optional
    points : ndarray, optional
        (K, 3).
    crowd : bool
    """

    label: int
    where: str
    box: Box | None = None
    outline: Sequence[np.ndarray] | Rle | None = None
    points: np.ndarray | None = None
    crowd: bool = False


def scaled(one: Found, size: tuple[int, int]) -> Found:
    """Turn shares of width and height into pixels."""
    return _moved(one, lambda positions: positions * np.array(size, dtype=np.float64))


def turned(one: Found, turn: int, size: tuple[int, int]) -> Found:
    """Turn an object with its image, as EXIF data say.

    Parameters
    ----------
    turn : int
        One of `SIDEWAYS`.
    size : (int, int)
        Width and height as the image is stored.
    """
    width, height = size

    def move(positions: np.ndarray) -> np.ndarray:
        x, y = positions[:, 0], positions[:, 1]
        across = y if turn in (5, 8) else height - y
        down = x if turn in (5, 6) else width - x
        return np.column_stack([across, down])

    found = _moved(one, move)
    if isinstance(found.outline, Rle):
        mask = decode_rle(found.outline).T  # as 5 has it
        mask = mask[:, ::-1] if turn in (6, 7) else mask
        mask = mask[::-1] if turn in (7, 8) else mask
        found = replace(found, outline=encode_mask(mask))
    return found


def _moved(one: Found, move: Move) -> Found:
    """Move each position of an object; masks stay as they are."""
    box, outline, points = one.box, one.outline, one.points
    if box is not None:
        empty = not (box[2] > box[0] and box[3] > box[1])  # and stays so
        box = around(move(np.array(box, dtype=np.float64).reshape(2, 2)))
        box = (box[0], box[1], box[0], box[1]) if empty else box
    if outline is not None and not isinstance(outline, Rle):
        outline = [move(part) for part in outline]
    if points is not None:
        points = np.column_stack([move(points[:, :2]), points[:, 2]])
    return replace(one, box=box, outline=outline, points=points)


def corners_of(x: float, y: float, width: float, height: float, angle: float) -> np.ndarray:
    """Return the corners of a box around a centre that is turned by an angle in radians, float64 (4, 2)."""
    half = np.array([(-width, -height), (width, -height), (width, height), (-width, height)]) / 2
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    found: np.ndarray = half @ turn.T + (x, y)
    return found


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> np.ndarray:
    """Return corners on an ellipse around a centre, with its half axes, turned by an angle, float64 (32, 2)."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    found = np.column_stack([across * np.cos(angles), down * np.sin(angles)])
    turn = np.deg2rad(degrees)
    turned: np.ndarray = found @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]) + (x, y)
    return turned


def around(positions: np.ndarray) -> Box:
    """Return the upright box around positions, float64 (n, 2)."""
    (left, top), (right, bottom) = positions.min(0).tolist(), positions.max(0).tolist()
    return left, top, right, bottom


def boxed(one: MarkedObject, size: tuple[int, int]) -> MarkedObject:
    """Give an object that has an outline and no box the box around it, inside an image of some width and height."""
    if one.box is not None or one.outline is None:
        return one
    if isinstance(one.outline, Rle):
        mask = decode_rle(one.outline)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return one
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    else:
        box = around(np.clip(np.concatenate(one.outline), 0.0, np.array(size, dtype=np.float64)))
    return replace(one, box=box) if box[2] > box[0] and box[3] > box[1] else one
