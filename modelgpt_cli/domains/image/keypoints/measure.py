"""What a model of key points is measured on, and one with random heads that costs as much as any other."""

from __future__ import annotations

import torch

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.domains.image.dense.measure import batch, bench_rows, smaller
from modelgpt_cli.domains.image.keypoints import DOMAIN
from modelgpt_cli.domains.image.keypoints.model import SUBJECT_COLUMN, PointModel
from modelgpt_cli.domains.image.measure import columns as image_columns
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
from modelgpt_cli.model_generator.cards import ArchitectureCard

__all__ = ["COMPARED", "batch", "bench_rows", "columns", "dummy_model", "parameters", "smaller"]
COMPARED = 16
columns = image_columns


def parameters(model: PointModel) -> int:
    """Return the network's and the heads' parameters."""
    own = sum(p.numel() for p in model.parameters())
    return own + sum(tensor.numel() for tensor in model.cascade.state().values())


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> PointModel:
    """Return the pretrained network as it is, with random heads for so many points."""
    from modelgpt_cli.domains.image.dense.build import shared_map_trunk
    from modelgpt_cli.domains.image.keypoints.architectures import (
        CHANNELS,
        GRID,
        NETWORK,
        STEPS,
        encoder_config,
        n_directions,
        size_of,
    )
    from modelgpt_cli.domains.image.keypoints.cascade import Cascade, Linear
    from modelgpt_cli.domains.image.trunks import trunk_tensors

    made = Architecture(card.name, 0, 1, encoder=encoder_config(size_of(card.name)))
    blueprint = dummy_blueprint(card, (SUBJECT_COLUMN,), classes, made)
    blueprint.task = DOMAIN.task
    blueprint.decoding = {"points": {"mirrored": list(range(classes)), "edges": [], "normaliser": []}}
    kept = n_directions(classes)
    step = classes * sum(kept[:2])
    with torch.inference_mode():
        projections = tuple(Linear(*random_head(c, d)) for c, d in zip(CHANNELS, kept, strict=True))
        first = Linear(*random_head(GRID * GRID * sum(kept[1:]), 2 * classes))
        steps = tuple(Linear(*random_head(step, 2 * classes)) for _ in range(STEPS))
        cascade = Cascade(projections, (first, *steps), Linear(*random_head(step, classes)))
    return PointModel(blueprint, trunk_tensors(shared_map_trunk(NETWORK)) | cascade.state())
