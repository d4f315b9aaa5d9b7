"""A text build's numbers: the generator's words made into factors, every labelled row embedded once.

The head is solved by `domains.head`. Shapes: N rows, P head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.shared.head import HeadSource
from modelgpt_cli.domains.text.backbone import Shown, StaticBackbone, Tokens
from modelgpt_cli.domains.text.inputs import encoder_inputs
from modelgpt_cli.domains.text.tokens import Encoded
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, Words

BATCH_TOKENS = 4096
NAME_SCALE = 4.0
"""Logits per unit of cosine between a text and a class name, where the encoder has no generator."""


@dataclass(kw_only=True)
class Adapted(HeadSource):
    """A backbone with the generated factors merged in, and what the head is generated from.

    Attributes
    ----------
    encoder : nn.Module
        transformers' module, or one of ours.
    """

    encoder: nn.Module
    type_ids: bool

    @torch.inference_mode()
    def embed(self, rows: Encoded, pair: bool, word_layer: bool = False) -> Tensor:
        """Head inputs of all rows, (N, P) float32; for `word_layer` see `encoder_inputs`."""
        device = next(chain(self.encoder.parameters(), self.encoder.buffers())).device
        parts, order = [], []
        # As in meta-training: what a head is solved on bears rounding, and this is most of a build's time.
        bf16 = torch.autocast(device.type, dtype=torch.bfloat16, enabled=multiplies_bf16("auto", device.type))
        with bf16, progress("embed texts", len(rows)) as advance:
            for index, batch in rows.batches(BATCH_TOKENS):
                parts.append(self._inputs(batch.to(str(device)), pair, word_layer).cpu())
                order.append(torch.from_numpy(index))
                advance(len(index))
        return torch.cat(parts)[torch.argsort(torch.cat(order))]

    def _inputs(self, batch: Tokens, pair: bool, word_layer: bool) -> Tensor:
        types = self.type_ids
        return encoder_inputs(self.encoder, batch.ids, batch.mask, batch.segments, pair, types, word_layer).float()


@torch.inference_mode()
def adapt(
    backbone: Shown,
    generator: AdapterGenerator | None,
    words: Words,
    names: Encoded | None,
    *,
    device: str = "cpu",
) -> Adapted:
    """Let the generator write the factors, and merge them into a copy of the backbone.

    Parameters
    ----------
    names : Encoded, optional
        Class names as texts (C,), where there are any.
    """
    lora, tokens = generator.adapt(words) if generator is not None else ({}, None)
    encoder = backbone.merge(lora).to(device).eval()
    adapted = Adapted(encoder=encoder, type_ids=backbone.type_ids, words=words, generator=generator, tokens=tokens)
    static = isinstance(backbone, StaticBackbone)
    if names is not None and not words.pair and (generator is not None or static):
        adapted.named = adapted.embed(names, False)
        adapted.name_scale = NAME_SCALE if static else 0.0
    return adapted


def word_model(texts: Sequence[str], regression: bool) -> tuple[Any, np.ndarray]:
    """A linear model of the words counted, and the texts (N,) for it to read."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    linear = Ridge() if regression else LogisticRegression(C=10.0, max_iter=200)
    words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2))
    return make_pipeline(words, linear), np.array(list(texts), dtype=object)
