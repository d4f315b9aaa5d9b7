"""What an image model is measured on, and a model with a random head that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.image.model import IMAGE_COLUMN, ImageModel
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.measure import Rows
from modelgpt_cli.runtime.session import Model

COMPARED = 64
"""An image takes some 10 to 100 ms."""
TYPICAL_SIDE = 256
"""Pixels of what is measured on where there are no images of the user's: resizing them is in the graph."""
_BENCH_IMAGES = 8


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return the first of the given images, over and over if they are few."""
    given: Sequence[np.ndarray] = () if rows is None or isinstance(rows, pd.DataFrame) else rows
    found = given[:batch_size] if len(given) else [np.full((TYPICAL_SIDE, TYPICAL_SIDE, 3), 127, dtype=np.uint8)]
    return {IMAGE: [found[i % len(found)] for i in range(batch_size)]}


def columns(model: ImageModel, rows: Sequence[np.ndarray]) -> Mapping[str, Any]:
    """Return images as they are."""
    return {IMAGE: rows}


def parameters(model: ImageModel) -> int:
    """Return the trunk's and the head's parameters."""
    return sum(p.numel() for p in model.parameters())


def smaller(model: ImageModel) -> str:
    """Return nothing: a card has one size."""
    return ""


def bench_rows() -> Sequence[np.ndarray]:
    """Return images with large and small structures, as photographs have them."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(_BENCH_IMAGES):
        parts = [
            draw.uniform(0, 255, (side, side, 3)).repeat(TYPICAL_SIDE // side, 0).repeat(TYPICAL_SIDE // side, 1)
            for side in (4, 16, 64)
        ]
        found.append(np.mean(parts, 0).astype(np.uint8))
    return found


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> ImageModel:
    """Return the pretrained network as it is, with a random head."""
    from modelgpt_cli.domains.image.architectures import find_card
    from modelgpt_cli.domains.image.backbone import load_backbone
    from modelgpt_cli.domains.image.trunks import trunk_tensors
    from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT

    found = find_card(card.name)
    trunk = load_backbone(found).merge(None)
    state = trunk_tensors(trunk)
    state |= dict(zip((HEAD_WEIGHT, HEAD_BIAS), random_head(found.features, classes), strict=True))
    made = Architecture(card.name, 0, 1, encoder=found.encoder_config())
    return ImageModel(dummy_blueprint(card, (IMAGE_COLUMN,), classes, made), state)
