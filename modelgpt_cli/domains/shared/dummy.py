"""What the dummy models of all domains share: models that are like any other in size and speed, to be measured.

Shapes: P head inputs, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.model_generator.cards import ArchitectureCard


def dummy_blueprint(
    card: ArchitectureCard, columns: tuple[Column, ...], classes: int, architecture: Architecture
) -> Blueprint:
    """Return the blueprint of a classifier of a card, for so many classes."""
    return Blueprint(
        task="classification",
        target="label",
        labels=tuple(f"class {k}" for k in range(classes)),
        columns=columns,
        requirement="A model to be measured.",
        architecture=architecture,
        domain=card.domain,
    )


def random_head(inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Return random numbers: weight (P, C), bias (C,)."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(inputs, outputs, generator=draw) / inputs, torch.zeros(outputs)
