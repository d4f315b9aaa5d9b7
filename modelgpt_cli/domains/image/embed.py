"""Images to features with a backbone whose factors come from outside: what meta-training does.

Shapes: N images, S pixels a side, E features, c channels of maps with s places a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Images

BATCH = 64
LEAST_AREA = 0.5
"""Share of an image that a changed one shows, at least."""
BRIGHTNESS = 0.25
"""By how much a changed image is brighter or darker, at most."""
COLOURS = (0.4, 0.4, 0.4, 0.1)
"""By how much a recoloured one differs in brightness, contrast, saturation and hue, at most."""
GREY = 0.2
"""Share of images that are made grey, where colours are changed."""


def embed(
    backbone: Backbone,
    lora: Mapping[str, Tensor] | None,
    rows: Images,
    *,
    bf16: bool = False,
    change: bool = False,
) -> Tensor:
    """Features (N, E) float32.

    Parameters
    ----------
    change : bool
        Show each image mirrored, cropped, lit and coloured at random, from torch's global generator.
    """
    return _in_parts(backbone, rows, lambda pixels: backbone(pixels, lora), bf16, change)


def first_maps(backbone: Backbone, rows: Images, *, bf16: bool = False, change: bool = False) -> Tensor:
    """Maps (N, c, s, s) float32 of the blocks that no factors reach; as `embed` otherwise."""
    return _in_parts(backbone, rows, backbone.maps, bf16, change)


def embed_maps(backbone: Backbone, lora: Mapping[str, Tensor] | None, maps: Tensor, *, bf16: bool = False) -> Tensor:
    """Features (N, E) float32 of what `first_maps` gives."""
    device = next(backbone.parameters()).device
    parts = []
    for part in maps.split(BATCH):
        x = part.to(device).float().contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            parts.append(backbone.from_maps(x, lora).float())
    return torch.cat(parts)


def _in_parts(
    backbone: Backbone, rows: Images, function: Callable[[Tensor], Tensor], bf16: bool, change: bool
) -> Tensor:
    """A function of images, some at a time, in float32."""
    view = View.of(backbone.card.encoder_config())
    device = next(backbone.parameters()).device
    parts = []
    for values in rows.values.split(BATCH):
        seen = changed(values, colours=True) if change else values
        x = normalise(seen.to(device), view).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            parts.append(function(x).float())
    return torch.cat(parts)


def changed(values: Tensor, *, colours: bool = False) -> Tensor:
    """Images uint8 (N, 3, S, S), each mirrored or not, cropped, and made brighter or darker.

    With `colours` some are recoloured, and some made grey: other domains than those seen have other colours.
    """
    from torchvision.transforms import v2

    light: list[Any] = [v2.ColorJitter(brightness=BRIGHTNESS, contrast=BRIGHTNESS)]
    if colours:
        light = [v2.RandomApply([v2.ColorJitter(*COLOURS)], p=0.8), v2.RandomGrayscale(GREY)]
    change = v2.Compose(
        [
            v2.RandomResizedCrop(values.shape[-1], scale=(LEAST_AREA, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            *light,
        ]
    )
    return torch.stack([change(image) for image in values])
