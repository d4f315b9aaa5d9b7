"""The target model of marked texts: words in, scores of their tags out; transitions decide which tags are given.

Shapes: N windows, T tokens, W words, E state size, K layers that are read, D = K E, P head inputs, L tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.names import BACKBONE, CONSTANTS, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.model import make_encoder
from modelgpt_cli.domains.text.spans.architectures import N_SHAPES
from modelgpt_cli.domains.text.spans.words import SHAPES, WORDS, Windows, make_windows, read_texts
from modelgpt_cli.domains.text.token_rows import IDS, MASK
from modelgpt_cli.runtime.session import TOKENIZER, damaged

MEAN, SCALE = CONSTANTS + "states.mean", CONSTANTS + "states.scale"
"""What makes the states of each layer that is read alike in all directions, (K, E) each."""
NEIGHBOUR = 0.5
"""How much less the neighbours' states count, before the prior's precision: with 1 the F1 at 32 texts was .03 lower."""
EPS = 1e-6


class SpanModel(nn.Module):
    """An encoder, as it was trained, with a head on its words.

    Parameters
    ----------
    blueprint : Blueprint
        `decoding` has the tags, the transitions and the layers that are read.
    state : mapping of str to Tensor
        ``backbone.*``; ``head.weight`` (P, L + H), ``head.bias`` (L + H,), of which the last H columns are of tags of
        kinds that are none of the classes (see `kinds`); ``constants.states.mean`` and ``.scale`` (K, E).
    tokenizer : Tokenizer
        Without truncation.
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor], tokenizer: Tokenizer) -> None:
        super().__init__()
        self.blueprint, self.tokenizer = blueprint, tokenizer
        weights = {k[len(BACKBONE) :]: v.float() for k, v in state.items() if k.startswith(BACKBONE)}
        self.encoder = make_encoder(blueprint.architecture.encoder, weights)
        self.layers: list[int] = [int(layer) for layer in blueprint.decoding["layers"]]
        self.head_weight = nn.Parameter(state[HEAD_WEIGHT].float().clone())
        self.head_bias = nn.Parameter(state[HEAD_BIAS].float().clone())
        self.mean, self.scale = state[MEAN].float(), state[SCALE].float()
        self.eval()

    def state(self) -> dict[str, Tensor]:
        """Parameters and constants, as `__init__` takes them."""
        weights = {BACKBONE + k: v.detach() for k, v in self.encoder.state_dict().items()}
        head = {HEAD_WEIGHT: self.head_weight.detach(), HEAD_BIAS: self.head_bias.detach()}
        return weights | head | {MEAN: self.mean, SCALE: self.scale}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The text."""
        return self.blueprint.used

    def extras(self) -> dict[str, str]:
        """Return the tokenizer, which a file holds beside the tensors."""
        return {TOKENIZER: self.tokenizer.to_str()}

    def empty_rows(self) -> pd.DataFrame:
        """Return one row without a text."""
        return typed(pd.DataFrame(index=[0]), self.blueprint.used)

    @property
    def target_std(self) -> float:
        """1: there are no numbers."""
        return 1.0

    def head_inputs(self, ids: Tensor, mask: Tensor, words: Tensor, shapes: Tensor) -> Tensor:
        """What the head sees of each word, (N, W, P), from the graph's inputs; see `spans.words`."""
        states = word_states(self.encoder, self.layers, ids, mask, words, shapes.shape[1] - 2)
        return word_inputs(standard(states, self.mean, self.scale), shapes)

    def forward(self, ids: Tensor, mask: Tensor, words: Tensor, shapes: Tensor) -> Tensor:
        """Logarithms of the probabilities of each word's tags, (N, W, L)."""
        return self.scores(self.head_inputs(ids, mask, words, shapes))

    def scores(self, inputs: Tensor) -> Tensor:
        """Logarithms of the probabilities of tags, (..., L), by head inputs (..., P)."""
        return tag_scores(inputs @ self.head_weight + self.head_bias, self.n_tags)

    @property
    def n_tags(self) -> int:
        """L: the tags of the classes, and that of words in no span."""
        return 1 + 2 * len(self.blueprint.labels)

    def windows(self, texts: Sequence[str]) -> Windows:
        """Cut texts into windows."""
        return make_windows(read_texts(self.tokenizer, texts), self.tokenizer, self.blueprint.architecture.max_tokens)

    def texts(self, frame: pd.DataFrame) -> list[str]:
        """Return a typed frame's texts; a missing one is empty."""
        name = self.columns[0].name
        return ["" if c is None or c != c else str(c) for c in frame[name]] if name in frame else [""] * len(frame)

    @torch.inference_mode()
    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Scores of the tags of all windows' words, one behind the other, (words of all windows, L) float32."""
        windows = self.windows(self.texts(frame))
        found: list[np.ndarray] = [np.zeros((0, self.n_tags), np.float32)] * len(windows.ids)
        for rows, inputs in windows.batches():
            scores = self.forward(*tensors(inputs)).numpy()
            for i, row in enumerate(rows):
                low, high = windows.words[row]
                found[row] = scores[i, : high - low]
        return np.concatenate([np.zeros((0, self.n_tags), np.float32), *found])


