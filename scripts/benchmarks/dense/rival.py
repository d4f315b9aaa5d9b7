"""LRASPP (MobileNetV3, arXiv 1905.02244) on the pretrained network: what segmentation is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.lraspp import LRASPPHead

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.decode import decode_image
from modelgpt_cli.domains.image.dense.architectures import SIZES, encoder_config
from modelgpt_cli.domains.image.dense.dataset import IMAGE, MASK, ReadScenes
from modelgpt_cli.domains.image.dense.joint import random_crop
from modelgpt_cli.domains.image.dense.maps import View, seen_pixels
from modelgpt_cli.domains.image.dense.masks import IGNORE

from ..rivals import Rival, drawn

CROP, BATCH = 320, 4
INNER = 128


class _Network(nn.Module):
    def __init__(self, rival: Rival, classes: int) -> None:
        super().__init__()
        self.trunk, self._maps = rival.trunk, rival.maps
        self.head = LRASPPHead(240, 672 + 1280, classes, INNER)

    def forward(self, x: Tensor) -> Tensor:
        low, middle, last = self._maps(x)
        last = F.interpolate(last, middle.shape[2:], mode="bilinear", align_corners=False)
        scores: Tensor = self.head({"low": low, "high": torch.cat([middle, last], 1)})
        return F.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=False)


class Lraspp(Rival):
    """Trained by cross-entropy on crops of images that are resized, mirrored and lit in other ways, as our tuning is.

    They are seen at .5 to 2 times their size, as in torchvision's own recipe.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        dataset = load_dataset(folder)
        source = cast(ReadScenes, dataset.source)
        reader = source.masks()
        self._examples = []
        for place, mask in zip(dataset.sample[IMAGE], dataset.sample[MASK], strict=True):
            image = decode_image(source.open(place))
            self._examples.append((image, reader.read(mask, (image.shape[0], image.shape[1]))))
        self.view = View.of(encoder_config(SIZES[0]))
        self.module = _Network(self, len(dataset.schema.classes))

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Cross-entropy of each labelled pixel."""
        examples = drawn(self._examples, BATCH, rng)
        pairs = [random_crop(*one, self.view.size, CROP, rng) for one in examples]
        x = torch.cat([seen_pixels(image[None], View(CROP, self.view.mean, self.view.std)) for image, _ in pairs])
        wanted = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
        return F.cross_entropy(self.module(x), wanted, ignore_index=IGNORE)

    def answer(self, images: np.ndarray) -> list[np.ndarray]:
        """Masks, uint8 (N, H, W)."""
        scores = self.module(seen_pixels(images, self.view))
        whole = F.interpolate(scores, images.shape[1:3], mode="bilinear", align_corners=False)
        return [whole.argmax(1).numpy().astype(np.uint8)]
