"""Names of tensors, inner values and inputs of graphs that several domains share."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from modelgpt_cli.artifacts.outputs import OUTPUTS

CONSTANTS = "constants."
"""What the names of tensors that are not trained begin with."""
TARGET = CONSTANTS + "target"
"""Regression: mean and standard deviation of the target, (2,)."""
BACKBONE = "backbone."
"""Texts and images: what the names of the encoder's, or the trunk's, tensors begin with."""
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
"""Texts and images: the head's tensors."""
HEAD_INPUTS = "head.inputs"
"""Texts and images: the inner value that the head reads, (N, P); the verification looks at it."""
ENCODER = "encoder."
"""What the names of the tensors of tables' text encoder begin with."""


def input_names(columns: Iterable[str], tensors: Collection[str] = ()) -> list[str]:
    """Name a graph's inputs: as the columns, but with ``_`` appended where the graph needs that name itself.

    Parameters
    ----------
    columns : iterable of str
    tensors : collection of str
        Further names that the domain's graphs need.
    """
    taken = {*OUTPUTS, *tensors, HEAD_WEIGHT, HEAD_BIAS, HEAD_INPUTS}

    def reserved(name: str) -> bool:
        return not name or name in taken or name.startswith((CONSTANTS, ENCODER, BACKBONE))

    names = list(columns)
    used = {name for name in names if not reserved(name)}
    for i, name in enumerate(names):
        if not reserved(name):
            continue
        free = name + "_"
        while free in used:
            free += "_"
        used.add(free)
        names[i] = free
    return names
