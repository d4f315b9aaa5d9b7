"""Images of any size to what a trunk takes: the first step of the image domain, alike in training, build and graph.

The graph's twin is `onnx_pixels`. The short side is resized as Pillow resizes (bilinear, antialiased) and the
centre is cut out as torchvision cuts it.
Shapes: N images, H, W pixels, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LONGEST = 8
"""Of an image more than so many times as long as it is wide, only the middle is read: resized, it could fill the
memory, and the centre is all that a model sees."""


@dataclass(frozen=True)
class View:
    """How a model sees an image; see `ImageCard`."""

    resize: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, encoder: Mapping[str, Any]) -> View:
        """From a blueprint's `architecture.encoder`."""
        return cls(encoder["resize"], encoder["size"], tuple(encoder["mean"]), tuple(encoder["std"]))


def pixels(images: Sequence[np.ndarray] | np.ndarray, view: View) -> Tensor:
    """Resize and cut images.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), or uint8 (N, H, W, 3)

    Returns
    -------
    Tensor
        uint8 (N, 3, S, S)
    """
    found = np.zeros((len(images), view.size, view.size, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        found[i] = _seen(image, view)
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def normalise(values: Tensor, view: View) -> Tensor:
    """What a trunk takes, float (N, 3, S, S), of uint8 (N, 3, S, S)."""
    mean, std = (values.new_tensor(numbers, dtype=torch.float32)[:, None, None] for numbers in (view.mean, view.std))
    return (values.float() / 255 - mean) / std


def _seen(image: np.ndarray, view: View) -> np.ndarray:
    """The centre of one image, uint8 (S, S, 3)."""
    middle = image
    for axis in (0, 1):
        length, most = image.shape[axis], LONGEST * min(image.shape[:2])
        start = max(0, length - most) // 2
        middle = middle.take(range(start, start + most), axis) if length > most else middle
    height, width = middle.shape[:2]
    short = min(height, width)
    height, width = view.resize * height // short, view.resize * width // short
    if (height, width) != middle.shape[:2]:
        # First across, then down, in any version: of tall images Pillow 13 turns that round, and rounds otherwise.
        across = Image.fromarray(middle).resize((width, middle.shape[0]), Image.Resampling.BILINEAR)
        middle = np.asarray(across.resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - view.size) / 2), round((width - view.size) / 2)
    return middle[top : top + view.size, left : left + view.size]
