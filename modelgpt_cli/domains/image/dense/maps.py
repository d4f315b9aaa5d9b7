"""Images to maps of features: what the head of dense vision reads, alike in build, model and graph.

An image of any size is resized so that its longer side has S pixels, the other one in proportion, both to a multiple of
32. Of EfficientNet-Lite the widest maps before each stride are read, as their square roots.
Shapes: N images, H, W pixels, h, w places (a stride of 8 pixels of what the network sees), c channels, P head inputs, C
classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.efficientnet_lite import SHAPES, EfficientNetLite
from modelgpt_cli.domains.image.trunks import load_trunk
from modelgpt_cli.domains.shared.names import BACKBONE

STRIDE, COARSEST = 8, 32
READ = {5: 240, 11: 672}
"""Blocks of Lite0 that stride, from 8 to 16 and from 16 to 32 pixels → channels of what they widen to. The maps at a
stride of 4 gave nothing on street scenes (mIoU of held-out images .468 with and without), at a third more time."""
LAST = 1280
CONTEXT = 9
"""Places a side, at a stride of 16, whose mean is read too: what is around. On 20 street scenes .449 became .457 by 5
places; on 40, at 640 pixels, it was .485 with 5, .487 with 9 and .486 with 15."""
GROUPS = (240, 672, 672, LAST)
"""Head inputs in their order: at strides of 8 and 16, around at 16, at 32."""
N_INPUTS = sum(GROUPS)
LEAST_COUNTED = 1e-6
"""Added to what shares are divided by."""


@dataclass(frozen=True)
class View:
    """How a network sees an image.

    Attributes
    ----------
    size : int
        Pixels of the longer side, a multiple of 32.
    mean, std : tuple of float
        Of the red, green and blue channel, of values 0 to 1.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, encoder: Mapping[str, Any]) -> View:
        """From a blueprint's `architecture.encoder`."""
        return cls(encoder["size"], tuple(encoder["mean"]), tuple(encoder["std"]))

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image is resized to."""
        longest = max(height, width)
        high, wide = (
            max(COARSEST, math.floor(side * self.size / longest / COARSEST + 0.5) * COARSEST)
            for side in (height, width)
        )
        return high, wide


def resize_weights(source: int, target: int) -> np.ndarray:
    """What each source pixel gives to each target pixel, float32 (target, source): bilinear, antialiased."""
    scale = source / target
    centres = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres) / max(scale, 1.0)
    triangle = np.maximum(1 - distance, 0)
    shares: np.ndarray = (triangle / triangle.sum(1, keepdims=True)).astype(np.float32)
    return shares


def seen_pixels(images: np.ndarray, view: View) -> Tensor:
    """What the network takes, float32 (N, 3, H', W'), of images of one size, uint8 (N, H, W, 3)."""
    high, wide = view.seen(*images.shape[1:3])
    values = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    across = values @ torch.from_numpy(resize_weights(images.shape[2], wide)).T  # (N, 3, H, W')
    return normalised(torch.from_numpy(resize_weights(images.shape[1], high)) @ across, view)


def normalised(values: Tensor, view: View) -> Tensor:
    """What the network takes, (N, 3, H', W'), of pixels of its size, 0 to 255."""
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (view.mean, view.std))
    return (values / 255 - mean) / std


class MapTrunk(EfficientNetLite):
    """EfficientNet-Lite0, of which three maps are read."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Maps (N, 240, h, w), (N, 672, h/2, w/2), (N, 1280, h/4, w/4), 0 to 6, of (N, 3, H', W')."""
        return self.maps_of(self.first(x, 0), 0)

    def maps_of(self, x: Tensor, blocks: int) -> tuple[Tensor, ...]:
        """Maps as `forward` gives them, of what so many blocks have made; of no more than the first of `READ`."""
        found = []
        for i, block in enumerate(self._blocks[blocks:], blocks):
            if i in READ:
                wide = block.act(block._bn0(block._expand_conv(x)))  # type: ignore[operator]
                found.append(wide)
                x = block.act(block._bn1(block._depthwise_conv(wide)))  # type: ignore[operator]
                x = block._bn2(block._project_conv(x))  # type: ignore[operator]
            else:
                x = block(x)
        found.append(self.act(self._bn1(self._conv_head(x))))
        return tuple(found)


def make_map_trunk(network: str, state: Mapping[str, Tensor]) -> MapTrunk:
    """Rebuild a network from tensors, whose names may begin with `BACKBONE`.

    Raises
    ------
    ModelGPTError
        They don't fit it, or there is no such network here.
    """
    if network != "efficientnet_lite0":
        raise ModelGPTError(f"This version of modelgpt has no network {network!r} for dense vision.")
    trunk = MapTrunk(SHAPES[network]).eval()
    try:
        load_trunk(trunk, {name.removeprefix(BACKBONE): value for name, value in state.items()})
    except ValueError as error:
        raise ModelGPTError("The model's network can't be rebuilt.", str(error)) from error
    return trunk.requires_grad_(False)


