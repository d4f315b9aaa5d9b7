"""One meta-training step on one batch of tasks: generate, solve the head, score the query rows, send the signal back.

Shapes: B batch of tasks, n support rows, q query rows, d features, p head inputs, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.target import (
    head_precision,
    make_body,
    posterior_head,
    prior_head,
    score_scale,
)
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.parameter_generator.generator import TaskInputs
from modelgpt_cli.training.delta import send_back

Update = Literal["backprop", "delta"]
PRIOR_WEIGHT = 0.1
"""Share of the loss of the generated head alone, so that W_gen stays a model in its own right."""


def query_losses(parameters: dict[str, Tensor], batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """Query loss per task, (B,), of the posterior head and of the generated head alone.

    Cross-entropy as a share of log C, so that tasks of many classes don't drown the others, or for regression the Huber
    loss of the standardised target; about 1 for a model that knows nothing, 0 for a perfect one.
    Without support rows (requirement-only) both are the generated head's.
    """
    inputs = batch.inputs
    body = make_body(parameters, inputs.full, inputs.feature_mask)
    prior = prior_head(parameters, inputs.regression)
    head = prior
    if inputs.channels.shape[1]:
        precision = head_precision(parameters, inputs.feature_mask.shape[1])
        head = posterior_head(body(inputs.channels), inputs.target, prior, precision)
    phi = body(batch.query_channels)  # (B, q, p)
    scale = score_scale(parameters, inputs.regression)
    return _score(phi @ head * scale, batch), _score(phi @ prior * scale, batch)


def _score(logits: Tensor, batch: TaskBatch) -> Tensor:
    """Mean loss over query rows, (B,), from logits (B, q, C)."""
    if batch.inputs.regression:
        return 2 * F.huber_loss(logits[..., 0], batch.query_target.float(), delta=2.0, reduction="none").mean(1)
    loss = F.cross_entropy(logits.transpose(1, 2), batch.query_target, reduction="none").mean(1)
    return loss / math.log(logits.shape[-1])


def batch_loss(parameters: dict[str, Tensor], batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """The loss to differentiate, and the posterior query loss per task (detached)."""
    posterior, prior = query_losses(parameters, batch)
    return (posterior + PRIOR_WEIGHT * prior).mean(), posterior.detach()


def backward(
    generator: Callable[[TaskInputs], dict[str, Tensor]],
    batch: TaskBatch,
    update: Update,
    target_lr: float,
    share: float = 1.0,
) -> Tensor:
    """Fill the generator's gradients from one batch; returns the query loss per task, (B,).

    Parameters
    ----------
    update : {"backprop", "delta"}
        ``backprop`` differentiates the loss through the target. ``delta`` is the paper's Algorithm 1: the generated
        parameters θ_t take one step of their own Adam, and the change Δθ_t is sent back through the generator.
    target_lr : float
        Learning rate of θ_t's own Adam (``delta`` only).
    share : float
        Of the step's tasks that `batch` holds: gradients of shares that make up a step add up to that step's.
    """
    parameters = generator(batch.inputs)
    if update == "backprop":
        loss, per_task = batch_loss(parameters, batch)
        (share * loss).backward()
        return per_task
    leaves = {k: v.detach().requires_grad_() for k, v in parameters.items()}
    loss, per_task = batch_loss(leaves, batch)
    (share * loss).backward()
    send_back([(parameters[k], leaf) for k, leaf in leaves.items()], target_lr)
    return per_task
