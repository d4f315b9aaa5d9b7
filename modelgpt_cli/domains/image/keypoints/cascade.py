"""Maps to key points: a first guess from what the whole image shows, then steps from what is seen at the points so far.

Each step is linear in what it reads (the supervised descent method), so that all are solved in closed form. Maps are
projected on their principal directions first, which keeps the steps small.
Points are in *units*: from the image's centre, in shares of its longer side, so that turning an image turns them.
Shapes: N images, K points, h, w places, c channels, d directions, P inputs of a step, G places a side of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.image.dense.maps import resize_weights
from modelgpt_cli.domains.image.keypoints.architectures import GRID

POINTS = "points."
PROJECTION, STAGE, SCORE = "points.projection.", "points.stage.", "points.score"
"""What the names of tensors begin with."""


@dataclass(frozen=True)
class Linear:
    """A linear map: weight (P, outputs), bias (outputs,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Map (n, P) to (n, outputs)."""
        return x @ self.weight + self.bias


@dataclass(frozen=True)
class Cascade:
    """All that is solved.

    Attributes
    ----------
    projections : tuple of Linear
        Of each map, (c, d) and (d,).
    stages : tuple of Linear
        The first guess, (G G (d of the coarser maps), 2 K), then the steps, (K (d of the finer maps), 2 K).
    score : Linear
        Inputs of a step to the log odds of each point, (P, K).
    """

    projections: tuple[Linear, ...]
    stages: tuple[Linear, ...]
    score: Linear

    def state(self) -> dict[str, Tensor]:
        """As tensors by name; `from_state` reads them back."""
        found: dict[str, Tensor] = {}
        parts = [(f"{PROJECTION}{k}", one) for k, one in enumerate(self.projections)]
        parts += [(f"{STAGE}{k}", one) for k, one in enumerate(self.stages)]
        for name, one in [*parts, (SCORE, self.score)]:
            found |= {f"{name}.weight": one.weight, f"{name}.bias": one.bias}
        return found

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Cascade:
        """Read back what `state` gives."""

        def read(name: str) -> Linear:
            return Linear(state[f"{name}.weight"].float(), state[f"{name}.bias"].float())

        def several(prefix: str) -> tuple[Linear, ...]:
            numbers = (k for k in count() if f"{prefix}{k}.weight" not in state)
            return tuple(read(f"{prefix}{k}") for k in range(next(numbers)))

        return cls(several(PROJECTION), several(STAGE), read(SCORE))

    def __call__(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Points (N, K, 3) of rooted maps: x and y in pixels of images of a size, and the score."""
        seen = projected(maps, self.projections)
        points = self.stages[0](overview(seen)).reshape(len(seen[0]), -1, 2)
        for stage in self.stages[1:]:
            points = points + stage(at_points(seen, points, height, width)).reshape(points.shape)
        odds = self.score(at_points(seen, points, height, width))
        return torch.cat([in_pixels(points, height, width), odds.sigmoid()[:, :, None]], 2)


def projected(maps: Sequence[Tensor], projections: Sequence[Linear]) -> list[Tensor]:
    """Rooted maps (N, c, h, w) on their directions, (N, d, h, w) each."""
    return [
        F.conv2d(one, linear.weight.T[:, :, None, None], linear.bias)
        for one, linear in zip(maps, projections, strict=True)
    ]


def overview(seen: Sequence[Tensor]) -> Tensor:
    """What the first guess reads, (N, G G d), of projected maps: the coarser ones as G places a side."""
    parts = []
    for one in seen[1:]:
        down, across = (torch.from_numpy(resize_weights(side, GRID)) for side in one.shape[2:])
        parts.append((down @ one @ across.T).flatten(1))
    return torch.cat(parts, 1)


def at_points(seen: Sequence[Tensor], points: Tensor, height: int, width: int) -> Tensor:
    """What a step reads, (N, K d), of projected maps: the finer ones at the points (N, K, 2) in units."""
    longer = max(height, width)
    places = points * torch.tensor([2 * longer / width, 2 * longer / height])  # -1 to 1
    found = [
        F.grid_sample(one, places[:, None], mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
        for one in seen[:2]
    ]
    return torch.cat(found, 1).transpose(1, 2).flatten(1)


def in_pixels(points: Tensor, height: int, width: int) -> Tensor:
    """Points in units (..., 2) as pixels of an image of a size."""
    return points * max(height, width) + torch.tensor([width / 2, height / 2])


def in_units(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Points in pixels (..., 2) as units, float32; see `in_pixels`."""
    units: np.ndarray = ((pixels - (width / 2, height / 2)) / max(height, width)).astype(np.float32)
    return units
