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
from modelgpt_cli.domains.tabular.kernel_model import Kernel, read_kernel
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor, read_statistics
from modelgpt_cli.domains.tabular.sizes import CHANNELS
from modelgpt_cli.domains.tabular.target_transform import TargetTransform
from modelgpt_cli.domains.tabular.text_columns import read_projections
from modelgpt_cli.domains.tabular.tree_model import Trees, read_trees, tree_features

INTERVAL = "interval"
"""Of the constants: the interval's lower and upper quantile, and bias, least and most of the logarithm of the spread,
(5,)."""
TRANSFORM = "target.transform"
"""Of the constants: the numbers of a `TargetTransform`, (7,), whose kind the blueprint has."""
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
        ``constants.target.transform`` if its target was transformed or has a range, ``constants.interval`` and
        ``constants.interval.spread`` if it has a prediction interval, ``constants.text.*`` for text columns) and the
        parameters:

        * ``layers.0.weight`` (M, f K + b, H), ``layers.0.bias`` (M, 1, H)
        * ``layers.1.weight`` (M, H, H), ``layers.1.bias`` (M, 1, H)
        * ``head.hidden1``, ``head.hidden2`` (M, H, C), ``head.linear`` (f + b, C), ``head.bias`` (C,)

        and ``trees.*`` (`tree_model.Trees.state`) where the architecture has trees, ``kernel.*``
        (`kernel_model.Kernel.state`) where it has a kernel.
        The head holds the members' mean and the temperature already, so its output are logits (or the standardised
        target).
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.constants = {k[len(CONSTANTS) :]: v for k, v in state.items() if k.startswith(CONSTANTS)}
        if INTERVAL in self.constants and len(self.constants[INTERVAL]) == 4:  # of one quantile, as once
            self.constants[INTERVAL] = torch.cat([-self.constants[INTERVAL][:1], self.constants[INTERVAL]])
        self.preprocessor: TablePreprocessor = make_preprocessor(
            blueprint.columns,
            texts=read_projections(self.constants),
            statistics=read_statistics(self.constants, sum(not (c.is_float or c.is_text) for c in blueprint.used)),
        )
        self.trees: Trees | None = None
        if blueprint.architecture.trees:
            self.trees = read_trees(state, len(self.preprocessor.categorical))
        self.kernel: Kernel | None = read_kernel(state) if blueprint.architecture.kernel else None
        owned = {k.replace(".", "_"): nn.Parameter(state[k].float().clone()) for k in PARAMETERS}
        self.parameters_ = nn.ParameterDict(owned)

    def state(self) -> dict[str, Tensor]:
        """Constants and parameters, as `__init__` takes them."""
        constants = {CONSTANTS + k: v for k, v in self.constants.items()}
        beside: dict[str, Tensor] = {}
        for part in (self.trees, self.kernel):
            beside |= {} if part is None else part.state()
        return constants | {k: self.weight(k).detach() for k in PARAMETERS} | beside

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
        scores = self.standard_of(x, codes, *self.encode(x, codes))
        return self.own_unit(scores) if self.blueprint.task == "regression" else scores

    def standard_of(self, x: Tensor, codes: Tensor, first: Tensor, linear: Tensor) -> Tensor:
        """Logits, or the standardised target, of all parts: raw arrays, and what `encode` makes of them."""
        return self.standard(first, linear) + self.beside(x, codes, linear)

    def beside(self, x: Tensor, codes: Tensor, linear: Tensor) -> Tensor:
        """What kernel and trees add to the network's outputs, (N, C); zeros where there are none."""
        found = x.new_zeros(len(x), self.blueprint.n_outputs) if self.kernel is None else self.kernel(linear)
        if self.trees is None:
            return found
        return found + self.trees(tree_features(x, codes, self.trees.orders), self.blueprint.n_outputs)

    def encode(self, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the first layer (N, f K + b), and of the linear part of the head (N, f + b)."""
        z, u, flat = encode(x, codes, self.constants)
        full = channels(z, u)  # (N, f, K)
        first = torch.cat([full.reshape(len(full), -1), flat], 1)
        return first, torch.cat([full[..., 0], flat], 1)

    @property
    def transform(self) -> TargetTransform:
        """What a regression's target was transformed by; the plain one where it wasn't."""
        if TRANSFORM not in self.constants:
            return TargetTransform()
        return TargetTransform.of(self.blueprint.transform.get("kind", "none"), self.constants[TRANSFORM])

    def own_unit(self, scores: Tensor) -> Tensor:
        """Predictions in the target's own unit and range, (N, 1), from the standardised ones (N, 1)."""
        scale, transform = self.constants["target"], self.transform
        exact = scale.double() if scores.dtype == torch.float64 else scale
        return transform.backward(in_own_unit(scores, exact) + transform.shift)

    def standardised(self, y: np.ndarray) -> np.ndarray:
        """What `standard` should give for targets (N,) in their own unit, float64 (N,)."""
        mean, std = self.constants["target"].double().tolist()
        found: np.ndarray = (self.transform.forward(y) - mean) / std
        return found

    def standard(self, first: Tensor, linear: Tensor) -> Tensor:
        """Logits, or the standardised target, of the network alone."""
        h1, h2 = self._hidden(first)
        hidden = (h1 @ self.weight("head.hidden1") + h2 @ self.weight("head.hidden2")).sum(0)  # (N, C)
        return hidden + linear @ self.weight("head.linear") + self.weight("head.bias")

    def _hidden(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden units of both layers, (M, N, H) each."""
        h1 = F.relu(first @ self.weight("layers.0.weight") + self.weight("layers.0.bias"))
        return h1, F.relu(h1 @ self.weight("layers.1.weight") + self.weight("layers.1.bias"))

    def head_inputs(self, first: Tensor, linear: Tensor) -> Tensor:
        """What the head sees, (N, 2 M H + f + b + 1)."""
        units = [layer.transpose(0, 1).flatten(1) for layer in self._hidden(first)]  # (N, M H) each
        return torch.cat([*units, linear, torch.ones_like(units[0][:, :1])], 1)

    def set_head(self, head: Tensor) -> None:
        """Replace the head by weights of `head_inputs`, (2 M H + f + b + 1, C)."""
        M, H, C = self.weight("head.hidden1").shape
        hidden1, hidden2, linear, bias = head.split([M * H, M * H, len(head) - 2 * M * H - 1, 1])
        parts = {
            "head.hidden1": hidden1.view(M, H, C),
            "head.hidden2": hidden2.view(M, H, C),
            "head.linear": linear,
            "head.bias": bias[0],
        }
        with torch.no_grad():
            for name, values in parts.items():
                self.weight(name).copy_(values)

    @property
    def target_std(self) -> float:
        """The standard deviation of the target, or of what it is transformed to; 1 where it is classes."""
        return float(self.constants["target"][1]) if self.blueprint.task == "regression" else 1.0

    @property
    def has_interval(self) -> bool:
        """Whether its answers come with a prediction interval."""
        return INTERVAL in self.constants

    def answers(self, x: Tensor, codes: Tensor) -> Tensor:
        """What the graph gives: probabilities (N, C); or prediction (N, 1), with an interval and its bounds (N, 3)."""
        first, linear = self.encode(x, codes)
        scores = self.standard_of(x, codes, first, linear)
        if self.blueprint.task == "classification":
            return scores.softmax(1)
        out = self.own_unit(scores)
        if not self.has_interval:
            return out
        below, above, bias, least, most = self.constants[INTERVAL]
        log_spread = spread_inputs(linear, scores) @ self.constants[SPREAD] + bias  # (N, 1)
        spread = log_spread.clamp(least, most).exp()
        middle = in_own_unit(scores, self.constants["target"])
        ends = [self.transform.backward(middle + spread * quantile) for quantile in (below, above)]
        around = torch.cat([out, *ends], 1)  # a mean may lie beyond a quantile; a mirrored target turns them round
        return torch.cat([out, around.amin(1, keepdim=True), around.amax(1, keepdim=True)], 1)

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
