"""The target network of the text benchmark: a BERT encoder, means over its token states, a linear head; its training.

Ours and the trained competitors share it, so that only the way the weights come about differs. A pair goes through
the encoder together, ``[CLS] a [SEP] b [SEP]``. Shapes: n texts, E embedding size, F head inputs, C outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.domains.text.backbone import Tokens
from modelgpt_cli.domains.text.inputs import head_inputs
from modelgpt_cli.domains.text.tokens import Encoded, encode, prepare_tokenizer

from ..harness import clock
from ..training import Course, Judge, Learner, Loss, Plan, hold_out
from ..training import train as train_learner

MAX_TOKENS = 128
BATCH_TOKENS = 4096
"""Of a batch without gradient, with the padding."""
REMEMBERED_ROWS = 1000
"""Features of so many rows at most are remembered: test rows, that every draw asks for again."""
LORA_R, LORA_ALPHA, LORA_DROPOUT, LORA_MODULES = 16, 32, 0.05, ("query", "value")
"""As in the paper."""
POOL = 50
"""Batches that are sorted by length together."""


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
        self.tokenizer = prepare_tokenizer(Tokenizer.from_file(str(self.folder / "tokenizer.json")), MAX_TOKENS)
        self.model: nn.Module = AutoModel.from_pretrained(self.folder, add_pooling_layer=False).float().eval()
        self.size: int = self.model.config.hidden_size

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Encoded:
        """Tokenize; of what is too long, the end of the longer text goes first."""
        return encode(self.tokenizer, texts, pairs)

    def head_inputs(self, paired: bool) -> int:
        """Return F: E for single texts, 4 E + 1 for pairs."""
        return 4 * self.size + 1 if paired else self.size


class Network(nn.Module):
    """Encoder and head; `encoder` may be one that peft has put adapters in."""

    def __init__(self, encoder: nn.Module, n_inputs: int, n_outputs: int, paired: bool) -> None:
        super().__init__()
        self.encoder, self.paired = encoder, paired
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, batch: Tokens, bf16: bool = False) -> Tensor:
        """Return logits, or standardised numbers, [n, C]; `bf16` is the precision of the encoder's products only."""
        scores: Tensor = self.head(embed(self.encoder, batch, self.paired, bf16))
        return scores


def make_network(backbone: Backbone, n_outputs: int, paired: bool, lora: bool) -> Network:
    """Return the pretrained encoder with a random head, whose weights come from torch's global generator."""
    encoder = copy.deepcopy(backbone.model)
    if lora:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=LORA_R, lora_alpha=LORA_ALPHA, lora_dropout=LORA_DROPOUT, target_modules=list(LORA_MODULES)
        )
        encoder = get_peft_model(encoder, config)
    return Network(encoder, backbone.head_inputs(paired), n_outputs, paired)


def embed(encoder: nn.Module, batch: Tokens, paired: bool, bf16: bool = False) -> Tensor:
    """Return head inputs [n, F], float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        states = encoder(
            input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.segments
        ).last_hidden_state  # [n, tokens, E]
    return head_inputs(states, batch.mask, batch.segments, paired)


@torch.inference_mode()
def answer(network: Network, rows: Encoded, bf16: bool = False) -> np.ndarray:
    """Return the network's outputs for any number of rows, float32 (n, C)."""
    network.eval()
    outputs = np.zeros((len(rows), network.head.out_features), dtype=np.float32)
    for index, batch in rows.batches(BATCH_TOKENS):
        outputs[index] = network(batch, bf16).numpy()
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
        start, paired = clock(), pairs is not None
        result = np.zeros((len(texts), self.backbone.head_inputs(paired)), dtype=np.float32)
        for index, batch in self.backbone.encode(texts, pairs).batches(BATCH_TOKENS):
            result[index] = embed(self.backbone.model, batch, paired).numpy()
        if len(texts) <= REMEMBERED_ROWS:
            self._known[key] = result, clock() - start
        return result


@dataclass(frozen=True)
class TextLearner(Learner):
    """A network with its texts."""

    network: Network
    rows: Encoded
    bf16: bool

    @property
    def groups(self) -> tuple[Iterable[nn.Parameter], Iterable[nn.Parameter]]:
        return self.network.encoder.parameters(), self.network.head.parameters()

    def batches(self, rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        return (rows[index] for index in bucketed(self.rows.lengths[rows], size, rng))

    def output(self, rows: np.ndarray) -> Tensor:
        scores: Tensor = self.network(self.rows.padded(rows), self.bf16)
        return scores

    def answer(self, rows: np.ndarray) -> np.ndarray:
        return answer(self.network, self.rows.take(rows), self.bf16)


def train(
    network: Network, rows: Encoded, target: Tensor, loss: Loss, judge: Judge, plan: Plan, seed: int, bf16: bool
) -> Course:
    """Train in place, as `training.train`, with the plan's share of the rows held out."""
    training, held_out = hold_out(target, plan.held_out, seed)
    return train_learner(TextLearner(network, rows, bf16), training, held_out, target, loss, judge, plan, seed)


def bucketed(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield all row numbers once, in random batches of `size` whose rows are about equally long."""
    order = rng.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), POOL * size):
        pool = order[start : start + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    for k in rng.permutation(len(batches)):
        yield batches[k]
