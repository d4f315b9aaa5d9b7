"""The target network T of tables: two hidden layers and a head that sees both, beside a linear floor.

    h1 = relu(channels · W0 + b0),  h2 = relu(h1 · W1 + b1),  scores = [h1, h2, first channels, 1] · head

Shapes: B batch of tasks or ensemble members, n rows, d features, K channels, H hidden units, p = 2H + d + 1, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.sizes import CHANNELS, HIDDEN
from modelgpt_cli.parameter_generator.generator import TaskInputs
from modelgpt_cli.parameter_generator.posterior import leave_one_out, solve_head
from modelgpt_cli.parameter_generator.spec import CLASSES, FEATURES, ParameterSpec

BIAS_PRECISION = 1e-3
FLOOR_PRECISION, UNIT_PRECISION = 1.0, 10.0
"""λ of the heads that feed residuals back: of the first channels, and of hidden units."""
LOG_PRECISION = 1.0
"""Where the decoded log λ starts."""
LOG_SCALE = 1.8
"""Where the decoded log of the scores' scale starts: ridge scores lie in [0, 1], logits don't."""


def target_spec(hidden: int = HIDDEN) -> list[ParameterSpec]:
    """What the generator writes for a table."""
    return [
        ParameterSpec("layers.0.weight", (FEATURES, CHANNELS, hidden), stage=1, rows=True),
        ParameterSpec("layers.0.bias", (hidden,), gain=0.5, stage=1, rows=True),
        ParameterSpec("layers.1.weight", (hidden, hidden), rows=True),
        ParameterSpec("layers.1.bias", (hidden,), gain=0.2, rows=True),
        ParameterSpec("linear.log_scale", (FEATURES,), gain=0.05, stage=1),
        ParameterSpec("head.weight", (CLASSES, 2 * hidden), gain=0.02),
        ParameterSpec("head.linear", (CLASSES, FEATURES), gain=0.02),
        ParameterSpec("head.bias", (CLASSES,), gain=0.02),
        ParameterSpec("head.log_precision", (3,), gain=0.1),
        ParameterSpec("head.log_scale", (1,), gain=0.05),
    ]


@dataclass
class Body:
    """The generated layers below the head, ready to run.

    Attributes
    ----------
    weight0 : (B, d K, H); bias0 : (B, H); weight1 : (B, H, H); bias1 : (B, H)
    linear_scale : (B, d)
        Multiplies the first channels on their way to the head: a per-feature prior precision.
    """

    weight0: Tensor
    bias0: Tensor
    weight1: Tensor
    bias1: Tensor
    linear_scale: Tensor

    def __call__(self, channels: Tensor) -> Tensor:
        """Head inputs φ(x), (B, n, p), from channels (B, n, d, K)."""
        h1 = first_units(channels, self.weight0, self.bias0)
        h2 = F.relu(torch.baddbmm(self.bias1[:, None], h1, self.weight1))
        linear = channels[..., 0] * self.linear_scale[:, None]
        return torch.cat([h1, h2, linear, torch.ones_like(h1[..., :1])], -1)


def first_units(channels: Tensor, weight0: Tensor, bias0: Tensor) -> Tensor:
    """h1, (B, n, H)."""
    return F.relu(torch.baddbmm(bias0[:, None], channels.flatten(2), weight0))


def _first_weight(weight: Tensor, full: Tensor, feature_mask: Tensor) -> Tensor:
    """W0 (B, d K, H) from the generated (B, d, K, H), scaled to keep units at about 1 for any d."""
    B, d, K, H = weight.shape
    mask = feature_mask.to(weight.dtype)
    n_full = (full * mask).sum(1)
    n_flat = mask.sum(1) - n_full
    scale = (1 + 3 * n_full + 0.5 * n_flat).rsqrt()[:, None, None]
    return (weight * mask[..., None, None]).reshape(B, d * K, H) * scale


def make_body(parameters: dict[str, Tensor], full: Tensor, feature_mask: Tensor) -> Body:
    """The body from generated parameters.

    Parameters
    ----------
    parameters : dict
        The generator's output for `target_spec`.
    full : float (B, d)
        1 for full features, 0 for flat ones.
    feature_mask : bool (B, d)
    """
    weight = parameters["layers.0.weight"]  # (B, d, K, H)
    mask = feature_mask.to(weight.dtype)
    return Body(
        weight0=_first_weight(weight, full, feature_mask),
        bias0=parameters["layers.0.bias"],
        weight1=parameters["layers.1.weight"],
        bias1=parameters["layers.1.bias"],
        linear_scale=parameters["linear.log_scale"].clamp(-4, 4).exp() * mask,
    )


def prior_head(parameters: dict[str, Tensor], regression: bool) -> Tensor:
    """W_gen as (B, p, C); scores start at 1 / C (0 for regression)."""
    units = parameters["head.weight"].transpose(1, 2)  # (B, 2H, C)
    linear = parameters["head.linear"].transpose(1, 2)  # (B, d, C)
    bias = parameters["head.bias"][:, None]  # (B, 1, C)
    base = 0.0 if regression else 1.0 / bias.shape[-1]
    return torch.cat([units, linear, bias + base], 1)


def head_precision(parameters: dict[str, Tensor], d: int) -> Tensor:
    """λ per head input, (B, p)."""
    log_precision = (parameters["head.log_precision"] + LOG_PRECISION).clamp(-5, 9)  # (B, 3): h1, h2, linear
    H = parameters["layers.0.bias"].shape[1]
    first, second, linear = log_precision.exp().split(1, -1)
    bias = torch.full_like(first, BIAS_PRECISION)
    return torch.cat([first.expand(-1, H), second.expand(-1, H), linear.expand(-1, d), bias], -1)


def score_scale(parameters: dict[str, Tensor], regression: bool) -> Tensor:
    """What scores are multiplied with to become logits, (B, 1, 1); 1 for regression."""
    scale = (parameters["head.log_scale"] + LOG_SCALE).clamp(-1, 5).exp()[:, None]
    return torch.ones_like(scale) if regression else scale


def posterior_head(phi: Tensor, target: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
    """The head solved on labelled rows, (B, p, C). `phi` (B, n, p), `target` (B, n, C)."""
    gram = phi.transpose(1, 2) @ phi
    return solve_head(gram, phi.transpose(1, 2) @ target, prior, precision)


class TableFeedback:
    """What the target tells the generator about the support rows while it is written (see `Feedback`)."""

    def floor(self, task: TaskInputs) -> Tensor:
        """Leave-one-out residuals (B, n, C) of ridge regression on the first channels alone."""
        with torch.no_grad():
            linear = task.channels[..., 0]
            return loo_residuals(linear, task.target, torch.full_like(linear[:, 0], FLOOR_PRECISION))

    def hidden(self, parameters: dict[str, Tensor], task: TaskInputs) -> tuple[Tensor, Tensor]:
        """The first layer's units (B, n, H), and the residuals (B, n, C) of ridge regression on them and the floor."""
        weight0 = _first_weight(parameters["layers.0.weight"], task.full, task.feature_mask)
        units = first_units(task.channels, weight0, parameters["layers.0.bias"])
        with torch.no_grad():
            inputs = torch.cat([units, task.channels[..., 0]], -1)
            precision = torch.full_like(inputs[:, 0], FLOOR_PRECISION)
            precision[:, : units.shape[-1]] = UNIT_PRECISION
            return units, loo_residuals(inputs, task.target, precision)


def loo_residuals(inputs: Tensor, target: Tensor, precision: Tensor) -> Tensor:
    """Leave-one-out residuals of ridge regression with an intercept, (B, n, C), within ±3.

    `inputs` (B, n, p), `target` (B, n, C), `precision` (B, p).
    """
    x = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
    penalty = torch.cat([precision, torch.full_like(precision[:, :1], BIAS_PRECISION)], 1)
    return leave_one_out(x, target, penalty).clamp(-3, 3)
