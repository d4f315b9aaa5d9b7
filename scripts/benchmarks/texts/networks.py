"""The target network of the text benchmark: a BERT encoder, means over its token states, a linear head; its training.

Ours and the trained competitors share it, so that only the way the weights come about differs. A pair goes through
the encoder together, ``[CLS] a [SEP] b [SEP]``. Shapes: n texts, t tokens, E embedding size, F head inputs, C outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ..harness import clock
from ..training import Course, Judge, Loss, Plan, hold_out
from ..training import train as train_learner

MAX_TOKENS = 128
INFERENCE_BATCH = 64
REMEMBERED_ROWS = 1000
"""Features of so many rows at most are remembered: test rows, that every draw asks for again."""
LORA_R, LORA_ALPHA, LORA_DROPOUT, LORA_MODULES = 16, 32, 0.05, ("query", "value")
"""As in the paper."""
POOL = 50
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class Encoded:
    """Token numbers and token types of n rows, unpadded; ``paired`` where they are pairs."""

    ids: list[list[int]]
    types: list[list[int]]
    paired: bool

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Sequence[int] | np.ndarray) -> Encoded:
        """Return some of the rows."""
        return Encoded([self.ids[i] for i in index], [self.types[i] for i in index], self.paired)


@dataclass(frozen=True)
class Batch:
    """Padded rows [n, t]: token numbers, token types, and which tokens are real."""

    ids: Tensor
    types: Tensor
    mask: Tensor


class Backbone:
    """A pretrained BERT encoder and its tokenizer, loaded once; every method takes its own copy of the weights.

    Parameters
    ----------
    folder : Path
        With ``config.json``, ``model.safetensors`` and ``tokenizer.json``; the packaged all-MiniLM-L6-v2 by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from transformers import AutoModel, logging

        from modelgpt_cli.parameter_generator.default_encoder import default_folder

        logging.disable_progress_bar()
        logging.set_verbosity_error()  # it warns of the pooler, which is left out
        self.folder = folder or default_folder()
        self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
        self.model: nn.Module = AutoModel.from_pretrained(self.folder, add_pooling_layer=False).float().eval()
        self.size: int = self.model.config.hidden_size  # type: ignore[union-attr,assignment]

    def copy(self) -> nn.Module:
        """Return a fresh copy of the pretrained encoder, to be changed at will."""
        return copy.deepcopy(self.model)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Encoded:
        """Tokenize; of what is too long, the end of the longer text goes first."""
        rows: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        encoded = self.tokenizer.encode_batch(rows)
        return Encoded([e.ids for e in encoded], [e.type_ids for e in encoded], pairs is not None)

    def head_inputs(self, paired: bool) -> int:
        """Return F: E for single texts, 4 E + 1 for pairs."""
        return 4 * self.size + 1 if paired else self.size


