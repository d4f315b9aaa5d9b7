"""The default text encoder without transformers' imports, which cost a small build more than all its computing.

all-MiniLM-L6-v2 is a BERT encoder, and so is `torch.nn.TransformerEncoder` in post-norm order: the packaged weights are
put into it as they are. A test holds the embeddings equal to those of transformers' own model.
Shapes: n texts, t tokens, E embedding size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.core.json_text import parse_json


class MiniLM(nn.Module):
    """A BERT encoder read from a model folder (``config.json``, ``model.safetensors``, ``tokenizer.json``)."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        super().__init__()
        config = parse_json((folder / "config.json").read_text(encoding="utf-8"))
        self.size: int = config["hidden_size"]
        eps = config["layer_norm_eps"]
        state = _renamed(load_file(folder / "model.safetensors"))
        self.words, self.positions, self.types = (
            nn.Embedding.from_pretrained(state[f"{name}.weight"]) for name in ("words", "positions", "types")
        )
        with torch.device("meta"):  # no random numbers are drawn for weights that are about to be replaced
            self.norm = nn.LayerNorm(self.size, eps=eps)
            layer = nn.TransformerEncoderLayer(
                self.size,
                config["num_attention_heads"],
                config["intermediate_size"],
                activation="gelu",
                layer_norm_eps=eps,
                batch_first=True,
            )
            self.layers = nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False)
        self.load_state_dict(state, assign=True)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_tokens)
        self.tokenizer.enable_padding()

    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token states (n, t, E) and the attention mask (n, t)."""
        encoded = self.tokenizer.encode_batch(texts)
        device = self.words.weight.device
        ids = torch.tensor([e.ids for e in encoded], device=device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=device)
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0]
        return self.layers(self.norm(x), src_key_padding_mask=mask == 0), mask


_LAYER = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's parameter names to those of `MiniLM`; the pooler is left out."""
    names = {
        "word_embeddings.weight": "words.weight",
        "position_embeddings.weight": "positions.weight",
        "token_type_embeddings.weight": "types.weight",
        "LayerNorm.weight": "norm.weight",
        "LayerNorm.bias": "norm.bias",
    }
    result = {new: state[f"embeddings.{old}"] for old, new in names.items()}
    n_layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("encoder.layer."))
    for i in range(n_layers):
        old, new = f"encoder.layer.{i}.", f"layers.layers.{i}."
        for end in ("weight", "bias"):
            parts = [state[f"{old}attention.self.{part}.{end}"] for part in ("query", "key", "value")]
            result[f"{new}self_attn.in_proj_{end}"] = torch.cat(parts)
            result |= {f"{new}{b}.{end}": state[f"{old}{a}.{end}"] for a, b in _LAYER.items()}
    return result
