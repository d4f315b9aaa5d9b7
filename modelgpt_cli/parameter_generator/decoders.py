"""The module-wise generator G (Equation 3): one decoder per parameter, chosen by the symbolic axes of its spec.

Shapes: B batch of tasks, d features, C classes, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.blocks import zero_init
from modelgpt_cli.parameter_generator.spec import CLASSES, FEATURES, ParameterSpec

HIDDEN = 256
RANK = 16


class TokenDecoder(nn.Module):
    """One row per feature or class token, from that token and the global one: (B, tokens, *sizes)."""

    def __init__(self, spec: ParameterSpec, width: int) -> None:
        super().__init__()
        self.use_features = spec.symbols == (FEATURES,)
        self.sizes = spec.sizes
        n_out = 1
        for size in spec.sizes:
            n_out *= size
        self.from_token = nn.Linear(width, HIDDEN)
        self.from_world = nn.Linear(width, HIDDEN, bias=False)
        self.out = nn.Linear(HIDDEN, n_out)
        nn.init.normal_(self.out.weight, std=2 * spec.gain * HIDDEN**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, classes: Tensor, world: Tensor) -> Tensor:
        tokens = features if self.use_features else classes
        hidden = F.gelu(self.from_token(tokens) + self.from_world(world)[:, None])
        weights: Tensor = self.out(hidden).view(*tokens.shape[:2], *self.sizes)
        return weights


class PairDecoder(nn.Module):
    """One number per pair of a class and a feature token, a bilinear form: (B, C, d)."""

    def __init__(self, spec: ParameterSpec, width: int) -> None:
        super().__init__()
        self.from_class = nn.Linear(width, width)
        self.from_feature = nn.Linear(width, width)
        nn.init.normal_(self.from_feature.weight, std=spec.gain * width**-0.5)
        nn.init.zeros_(self.from_feature.bias)

    def forward(self, features: Tensor, classes: Tensor, world: Tensor) -> Tensor:
        left, right = self.from_class(classes), self.from_feature(features)
        weights: Tensor = left @ right.transpose(1, 2) * left.shape[-1] ** -0.5
        return weights


class MatrixDecoder(nn.Module):
    """A shared base plus a low rank decoded from the global token: (B, rows, columns)."""

    def __init__(self, spec: ParameterSpec, width: int) -> None:
        super().__init__()
        rows, columns = spec.sizes
        self.rows = rows
        self.base = nn.Parameter(torch.randn(rows, columns) * (2 / rows) ** 0.5 * spec.gain)
        self.left = nn.Linear(width, rows * RANK)
        self.right = nn.Parameter(torch.randn(RANK, columns) * (1 / RANK) ** 0.5)
        nn.init.normal_(self.left.weight, std=0.1 * (rows * width) ** -0.5)
        nn.init.zeros_(self.left.bias)

    def forward(self, features: Tensor, classes: Tensor, world: Tensor) -> Tensor:
        weights: Tensor = self.base + self.left(world).view(-1, self.rows, RANK) @ self.right
        return weights


class VectorDecoder(nn.Module):
    """A shared base plus a linear read of the global token: (B, size)."""

    def __init__(self, spec: ParameterSpec, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, spec.sizes[0])
        nn.init.normal_(self.out.weight, std=spec.gain * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, classes: Tensor, world: Tensor) -> Tensor:
        weights: Tensor = self.out(world)
        return weights


class RowReadout(nn.Module):
    """What support rows write into a layer: the mean over rows of (the layer's input) ⊗ (a direction of the row).

    It starts as a no-op. The directions tell each unit which rows to lean towards and which away from: class means,
    clusters and residual-weighted sums are all of this form.
    """

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.direction = zero_init(nn.Linear(width, 2 * units))

    def forward(self, values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (B, inputs, units) and bias (B, units) from `values` (B, n, inputs) and row tokens (B, n, D)."""
        weight, bias = self.direction(self.norm(rows)).chunk(2, -1)  # (B, n, units) each
        return values.transpose(1, 2) @ weight / values.shape[1], bias.mean(1)


def make_decoder(spec: ParameterSpec, width: int) -> nn.Module:
    """The decoder for a parameter's axes.

    Raises
    ------
    ValueError
        For a combination of axes that no decoder writes.
    """
    if spec.symbols == (CLASSES, FEATURES) and not spec.sizes:
        return PairDecoder(spec, width)
    if len(spec.symbols) == 1:
        return TokenDecoder(spec, width)
    if not spec.symbols and len(spec.sizes) == 2:
        return MatrixDecoder(spec, width)
    if not spec.symbols and len(spec.sizes) == 1:
        return VectorDecoder(spec, width)
    raise ValueError(f"no decoder for {spec.name} with axes {spec.axes}")
