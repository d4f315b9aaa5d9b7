"""EfficientNet-Lite (the mobile variant of arXiv 1905.11946): no squeeze-and-excitation, ReLU6 throughout.

Tensors have the names of the packages that carry the ImageNet weights, so that these load as they are. Padding is
TensorFlow's, with which they were trained.
What it gives are head inputs, not its last layer alone: an ImageNet classifier's rows read the direction of the pooled
features, while heads that are learned from a few images do better on signed square roots (as Perronnin et al., 2010,
found for Fisher vectors), those of two earlier stages among them.
Shapes: N images, S pixels a side, c channels, E features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from modelgpt_cli.domains.image.same_padding import SamePaddedConv2d

FEATURES = 1280
"""Channels of the last layer."""
EARLIER = {"late": 5, "middle": 4}
"""Stages whose pooled channels are head inputs too."""
STEM = 32
EPS = 1e-3
"""Of every BatchNorm, as TensorFlow has it: the weights were trained with it."""
MULTIPLE = 8
"""Channels are a multiple of it."""
STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    # kernel, stride of the first block, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Of EfficientNet-B0, which Lite0 shares."""


@dataclass(frozen=True)
class Shape:
    """How a network differs from Lite0.

    Attributes
    ----------
    width, depth : float
        Channels and blocks of its stages, as multiples.
    blocks : int, optional
        Only so many blocks are kept, and what they give is pooled. None for the whole network.
    expanded : bool
        Whether the expansion of the next block follows the kept ones, which end without an activation.
    """

    width: float = 1.0
    depth: float = 1.0
    blocks: int | None = None
    expanded: bool = False


LEAST_LENGTH = 1e-6
ROOT_SHIFT = 1e-6
"""Added below the root, whose slope at zero has no bound."""

SHAPES = {
    "efficientnet_lite0": Shape(),
    "efficientnet_lite1": Shape(depth=1.1),
    "efficientnet_lite2": Shape(width=1.1, depth=1.2),
    # Linear probes at 128 pixels, mean of objects15 (2), pacs photo, trashnet and steel_defects at 8 / 32 per class:
    # 11 blocks 70.8 / 77.2, expanded 73.5 / 81.2; 15 blocks 81.8 / 86.7, expanded 80.3 / 86.2; all 82.6 / 87.5.
    "efficientnet_lite0_11": Shape(blocks=11, expanded=True),
    "efficientnet_lite0_15": Shape(blocks=15),
}
"""Network → its shape."""


