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
    second = {} if model.second is None else model.second.state()
    return own + sum(tensor.numel() for tensor in (*model.cascade.state().values(), *second.values()))


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> PointModel:
    """Return the pretrained network as it is, with random heads for so many points: two looks, which cost most."""
    from modelgpt_cli.domains.image.dense.build import shared_map_trunk
    from modelgpt_cli.domains.image.keypoints.architectures import (
        CHANNELS,
        GRID,
        NETWORK,
        STEPS,
        WINDOW,
        encoder_config,
        n_directions,
        size_of,
    )
    from modelgpt_cli.domains.image.keypoints.cascade import Cascade, Linear, Locator
    from modelgpt_cli.domains.image.keypoints.frame import SecondLook
    from modelgpt_cli.domains.image.trunks import trunk_tensors

    made = Architecture(card.name, 0, 1, encoder=encoder_config(size_of(card.name)))
    blueprint = dummy_blueprint(card, (SUBJECT_COLUMN,), classes, made)
    blueprint.task = DOMAIN.task
    blueprint.decoding = {"points": {"mirrored": list(range(classes)), "edges": [], "normaliser": []}}
    kept = n_directions(classes)
    coarse, step = sum(kept[1:]), classes * sum(kept[:2])

    def cascade(first: int, locator: Locator | None = None) -> Cascade:
        projections = tuple(Linear(*random_head(c, d)) for c, d in zip(CHANNELS, kept, strict=True))
        stages = [Linear(*random_head(n, 2 * classes)) for n in (first, *[step] * STEPS)]
        return Cascade(projections, tuple(stages), Linear(*random_head(step, classes)), locator)

    with torch.inference_mode():
        window = torch.rand(WINDOW * WINDOW, 2) - 0.5
        locator = Locator(Linear(*random_head(sum(kept) + kept[1], 1)), window)
        looks = cascade((GRID * GRID + len(window)) * coarse, locator).state()
        looks |= SecondLook(cascade(GRID * GRID * coarse), torch.rand(classes, 2) - 0.5).state()
    return PointModel(blueprint, trunk_tensors(shared_map_trunk(NETWORK)) | looks)
