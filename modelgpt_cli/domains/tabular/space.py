"""What a search may set of a table's model. Follows `model_generator.search.space.Searched`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.schema import Schema
from modelgpt_cli.domains.tabular.architectures import KERNEL, MEMBERS, SETTING, TREES, card_name
from modelgpt_cli.model_generator.search.space import Parameter, Value, tuning

METRIC = None


def parameters(schema: Schema) -> tuple[Parameter, ...]:
    """Return members, kernel, trees, and how the network is finetuned."""
    return (
        Parameter(SETTING, "Networks merged into the model", MEMBERS[0], (2 * MEMBERS[0], *MEMBERS)),
        Parameter(KERNEL, "Whether a kernel machine may stand beside them", True, (True, False)),
        Parameter(TREES, "Whether boosted trees may stand beside them", True, (True, False)),
        *tuning((0, 1, 5, 20), (1e-4, 1e-3, 1e-2), (1e-6, 1e-4, 1e-2)),
    )


def build_options(setting: Mapping[str, Value]) -> dict[str, Any]:
    """Return the card that members, kernel and trees make; nothing for the usual one."""
    card = card_name(int(setting[SETTING]), kernel=bool(setting[KERNEL]), trees=bool(setting[TREES]))
    return {} if card == card_name(MEMBERS[0], kernel=True, trees=True) else {"card": card}
