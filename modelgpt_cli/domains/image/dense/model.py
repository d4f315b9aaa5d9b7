"""The target model of dense vision: images in, a class of each pixel out.

Shapes: N images, H, W pixels, h, w places, P head inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.image.dense.dataset import IMAGE
from modelgpt_cli.domains.image.dense.maps import (
    NamePrior,
    View,
    make_map_trunk,
    named_scores,
    prior_scores,
    rooted,
    scores_of,
    seen_pixels,
)
from modelgpt_cli.domains.image.trunks import trunk_tensors
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT

SCENE_COLUMN = Column(IMAGE, "image", role="scene")
"""The one column of a blueprint of this domain."""
NAMED_WEIGHT, NAMED_BIAS = "named.weight", "named.bias"
"""Tensors of a model from words alone: the classifier that its network was trained with."""
PRIOR = "prior."
PRIOR_STRENGTH = "prior.strength"
"""Tensors of what names tell beside a head that was solved around it: those of `NamePrior`, and its strength."""
FINEST = 1024
"""Scores are resized to an image's own size, but to no more pixels of its longer side; a larger mask is made from one
of these, each pixel the nearest. Scores of a photograph of 12 million pixels would fill the memory."""


class SegmentationModel(nn.Module):
    """A convolutional network, as it was trained, with a head on its maps.

    Parameters
    ----------
    blueprint : Blueprint
        `architecture.encoder` has the network and its `View`.
    state : mapping of str to Tensor
        ``backbone.*``; ``head.weight`` (P, C), ``head.bias`` (C,). Of a model from words alone ``named.weight`` (1280,
        K) and ``named.bias`` (K,), whose probabilities are the head's inputs.
        Of one whose head was solved around what names tell ``prior.*``; see `NamePrior`, and ``prior.strength`` (C,).
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        encoder = blueprint.architecture.encoder
        self.view = View.of(encoder)
        self.trunk = make_map_trunk(
            encoder["network"], {name: value for name, value in state.items() if name.startswith(BACKBONE)}
        )
        self.head_weight = nn.Parameter(state[HEAD_WEIGHT].float().clone())
        self.head_bias = nn.Parameter(state[HEAD_BIAS].float().clone())
        self.named: nn.ParameterDict | None = None
        if NAMED_WEIGHT in state:
            self.named = nn.ParameterDict(
                {name.partition(".")[2]: state[name].float().clone() for name in (NAMED_WEIGHT, NAMED_BIAS)}
            )
        self.prior: nn.ParameterDict | None = None
        if PRIOR_STRENGTH in state:
            self.set_prior({name: value for name, value in state.items() if name.startswith(PRIOR)})
        self.eval()

    def state(self) -> dict[str, Tensor]:
        """Parameters and BatchNorm's buffers, as `__init__` takes them."""
        named = {} if self.named is None else {f"named.{name}": value.detach() for name, value in self.named.items()}
        heads = {HEAD_WEIGHT: self.head_weight.detach(), HEAD_BIAS: self.head_bias.detach()}
        prior = {} if self.prior is None else {f"{PRIOR}{name}": value.detach() for name, value in self.prior.items()}
        return trunk_tensors(self.trunk) | named | prior | heads

    def set_prior(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what words tell beside the head, ``prior.*``; nothing of them is no longer prior."""
        values = {name.removeprefix(PRIOR): nn.Parameter(value.float().clone()) for name, value in tensors.items()}
        self.prior = nn.ParameterDict(values) if values else None

    def extras(self) -> dict[str, str]:
        """Return nothing: tensors and blueprint are all there is."""
        return {}

    def empty_rows(self) -> np.ndarray:
        """Return one black image, uint8 (1, 1, 1, 3)."""
        return np.zeros((1, 1, 1, 3), dtype=np.uint8)

    @property
    def target_std(self) -> float:
        """1: the target is classes."""
        return 1.0

    def forward(self, images: np.ndarray) -> Tensor:
        """Scores of each place, (N, C, h, w), of images of one size, uint8 (N, H, W, 3)."""
        maps = self.trunk(seen_pixels(images, self.view))
        if self.named is not None:
            classifier = self.named["weight"], self.named["bias"]
            return named_scores(maps, classifier, self.head_weight, self.head_bias)
        scores = scores_of(rooted(maps), self.head_weight, self.head_bias)
        if self.prior is not None:
            parts = dict(self.prior.items())
            strength = parts.pop("strength")
            scores = scores + prior_scores(NamePrior(**parts), strength, maps)
        return scores

    @torch.inference_mode()
    def masks(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class of each pixel of images, uint8 (H, W, 3) each: uint8 (H, W) each."""
        return [mask_of(self.forward(image[None]), image.shape[0], image.shape[1])[0] for image in images]

    def predict(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Shares of the classes among the pixels of images, (N, C) float32."""
        n = len(self.head_bias)
        shares = [np.bincount(mask.reshape(-1), minlength=n) / mask.size for mask in self.masks(list(images))]
        return np.array(shares, dtype=np.float32).reshape(len(images), n)


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> SegmentationModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        The network can't be rebuilt.
    """
    return SegmentationModel(blueprint, state)


def finest(height: int, width: int) -> tuple[int, int]:
    """Height and width that scores of an image are resized to."""
    longest = max(height, width)
    if longest <= FINEST:
        return height, width
    high, wide = (max(1, side * FINEST // longest) for side in (height, width))
    return high, wide


def fine_scores(scores: Tensor, height: int, width: int) -> Tensor:
    """Scores (N, C, h, w) resized to those of pixels, (N, C, H, W); of a large image fewer, see `FINEST`."""
    return F.interpolate(scores, finest(height, width), mode="bilinear", align_corners=False)


def mask_of(scores: Tensor, height: int, width: int) -> np.ndarray:
    """Class of each pixel, uint8 (N, H, W), by scores (N, C, h, w)."""
    found = fine_scores(scores, height, width).argmax(1).to(torch.uint8).numpy()
    if found.shape[1:] == (height, width):
        return np.asarray(found)
    rows, columns = (
        np.floor((np.arange(n) + 0.5) * m / n).astype(int)
        for n, m in zip((height, width), found.shape[1:], strict=True)
    )
    return np.asarray(found[:, rows][:, :, columns])
