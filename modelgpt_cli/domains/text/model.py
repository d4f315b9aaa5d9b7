"""The target model of texts: tokens in, probabilities or a number out. This is what is tuned and exported.

Shapes: N rows, T tokens, E state size, P head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.names import BACKBONE, CONSTANTS, HEAD_BIAS, HEAD_WEIGHT, TARGET
from modelgpt_cli.domains.shared.novelty import Novelty
from modelgpt_cli.domains.shared.target_scale import in_own_unit
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.backbone import Tokens
from modelgpt_cli.domains.text.bert import Bert, BertConfig
from modelgpt_cli.domains.text.inputs import encoder_inputs
from modelgpt_cli.domains.text.lexical import LexicalScores
from modelgpt_cli.domains.text.multilingual import KIND as MULTILINGUAL
from modelgpt_cli.domains.text.multilingual import MultilingualConfig, MultilingualEncoder
from modelgpt_cli.domains.text.requirement import ROLES
from modelgpt_cli.domains.text.sentence_encoder import SentenceEncoder
from modelgpt_cli.domains.text.static import KIND as STATIC
from modelgpt_cli.domains.text.static import StaticConfig, StaticEncoder
from modelgpt_cli.domains.text.tokens import Encoded, encode
from modelgpt_cli.runtime.session import TOKENIZER, damaged

TOKENS = 512
"""Tokens of a batch, with the padding: larger ones of mixed lengths are mostly padding."""
WITH_WORDS = 0.5
"""Share of the rows that a step of tuning shows with what their words add."""


class TextModel(nn.Module):
    """An encoder, adapted, with a head.

    Parameters
    ----------
    blueprint : Blueprint
        Its used columns are one text, or two of a pair (in that order); `architecture.encoder` is the encoder's
        configuration as transformers writes it.
    state : mapping of str to Tensor
        * ``backbone.*``: the encoder's parameters by transformers' names, the LoRA factors merged into them
        * ``head.weight`` (P, C), ``head.bias`` (C,): in logits, or in standard deviations of the target
        * ``constants.target`` (2,), for regression
        * ``constants.novelty.*``, where the blueprint has a novelty; see `Novelty`
        * ``lexical.weight``, ``constants.lexical.*``, where words have weights of their own; see `LexicalScores`
    tokenizer : Tokenizer
        From `prepare_tokenizer`: it cuts at the window.
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor], tokenizer: Tokenizer) -> None:
        super().__init__()
        self.blueprint, self.tokenizer = blueprint, tokenizer
        self.pair = len(blueprint.used) == 2
        weights = {k[len(BACKBONE) :]: _number(v) for k, v in state.items() if k.startswith(BACKBONE)}
        self.encoder = make_encoder(blueprint.architecture.encoder, weights)
        self.type_ids = (blueprint.architecture.encoder.get("type_vocab_size") or 0) > 1
        self.head_weight = nn.Parameter(state[HEAD_WEIGHT].float().clone())
        self.head_bias = nn.Parameter(state[HEAD_BIAS].float().clone())
        self.constants = {"target": state[TARGET]} if TARGET in state else {}
        self.novelty = Novelty.of_state(state)
        self.lexical = LexicalScores.of_state(state, self.pair)
        self.eval()

    def state(self) -> dict[str, Tensor]:
        """Parameters and constants, as `__init__` takes them."""
        weights = {BACKBONE + k: v.detach() for k, v in self.encoder.state_dict().items()}
        constants = {CONSTANTS + k: v for k, v in self.constants.items()}
        constants |= {} if self.novelty is None else self.novelty.state()
        constants |= {} if self.lexical is None else self.lexical.state()
        return weights | {HEAD_WEIGHT: self.head_weight.detach(), HEAD_BIAS: self.head_bias.detach()} | constants

    @property
    def columns(self) -> tuple[Column, ...]:
        """The text, or the two of a pair in their order."""
        return text_columns(self.blueprint.used)

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer with its window, as a model file carries it."""
        text: str = self.tokenizer.to_str()
        return text

    def extras(self) -> dict[str, str]:
        """Return the tokenizer, which a file holds beside the tensors."""
        return {TOKENIZER: self.tokenizer_json}

    def empty_rows(self) -> pd.DataFrame:
        """Return one row without a text."""
        return typed(pd.DataFrame(index=[0]), self.blueprint.used)

    @property
    def target_std(self) -> float:
        """The target's standard deviation; 1 where it is classes."""
        return float(self.constants["target"][1]) if self.blueprint.task == "regression" else 1.0

    def head_inputs(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """What the head sees, (N, P), from int64 (N, T) each; see `Tokens`."""
        words = self.blueprint.architecture.word_layer
        return encoder_inputs(self.encoder, ids, mask, segments, self.pair, self.type_ids, words)

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Logits (N, C), or the target in its own unit (N, 1), from int64 (N, T) each; see `Tokens`."""
        scores = self.head_inputs(ids, mask, segments) @ self.head_weight + self.head_bias
        if self.lexical is not None:
            scores = scores + self._lexical_scores(ids, mask, segments)
        if self.blueprint.task == "regression":
            return in_own_unit(scores, self.constants["target"])
        return scores

    def _lexical_scores(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """What the words add, (N, C); in training for some rows only, so that the encoder goes on learning."""
        assert self.lexical is not None
        found: Tensor = self.lexical(ids, mask, segments)
        return found * (torch.rand(len(found), 1, device=found.device) < WITH_WORDS) if self.training else found

    def answers(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """What the graph gives: probabilities (N, C), or predictions (N, 1)."""
        scores = self.forward(ids, mask, segments)
        if self.blueprint.multi_label:
            return scores.sigmoid()
        return scores.softmax(1) if self.blueprint.task == "classification" else scores

    def encode(self, frame: pd.DataFrame) -> Encoded:
        """Tokenise the rows of a typed frame."""
        columns = [_texts(frame, column) for column in self.columns]
        return encode(self.tokenizer, columns[0], columns[1] if self.pair else None)

    @torch.inference_mode()
    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities (N, C) or predictions (N, 1) of a typed frame, float32."""
        return self.predict_encoded(self.encode(frame))

    @torch.inference_mode()
    def inputs(self, rows: Encoded) -> Tensor:
        """Head inputs of tokenised rows, (N, P) float32."""
        result = torch.zeros(len(rows), len(self.head_weight))
        device = str(self.head_weight.device)
        for index, batch in rows.batches(TOKENS):
            t = batch.to(device)
            result[torch.from_numpy(index)] = self.head_inputs(t.ids, t.mask, t.segments).cpu()
        return result

    @torch.inference_mode()
    def scores_of_inputs(self, inputs: Tensor, rows: Encoded) -> Tensor:
        """Logits, or the standardised target, (N, C) of tokenised rows whose head inputs (N, P) are known."""
        scores = inputs @ self.head_weight + self.head_bias
        return scores if self.lexical is None else scores + self.lexical.of_rows(rows)

    @torch.inference_mode()
    def predict_encoded(self, rows: Encoded) -> np.ndarray:
        """As `predict`, of tokenised rows."""
        wide = "target" in self.constants and self.constants["target"].dtype == torch.float64
        result = np.zeros((len(rows), self.blueprint.n_outputs), dtype=np.float64 if wide else np.float32)
        device = self.head_weight.device
        for index, batch in rows.batches(TOKENS):
            t: Tokens = batch.to(str(device))
            result[index] = self.answers(t.ids, t.mask, t.segments).cpu().numpy()
        return result


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> TextModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        There is no tokenizer, or the encoder can't be rebuilt.
    """
    if not extras.get(TOKENIZER):
        raise damaged(path, "It carries no tokenizer.")
    return TextModel(blueprint, state, load_tokenizer(extras[TOKENIZER]))


def text_columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return the text, then the second one of a pair."""
    return tuple(sorted(columns, key=lambda column: ROLES.index(column.role or ROLES[0])))


def _number(value: Tensor) -> Tensor:
    """A tensor in float32, but for a table of 8-bit integers."""
    return value.float() if value.is_floating_point() else value


def make_encoder(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """An encoder, of ours or transformers', from its configuration and parameters, in eval mode.

    Raises
    ------
    ModelGPTError
        If this version of transformers doesn't know its kind, or the weights don't fit it.
    """
    if config.get("model_type") in OURS or BertConfig.of(config) is not None:
        return _make_ours(config, weights)
    from transformers import AutoConfig, AutoModel

    values = dict(config)
    try:
        settings = AutoConfig.for_model(values.pop("model_type"), **values)
        with torch.device("meta"):  # no random numbers are drawn for weights that are about to be replaced
            model: nn.Module = AutoModel.from_config(settings, attn_implementation="eager")
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # type: ignore[assignment]
        model.load_state_dict(dict(weights), assign=True)
        _fill_buffers(model)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ModelGPTError("The model's encoder can't be rebuilt.", " ".join(str(error).split())[:300]) from error
    return model.eval()


def _multilingual(config: Mapping[str, Any]) -> nn.Module:
    return MultilingualEncoder(MultilingualConfig(int(config["vocab_size"]), float(config["eps"])))


def _static(config: Mapping[str, Any]) -> nn.Module:
    return StaticEncoder(StaticConfig(int(config["vocab_size"]), hidden_size=int(config["hidden_size"])))


def _bert(config: Mapping[str, Any]) -> nn.Module:
    found = BertConfig.of(config)
    assert found is not None
    return Bert(found)


OURS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {MULTILINGUAL: _multilingual, STATIC: _static}
"""Kind → what makes an encoder of its configuration, of those that transformers doesn't know."""


def _make_ours(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    try:
        with torch.device("meta"):
            model = OURS.get(config["model_type"], _bert)(config)
        model.load_state_dict(dict(weights), assign=True)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ModelGPTError("The model's encoder can't be rebuilt.", " ".join(str(error).split())[:300]) from error
    return model.eval()


def _fill_buffers(model: nn.Module) -> None:
    """Give buffers that are not kept with the weights (positions, mostly) their values."""
    for module in model.modules():
        for name, buffer in list(module._buffers.items()):
            if buffer is None or buffer.device.type != "meta":
                continue
            if name == "position_ids":
                module._buffers[name] = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            elif name == "token_type_ids":
                module._buffers[name] = torch.zeros(buffer.shape, dtype=torch.long)
            else:
                raise ValueError(f"its buffer {name} is not among the weights")


def encoder_config(model: nn.Module) -> dict[str, Any]:
    """An encoder's configuration for a blueprint: what differs from transformers' defaults, without paths."""
    if isinstance(model, SentenceEncoder | Bert):
        return model.config.to_dict()
    values: dict[str, Any] = model.config.to_diff_dict()  # type: ignore[union-attr,operator]
    drop = ("_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype", "gradient_checkpointing")
    return {"model_type": model.config.model_type} | {k: v for k, v in values.items() if k not in drop}  # type: ignore[union-attr]


def _texts(frame: pd.DataFrame, column: Column) -> Sequence[str]:
    """A column's cells; a missing one, or column, is an empty text."""
    if column.name not in frame:
        return [""] * len(frame)
    return ["" if c is None or c != c else str(c) for c in frame[column.name].tolist()]
