"""Image models with random parameters, and small images to try them on, for tests that need no weights and no hub."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.domains.image.architectures import CARDS, ImageCard
from modelgpt_cli.domains.image.model import BACKBONE, HEAD_BIAS, HEAD_WEIGHT, IMAGE_COLUMN, ImageModel
from modelgpt_cli.domains.image.preprocess import View, normalise, pixels
from modelgpt_cli.domains.image.trunks import make_trunk, norms, trunk_state

LABELS = ("circle", "square", "stripes")
CARD_OF_EACH = list({card.network: name for name, card in reversed(CARDS.items())}.values())[::-1]
"""A card for every network: those that differ in the size of their images alone stand once."""
TINY = "efficientnet_lite0_11"
"""The card of the least network, for tests that are not about a network."""


def random_trunk(network: str, seed: int = 0, size: int = 64) -> torch.nn.Module:
    """A network with random weights whose BatchNorms have seen images, so that these look different to it."""
    trunk = deepcopy(_random_trunk(network, seed, size))
    torch.manual_seed(seed)  # what a test draws next doesn't depend on which networks others have made
    return trunk


@lru_cache(maxsize=4)
def _random_trunk(network: str, seed: int, size: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    trunk = make_trunk(network)
    for _, norm in norms(trunk):
        norm.momentum = 1.0
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
    view = View(size, size, (0.5,) * 3, (0.25,) * 3)
    with torch.no_grad():
        trunk.train()(normalise(pixels([image(size, size, i) for i in range(12)], view), view))
    return trunk.eval()


def image_model(
    card: str | ImageCard = TINY,
    *,
    labels: Sequence[str] = LABELS,
    size: int = 64,
    resize: int | None = None,
    trunk: torch.nn.Module | None = None,
    seed: int = 0,
) -> ImageModel:
    """A model of a card with random weights, or with those of `trunk`, and a random head."""
    found = card if isinstance(card, ImageCard) else replace(CARDS[card], size=size, resize=resize or size)
    trunk = trunk or random_trunk(found.network, seed)
    state = {BACKBONE + name: value for name, value in trunk_state(trunk).items()}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        view = View.of(found.encoder_config())
        features = trunk(normalise(pixels([image(found.size, found.size, i) for i in range(8)], view), view))
    weight = torch.randn(found.features, len(labels), generator=generator)
    weight *= 2 / features.std(0).norm()  # logits that tell images apart
    state[HEAD_WEIGHT], state[HEAD_BIAS] = weight, -features.mean(0) @ weight
    blueprint = Blueprint(
        task="classification",
        target="label",
        labels=tuple(labels),
        columns=(IMAGE_COLUMN,),
        requirement="Tell shapes apart.",
        architecture=Architecture(card=found.name, members=1, hidden=0, encoder=found.encoder_config()),
        domain="image",
    )
    return ImageModel(blueprint, state)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft shapes with some noise, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int64)
    return np.clip(soft + rng.integers(-12, 13, soft.shape), 0, 255).astype(np.uint8)


def image_folder(folder: Path, labels: Sequence[str] = LABELS, per_class: int = 3) -> Path:
    """A folder per class with images of several sizes and formats."""
    for k, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for i in range(per_class):
            suffix = ("jpg", "png", "webp", "bmp")[i % 4]
            array = image(40 + 10 * i, 60 + 7 * k, seed=10 * k + i)
            Image.fromarray(array).save(folder / label / f"{i}.{suffix}")
    return folder
