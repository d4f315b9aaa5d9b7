"""Training of the competitors on texts and images: AdamW, warm-up, the best epoch by held-out rows.

The domain gives what a row is, how rows are put into batches, and the network's outputs.
Shapes: n rows, m of them, C outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

WARM_UP, CLIP = 0.06, 1.0
"""Share of the steps; norm of the gradient."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    batch: int
    lr: float
    """Of the body's weights, or of its adapters."""
    head_lr: float
    epochs: int
    """At most."""
    least_steps: int = 0
    """Where the epochs are shorter than that, there are more of them."""
    most_steps: int = 0
    """Where the epochs are longer than that, there are fewer of them; 0 for no limit."""
    held_out: float = 0.0
    """Share of the rows that choose the epoch to keep."""
    patience: int = 3
    """Epochs without progress on the held-out rows that end the training."""
    lora: bool = False


@dataclass(frozen=True)
class Course:
    """How a training went: epochs begun and finished, the one that was kept, optimiser steps."""

    epochs: int
    best_epoch: int
    steps: int


Loss = Callable[[Tensor, Tensor], Tensor]
Judge = Callable[[np.ndarray, np.ndarray], float]
"""(rows' numbers (m,), the network's outputs for them (m, C)) -> score, the higher the better."""


class Learner(ABC):
    """A network with its rows, as `train` needs it."""

    network: nn.Module

    @property
    @abstractmethod
    def groups(self) -> tuple[Iterable[nn.Parameter], Iterable[nn.Parameter]]:
        """Parameters of the body and of the head; those without gradient are left out."""

    @abstractmethod
    def batches(self, rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterable[np.ndarray]:
        """Yield all of some rows' numbers once, in random batches."""

    @abstractmethod
    def output(self, rows: np.ndarray) -> Tensor:
        """Return the network's outputs [m, C] in training."""

    @abstractmethod
    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Return the network's outputs (m, C), to be judged."""


def train(
    learner: Learner, training: np.ndarray, held_out: np.ndarray, target: Tensor, loss: Loss, judge: Judge, plan: Plan,
    seed: int,
) -> Course:  # fmt: skip
    """Train in place.

    Parameters
    ----------
    training, held_out : int (m,)
        Numbers of the rows to train with, and of those that choose the epoch to keep; without any, the last is kept.
    target : Tensor (n,) int64 or [n, 1] float32
        Classes, or standardised numbers, of all rows.
    judge : callable
        Scores the held-out rows after every epoch.
    """
    rng = np.random.default_rng(seed)
    network = learner.network
    optimiser, scheduler, epochs = _optimiser(learner, plan, math.ceil(len(training) / plan.batch))
    best, best_epoch, kept, steps, epoch = -math.inf, 0, _trained(network), 0, 0
    for epoch in range(1, epochs + 1):
        network.train()
        for chosen in learner.batches(training, plan.batch, rng):
            optimiser.zero_grad(set_to_none=True)
            loss(learner.output(chosen), target[chosen]).backward()
            nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], CLIP)
            optimiser.step()
            scheduler.step()
            steps += 1
        if not len(held_out):
            continue
        score = judge(held_out, learner.answer(held_out))
        if score > best:
            best, best_epoch, kept = score, epoch, _trained(network)
        elif epoch - best_epoch >= plan.patience:
            break
    if len(held_out):
        network.load_state_dict(kept, strict=False)
    return Course(epoch, best_epoch or epoch, steps)


def hold_out(target: Tensor, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers to train with and to choose the epoch with; stratified where the targets are classes."""
    index = np.arange(len(target))
    if not share:
        return index, index[:0]
    strata = None if target.is_floating_point() else target.numpy()
    training, held_out = train_test_split(index, test_size=share, random_state=seed, stratify=strata)
    return training, held_out


def _optimiser(
    learner: Learner, plan: Plan, steps_an_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR, int]:
    """Return AdamW, its linear warm-up and decay over the epochs that there are at most, and their number."""
    epochs = max(plan.epochs, math.ceil(plan.least_steps / steps_an_epoch))
    if plan.most_steps:
        epochs = max(1, min(epochs, plan.most_steps // steps_an_epoch))
    total = epochs * steps_an_epoch
    warm_up = max(1, round(WARM_UP * total))
    body, head = ([p for p in group if p.requires_grad] for group in learner.groups)
    groups = [{"params": body, "lr": plan.lr}, {"params": head, "lr": plan.head_lr}]
    optimiser = torch.optim.AdamW(groups, fused=True)  # else a step costs a quarter of a small batch
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm_up, (total - step) / max(1, total - warm_up))
    )
    return optimiser, scheduler, epochs


def _trained(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the parameters that are trained."""
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
