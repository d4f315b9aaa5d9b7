"""What the proofs of models with a backbone share: the original's head, on what a graph's head sees.

Shapes: N rows, P head inputs, C classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.artifacts.verify import difference
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.domains.shared.target_scale import in_own_unit


class HeadModel(Protocol):
    """A model with a linear head: weight (P, C), bias (C,)."""

    blueprint: Blueprint
    head_weight: nn.Parameter
    head_bias: nn.Parameter


@torch.inference_mode()
def worst_difference(
    model: HeadModel, inputs: np.ndarray, outputs: list[np.ndarray], scale: Tensor | None = None
) -> float:
    """Compute the largest difference between a graph's answers and those of the original's head.

    Parameters
    ----------
    model : HeadModel
        The original.
    inputs : (N, P)
        What the head is given.
    outputs : list of ndarray
        The graph's answers.
    scale : Tensor (2,), optional
        Regression: the target's; see `target_scale`.

    Returns
    -------
    float
        Of a probability, or of a prediction in standard deviations of the target.

    Raises
    ------
    VerificationError
        As `artifacts.verify.difference`.
    """
    scores = torch.from_numpy(inputs) @ model.head_weight + model.head_bias
    if scale is None:
        return float(difference(model.blueprint, scores.softmax(1).numpy(), outputs).max())
    return float(difference(model.blueprint, in_own_unit(scores, scale).numpy(), outputs, float(scale[1])).max())
