"""What a detector is measured on, and one with random heads that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.domains.image.detection import DOMAIN
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.model import VIEW_COLUMN, DetectionModel
from modelgpt_cli.domains.image.measure import bench_rows
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
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


def columns(model: DetectionModel, rows: Sequence[np.ndarray]) -> Mapping[str, Any]:
    """Return images as they are."""
    return {IMAGE: rows}


def parameters(model: DetectionModel) -> int:
    """Return the network's and the heads' parameters."""
    return sum(p.numel() for p in model.trunk.parameters()) + sum(p.numel() for p in model.heads.state().values())


def smaller(model: DetectionModel) -> str:
    """Return nothing: a card has one size."""
    return ""


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> DetectionModel:
    """Return the pretrained network as it is, with random heads."""
    from modelgpt_cli.domains.image.dense.architectures import N_INPUTS, NETWORK, encoder_config, size_of
    from modelgpt_cli.domains.image.dense.build import shared_map_trunk
    from modelgpt_cli.domains.image.detection.fit import LEAST, LEAST_CANDIDATES, OVERLAP, SHOWN, default_certainty
    from modelgpt_cli.domains.image.detection.model import Decoding, Heads
    from modelgpt_cli.domains.image.detection.regions import CHANNELS, N_REGION
    from modelgpt_cli.domains.image.trunks import trunk_tensors

    made = Architecture(card.name, 0, 1, encoder=encoder_config(size_of(card.name)))
    blueprint = dummy_blueprint(card, (VIEW_COLUMN,), classes, made)
    blueprint.task = DOMAIN.task
    blueprint.decoding = Decoding(LEAST_CANDIDATES, OVERLAP, LEAST, SHOWN).to_dict()
    heads = Heads(
        random_head(N_INPUTS, classes + 4),
        random_head(240, CHANNELS[0]),
        random_head(672, CHANNELS[1]),
        random_head(N_REGION, 4),
        random_head(N_REGION, classes),
        torch.full((classes, 2), 4.0),
        default_certainty(classes),
    )
    return DetectionModel(blueprint, trunk_tensors(shared_map_trunk(NETWORK)) | heads.state())
