"""How the text benchmark's competitors are trained: all weights or adapters, texts of like length together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from benchmark_text_networks import Backbone, Encoded, Network, answer, pad
from benchmark_training import Course, Judge, Loss, Plan, hold_out
from benchmark_training import train as train_learner
from torch import Tensor, nn

LORA_R, LORA_ALPHA, LORA_DROPOUT, LORA_MODULES = 16, 32, 0.05, ("query", "value")
"""As in the paper."""
POOL = 50
"""Batches that are sorted by length together."""


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


@dataclass(frozen=True)
class TextLearner:
    """A network with its texts."""

    network: Network
    rows: Encoded
    bf16: bool

    @property
    def groups(self) -> tuple[Iterable[nn.Parameter], Iterable[nn.Parameter]]:
        """Encoder and head."""
        return self.network.encoder.parameters(), self.network.head.parameters()

    def batches(self, rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Those of `bucketed`."""
        return (rows[index] for index in bucketed(self.rows.take(rows), size, rng))

    def output(self, rows: np.ndarray) -> Tensor:
        """Outputs [m, C] in training."""
        return self.network(pad(self.rows.take(rows)), self.bf16)

    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Outputs (m, C), to be judged."""
        return answer(self.network, self.rows.take(rows), self.bf16)


def train(
    network: Network, rows: Encoded, target: Tensor, loss: Loss, judge: Judge, plan: Plan, seed: int, bf16: bool
) -> Course:
    """Train in place, as `benchmark_training.train`, with the plan's share of the rows held out."""
    training, held_out = hold_out(target, plan.held_out, seed)
    return train_learner(TextLearner(network, rows, bf16), training, held_out, target, loss, judge, plan, seed)


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
