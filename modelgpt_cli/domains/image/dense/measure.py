"""What a model of dense vision is measured on, and one with a random head that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.feed import IMAGE
from modelgpt_cli.domains.image.dense.masks import INDEX, Coding
from modelgpt_cli.domains.image.dense.model import SCENE_COLUMN, SegmentationModel
from modelgpt_cli.domains.image.measure import bench_rows
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.measure import Rows
from modelgpt_cli.runtime.session import Model

__all__ = ["COMPARED", "batch", "bench_rows", "columns", "dummy_model", "parameters", "smaller"]
COMPARED = 16
_TYPICAL = (480, 640)


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return the first of the given images, over and over if they are few."""
    given: Sequence[np.ndarray] = () if rows is None or isinstance(rows, pd.DataFrame) else rows
    found = given[:batch_size] if len(given) else [np.full((*_TYPICAL, 3), 127, dtype=np.uint8)]
    return {IMAGE: [found[i % len(found)] for i in range(batch_size)]}


def columns(model: SegmentationModel, rows: Sequence[np.ndarray]) -> Mapping[str, Any]:
    """Return images as they are."""
    return {IMAGE: rows}


def parameters(model: SegmentationModel) -> int:
    """Return the network's and the head's parameters."""
    return sum(p.numel() for p in model.parameters())


def smaller(model: SegmentationModel) -> str:
    """Return nothing: a card has one size."""
    return ""


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> SegmentationModel:
    """Return the pretrained network as it is, with a random head."""
    from modelgpt_cli.domains.image.dense.architectures import N_INPUTS, NETWORK, encoder_config, size_of
    from modelgpt_cli.domains.image.dense.build import shared_map_trunk
    from modelgpt_cli.domains.image.trunks import trunk_tensors

    made = Architecture(card.name, 0, 1, encoder=encoder_config(size_of(card.name)))
    blueprint = dummy_blueprint(card, (SCENE_COLUMN,), classes, made)
    blueprint.task = DOMAIN.task
    blueprint.decoding = {"coding": Coding(INDEX, tuple(range(classes))).to_dict()}
    state = trunk_tensors(shared_map_trunk(NETWORK))
    return SegmentationModel(
        blueprint, state | dict(zip((HEAD_WEIGHT, HEAD_BIAS), random_head(N_INPUTS, classes), strict=True))
    )
