"""What a card's model costs before there is one: parameters, operations and bytes, computed from its shapes alone.

Between the cards and the choice among them; each domain computes its own with what is here. Every figure is a floor of
what is measured on the exported file: that holds preprocessing, metadata and such as a tokenizer too.
Shapes: C outputs, P head inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """What the task decides of a model's shapes; a domain counts what its rows have.

    Attributes
    ----------
    outputs : int
        C: classes, or 1 for a regression.
    numbers : int
        Features of a row that are numbers: columns of them, dates.
    levels : int
        Features of a row that are yes or no: one for each level of a category.
    texts : int
        Texts of a row that are embedded.
    """

    outputs: int = 2
    numbers: int = 0
    levels: int = 0
    texts: int = 0


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


def matrix_costs(matrices: Sequence[tuple[int, int]], vectors: int, scales: int) -> Costs:
    """Compute the cost of a network that multiplies each matrix once a row.

    Parameters
    ----------
    matrices : sequence of (int, int)
        Their shapes.
    vectors : int
        Numbers of all vectors, which are kept in float32.
    scales : int
        Columns of all matrices: in 8 bits each has a scale.
    """
    numbers = sum(math.prod(shape) for shape in matrices)
    n_bytes = {storage: numbers * width + 4 * vectors for storage, width in WIDTHS.items()}
    n_bytes["int8"] += 4 * scales
    return Costs(numbers + vectors, 2 * numbers, n_bytes)


@dataclass(frozen=True)
class NetworkSize:
    """What a pretrained network's shapes come to.

    Those of the networks that are at hand are on record beside their cards: to compute them takes seconds, as torch
    has to be loaded.

    Attributes
    ----------
    parameters : int
    matrices : int
        Of them in matrices. For a floor: positions are cut to the window, and vectors may be folded into matrices.
    features : int
        Numbers that a row, or a token, becomes.
    flops : int
        Operations of a row.
    """

    parameters: int
    matrices: int
    features: int
    flops: int


def network_size(network: nn.Module, features: int, flops: int) -> NetworkSize:
    """Compute the size of a network, which may be on torch's "meta" device: its numbers are not read."""
    sizes = {name: (p.dim(), p.numel()) for name, p in network.named_parameters()}
    matrices = sum(n for name, (axes, n) in sizes.items() if axes > 1 and "position" not in name)
    return NetworkSize(sum(n for _, n in sizes.values()), matrices, features, flops)


def network_costs(network: NetworkSize, inputs: int, outputs: int) -> Costs:
    """Compute the cost of a network and a head of (P, C), which is kept in float32.

    Parameters
    ----------
    network : NetworkSize
    inputs, outputs : int
        P and C.
    """
    head = (inputs + 1) * outputs
    n_bytes = {storage: network.matrices * width + 4 * head for storage, width in WIDTHS.items()}
    return Costs(network.parameters + head, network.flops + 2 * inputs * outputs, n_bytes)