def pad(rows: Encoded) -> Batch:
    """Return the rows of a batch as tensors [n, t]."""
    width = max(len(ids) for ids in rows.ids)
    ids, types = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, (row, kinds) in enumerate(zip(rows.ids, rows.types, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        types[i, : len(row)] = torch.tensor(kinds)
        mask[i, : len(row)] = 1
    return Batch(ids, types, mask)


def features(states: Tensor, batch: Batch, paired: bool) -> Tensor:
    """Compute the head's inputs.

    Parameters
    ----------
    states : Tensor [n, t, E]

    Returns
    -------
    Tensor [n, F]
        ``u``, the mean of the first text's states (with [CLS] and its [SEP]) scaled to length 1; of pairs
        ``[u, v, |u - v|, 8 u v, 3 cos(u, v)]``, where ``v`` is the same of the second text.
    """
    u = _unit_mean(states, batch.mask * (1 - batch.types))  # [n, E]
    if not paired:
        return u
    v = _unit_mean(states, batch.mask * batch.types)
    product = u * v
    return torch.cat([u, v, (u - v).abs(), 8 * product, 3 * product.sum(1, keepdim=True)], dim=1)


def _unit_mean(states: Tensor, chosen: Tensor) -> Tensor:
    total = (states * chosen[..., None]).sum(1)  # the mean's scale goes with its length
    return total / total.norm(dim=1, keepdim=True).clamp_min(1e-9)


class Network(nn.Module):
    """Encoder and head; `encoder` may be one that peft has put adapters in."""

    def __init__(self, encoder: nn.Module, n_inputs: int, n_outputs: int, paired: bool) -> None:
        super().__init__()
        self.encoder, self.paired = encoder, paired
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, batch: Batch, bf16: bool = False) -> Tensor:
        """Return logits, or standardised numbers, [n, C]; `bf16` is the precision of the encoder's products only."""
        return self.head(embed(self.encoder, batch, self.paired, bf16))


def embed(encoder: nn.Module, batch: Batch, paired: bool, bf16: bool = False) -> Tensor:
    """Return head inputs [n, F], float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        states = encoder(
            input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.types
        ).last_hidden_state  # [n, t, E]
    return features(states.float(), batch, paired)


def by_length(rows: Encoded, size: int) -> Iterator[np.ndarray]:
    """Yield row numbers in batches of `size`, short with short: little padding."""
    order = np.argsort([len(ids) for ids in rows.ids], kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.inference_mode()
def answer(network: Network, rows: Encoded, bf16: bool = False) -> np.ndarray:
    """Return the network's outputs for any number of rows, float32 (n, C)."""
    network.eval()
    outputs = np.zeros((len(rows), network.head.out_features), dtype=np.float32)
    for index in by_length(rows, INFERENCE_BATCH):
        outputs[index] = network(pad(rows.take(index)), bf16).numpy()
    return outputs


class Embedder:
    """The frozen backbone as a function from texts to head inputs.

    What was embedded lately is remembered; `spared` keeps the wall-clock and processor seconds that this saved, so that
    a method's time can be given as if it had done all its embedding itself.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.spared = np.zeros(2)
        self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return head inputs, float32 (n, F)."""
        key = sha256("\0".join([*texts, *(pairs or ())]).encode()).hexdigest() + str(pairs is None)
        if key in self._known:
            found, seconds = self._known[key]
            self.spared = self.spared + seconds
            return found
        start = clock()
        rows = self.backbone.encode(texts, pairs)
        result = np.zeros((len(rows), self.backbone.head_inputs(rows.paired)), dtype=np.float32)
        for index in by_length(rows, INFERENCE_BATCH):
            result[index] = embed(self.backbone.model, pad(rows.take(index)), rows.paired).numpy()
        if len(rows) <= REMEMBERED_ROWS:
            self._known[key] = result, clock() - start
        return result


def make_network(backbone: Backbone, n_outputs: int, paired: bool, lora: bool) -> Network:
    """Return the pretrained encoder with a random head, whose weights come from torch's global generator."""
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
        """Yield those of `bucketed`."""
        return (rows[index] for index in bucketed(self.rows.take(rows), size, rng))

    def output(self, rows: np.ndarray) -> Tensor:
        """Return outputs [m, C] in training."""
        return self.network(pad(self.rows.take(rows)), self.bf16)

    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Return outputs (m, C), to be judged."""
        return answer(self.network, self.rows.take(rows), self.bf16)


def train(
    network: Network, rows: Encoded, target: Tensor, loss: Loss, judge: Judge, plan: Plan, seed: int, bf16: bool
) -> Course:
    """Train in place, as `training.train`, with the plan's share of the rows held out."""
    training, held_out = hold_out(target, plan.held_out, seed)
    return train_learner(TextLearner(network, rows, bf16), training, held_out, target, loss, judge, plan, seed)


def bucketed(rows: Encoded, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield all row numbers once, in random batches of `size` whose rows are about equally long."""
    lengths = np.array([len(ids) for ids in rows.ids])
    order = rng.permutation(len(rows))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), POOL * size):
        pool = order[start : start + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]
