"""The default text encoder as a model file carries it: its matrices rounded to 8-bit integers, a scale a channel.

Builds embed with the rounded weights too, so that what is exported is what the model was fitted with.
Shapes: n texts, E embedding size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.progress import progress
from modelgpt_cli.parameter_generator.default_encoder import check_default, default_folder
from modelgpt_cli.parameter_generator.minilm import MiniLM

EMBEDDING = 384
MAX_TOKENS = 128
"""Of a text cell; the rest is cut off."""
_BATCH = 32
_KEPT = 50_000
"""Embeddings that are remembered between calls: a build and its verification ask for the same texts again."""


def rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8 (rows, columns) and the scale of each row, float32 (rows, 1)."""
    scale = np.abs(weight).max(1, keepdims=True) / 127
    scale[scale == 0] = 1
    return np.round(weight / scale).astype(np.int8), scale.astype(np.float32)


class ShippedEncoder:
    """Texts to embeddings of length 1, each distinct text once.

    Parameters
    ----------
    model : MiniLM
    quantized : bool
        Whether matrices are rounded as in a model file.
    """

    def __init__(self, model: MiniLM, *, quantized: bool = True) -> None:
        self.model = model.eval()
        self.quantized = quantized
        if quantized:
            with torch.no_grad():
                for parameter in [*model.parameters(), *model.buffers()]:
                    if parameter.ndim == 2:
                        values, scale = rounded(parameter.cpu().numpy())
                        parameter.copy_(torch.from_numpy(values * scale))
        self._known: dict[str, np.ndarray] = {}

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer with its truncation, as a model file carries it."""
        text: str = self.model.tokenizer.to_str()
        return text

    def state(self) -> Mapping[str, Tensor]:
        """The encoder's parameters, by `MiniLM`'s names."""
        return self.model.state_dict()

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> np.ndarray:
        """Embed texts in one batch, float32 (n, E)."""
        states, attention = self.model(texts)  # (n, t, E), (n, t)
        total = (states * attention[..., None].to(states.dtype)).sum(1)
        unit: np.ndarray = (total / total.norm(dim=1, keepdim=True).clamp(min=1e-12)).cpu().numpy()
        return unit

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts, float32 (n, E)."""
        if len(self._known) > _KEPT:
            self._known.clear()
        new = sorted({text for text in texts if text not in self._known}, key=len)  # short with short: little padding
        with progress("embed texts", len(new), "texts") as advance:
            for start in range(0, len(new), _BATCH):
                batch = new[start : start + _BATCH]
                self._known.update(zip(batch, self.embed(batch), strict=True))
                advance(len(batch))
        if not texts:
            return np.zeros((0, EMBEDDING), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])


@lru_cache(maxsize=1)
def shipped_encoder() -> ShippedEncoder:
    """The packaged encoder, loaded when first asked for."""
    folder = default_folder()
    check_default(folder)
    return ShippedEncoder(MiniLM(folder, MAX_TOKENS))
