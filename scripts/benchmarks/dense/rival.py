"""LRASPP (MobileNetV3, arXiv 1905.02244) on the pretrained network: what segmentation is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models.segmentation.lraspp import LRASPPHead

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.decode import decode_image
from modelgpt_cli.domains.image.dense.architectures import SIZES, encoder_config
from modelgpt_cli.domains.image.dense.dataset import IMAGE, MASK, ReadScenes
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import View, seen_pixels
from modelgpt_cli.domains.image.dense.masks import IGNORE

from ..rivals import Rival, drawn

CROP, BATCH = 320, 4
SCALES = (0.5, 2.0)
"""Of the size at which images are segmented; as torchvision's own recipe has it."""
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
    """Trained by cross-entropy on crops of images that are resized, mirrored and lit in other ways."""

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
        pairs = [self._cropped(*one, rng) for one in drawn(self._examples, BATCH, rng)]
        x = torch.cat([seen_pixels(image[None], View(CROP, self.view.mean, self.view.std)) for image, _ in pairs])
        wanted = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
        return F.cross_entropy(self.module(x), wanted, ignore_index=IGNORE)

    def _cropped(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = mask.shape
        scale = np.exp(rng.uniform(*np.log(SCALES))) * self.view.size / max(height, width)
        side = min(CROP / scale, height, width)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        box = (left, top, left + side, top + side)
        size = (CROP, CROP)
        seen = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box))
        wanted = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST, box))
        if rng.random() < 0.5:
            seen, wanted = seen[:, ::-1], wanted[:, ::-1]
        return relit(np.ascontiguousarray(seen), rng), np.ascontiguousarray(wanted)

    def answer(self, images: np.ndarray) -> list[np.ndarray]:
        """Masks, uint8 (N, H, W)."""
        scores = self.module(seen_pixels(images, self.view))
        whole = F.interpolate(scores, images.shape[1:3], mode="bilinear", align_corners=False)
        return [whole.argmax(1).numpy().astype(np.uint8)]
