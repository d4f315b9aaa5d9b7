"""Texts to head inputs with a backbone whose factors come from outside: what meta-training does.

Shapes: N rows, P head inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modelgpt_cli.domains.text.backbone import Backbone
from modelgpt_cli.domains.text.inputs import head_inputs
from modelgpt_cli.domains.text.tokens import Encoded

TOKENS = 4096
"""Tokens of a batch, with the padding: about what fits the processor's cache."""


def embed(
    backbone: Backbone,
    lora: Mapping[str, Tensor] | None,
    rows: Encoded,
    pair: bool,
    *,
    bf16: bool = False,
    tokens: int = TOKENS,
) -> Tensor:
    """Head inputs of all rows, (N, P) float32, in their order."""
    device = next(backbone.parameters()).device
    parts, order = [], []
    for index, batch in rows.batches(tokens):
        batch = batch.to(str(device))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            states = backbone(batch, lora)
        parts.append(head_inputs(states, batch.mask, batch.segments, pair))
        order.append(torch.from_numpy(index))
    back = torch.argsort(torch.cat(order)).to(device)
    return torch.cat(parts)[back]
