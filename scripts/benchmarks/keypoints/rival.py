"""Heat maps by transposed convolutions (arXiv 1804.06208) on the pretrained network: a rival for key points."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.decode import decode_image
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import View, seen_pixels
from modelgpt_cli.domains.image.keypoints.architectures import SIZES, encoder_config
from modelgpt_cli.domains.image.keypoints.copies import mirror, moved
from modelgpt_cli.domains.image.keypoints.feed import IMAGE
from modelgpt_cli.domains.image.keypoints.read import ReadPoses

from ..rivals import Rival, drawn

BATCH, INNER, STRIDE = 4, 128, 4
SPREAD = 2.0
"""Standard deviation of a point's Gaussian, in cells of its heat map."""
NEAR = 2
"""Cells around the highest one whose mean place is the point's."""


class _Network(nn.Module):
    def __init__(self, rival: Rival, points: int) -> None:
        super().__init__()
        self.trunk, self._maps = rival.trunk, rival.maps
        layers: list[nn.Module] = []
        for channels in (1280, INNER, INNER):
            layers += [
                nn.ConvTranspose2d(channels, INNER, 4, 2, 1, bias=False), nn.BatchNorm2d(INNER), nn.ReLU(inplace=True)
            ]  # fmt: skip
        self.head = nn.Sequential(*layers, nn.Conv2d(INNER, points, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self._maps(x)[2])
        return found


class HeatMaps(Rival):
    """Trained by squared errors on images that are turned, resized, moved, mirrored and lit in other ways."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        dataset = load_dataset(folder)
        source = cast(ReadPoses, dataset.source)
        self._mirrored = source.names.mirrored
        self._flips = any(k != other for k, other in enumerate(self._mirrored))
        self._examples = [
            (decode_image(source.files.open(place)), source.poses[place].points) for place in dataset.sample[IMAGE]
        ]
        self.view = View.of(encoder_config(SIZES[0]))
        self.module = _Network(self, len(source.names.names))

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Squared errors of heat maps; of points that aren't labelled there are none."""
        losses = []
        for image, points in drawn(self._examples, BATCH, rng):
            image, points, _ = moved(image, points, rng)
            if self._flips and rng.random() < 0.5:
                image, points = mirror(image, points, self._mirrored)
            losses.append((relit(image, rng), points))
        total = []
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, np.ndarray]]] = {}
        for image, points in losses:
            x = seen_pixels(image[None], self.view)
            scale = np.array(x.shape[:1:-1]) / image.shape[1::-1]
            by_shape.setdefault(tuple(x.shape), []).append((x, np.column_stack([points[:, :2] * scale, points[:, 2]])))
        for some in by_shape.values():
            heat = self.module(torch.cat([x for x, _ in some]))
            for one, (_, points) in zip(heat, some, strict=True):
                kept = torch.from_numpy(points[:, 2] > 0)
                total.append((one - _wanted(points, one.shape[1:]))[kept].square().mean(2).mean(1).sum())
        return 100 * torch.stack(total).mean()

    def answer(self, images: np.ndarray) -> list[np.ndarray]:
        """Points, float32 (N, K, 3)."""
        x = seen_pixels(images, self.view)
        heat = self.module(x).numpy()
        scale = np.array(images.shape[2:0:-1]) / np.array(x.shape[:1:-1])
        return [np.stack([np.stack([_place(one, scale) for one in maps]) for maps in heat]).astype(np.float32)]


def _wanted(points: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """A Gaussian around each point (K, 3): (K, h, w)."""
    down = (np.arange(shape[0]) + 0.5)[None, :, None] - points[:, 1, None, None] / STRIDE
    right = (np.arange(shape[1]) + 0.5)[None, None, :] - points[:, 0, None, None] / STRIDE
    return torch.from_numpy(np.exp(-(down**2 + right**2) / (2 * SPREAD**2))).float()


def _place(heat: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x, y and height of the peak of a heat map (h, w): the mean of what is around its highest cell."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    top, left = max(0, row - NEAR), max(0, column - NEAR)
    part = np.clip(heat[top : row + NEAR + 1, left : column + NEAR + 1], 1e-6, None).astype(np.float64)
    down, right = np.mgrid[: part.shape[0], : part.shape[1]]
    weights = part**2 / (part**2).sum()
    y, x = ((weights * down).sum() + top + 0.5) * STRIDE, ((weights * right).sum() + left + 0.5) * STRIDE
    return np.array([x * scale[0], y * scale[1], np.clip(heat.max(), 0, 1)])
