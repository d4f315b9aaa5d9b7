"""SSDLite (MobileNetV2, arXiv 1801.04381; torchvision's) on the pretrained network: what detection is compared with."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block
from torchvision.transforms import v2

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.decode import decode_image
from modelgpt_cli.domains.image.dense.architectures import encoder_config
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import View
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.read import ReadBoxes

from ..rivals import Rival, drawn

SIDE, BATCH = 320, 4
"""Images are resized to a square of so many pixels, as SSDLite320 has it."""
EXTRA = (512, 256, 256, 128)
"""Channels of the maps behind the network's last, each of half the size."""


class _Maps(nn.Module):
    def __init__(self, rival: Rival, norm: partial[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.trunk, self._maps = rival.trunk, rival.maps
        before = (1280, *EXTRA)
        self.extra = nn.ModuleList(_extra_block(a, b, norm) for a, b in zip(before, EXTRA, strict=False))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        _, *maps = self._maps(x)
        for block in self.extra:
            maps.append(block(maps[-1]))
        return OrderedDict((str(k), one) for k, one in enumerate(maps))


class SsdLite(Rival):
    """Trained as torchvision trains it, with its changes of images: crops by IoU, mirrors and other light."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        dataset = load_dataset(folder)
        source = cast(ReadBoxes, dataset.source)
        self._examples = [(decode_image(source.open(place)), source.truth(place)) for place in dataset.sample[IMAGE]]
        classes = len(dataset.schema.classes) + 1
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.1)  # torchvision's .03 takes more steps than there are
        anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
        channels, numbers = [672, 1280, *EXTRA], anchors.num_anchors_per_location()
        view = View.of(encoder_config(SIDE))
        self.module = SSD(
            _Maps(self, norm), anchors, (SIDE, SIDE), classes, list(view.mean), list(view.std),
            SSDLiteHead(channels, numbers, classes, norm), score_thresh=0.001, nms_thresh=0.55,
            detections_per_img=300, topk_candidates=300,
        )  # fmt: skip
        self._changes = v2.Compose([v2.RandomIoUCrop(), v2.RandomHorizontalFlip(0.5), v2.SanitizeBoundingBoxes()])

    def loss(self, rng: np.random.Generator) -> Tensor:
        """SSD's, of classes and of boxes."""
        images, targets = [], []
        for image, truth in drawn(self._examples, BATCH, rng):
            pixels = tv_tensors.Image(torch.from_numpy(relit(image, rng)).permute(2, 0, 1))
            size = (image.shape[0], image.shape[1])
            boxes = tv_tensors.BoundingBoxes(truth.boxes, format="XYXY", canvas_size=size, dtype=torch.float32)
            changed, target = self._changes(pixels, {"boxes": boxes, "labels": torch.from_numpy(truth.labels + 1)})
            images.append(changed.as_subclass(Tensor).float() / 255)
            targets.append({key: value.as_subclass(Tensor) for key, value in target.items()})
        losses: dict[str, Tensor] = self.module(images, targets)
        return torch.stack(list(losses.values())).sum()

    def answer(self, images: np.ndarray) -> list[np.ndarray]:
        """Boxes (M, 4), scores (M,) and labels (M,) of one image."""
        (found,) = self.module([torch.from_numpy(images[0]).permute(2, 0, 1).float() / 255])
        return [found["boxes"].numpy(), found["scores"].numpy(), found["labels"].numpy() - 1]
