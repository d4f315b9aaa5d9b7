"""What a card's model costs before there is one: parameters, operations and bytes, computed from its shapes alone.

Between the cards and the choice among them. Every figure is a floor of what is measured on the exported file: that
holds preprocessing, metadata and, of texts, the tokenizer too.
Shapes: M members, f full and b flat features, d = f + b, K channels, H hidden units, C outputs, P head inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.limits import Limits

if TYPE_CHECKING:
    from torch import nn

STORAGES = {"fp32": "none", "fp16": "fp16", "int8": "int8"}
"""What users call a storage → what `deploy: quantize` calls it."""
STORED = {storage: name for name, storage in STORAGES.items()}
WIDTHS = {"none": 4, "fp16": 2, "int8": 1}
"""Storage → bytes of a number of a matrix; vectors are kept in float32."""


@dataclass(frozen=True)
class Sizes:
    """What the task decides of a model's shapes.

    Attributes
    ----------
    outputs : int
        C: classes, or 1 for a regression.
    full, flat : int
        Tables: f, features with several channels (numbers, dates), and b, with one (levels of categories, yes and no).
    texts : bool
        Tables: whether columns of free text are embedded, so that the model carries the text encoder.
    pair : bool
        Texts: whether rows are pairs.
    """

    outputs: int = 2
    full: int = 0
    flat: int = 0
    texts: bool = False
    pair: bool = False


@dataclass(frozen=True)
class Costs:
    """Computed figures of one model.

    Attributes
    ----------
    parameters : int
    flops : int, optional
        Operations of one row, two for each multiplication with its addition; None where that depends on the row
        (texts: see `at`).
    n_bytes : mapping of str to int
        Storage → bytes of the weights.
    at : str
        What `flops` are counted at, where rows differ.
    """

    parameters: int
    flops: int | None
    n_bytes: Mapping[str, int] = field(default_factory=dict)
    at: str = ""

    def exceeding(self, limits: Limits, storage: str, *, file: bool = True) -> dict[str, int]:
        """Limits that a model can't meet whatever is measured → the floor of what will be.

        Without a `file` (``model.safetensors``) only its parameters count.
        """
        floors = {"size": self.n_bytes.get(storage), "parameters": self.parameters}
        floors |= {"flops": None if self.at else self.flops}
        floors = {key: n for key, n in floors.items() if file or key == "parameters"}
        asked = {key: getattr(limits, key) for key in floors}
        return {key: n for key, n in floors.items() if n is not None and asked[key] is not None and n > asked[key]}


def table_costs(members: int, sizes: Sizes) -> Costs:
    """Of M networks for tables, merged: exact but for the text encoder's operations, which are left out."""
    from modelgpt_cli.domains.tabular.features import CHANNELS
    from modelgpt_cli.domains.tabular.target import HIDDEN
    from modelgpt_cli.parameter_generator.shipped_encoder import BYTES, PARAMETERS

    d, c = sizes.full + sizes.flat, sizes.outputs
    member = [(sizes.full * CHANNELS + sizes.flat, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, c), (HIDDEN, c)]
    matrices = [shape for shape in member for _ in range(members)] + [(d, c)]
    vectors = members * 2 * HIDDEN + c
    found = _costs(matrices, vectors, sum(columns for _, columns in matrices))
    if not sizes.texts:
        return found
    n_bytes = {storage: n + BYTES for storage, n in found.n_bytes.items()}
    return Costs(found.parameters + PARAMETERS, found.flops, n_bytes)


def _costs(matrices: Sequence[tuple[int, int]], vectors: int, scales: int) -> Costs:
    """Of a network that multiplies each matrix once a row; in 8 bits it has a scale for each column."""
    numbers = sum(math.prod(shape) for shape in matrices)
    n_bytes = {storage: numbers * width + 4 * vectors for storage, width in WIDTHS.items()}
    n_bytes["int8"] += 4 * scales
    return Costs(numbers + vectors, 2 * numbers, n_bytes)


def text_costs(encoder: nn.Module, tokens: int, sizes: Sizes) -> Costs:
    """Of a transformer (on torch's "meta" device, so without numbers) and its head; operations at a full window."""
    from torch import nn

    from modelgpt_cli.domains.text.target import input_groups

    config: Any = encoder.config
    layers = [m.in_features * m.out_features for m in encoder.modules() if isinstance(m, nn.Linear)]
    attention = 4 * tokens**2 * config.hidden_size * config.num_hidden_layers  # scores, and what they mix
    head = sum(input_groups(config.hidden_size)[sizes.pair].values())
    found = _with_head(encoder, head, sizes.outputs, 2 * tokens * sum(layers) + attention)
    return replace(found, at=f"{tokens} tokens")


def image_costs(trunk: nn.Module, side: int, features: int, sizes: Sizes) -> Costs:
    """Of a trunk (on the "meta" device) and its head; resizing is left out, which depends on the image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trunk(torch.zeros(1, 3, side, side, device="meta"))
    return _with_head(trunk, features, sizes.outputs, int(counter.get_total_flops()))


def _with_head(network: nn.Module, inputs: int, outputs: int, flops: int) -> Costs:
    """Of a network and a head of (P, C), which is kept in float32."""
    sizes = {name: (p.dim(), p.numel()) for name, p in network.named_parameters()}
    parameters = sum(n for _, n in sizes.values())
    # For a floor: positions are cut to the window, and vectors may be folded into matrices.
    numbers = sum(n for name, (axes, n) in sizes.items() if axes > 1 and "position" not in name)
    head = (inputs + 1) * outputs
    n_bytes = {storage: numbers * width + 4 * head for storage, width in WIDTHS.items()}
    return Costs(parameters + head, flops + 2 * inputs * outputs, n_bytes)