def tensors(inputs: Mapping[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the graph's inputs as `SpanModel.forward` takes them."""
    ids, mask, words, shapes = (torch.from_numpy(inputs[name]) for name in (IDS, MASK, WORDS, SHAPES))
    return ids, mask, words, shapes


def word_states(encoder: nn.Module, layers: Sequence[int], ids: Tensor, mask: Tensor, words: Tensor, n: int) -> Tensor:
    """Mean states of the pieces of each of `n` words, by the layers that are read: (K, N, W, E)."""
    hidden = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    states = torch.stack([hidden[layer] for layer in layers])  # (K, N, T, E)
    of = (words[:, None, :] == torch.arange(1, n + 1)[None, :, None]).float()  # (N, W, T)
    share = of / of.sum(2, keepdim=True).clamp(min=1)
    return share @ states.float()


def standard(states: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """States (K, N, W, E) alike in all directions, each of length 1, layers side by side: (N, W, D)."""
    centred = (states - mean[:, None, None]) / scale[:, None, None]
    unit = centred / centred.norm(dim=-1, keepdim=True).clamp(min=EPS)
    return torch.cat(list(unit), -1)


def word_inputs(states: Tensor, shapes: Tensor) -> Tensor:
    """What the head sees of each word (N, W, P): states (N, W, D) and shape (N, W + 2) of it, of the word before and of
    the one behind. Beyond a window there are no states."""
    padded = F.pad(states, (0, 0, 1, 1))
    present = (shapes != 0).to(states.dtype)[..., None]  # behind the last word there is nothing, whatever is computed
    padded = padded * present
    kinds = F.one_hot(shapes, N_SHAPES).to(states.dtype)  # (N, W + 2, S)
    sides = [padded[:, :-2] * NEIGHBOUR, kinds[:, :-2], padded[:, 2:] * NEIGHBOUR, kinds[:, 2:]]
    return torch.cat([states, kinds[:, 1:-1], *sides], -1)


def tag_scores(logits: Tensor, n_tags: int) -> Tensor:
    """Logarithms of the probabilities of tags, (..., L), by logits (..., L + H): what is rather one of the H tags of
    other kinds is in no span."""
    found = logits.log_softmax(-1)
    if n_tags == found.shape[-1]:
        return found
    rest = torch.cat([found[..., :1], found[..., n_tags:]], -1).logsumexp(-1, keepdim=True)
    return torch.cat([rest, found[..., 1:n_tags]], -1)


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> SpanModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        There is no tokenizer, or the encoder can't be rebuilt.
    """
    if not extras.get(TOKENIZER):
        raise damaged(path, "It carries no tokenizer.")
    return SpanModel(blueprint, state, load_tokenizer(extras[TOKENIZER]))


def cut_encoder(encoder: nn.Module, layers: int) -> nn.Module:
    """Leave an encoder of BERT's kind its first so many layers."""
    model: Any = encoder
    model.encoder.layer = model.encoder.layer[:layers]
    model.config.num_hidden_layers = layers
    return encoder
