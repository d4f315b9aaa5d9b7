"""Columns of free text as numbers: embedded by the default text encoder, then reduced by principal components.

Shapes: n cells, E embedding size, k components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.shared.tokens import is_missing
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder

PCA_TEXTS = 2_000
"""Texts that the components are fitted to."""
TEXT_ROWS = 5_000
"""Rows that a table with text is learned from, at most: embedding takes a core of a CPU about 10 ms a row."""
NOISE = 0.03
"""Standard deviations of noise on the components while a model is fitted: a text that comes again and again must not
become a step of the empirical distribution, on which the last bits of an embedding would fall to either side."""
PREFIX = "text."


@dataclass(frozen=True)
class TextProjection:
    """From a text column's embeddings to its numbers.

    Attributes
    ----------
    mean : float32 (E,)
    components : float32 (E, k)
        Principal axes, scaled so that each component has variance 1.
    noise : float
        Standard deviation of what is added to the components.
    """

    mean: np.ndarray
    components: np.ndarray
    noise: float = 0.0

    def __call__(self, cells: Sequence[Any]) -> np.ndarray:
        """Components of each cell, and whether there is a text, float32 (n, k + 1); zeros for a missing one."""
        present = np.array([not is_missing(cell) for cell in cells], dtype=bool)
        result = np.zeros((len(cells), self.components.shape[1] + 1), dtype=np.float32)
        if present.any():
            texts = [str(cell) for cell, there in zip(cells, present, strict=True) if there]
            result[present, :-1] = (shipped_encoder()(texts) - self.mean) @ self.components
        result[present, -1] = 1
        if self.noise:
            noise = np.random.default_rng(len(cells)).normal(0, self.noise, (len(cells), result.shape[1] - 1))
            result[:, :-1] += noise.astype(np.float32)
        return result


def fit_projection(cells: Sequence[Any], k: int) -> TextProjection:
    """Principal components of a column's texts, with noise, for fitting a model.

    Axes along which the texts don't vary are zeros.
    """
    texts = [str(cell) for cell in cells if not is_missing(cell)]
    if len(texts) > PCA_TEXTS:
        texts = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:PCA_TEXTS]]
    vectors = shipped_encoder()(texts).astype(np.float64)
    E = vectors.shape[1]
    mean = vectors.mean(0) if len(vectors) else np.zeros(E)
    centred = vectors - mean
    values, axes = np.linalg.eigh(centred.T @ centred / max(len(vectors), 1))
    values, axes = values[::-1][:k], axes[:, ::-1][:, :k]
    scale = np.where(values > 1e-6 * max(float(values[0]), 1e-12), 1 / np.sqrt(np.maximum(values, 1e-12)), 0.0)
    return TextProjection(mean.astype(np.float32), (axes * scale).astype(np.float32), NOISE)


def projection_state(projections: Sequence[TextProjection]) -> dict[str, Tensor]:
    """The projections as tensors, named as in the artifact."""
    state = {}
    for i, projection in enumerate(projections):
        state[f"{PREFIX}{i}.mean"] = torch.from_numpy(projection.mean)
        state[f"{PREFIX}{i}.components"] = torch.from_numpy(np.ascontiguousarray(projection.components))
    return state


def read_projections(state: Mapping[str, Tensor]) -> tuple[TextProjection, ...]:
    """The projections in a model's constants."""
    count = sum(name.startswith(PREFIX) and name.endswith(".mean") for name in state)
    return tuple(
        TextProjection(state[f"{PREFIX}{i}.mean"].numpy(), state[f"{PREFIX}{i}.components"].numpy())
        for i in range(count)
    )
