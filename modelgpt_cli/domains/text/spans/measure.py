"""What a model of marked texts is measured on, and one with a random head that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.core.schema import FREE_TEXT, Column
from modelgpt_cli.domains.shared.dummy import dummy_blueprint
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.text.measure import COMPARED, TYPICAL_TEXT
from modelgpt_cli.domains.text.spans.model import SpanModel
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.measure import Rows
from modelgpt_cli.runtime.session import Model

__all__ = ["COMPARED", "batch", "bench_rows", "columns", "dummy_model", "parameters", "smaller"]


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return the first of the given texts, over and over if they are few."""
    name = session.inputs[0].column
    given = rows[name].iloc[:batch_size].tolist() if isinstance(rows, pd.DataFrame) and name in rows else []
    return {name: np.resize(np.array(given or [TYPICAL_TEXT], dtype=object), batch_size)}


def columns(model: SpanModel, rows: pd.DataFrame) -> Mapping[str, Any]:
    """Return a typed frame's texts."""
    return {column.name: rows[column.name].to_numpy() for column in model.columns}


def parameters(model: SpanModel) -> int:
    """Return the encoder's and the head's parameters."""
    return sum(p.numel() for p in model.parameters())


def smaller(model: SpanModel) -> str:
    """Return nothing: a card has one size."""
    return ""


def bench_rows() -> None:
    """Return none: `TYPICAL_TEXT` will do."""


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> SpanModel:
    """Return the encoder as it is, with a random head."""
    from modelgpt_cli.domains.text.model import encoder_config
    from modelgpt_cli.domains.text.spans.architectures import n_inputs, text_card
    from modelgpt_cli.domains.text.spans.build import shared_words_encoder
    from modelgpt_cli.domains.text.spans.model import MEAN, SCALE
    from modelgpt_cli.domains.text.spans.tags import tag_names, transitions, weighed
    from modelgpt_cli.domains.text.spans.words import SHAPE_NAMES

    encoder, tokenizer, layers = shared_words_encoder(text_card())
    made = Architecture(
        card.name, hidden=0, members=1, max_tokens=text_card().max_tokens, encoder=encoder_config(encoder)
    )
    blueprint = dummy_blueprint(card, (Column("text", FREE_TEXT, role="marked"),), classes, made)
    n_tags, size = 1 + 2 * classes, int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type]
    blueprint.task = "spans"
    blueprint.decoding = {
        "scheme": "BIO",
        "tags": tag_names(blueprint.labels),
        "transitions": weighed(transitions([], n_tags), 0.0).tolist(),
        "sharpness": 1.0,
        "shapes": list(SHAPE_NAMES),
        "layers": list(layers),
    }
    rng = torch.Generator().manual_seed(0)
    state = {BACKBONE + name: value for name, value in encoder.state_dict().items()}
    state |= {
        HEAD_WEIGHT: torch.randn(n_inputs(size, len(layers)), n_tags, generator=rng),
        HEAD_BIAS: torch.zeros(n_tags),
    }
    state |= {MEAN: torch.zeros(len(layers), size), SCALE: torch.ones(len(layers), size)}
    return SpanModel(blueprint, state, tokenizer)
