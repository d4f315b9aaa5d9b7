"""What the proofs of models with a backbone share: the original's head, on what a graph's head sees.

Shapes: N rows, P head inputs, C classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.artifacts.verify import difference, failed
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.domains.shared.novelty import Novelty
from modelgpt_cli.domains.shared.target_scale import in_own_unit


class HeadModel(Protocol):
    """A model with a linear head: weight (P, C), bias (C,); and with what gives its rows' novelty, or None."""

    blueprint: Blueprint
    head_weight: nn.Parameter
    head_bias: nn.Parameter
    novelty: Novelty | None


@torch.inference_mode()
def worst_difference(
    model: HeadModel,
    inputs: np.ndarray,
    outputs: list[np.ndarray],
    scale: Tensor | None = None,
    beside: Tensor | None = None,
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
    beside : Tensor (N, C), optional
        Scores to add to the head's.

    Returns
    -------
    float
        Of a probability, or of a prediction in standard deviations of the target; or of the novelty.

    Raises
    ------
    VerificationError
        As `artifacts.verify.difference`.
    """
    seen = torch.from_numpy(inputs)
    largest = 0.0
    if model.novelty is not None:
        *outputs, found = outputs
        largest = _novelty_difference(model.novelty(seen).numpy(), found)
    scores = seen @ model.head_weight + model.head_bias
    scores = scores if beside is None else scores + beside
    if scale is None:
        p = scores.sigmoid() if model.blueprint.multi_label else scores.softmax(1)
        return max(largest, float(difference(model.blueprint, p.numpy(), outputs).max()))
    own = in_own_unit(scores, scale).numpy()
    return max(largest, float(difference(model.blueprint, own, outputs, float(scale[1])).max()))


def _novelty_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference of the rows' novelty, (N,) both."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise failed("Its novelty is no number, or not one for each row.")
    return float(np.abs(found - expected).max())
