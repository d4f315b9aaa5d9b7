"""Pictures to features with a backbone whose factors come from outside: what meta-training does.

Shapes: N pictures, S pixels a side, E features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Pictures

BATCH = 64
LEAST_AREA = 0.5
"""Share of a picture that a changed one shows, at least."""
BRIGHTNESS = 0.25
"""By how much a changed picture is brighter or darker, at most."""


def embed(
    backbone: Backbone,
    lora: Mapping[str, Tensor] | None,
    rows: Pictures,
    *,
    bf16: bool = False,
    change: bool = False,
) -> Tensor:
    """Features (N, E) float32.

    Parameters
    ----------
    change : bool
        Show each picture mirrored, cropped and lit at random, from torch's global generator.
    """
    view = View.of(backbone.card.encoder_config())
    device = next(backbone.parameters()).device
    parts = []
    for values in rows.values.split(BATCH):
        seen = changed(values) if change else values
        x = normalise(seen.to(device), view).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            parts.append(backbone(x, lora).float())
    return torch.cat(parts)


def changed(values: Tensor) -> Tensor:
    """Pictures uint8 (N, 3, S, S), each mirrored or not, cropped, and made brighter or darker."""
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.RandomResizedCrop(values.shape[-1], scale=(LEAST_AREA, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=BRIGHTNESS, contrast=BRIGHTNESS),
        ]
    )
    return torch.stack([change(picture) for picture in values])
