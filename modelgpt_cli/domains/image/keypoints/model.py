"""The target model of key points: images in, the place of each point out.

Shapes: N images, H, W pixels, K points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.image.dense.maps import View, make_map_trunk, normalised, rooted, seen_pixels
from modelgpt_cli.domains.image.keypoints.architectures import cut_size
from modelgpt_cli.domains.image.keypoints.cascade import Cascade
from modelgpt_cli.domains.image.keypoints.frame import SecondLook, cut_out, find_frames
from modelgpt_cli.domains.image.keypoints.read import IMAGE
from modelgpt_cli.domains.image.trunks import trunk_tensors
from modelgpt_cli.domains.shared.names import BACKBONE

SUBJECT_COLUMN = Column(IMAGE, "image", role="subject")
"""The one column of a blueprint of this domain."""


class PointModel(nn.Module):
    """A convolutional network, as it was trained, with a cascade of linear steps on its maps.

    Parameters
    ----------
    blueprint : Blueprint
        `architecture.encoder` has the network and its `View`.
    state : mapping of str to Tensor
        ``backbone.*``; ``points.*``, see `Cascade`; of a model that looks twice ``points.second.*``, see `SecondLook`.
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        encoder = blueprint.architecture.encoder
        self.view = View.of(encoder)
        self.trunk = make_map_trunk(
            encoder["network"], {name: value for name, value in state.items() if name.startswith(BACKBONE)}
        )
        self.cascade = Cascade.from_state(state)
        self.second = SecondLook.from_state(state)
        self.eval()

    def state(self) -> dict[str, Tensor]:
        """Parameters and BatchNorm's buffers, as `__init__` takes them."""
        second = {} if self.second is None else self.second.state()
        return trunk_tensors(self.trunk) | self.cascade.state() | second

    def extras(self) -> dict[str, str]:
        """Return nothing: tensors and blueprint are all there is."""
        return {}

    def empty_rows(self) -> np.ndarray:
        """Return one black image, uint8 (1, 1, 1, 3)."""
        return np.zeros((1, 1, 1, 3), dtype=np.uint8)

    @property
    def target_std(self) -> float:
        """1: the target is in pixels."""
        return 1.0

    def forward(self, images: np.ndarray) -> Tensor:
        """Points (N, K, 3), x and y in pixels and the score, of images of one size, uint8 (N, H, W, 3)."""
        height, width = images.shape[1:3]
        found = self.cascade(rooted(self.trunk(seen_pixels(images, self.view))), height, width)
        if self.second is None:
            return found
        frames = find_frames(found[:, :, :2], self.second.shape, max(height, width))
        size = cut_size(self.view.size)
        values = normalised(cut_out(images, frames, size), self.view)
        found = self.second.cascade(rooted(self.trunk(values)), size, size)
        return torch.cat([frames.outside(found[:, :, :2] / size - 0.5), found[:, :, 2:]], 2)

    @torch.inference_mode()
    def predict(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Points of images of any sizes, uint8 (H, W, 3) each: float32 (N, K, 3)."""
        found = [self.forward(image[None]).numpy() for image in images]
        return np.concatenate(found) if found else np.zeros((0, len(self.blueprint.labels), 3), np.float32)


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> PointModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        The network can't be rebuilt.
    """
    return PointModel(blueprint, state)
