"""A model of a card that is like any other in size and speed, for `zoo bench`: of tables with random numbers.

Of texts and images the pretrained network is as it is, the head random. Shapes: as in the domains' models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.model_generator.cards import ModelCard

if TYPE_CHECKING:
    from modelgpt_cli.artifacts.target_model import TargetModel
    from modelgpt_cli.domains.image.model import ImageModel
    from modelgpt_cli.domains.tabular.model import TabularModel
    from modelgpt_cli.domains.text.model import TextModel


def make_specimen(card: ModelCard, columns: int, classes: int) -> TargetModel:
    """A classifier of a card.

    Parameters
    ----------
    columns : int
        Tables: so many columns of numbers.
    classes : int
    """
    labels = tuple(f"class {k}" for k in range(classes))
    if card.domain == "tabular":
        return _table(card, columns, labels)
    return _text(card, labels) if card.domain == "text" else _image(card, labels)


def _blueprint(card: ModelCard, columns: tuple[Column, ...], labels: tuple[str, ...], made: Architecture) -> Blueprint:
    return Blueprint(
        task="classification",
        target="label",
        labels=labels,
        columns=columns,
        requirement="A specimen.",
        architecture=made,
        domain=card.domain,
    )


def _table(card: ModelCard, n_columns: int, labels: tuple[str, ...]) -> TabularModel:
    from modelgpt_cli.domains.tabular.features import CHANNELS
    from modelgpt_cli.domains.tabular.model import CONSTANTS, TabularModel
    from modelgpt_cli.domains.tabular.preprocessing import make_codec
    from modelgpt_cli.domains.tabular.requirement_only import encoder_from_statistics
    from modelgpt_cli.domains.tabular.target import HIDDEN as H

    columns = tuple(Column(f"x{i}", "numeric", mean=0.0, std=1.0) for i in range(n_columns))
    encoder = encoder_from_statistics(make_codec(columns))
    M, C, d, f = card.members, len(labels), encoder.n_features, encoder.n_full
    shapes = {
        "layers.0.weight": (M, f * CHANNELS + d - f, H),
        "layers.0.bias": (M, 1, H),
        "layers.1.weight": (M, H, H),
        "layers.1.bias": (M, 1, H),
        "head.hidden1": (M, H, C),
        "head.hidden2": (M, H, C),
        "head.linear": (d, C),
        "head.bias": (C,),
    }
    draw = torch.Generator().manual_seed(0)
    state = {CONSTANTS + name: value for name, value in encoder.state().items()}
    state |= {name: torch.randn(shape, generator=draw) / 100 for name, shape in shapes.items()}
    return TabularModel(_blueprint(card, columns, labels, Architecture(members=M)), state)


def _text(card: ModelCard, labels: tuple[str, ...]) -> TextModel:
    from modelgpt_cli.domains.text import architectures as cards
    from modelgpt_cli.domains.text.backbone import load_backbone
    from modelgpt_cli.domains.text.model import BACKBONE, HEAD_BIAS, HEAD_WEIGHT, TextModel, encoder_config
    from modelgpt_cli.domains.text.tokens import prepare_tokenizer

    found = cards.find_card(card.name)
    backbone = load_backbone(found)
    size, tokenizer = backbone.size, prepare_tokenizer(backbone.tokenizer, found.max_tokens)
    encoder = backbone.merge(None)
    made = Architecture(card.name, 0, 1, found.max_tokens, encoder_config(encoder))
    state = {BACKBONE + name: value for name, value in encoder.state_dict().items()}
    state |= dict(zip((HEAD_WEIGHT, HEAD_BIAS), _head(size, len(labels)), strict=True))
    return TextModel(_blueprint(card, (Column("text", "text", role="text"),), labels, made), state, tokenizer)


def _image(card: ModelCard, labels: tuple[str, ...]) -> ImageModel:
    from modelgpt_cli.domains.image import architectures as cards
    from modelgpt_cli.domains.image.backbone import load_backbone
    from modelgpt_cli.domains.image.model import BACKBONE, HEAD_BIAS, HEAD_WEIGHT, IMAGE_COLUMN, ImageModel
    from modelgpt_cli.domains.image.trunks import trunk_state

    found = cards.find_card(card.name)
    trunk = load_backbone(found).merge(None)
    state = {BACKBONE + name: value for name, value in trunk_state(trunk).items()}
    state |= dict(zip((HEAD_WEIGHT, HEAD_BIAS), _head(found.features, len(labels)), strict=True))
    made = Architecture(card.name, 0, 1, encoder=found.encoder_config())
    return ImageModel(_blueprint(card, (IMAGE_COLUMN,), labels, made), state)


def _head(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random numbers: weight (P, C), bias (C,)."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(inputs, outputs, generator=draw) / inputs, torch.zeros(outputs)
