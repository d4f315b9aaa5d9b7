"""How the text benchmark's competitors are trained: all weights or adapters, with or without a validation split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from benchmark_text_networks import Backbone, Encoded, Network, answer, pad
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

LORA_R, LORA_ALPHA, LORA_DROPOUT, LORA_MODULES = 16, 32, 0.05, ("query", "value")
"""As in the paper."""
WARM_UP, CLIP, POOL = 0.06, 1.0, 50
"""Share of the steps; norm of the gradient; batches that are sorted by length together."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    batch: int
    lr: float
    """Of the encoder's weights, or of its adapters."""
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
    """What came of a training: epochs begun and finished, the one that was kept, optimiser steps."""

    epochs: int
    best_epoch: int
    steps: int


Loss = Callable[[Tensor, Tensor], Tensor]
Judge = Callable[[np.ndarray, np.ndarray], float]
"""(rows' numbers (m,), the network's outputs for them (m, C)) -> score, the higher the better."""


def make_network(backbone: Backbone, n_outputs: int, paired: bool, lora: bool) -> Network:
    """The pretrained encoder with a random head, whose weights come from torch's global generator."""
    encoder = backbone.copy()
    if lora:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=LORA_R, lora_alpha=LORA_ALPHA, lora_dropout=LORA_DROPOUT, target_modules=list(LORA_MODULES)
        )
        encoder = get_peft_model(encoder, config)  # type: ignore[arg-type]
    return Network(encoder, backbone.head_inputs(paired), n_outputs, paired)


def train(
    network: Network, rows: Encoded, target: Tensor, loss: Loss, judge: Judge, plan: Plan, seed: int, bf16: bool
) -> Course:
    """Train in place.

    Parameters
    ----------
    target : Tensor (n,) int64 or [n, 1] float32
        Classes, or standardised numbers.
    judge : callable
        Scores the held-out rows after every epoch; unused where the plan holds none out.
    """
    rng = np.random.default_rng(seed)
    training, held_out = hold_out(target, plan.held_out, seed)
    optimiser, scheduler, epochs = _optimiser(network, plan, math.ceil(len(training) / plan.batch))
    best, best_epoch, kept, steps, epoch = -math.inf, 0, _trained(network), 0, 0
    for epoch in range(1, epochs + 1):
        network.train()
        for index in bucketed(rows.take(training), plan.batch, rng):
            chosen = training[index]
            optimiser.zero_grad(set_to_none=True)
            loss(network(pad(rows.take(chosen)), bf16), target[chosen]).backward()
            nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], CLIP)
            optimiser.step()
            scheduler.step()
            steps += 1
        if not len(held_out):
            continue
        score = judge(held_out, answer(network, rows.take(held_out), bf16))
        if score > best:
            best, best_epoch, kept = score, epoch, _trained(network)
        elif epoch - best_epoch >= plan.patience:
            break
    if len(held_out):
        network.load_state_dict(kept, strict=False)
    return Course(epoch, best_epoch or epoch, steps)


def bucketed(rows: Encoded, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All row numbers once, in random batches of `size` whose rows are about equally long."""
    lengths = np.array([len(ids) for ids in rows.ids])
    order = rng.permutation(len(rows))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), POOL * size):
        pool = order[start : start + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]


def hold_out(target: Tensor, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train with and to choose the epoch with; stratified where the targets are classes."""
    index = np.arange(len(target))
    if not share:
        return index, index[:0]
    strata = None if target.is_floating_point() else target.numpy()
    training, held_out = train_test_split(index, test_size=share, random_state=seed, stratify=strata)
    return training, held_out


def _optimiser(
    network: Network, plan: Plan, steps_an_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR, int]:
    """AdamW, its linear warm-up and decay over the epochs that there are at most, and their number."""
    epochs = max(plan.epochs, math.ceil(plan.least_steps / steps_an_epoch))
    if plan.most_steps:
        epochs = max(1, min(epochs, plan.most_steps // steps_an_epoch))
    total = epochs * steps_an_epoch
    warm_up = max(1, round(WARM_UP * total))
    body = [p for p in network.encoder.parameters() if p.requires_grad]
    groups = [{"params": body, "lr": plan.lr}, {"params": list(network.head.parameters()), "lr": plan.head_lr}]
    optimiser = torch.optim.AdamW(groups, fused=True)  # else a step costs a quarter of a small batch
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm_up, (total - step) / max(1, total - warm_up))
    )
    return optimiser, scheduler, epochs


def _trained(network: Network) -> dict[str, Tensor]:
    """A copy of the parameters that are trained."""
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
