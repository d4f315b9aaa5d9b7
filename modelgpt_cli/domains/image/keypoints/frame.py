"""The second look: the image around the points so far, turned and resized as the mean shape is.

A *frame* is a square in an image, which may be turned, with the points' mean shape in its middle.
Shapes: N images, H, W pixels, K points, S pixels a side of what is cut out, M of what it is turned from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.image.keypoints.cascade import POINTS, Cascade

MARGIN = 1.7
"""A frame's side, in longer sides of the box around the mean shape."""
LEAST_SIDE = 0.25
"""A frame is no smaller, in longer sides of the image: where points lie close, or there is one alone."""
LEAST_TURN = 1e-6
"""Added to a turn's cosine, so that it is known where nothing tells it."""
_ROUNDS = 10
"""In which shapes are laid onto their mean; by then it moves no more."""
BEYOND = 1.5
"""Sides of the square that a frame is turned from, in those of the frame: more than the root of 2."""
SECOND = f"{POINTS}second."
"""What the names of a second look's tensors begin with."""
SHAPE = f"{SECOND}shape"


@dataclass(frozen=True)
class SecondLook:
    """What looks again, at frames.

    Attributes
    ----------
    cascade : Cascade
    shape : Tensor (K, 2)
        The mean shape; see `find_frames`.
    """

    cascade: Cascade
    shape: Tensor

    def state(self) -> dict[str, Tensor]:
        """As tensors by name; `from_state` reads them back."""
        return self.cascade.state(SECOND) | {SHAPE: self.shape}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SecondLook | None:
        """Read back what `state` gives; None where there is nothing."""
        if SHAPE not in state:
            return None
        return cls(Cascade.from_state(state, SECOND), state[SHAPE].float())


@dataclass(frozen=True)
class Frames:
    """Frames in images.

    Attributes
    ----------
    turn : Tensor (N, 2)
        Cosine and sine.
    side : Tensor (N,)
        In pixels.
    middle : Tensor (N, 2)
        In pixels.
    """

    turn: Tensor
    side: Tensor
    middle: Tensor

    def inside(self, points: Tensor) -> Tensor:
        """Pixels (N, K, 2) as shares of the frame's side from its middle."""
        away = (points - self.middle[:, None]) / self.side[:, None, None]
        return _turned(away, self.turn * torch.tensor([1.0, -1.0]))

    def outside(self, points: Tensor) -> Tensor:
        """Shares of the frame's side from its middle, (N, K, 2), as pixels; `inside` backwards."""
        return _turned(points, self.turn) * self.side[:, None, None] + self.middle[:, None]

    def moved(self, angle: float, growth: float, shift: np.ndarray) -> Frames:
        """Frames that are turned by radians, larger so many times, and moved by shares (2,) of their sides."""
        turn = _turned(torch.tensor([[[math.cos(angle), math.sin(angle)]]]), self.turn)[:, 0]
        away = self.side[:, None] * torch.from_numpy(shift.astype(np.float32))
        return Frames(turn, self.side * growth, self.middle + away)


def _turned(points: Tensor, turn: Tensor) -> Tensor:
    """Points (N, K, 2), or the same (1, K, 2) each time, turned by cosines and sines (N, 2): (N, K, 2)."""
    cosine, sine = turn[:, None, 0], turn[:, None, 1]
    x, y = points.unbind(2)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], 2)


def in_frame(points: np.ndarray, frame: Frames, size: int) -> tuple[np.ndarray, float]:
    """Points (K, 3) in the pixels of what is cut out of an image's frame, and how many times as large that is."""
    found = points.copy()
    places = frame.inside(torch.from_numpy(points[None, :, :2].astype(np.float32)))[0].numpy()
    found[:, :2] = (places + 0.5) * size
    return found, size / float(frame.side)


def find_frames(points: Tensor, shape: Tensor, longest: int) -> Frames:
    """The frames in which a shape (K, 2) lies nearest to points (N, K, 2): least squares of turn, size and place.

    Parameters
    ----------
    points : Tensor
        In pixels.
    shape : Tensor
        In shares of a frame's side, from its middle.
    longest : int
        Pixels of an image's longer side.
    """
    centre, mean = shape.mean(0), points.mean(1)
    own, away = shape - centre, points - mean[:, None]
    spread = own.square().sum().clamp(min=1e-12)
    cosine = (own * away).sum((1, 2)) / spread + LEAST_TURN
    sine = (own[:, 0] * away[:, :, 1] - own[:, 1] * away[:, :, 0]).sum(1) / spread
    length = (cosine.square() + sine.square()).sqrt().clamp(min=LEAST_TURN)
    turn, side = torch.stack([cosine, sine], 1) / length[:, None], length.clamp(min=LEAST_SIDE * longest)
    unplaced = Frames(turn, side, torch.zeros_like(mean))
    return Frames(turn, side, mean - unplaced.outside(centre.expand(len(mean), 1, 2))[:, 0])


