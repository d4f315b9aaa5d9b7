"""The target model of a table: raw columns in, probabilities or a prediction out. This is what is tuned and exported.

Shapes: N rows, s numeric sources, c categorical columns, f full and b flat features, K channels, M members,
H hidden units, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.shared.target_scale import in_own_unit
from modelgpt_cli.domains.tabular.encoder import encode
from modelgpt_cli.domains.tabular.features import channels
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor, read_statistics
from modelgpt_cli.domains.tabular.sizes import CHANNELS
from modelgpt_cli.domains.tabular.text_columns import read_projections

INTERVAL = "interval"
"""Of the constants: the interval's quantile, and bias, least and most of the logarithm of the spread, (4,)."""
SPREAD = "interval.spread"
"""Of the constants: the weights of that logarithm (f + b + 3, 1)."""
SPREAD_CLIP = 3.0
"""Standard deviations of the target within which the spread depends on the prediction."""
PARAMETERS = (
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.weight",
    "layers.1.bias",
    "head.hidden1",
    "head.hidden2",
    "head.linear",
    "head.bias",
)


class TabularModel(nn.Module):
    """M generated members merged into one wide network.

    Parameters
    ----------
    blueprint : Blueprint
    state : dict of Tensor
        ``constants.*`` (`TableEncoder.state`, and for regression ``constants.target`` as `target_scale` gives it,
        ``constants.interval`` and ``constants.interval.spread`` if it has a prediction interval, ``constants.text.*``
        for text columns) and the parameters:

        * ``layers.0.weight`` (M, f K + b, H), ``layers.0.bias`` (M, 1, H)
        * ``layers.1.weight`` (M, H, H), ``layers.1.bias`` (M, 1, H)
        * ``head.hidden1``, ``head.hidden2`` (M, H, C), ``head.linear`` (f + b, C), ``head.bias`` (C,)

        The head holds the members' mean and the temperature already, so its output are logits (or the standardised
        target).
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.constants = {k[len(CONSTANTS) :]: v for k, v in state.items() if k.startswith(CONSTANTS)}
        self.preprocessor: TablePreprocessor = make_preprocessor(
            blueprint.columns,
            texts=read_projections(self.constants),
            statistics=read_statistics(self.constants, sum(not (c.is_float or c.is_text) for c in blueprint.used)),
        )
        owned = {k.replace(".", "_"): nn.Parameter(state[k].float().clone()) for k in PARAMETERS}
        self.parameters_ = nn.ParameterDict(owned)

    def state(self) -> dict[str, Tensor]:
        """Constants and parameters, as `__init__` takes them."""
        constants = {CONSTANTS + k: v for k, v in self.constants.items()}
        return constants | {k: self.weight(k).detach() for k in PARAMETERS}

    def extras(self) -> dict[str, str]:
        """Return nothing: the text encoder of text columns is the shipped one."""
        return {}

    def empty_rows(self) -> pd.DataFrame:
        """Return one row of missing cells."""
        return typed(pd.DataFrame(index=[0]), self.blueprint.used)

    def weight(self, name: str) -> Tensor:
        """One parameter, by its name in the state."""
        parameter: Tensor = self.parameters_[name.replace(".", "_")]
        return parameter

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Raw arrays to logits (N, C), or to the target in its own unit (N, 1).

        Parameters
        ----------
        x : float32 (N, s)
            NaN = missing.
        codes : int64 (N, c)
        """
        return self.scores(*self.encode(x, codes))

    def encode(self, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the first layer (N, f K + b), and of the linear part of the head (N, f + b)."""
        z, u, flat = encode(x, codes, self.constants)
        full = channels(z, u)  # (N, f, K)
        first = torch.cat([full.reshape(len(full), -1), flat], 1)
        return first, torch.cat([full[..., 0], flat], 1)

    def scores(self, first: Tensor, linear: Tensor) -> Tensor:
        """What `forward` returns, from encoded rows."""
        out = self.standard(first, linear)
        return in_own_unit(out, self.constants["target"]) if self.blueprint.task == "regression" else out

    def standard(self, first: Tensor, linear: Tensor) -> Tensor:
        """Logits, or the standardised target."""
        h1 = F.relu(first @ self.weight("layers.0.weight") + self.weight("layers.0.bias"))  # (M, N, H)
        h2 = F.relu(h1 @ self.weight("layers.1.weight") + self.weight("layers.1.bias"))  # (M, N, H)
        hidden = (h1 @ self.weight("head.hidden1") + h2 @ self.weight("head.hidden2")).sum(0)  # (N, C)
        return hidden + linear @ self.weight("head.linear") + self.weight("head.bias")

    @property
    def target_std(self) -> float:
        """The target's standard deviation; 1 where it is classes."""
        return float(self.constants["target"][1]) if self.blueprint.task == "regression" else 1.0

    @property
    def has_interval(self) -> bool:
        """Whether its answers come with a prediction interval."""
        return INTERVAL in self.constants

    def answers(self, x: Tensor, codes: Tensor) -> Tensor:
        """What the graph gives: probabilities (N, C); or prediction (N, 1), with an interval and its bounds (N, 3)."""
        first, linear = self.encode(x, codes)
        scores = self.standard(first, linear)
        if self.blueprint.task == "classification":
            return scores.softmax(1)
        out = in_own_unit(scores, self.constants["target"])
        if not self.has_interval:
            return out
        quantile, bias, least, most = self.constants[INTERVAL]
        log_spread = spread_inputs(linear, scores) @ self.constants[SPREAD] + bias  # (N, 1)
        half = log_spread.clamp(least, most).exp() * quantile
        return torch.cat([out, out - half, out + half], 1)

    @torch.inference_mode()
    def predict(self, frame: pd.DataFrame, chunk: int = 4096, *, interval: bool = False) -> np.ndarray:
        """Probabilities (N, C) or predictions (N, 1) of a typed frame; with `interval`, bounds too (N, 3).

        float32, or where that can't hold the target's resolution float64.
        """
        wide = interval and self.has_interval
        parts = []
        for start in range(0, len(frame), chunk):
            x, codes = self.preprocessor.arrays(frame.iloc[start : start + chunk])
            parts.append(self.answers(torch.from_numpy(x), torch.from_numpy(codes)))
        width = 3 if wide else self.blueprint.n_outputs
        return torch.cat(parts)[:, :width].numpy() if parts else np.zeros((0, width), dtype=np.float32)


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> TabularModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`."""
    return TabularModel(blueprint, state)


def spread_inputs(linear: Tensor, scores: Tensor) -> Tensor:
    """What the spread around a prediction is told from, (N, f + b + 3): linear inputs and standardised prediction."""
    z = scores.clamp(-SPREAD_CLIP, SPREAD_CLIP)
    return torch.cat([linear, z, z.abs(), z * z], 1)


def channel_columns(n_full: int, n_flat: int) -> np.ndarray:
    """Which of a generator's (d K) first-layer rows a merged model keeps: all of full features, one of flat ones."""
    full = np.arange(n_full * CHANNELS)
    return np.concatenate([full, (n_full + np.arange(n_flat)) * CHANNELS])