class EfficientNetLite(nn.Module):
    """Images (N, 3, S, S) to features (N, E). S is a multiple of 32.

    Of a whole network these are the groups of `feature_groups`; of a cut one, the pooled channels of its last block.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        blocks = list(_block_shapes(shape))
        kept = blocks[: shape.blocks]
        self._conv_stem = SamePaddedConv2d(3, STEM, 3, stride=2, bias=False)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList(Block(*block) for block in kept)
        last = kept[-1][3]
        self.whole = shape.blocks is None
        if self.whole:
            self._conv_head = _pointwise(last, FEATURES)
            self._bn1 = _norm(FEATURES)
        elif shape.expanded:
            self._blocks.append(Expansion(last, last * blocks[len(kept)][4]))
        self.act = nn.ReLU6(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.earlier = _last_blocks(shape)
        self.direction, self.root = Direction(), SignedRoot()

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, E)."""
        return self.rest(self.first(x, 0), 0)

    def blocks_before(self, layers: Iterable[str]) -> int:
        """Return how many blocks come before all of these layers; what they give is all that the others need."""
        firsts = [int(name.split(".")[1]) for name in layers if name.startswith("_blocks.")]
        taken = [i + 1 for i in self.earlier] if self.whole else []  # the maps that features are taken of must be there
        return min([*firsts, *taken, len(self._blocks)])

    @property
    def n_blocks(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def first_modules(self, blocks: int) -> list[nn.Module]:
        """Return the stem's modules and so many blocks: what `first` runs."""
        return [self._conv_stem, self._bn0, *self._blocks[:blocks]]

    def first(self, x: Tensor, blocks: int) -> Tensor:
        """What the stem and so many blocks make of images: maps (N, c, s, s)."""
        x = self.act(self._bn0(self._conv_stem(x)))  # (N, 32, S/2, S/2)
        for block in self._blocks[:blocks]:
            x = block(x)
        return x

    def rest(self, x: Tensor, blocks: int) -> Tensor:
        """Features (N, E) of the maps that so many blocks have made; of no more than `blocks_before` says."""
        earlier = []
        for i, block in enumerate(self._blocks[blocks:], blocks):
            if self.whole and i - 1 in self.earlier:
                earlier.append(self.root(self.pool(x).flatten(1)))
            x = block(x)
        if self.whole:
            x = self.act(self._bn1(self._conv_head(x)))  # (N, 1280, S/32, S/32)
        features: Tensor = self.pool(x).flatten(1)
        if self.whole:
            return torch.cat([self.direction(features), self.root(features), *reversed(earlier)], 1)
        return features


class Direction(nn.Module):
    """Features (N, c) divided by their length."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, c), each row of length 1."""
        return x / x.square().sum(1, keepdim=True).sqrt().clamp(min=LEAST_LENGTH)


class SignedRoot(Direction):
    """Signed square roots of features (N, c), divided by their length."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, c), each row of length 1."""
        return super().forward(x.sign() * (x.abs() + ROOT_SHIFT).sqrt())


class Block(nn.Module):
    """Channels widened, a depthwise convolution, and narrowed again; a shortcut where the shape stays."""

    def __init__(self, kernel: int, stride: int, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widens = expansion > 1
        if self.widens:
            self._expand_conv = _pointwise(inputs, wide)
            self._bn0 = _norm(wide)
        kind = SamePaddedConv2d if stride == 2 else nn.Conv2d
        padding = 0 if stride == 2 else kernel // 2
        self._depthwise_conv = kind(wide, wide, kernel, stride, padding, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = _pointwise(wide, outputs)
        self._bn2 = _norm(outputs)
        self.act = nn.ReLU6(inplace=True)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, c', S', S')."""
        out: Tensor = self.act(self._bn0(self._expand_conv(x))) if self.widens else x
        out = self.act(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return x + out if self.same else out


class Expansion(nn.Module):
    """The first third of a block, where a network is cut: what the block before gives has no activation."""

    def __init__(self, inputs: int, wide: int) -> None:
        super().__init__()
        self._expand_conv = _pointwise(inputs, wide)
        self._bn0 = _norm(wide)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, wide, S', S')."""
        out: Tensor = self.act(self._bn0(self._expand_conv(x)))
        return out


def _block_shapes(shape: Shape) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield kernel, stride, inputs, outputs and expansion of each block."""
    inputs = STEM
    for i, (kernel, stride, expansion, channels, _) in enumerate(STAGES):
        outputs = _rounded(channels * shape.width)
        for j in range(_depth(shape, i)):
            yield kernel, stride if j == 0 else 1, inputs, outputs, expansion
            inputs = outputs


def _depth(shape: Shape, stage: int) -> int:
    """Blocks of a stage. Lite networks scale neither stem and head nor the depth of the first and last stage."""
    blocks = STAGES[stage][4]
    return blocks if stage in (0, len(STAGES) - 1) else math.ceil(blocks * shape.depth)


def _last_blocks(shape: Shape) -> list[int]:
    """Positions of the last blocks of the stages in `EARLIER`."""
    ends = list(accumulate(_depth(shape, i) for i in range(len(STAGES))))
    return [ends[stage] - 1 for stage in EARLIER.values()]


def feature_groups(network: str) -> dict[str, int]:
    """Return the groups of a whole network's features, in order; empty for one that is cut, or is no Lite.

    ``direction``: the pooled last layer, of length 1; ``root``: its square roots; ``late``, ``middle``: those of
    earlier stages.
    """
    shape = SHAPES.get(network)
    if shape is None or shape.blocks is not None:
        return {}
    earlier = {name: _rounded(STAGES[stage][3] * shape.width) for name, stage in EARLIER.items()}
    return {"direction": FEATURES, "root": FEATURES, **earlier}


def _rounded(channels: float) -> int:
    """The nearest multiple, but not under nine tenths."""
    found = max(MULTIPLE, int(channels + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return found if found >= 0.9 * channels else found + MULTIPLE


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS)
