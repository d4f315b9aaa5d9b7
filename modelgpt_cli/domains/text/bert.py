"""BERT in torch alone: transformers' `BertModel`, without the four seconds that its import takes.

Tensors have the same names, and a test holds the states equal. The shipped encoder is read by it, and models that were
made of an encoder of this kind; any other is transformers'.
Shapes: N texts, T tokens, E state size, A attention heads, H = E / A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.core.json_text import parse_json

KIND = "bert"
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}
_USUAL: Mapping[str, tuple[object, ...]] = {
    "position_embedding_type": (None, "absolute"),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "is_encoder_decoder": (None, False),
    "hidden_act": (None, *ACTIVATIONS),
    "quantization_config": (None,),
}
"""What `Bert` can do of the settings that decide what is computed; None where there is none."""


@dataclass
class BertConfig:
    """The sizes of an encoder. Names and defaults are those of transformers' `BertConfig`."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    model_type: str = KIND

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BertConfig | None:
        """Read a configuration as transformers writes it; None where `Bert` can't do what it asks for."""
        if values.get("model_type") != KIND or any(values.get(name) not in usual for name, usual in _USUAL.items()):
            return None
        return cls(**{field.name: values[field.name] for field in fields(cls) if values.get(field.name) is not None})

    def to_dict(self) -> dict[str, Any]:
        """As JSON, which transformers reads as well."""
        return asdict(self)


class States(NamedTuple):
    """What the encoder gives."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    """What enters the layers, and what leaves the last."""


class Bert(nn.Module):
    """Token ids to token states."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> States:
        """States (N, T, E) of int64 (N, T); tokens whose mask is 0 are seen by none."""
        x = self.embeddings(input_ids, token_type_ids)
        hidden = torch.zeros(attention_mask.shape, dtype=x.dtype, device=x.device)
        hidden = hidden.masked_fill(attention_mask == 0, torch.finfo(x.dtype).min)[:, None, None]  # (N, 1, 1, T)
        states = [x]
        for layer in self.encoder.layer:  # type: ignore[union-attr]
            states.append(layer(states.pop() if not output_hidden_states else states[-1], hidden))
        return States(states[-1], tuple(states) if output_hidden_states else None)


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = _table(config.vocab_size, config)
        self.position_embeddings = _table(config.max_position_embeddings, config)
        self.token_type_embeddings = _table(config.type_vocab_size, config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, types: Tensor | None) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        kinds = torch.zeros_like(ids) if types is None else types
        x = self.word_embeddings(ids) + self.token_type_embeddings(kinds) + self.position_embeddings(places)
        return self.dropout(self.LayerNorm(x))  # type: ignore[no-any-return]


def _table(rows: int, config: BertConfig) -> nn.Embedding:
    """A table without numbers. (To draw some on the "meta" device, torch imports its compiler: two seconds.)"""
    table: nn.Embedding = nn.Embedding.from_pretrained(torch.empty(rows, config.hidden_size), freeze=False)
    return table


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = _Attention(config)
        self.attention.output = _Output(config.hidden_size, config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = _Output(config.intermediate_size, config)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        x = self.attention.output(self.attention.self(x, hidden), x)  # type: ignore[operator]
        return self.output(self.activation(self.intermediate.dense(x)), x)  # type: ignore[no-any-return,operator]


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        # Not torch's fused attention, whose gradient takes twice the time of all the rest together on the CPU.
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))  # (N, A, T, H)
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + hidden
        mixed = self.dropout(scores.softmax(3)) @ v
        return mixed.transpose(1, 2).flatten(2)  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


class _Output(nn.Module):
    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + before)  # type: ignore[no-any-return]


def bert_config(folder: Path) -> BertConfig:
    """Read the configuration of a folder that is known to hold a `Bert`."""
    config = BertConfig.of(parse_json((folder / "config.json").read_text(encoding="utf-8")))
    assert config is not None
    return config


def read_bert(folder: Path) -> tuple[Bert, Tokenizer]:
    """Read an encoder and its tokenizer from a folder that is known to hold a `Bert`: the shipped one."""
    config = bert_config(folder)
    state = load_file(folder / "model.safetensors")
    left_out = ("pooler.", "embeddings.position_ids")
    with torch.device("meta"):  # no random numbers are drawn for weights that are about to be replaced
        model = Bert(config)
    model.load_state_dict({name: x.float() for name, x in state.items() if not name.startswith(left_out)}, assign=True)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