def cut_out(images: np.ndarray, frames: Frames, size: int) -> Tensor:
    """What frames show of images, uint8 (N, H, W, 3): float32 (N, 3, S, S), 0 to 255; beyond an edge as at the edge.

    A square around each frame is resized, antialiased, to the size of what is cut out, and turned then.
    """
    values = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    target = round(BEYOND * size)
    down, across = (
        _shares(frames.middle[:, axis], frames.side, images.shape[2 - axis], target, size) for axis in (1, 0)
    )
    upright = down[:, None] @ values @ across[:, None].transpose(2, 3)  # (N, 3, M, M)
    line = ((torch.arange(size) + 0.5) / size - 0.5) * (2 * size / target)
    grid = torch.cartesian_prod(line, line).flip(1)[None]  # (1, S S, 2)
    places = _turned(grid, frames.turn).reshape(-1, size, size, 2)
    return F.grid_sample(upright, places, mode="bilinear", padding_mode="border", align_corners=False)


def _shares(middle: Tensor, side: Tensor, source: int, target: int, size: int) -> Tensor:
    """What each source pixel gives to each target pixel, (N, M, L): bilinear, antialiased; see `resize_weights`."""
    scale = side[:, None] / size
    centres = middle[:, None] + (torch.arange(target) + 0.5 - target / 2) * scale
    centres = centres.clamp(min=0.5).clamp(max=source - 0.5)
    distance = (torch.arange(source) + 0.5 - centres[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]
    triangle = (1 - distance).clamp(min=0)
    return triangle / triangle.sum(2, keepdim=True)


def mean_shape(shapes: Sequence[np.ndarray], labelled: Sequence[np.ndarray]) -> np.ndarray | None:
    """The mean of shapes that are turned, resized and moved onto each other (Procrustes), as `find_frames` takes it.

    Parameters
    ----------
    shapes : sequence of float (K, 2)
    labelled : sequence of bool (K,)
        Which of their points count.

    Returns
    -------
    float32 (K, 2) or None
        Turned as the shapes are on average; None where a point is nowhere labelled.
    """
    kept = np.stack(labelled)
    if not kept.any(0).all():
        return None
    plain = np.stack(shapes).astype(np.float64) @ [1, 1j]  # turning and resizing is multiplying
    at = np.argmax(kept.sum(1))
    mean = np.where(kept[at], plain[at], (plain * kept).sum(0) / kept.sum(0))
    for _ in range(_ROUNDS):
        mean = np.where(kept, _onto(plain, kept, mean)[0], 0).sum(0) / kept.sum(0)
        mean = _normalised(mean)
    turns = 1 / _onto(plain, kept, mean)[1]
    turn = (turns / np.maximum(np.abs(turns), 1e-12)).sum()
    mean = _normalised(mean * turn / max(abs(turn), 1e-12))
    found: np.ndarray = (np.stack([mean.real, mean.imag], 1) / MARGIN).astype(np.float32)
    return found


def _onto(plain: np.ndarray, kept: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes, complex (n, K), moved onto a mean (K,), and what each was multiplied by for it, (n,)."""
    number = np.maximum(kept.sum(1), 1)
    centres, wanted = (np.where(kept, one, 0).sum(1) / number for one in (plain, np.broadcast_to(mean, plain.shape)))
    own, its = np.where(kept, plain - centres[:, None], 0), np.where(kept, mean - wanted[:, None], 0)
    factor = (own.conj() * its).sum(1) / np.maximum((np.abs(own) ** 2).sum(1), 1e-12)
    factor = np.where(np.abs(factor) > 1e-9, factor, 1)
    return (plain - centres[:, None]) * factor[:, None] + wanted[:, None], factor


def _normalised(shape: np.ndarray) -> np.ndarray:
    """A shape, complex (K,), whose box has its middle at 0 and a longer side of 1; of a single point 0."""
    corners = [np.array([f(shape.real), f(shape.imag)]) for f in (np.min, np.max)]
    middle, longer = (corners[0] + corners[1]) / 2, (corners[1] - corners[0]).max()
    found: np.ndarray = (shape - (middle[0] + 1j * middle[1])) / max(longer, 1e-9)
    return found
