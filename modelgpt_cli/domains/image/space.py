"""What a search may set of an image model. Follows `model_generator.search.space.Searched`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.schema import Schema
from modelgpt_cli.model_generator.search.space import Parameter, Value, card_options, card_parameter, tuning

METRIC = None


def parameters(schema: Schema) -> tuple[Parameter, ...]:
    """Return the network with its size of images, and how its last blocks are finetuned."""
    return (card_parameter("image"), *tuning((0, 1, 5), (5e-5, 2e-4, 1e-3), (1e-4, 1e-2, 1e-1)))


def build_options(setting: Mapping[str, Value]) -> dict[str, Any]:
    """Return the card, where it isn't the usual one."""
    return card_options(setting)
