"""What a search may set of a text model. Follows `model_generator.search.space.Searched`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.schema import Schema
from modelgpt_cli.domains.text.architectures import CARDS, DEFAULT_CARD
from modelgpt_cli.model_generator.search.space import Parameter, Value, card_options, card_parameter, tuning

METRIC = None


def parameters(schema: Schema) -> tuple[Parameter, ...]:
    """Return the encoder, its window, whether words are counted, and how it is finetuned."""
    window = CARDS[DEFAULT_CARD].max_tokens
    return (
        card_parameter("text"),
        Parameter("max_tokens", "Tokens read of each text", window, (window // 2, window, 2 * window)),
        Parameter("lexical", "Whether words are counted beside the encoder", True, (True, False)),
        *tuning((0, 1, 3), (1e-5, 5e-5, 2e-4), (1e-4, 1e-2, 1e-1)),
    )


def build_options(setting: Mapping[str, Value]) -> dict[str, Any]:
    """Return the options of these names; nothing for what is as usual."""
    return {name: value for name, value in card_options(setting).items() if value != CARDS[DEFAULT_CARD].max_tokens}
