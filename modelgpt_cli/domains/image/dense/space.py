"""What a search may set of a model of images with masks. Follows `model_generator.search.space.Searched`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.schema import Schema
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.model_generator.search.space import Parameter, Value, card_options, card_parameter, tuning

METRIC = ("miou", False)


def parameters(schema: Schema) -> tuple[Parameter, ...]:
    """Return the card, which is the size of images, and epochs where it can be finetuned."""
    return (card_parameter(DOMAIN.name), *(tuning((0, 1, 5)) if DOMAIN.has("tune") else ()))


def build_options(setting: Mapping[str, Value]) -> dict[str, Any]:
    """Return the card, where it isn't the usual one."""
    return card_options(setting)
