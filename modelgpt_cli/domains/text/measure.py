"""What a text model is measured on, and a model with a random head that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.measure import Rows
from modelgpt_cli.runtime.session import Model

COMPARED = 200
"""A text takes some 10 ms."""
TYPICAL_TEXT = "The parcel came a week late, but the people at the counter were kind and gave me the money back."
"""What is measured on where there are no texts of the user's: how long they are makes much of the cost."""


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return the first of the given texts, over and over if they are few."""
    found = {}
    for i in session.inputs:
        has = isinstance(rows, pd.DataFrame) and i.column in rows
        given = rows[i.column].iloc[:batch_size].tolist() if has else []  # type: ignore[index,call-overload]
        found[i.column] = np.resize(np.array(given or [TYPICAL_TEXT], dtype=object), batch_size)
    return found


def columns(model: TextModel, rows: pd.DataFrame) -> Mapping[str, Any]:
    """Return a typed frame's texts."""
    return {column.name: rows[column.name].to_numpy() for column in model.blueprint.used}


def parameters(model: TextModel) -> int:
    """Return the encoder's and the head's parameters."""
    tables = (b.numel() for b in model.encoder.buffers() if not b.is_floating_point() and b.ndim == 2 and len(b) > 1)
    return sum(p.numel() for p in model.parameters()) + sum(tables)


def smaller(model: TextModel) -> str:
    """Return nothing: a card has one size."""
    return ""


def bench_rows() -> None:
    """Return none: `TYPICAL_TEXT` will do."""


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> TextModel:
    """Return the pretrained encoder as it is, with a random head."""
    from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
    from modelgpt_cli.domains.text.architectures import find_card
    from modelgpt_cli.domains.text.backbone import load_any
    from modelgpt_cli.domains.text.model import encoder_config
    from modelgpt_cli.domains.text.tokens import prepare_tokenizer

    found = find_card(card.name)
    backbone = load_any(found)
    size, tokenizer = backbone.size, prepare_tokenizer(backbone.tokenizer, found.max_tokens)
    encoder = backbone.merge(None)
    made = Architecture(card.name, hidden=0, members=1, max_tokens=found.max_tokens, encoder=encoder_config(encoder))
    state = {BACKBONE + name: value for name, value in encoder.state_dict().items()}
    state |= dict(zip((HEAD_WEIGHT, HEAD_BIAS), random_head(size, classes), strict=True))
    text = (Column("text", "text", role="text"),)
    return TextModel(dummy_blueprint(card, text, classes, made), state, tokenizer)
