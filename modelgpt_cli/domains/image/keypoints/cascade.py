"""Maps to key points: a first guess from what the whole image shows, then steps from what is seen at the points so far.

The first guess reads the whole image and, where objects may lie anywhere, what is seen around the place that is scored
best; see `locate`. Each step is linear in what it reads (the supervised descent method), so that all are solved in
closed form. Maps are projected on their principal directions first, which keeps the steps small.
Points are in *units*: from the image's centre, in shares of its longer side, so that turning an image turns them.
Shapes: N images, K points, h, w places, L = h w, c channels, d directions, P inputs of a step, G places a side of the
first, V places of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.image.dense.maps import resize_weights, resized_maps
from modelgpt_cli.domains.image.keypoints.architectures import AROUND, GRID

POINTS = "points."
PROJECTION, STAGE, SCORE = "projection.", "stage.", "score"
LOCATOR, WINDOW = "locator", "window"
"""What the names of tensors begin with, after `POINTS` or another prefix."""


@dataclass(frozen=True)
class Linear:
    """A linear map: weight (P, outputs), bias (outputs,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Map (n, P) to (n, outputs)."""
        return x @ self.weight + self.bias


@dataclass(frozen=True)
class Locator:
    """Tells the middle of an object.

    Attributes
    ----------
    linear : Linear
        Inputs of a place to its log odds, (P, 1) and (1,).
    window : Tensor (V, 2)
        Where around the middle the coarser maps are read, in units.
    """

    linear: Linear
    window: Tensor

    def __call__(self, seen: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Middles in units, (N, 2), of projected maps of images of a size."""
        n, _, high, wide = seen[1].shape
        return self.odds(seen).reshape(n, -1).softmax(1) @ place_units(high, wide, height, width)

    def odds(self, seen: Sequence[Tensor]) -> Tensor:
        """Log odds of the places at a stride of 16, (N, 1, h, w); linear, so that each map is multiplied by itself."""
        fine, middle, coarse = seen
        widths = (fine.shape[1], middle.shape[1], middle.shape[1], coarse.shape[1])
        parts = [part.T[:, :, None, None] for part in self.linear.weight.split(widths)]
        found = F.avg_pool2d(F.conv2d(fine, parts[0]), 2) + F.conv2d(middle, parts[1], self.linear.bias)
        found = found + nearby(F.conv2d(middle, parts[2]))
        return found + resized_maps(F.conv2d(coarse, parts[3]), middle.shape[2:])

    def around(self, seen: Sequence[Tensor], middles: Tensor, height: int, width: int) -> Tensor:
        """What is seen around middles (N, 2), (N, V d), of the coarser projected maps."""
        return read_at(seen[1:], middles[:, None] + self.window, height, width)


@dataclass(frozen=True)
class Cascade:
    """All that is solved.

    Attributes
    ----------
    projections : tuple of Linear
        Of each map, (c, d) and (d,).
    stages : tuple of Linear
        The first guess, ((G G + V) (d of the coarser maps), 2 K), then the steps, (K (d of the finer maps), 2 K).
    score : Linear
        Inputs of a step to the log odds of each point, (P, K).
    locator : Locator, optional
        What the first guess is made around; without it V is 0, and that the image's centre.
    """

    projections: tuple[Linear, ...]
    stages: tuple[Linear, ...]
    score: Linear
    locator: Locator | None = None

    def state(self, prefix: str = POINTS) -> dict[str, Tensor]:
        """As tensors by name; `from_state` reads them back."""
        found: dict[str, Tensor] = {}
        parts = [(f"{PROJECTION}{k}", one) for k, one in enumerate(self.projections)]
        parts += [(f"{STAGE}{k}", one) for k, one in enumerate(self.stages)]
        if self.locator is not None:
            parts.append((LOCATOR, self.locator.linear))
            found[f"{prefix}{WINDOW}"] = self.locator.window
        for name, one in [*parts, (SCORE, self.score)]:
            found |= {f"{prefix}{name}.weight": one.weight, f"{prefix}{name}.bias": one.bias}
        return found

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], prefix: str = POINTS) -> Cascade:
        """Read back what `state` gives."""

        def read(name: str) -> Linear:
            return Linear(state[f"{prefix}{name}.weight"].float(), state[f"{prefix}{name}.bias"].float())

        def several(kind: str) -> tuple[Linear, ...]:
            numbers = (k for k in count() if f"{prefix}{kind}{k}.weight" not in state)
            return tuple(read(f"{kind}{k}") for k in range(next(numbers)))

        window = state.get(f"{prefix}{WINDOW}")
        locator = None if window is None else Locator(read(LOCATOR), window.float())
        return cls(several(PROJECTION), several(STAGE), read(SCORE), locator)

    def __call__(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Points (N, K, 3) of rooted maps: x and y in pixels of images of a size, and the score."""
        seen = projected(maps, self.projections)
        inputs, middles = overview(seen), torch.zeros(len(seen[0]), 2)
        if self.locator is not None:
            middles = self.locator(seen, height, width)
            inputs = torch.cat([inputs, self.locator.around(seen, middles, height, width)], 1)
        points = middles[:, None] + self.stages[0](inputs).reshape(len(middles), -1, 2)
        for stage in self.stages[1:]:
            points = points + stage(at_points(seen, points, height, width)).reshape(points.shape)
        odds = self.score(at_points(seen, points, height, width))
        return torch.cat([in_pixels(points, height, width), odds.sigmoid()[:, :, None]], 2)


def nearby(x: Tensor) -> Tensor:
    """Mean of what is near each place where an object is looked for, (N, c, h, w); beyond the edge nothing counts."""
    return F.avg_pool2d(x, AROUND, 1, AROUND // 2, count_include_pad=False)


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
    return read_at(seen[:2], points, height, width)


def read_at(maps: Sequence[Tensor], points: Tensor, height: int, width: int) -> Tensor:
    """Maps (N, d, h, w) at points (N, K, 2) in units, (N, K d): bilinear, beyond the edge as at the edge."""
    longer = max(height, width)
    places = points * torch.tensor([2 * longer / width, 2 * longer / height])  # -1 to 1
    found = [
        F.grid_sample(one, places[:, None], mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
        for one in maps
    ]
    return torch.cat(found, 1).transpose(1, 2).flatten(1)


def place_units(high: int, wide: int, height: int, width: int) -> Tensor:
    """The middles of the places of a map, (h w, 2), in units of an image of a size."""
    longer = max(height, width)
    x = ((torch.arange(wide) + 0.5) / wide - 0.5) * (width / longer)
    y = ((torch.arange(high) + 0.5) / high - 0.5) * (height / longer)
    return torch.cartesian_prod(y, x).flip(1)


def in_pixels(points: Tensor, height: int, width: int) -> Tensor:
    """Points in units (..., 2) as pixels of an image of a size."""
    return points * max(height, width) + torch.tensor([width / 2, height / 2])


def in_units(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Points in pixels (..., 2) as units, float32; see `in_pixels`."""
    units: np.ndarray = ((pixels - (width / 2, height / 2)) / max(height, width)).astype(np.float32)
    return units
