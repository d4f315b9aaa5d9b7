"""Text models with random parameters and a tokenizer of a few words, for tests that need no generator and no hub."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.text.model import TextModel, encoder_config
from modelgpt_cli.domains.text.tokens import prepare_tokenizer
from modelgpt_cli.parameter_generator.default_encoder import default_folder

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = "the good bad film book was very not and ##s ##ing ##er slow quick"
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}


def tiny_tokenizer() -> Tokenizer:
    """WordPiece of BERT's kind: letters, digits, some punctuation and a few words."""
    characters = string.ascii_lowercase + string.digits + ".,!?-'éжか"
    pieces = [*SPECIAL, *WORDS.split(), *characters, *("##" + c for c in characters)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def tiny_text_model(
    kind: str = "bert",
    *,
    labels: Sequence[str] = (),
    pair: bool = False,
    columns: Sequence[str] = ("text", "other"),
    window: int = 24,
    target: tuple[float, float] = (2.5, 1.5),
    seed: int = 0,
    **config: Any,
) -> TextModel:
    """An encoder of 2 layers with random weights: a classifier if it has `labels`, else a regressor."""
    tokenizer = tiny_tokenizer()
    sizes = {"vocab_size": tokenizer.get_vocab_size(), **SIZES, **config}
    torch.manual_seed(seed)
    encoder = AutoModel.from_config(AutoConfig.for_model(kind, **sizes), attn_implementation="eager")
    for parameter in encoder.parameters():
        if parameter.ndim == 2:  # far from the flat start that such weights are drawn for
            parameter.data.mul_(4)
    return text_model(encoder, tokenizer, labels=labels, pair=pair, columns=columns, window=window, target=target)


def default_text_model(*, labels: Sequence[str], window: int = 128) -> TextModel:
    """The encoder that is installed along, with a random head."""
    folder = default_folder()
    encoder = AutoModel.from_pretrained(str(folder), attn_implementation="eager")
    return text_model(encoder, Tokenizer.from_file(str(folder / "tokenizer.json")), labels=labels, window=window)


def text_model(
    encoder: Any,
    tokenizer: Tokenizer,
    *,
    labels: Sequence[str] = (),
    pair: bool = False,
    columns: Sequence[str] = ("text", "other"),
    window: int = 24,
    target: tuple[float, float] = (2.5, 1.5),
) -> TextModel:
    """A text model of an encoder, with a random head."""
    encoder.pooler = None
    size = encoder.config.hidden_size
    n_inputs, n_outputs = (4 * size + 1 if pair else size), len(labels) or 1
    state = {f"backbone.{name}": value for name, value in encoder.state_dict().items()}
    spread = 4.0 if labels else 0.5
    state["head.weight"] = spread * torch.randn(n_inputs, n_outputs, generator=torch.Generator().manual_seed(1))
    state["head.bias"] = torch.zeros(n_outputs)
    if not labels:
        state["constants.target"] = torch.tensor(target)
    roles = ("text", "pair")[: 1 + pair]
    blueprint = Blueprint(
        task="classification" if labels else "regression",
        target="label",
        labels=tuple(labels),
        columns=tuple(Column(name, "text", role=role) for name, role in zip(columns, roles, strict=False)),
        requirement="Say what it is.",
        architecture=Architecture(card="tiny", max_tokens=window, encoder=encoder_config(encoder)),
        domain="text",
    )
    return TextModel(blueprint, state, prepare_tokenizer(tokenizer, window))