def rooted(maps: Sequence[Tensor]) -> list[Tensor]:
    """Square roots of maps: mIoU of held-out street scenes .403 became .409 by it, with 20 images."""
    return [one.clamp(min=0).sqrt() for one in maps]


def around(x: Tensor) -> Tensor:
    """Mean of what is around each place, (N, c, h, w); beyond the edge nothing counts."""
    return F.avg_pool2d(x, CONTEXT, 1, CONTEXT // 2, count_include_pad=False)


def scores_of(maps: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """Scores of each place, (N, C, h, w), by rooted maps and a head, (P, C) and (C,).

    A head is linear, so that each map is multiplied at its own stride, and what comes out is resized.
    """
    near, middle, around_middle, far = weight.split(GROUPS)
    of_eight, of_sixteen, of_last = maps
    places = of_eight.shape[2:]
    scores = _product(of_eight, near) + bias[:, None, None]
    scores = scores + resized_maps(_product(of_sixteen, middle) + around(_product(of_sixteen, around_middle)), places)
    return scores + resized_maps(_product(of_last, far), places)


def named_scores(maps: Sequence[Tensor], classifier: tuple[Tensor, Tensor], share: Tensor, bias: Tensor) -> Tensor:
    """Scores of each place, (N, C, h, w), by what a classifier makes of each place of the last map alone.

    Parameters
    ----------
    maps : sequence of Tensor
        Not rooted.
    classifier : (1280, K), (K,)
    share, bias : (K, C), (C,)
        What the probability of each of its classes counts for each of ours, and what is added.
    """
    likely = (_product(maps[2], classifier[0]) + classifier[1][:, None, None]).softmax(1)
    return resized_maps(_product(likely, share) + bias[:, None, None], maps[0].shape[2:])


@dataclass(frozen=True)
class NamePrior:
    """What names tell of each place: the shares of classes that a classifier knows, around which a head is solved.

    K classes of the classifier.

    Attributes
    ----------
    weight, bias : Tensor (1280, K), (K,)
        The classifier, which reads the network's last map.
    share, shift : Tensor (K, C + 1), (C + 1,)
        What the probability of each of its classes counts for each of ours, and what is added; the last column is of
        what is none of ours.
    """

    weight: Tensor
    bias: Tensor
    share: Tensor
    shift: Tensor

    @property
    def classes(self) -> Tensor:
        """Whether names tell of a class, bool (C,)."""
        return (self.share[:, :-1] > 0).any(0)

    def shares(self, last: Tensor) -> Tensor:
        """Shares of the classes, (N, C, h, w), at each place of the last map, (N, 1280, h, w), not rooted."""
        likely = (_product(last, self.weight) + self.bias[:, None, None]).softmax(1)
        counted = (_product(likely, self.share) + self.shift[:, None, None]).clamp(min=0)
        return counted[:, :-1] / (counted.sum(1, keepdim=True) + LEAST_COUNTED)


def prior_scores(prior: NamePrior, strength: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """What names add to the scores of each place, (N, C, h, w), by maps that are not rooted and strengths (C,)."""
    return resized_maps(prior.shares(maps[2]) * strength[:, None, None], maps[0].shape[2:])


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight.T[:, :, None, None])


def resized_maps(x: Tensor, places: Sequence[int]) -> Tensor:
    """Maps (N, c, h', w') of another height and width, (N, c, h, w), bilinear."""
    return F.interpolate(x, tuple(places), mode="bilinear", align_corners=False)


def inputs_at(maps: Sequence[Tensor], rows: np.ndarray) -> np.ndarray:
    """Head inputs of some places of one image, float32 (n, P), of rooted maps (1, c, h, w).

    Parameters
    ----------
    rows : int64 (n,)
        Places, counted along the lines of the finest map.
    """
    width = maps[0].shape[3]
    y, x = rows // width, rows % width
    parts = [_lines(maps[0])[torch.from_numpy(rows)]]
    for one, stride in ((maps[1], 2), (around(maps[1]), 2), (maps[2], 4)):
        parts.append(_between(one, (y + 0.5) / stride - 0.5, (x + 0.5) / stride - 0.5))
    found: np.ndarray = torch.cat(parts, 1).numpy()
    return found


def _lines(x: Tensor) -> Tensor:
    """A map (1, c, h, w) as (h w, c)."""
    return x[0].permute(1, 2, 0).reshape(-1, x.shape[1])


def _between(x: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """A map between its places, as bilinear resizing has it: (n, c)."""
    height, width = x.shape[2:]
    lines = _lines(x)
    rows, columns = np.maximum(rows, 0), np.maximum(columns, 0)
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = rows - top, columns - left
    total: Tensor | None = None
    for dy, share_y in ((0, 1 - down), (1, down)):
        for dx, share_x in ((0, 1 - right), (1, right)):
            place = np.minimum(top + dy, height - 1) * width + np.minimum(left + dx, width - 1)
            share = torch.from_numpy((share_y * share_x).astype(np.float32))[:, None]
            part = lines[torch.from_numpy(place)] * share
            total = part if total is None else total + part
    assert total is not None
    return total
