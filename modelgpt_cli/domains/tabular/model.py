"""The target model of a table: raw columns in, probabilities or a prediction out. This is what is tuned and exported.

Shapes: N rows, s numeric sources, c categorical columns, f full and b flat features, K channels, M members,
H hidden units, C outputs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.domains.tabular.codec import TableCodec, make_codec
from modelgpt_cli.domains.tabular.encoder import encode
from modelgpt_cli.domains.tabular.features import CHANNELS, channels
from modelgpt_cli.model_generator.blueprint import Blueprint

CONSTANTS = "constants."
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
        ``constants.*`` (`TableEncoder.state`, and for regression ``constants.target`` = mean and standard deviation)
        and the parameters:

        * ``layers.0.weight`` (M, f K + b, H), ``layers.0.bias`` (M, 1, H)
        * ``layers.1.weight`` (M, H, H), ``layers.1.bias`` (M, 1, H)
        * ``head.hidden1``, ``head.hidden2`` (M, H, C), ``head.linear`` (f + b, C), ``head.bias`` (C,)

        The head holds the members' mean and the temperature already, so its output are logits (or the standardised
        target).
    """

    def __init__(self, blueprint: Blueprint, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.codec: TableCodec = make_codec(blueprint.columns)
        self.constants = {k[len(CONSTANTS) :]: v for k, v in state.items() if k.startswith(CONSTANTS)}
        owned = {k.replace(".", "_"): nn.Parameter(state[k].float().clone()) for k in PARAMETERS}
        self.parameters_ = nn.ParameterDict(owned)

    def state(self) -> dict[str, Tensor]:
        """Constants and parameters, as `__init__` takes them."""
        constants = {CONSTANTS + k: v for k, v in self.constants.items()}
        return constants | {k: self.weight(k).detach() for k in PARAMETERS}

    def weight(self, name: str) -> Tensor:
        """One parameter, by its name in the state."""
        return self.parameters_[name.replace(".", "_")]

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
        h1 = F.relu(first @ self.weight("layers.0.weight") + self.weight("layers.0.bias"))  # (M, N, H)
        h2 = F.relu(h1 @ self.weight("layers.1.weight") + self.weight("layers.1.bias"))  # (M, N, H)
        hidden = (h1 @ self.weight("head.hidden1") + h2 @ self.weight("head.hidden2")).sum(0)  # (N, C)
        out = hidden + linear @ self.weight("head.linear") + self.weight("head.bias")
        if self.blueprint.task == "regression":
            mean, std = self.constants["target"]
            out = out * std + mean
        return out

    @torch.inference_mode()
    def predict(self, frame: pd.DataFrame, chunk: int = 4096) -> np.ndarray:
        """Probabilities (N, C) or predictions (N, 1) of a typed frame, float32."""
        parts = []
        for start in range(0, len(frame), chunk):
            x, codes = self.codec.arrays(frame.iloc[start : start + chunk])
            out = self(torch.from_numpy(x), torch.from_numpy(codes))
            parts.append(out.softmax(1) if self.blueprint.task == "classification" else out)
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.blueprint.n_outputs), dtype=np.float32)


def channel_columns(n_full: int, n_flat: int) -> np.ndarray:
    """Which of a generator's (d K) first-layer rows a merged model keeps: all of full features, one of flat ones."""
    full = np.arange(n_full * CHANNELS)
    return np.concatenate([full, (n_full + np.arange(n_flat)) * CHANNELS])
