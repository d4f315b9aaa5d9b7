"""One forward pass of the generator for M ensemble members: support rows in, bodies and head priors out.

Members differ in their class codes and in their draw of support rows. Shapes: M members, n support rows, d = f + b
features, K channels, H hidden units, p = 2H + d + 1 head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.tabular.encoder import TableEncoder
from modelgpt_cli.domains.tabular.model import channel_columns
from modelgpt_cli.domains.tabular.target import head_precision, make_body, prior_head, score_scale
from modelgpt_cli.domains.tabular.tasks import TaskTexts, class_codes, feature_texts, join_channels, targets
from modelgpt_cli.parameter_generator.generator import Generator, TaskInputs

MAX_SUPPORT = 512
MAX_SUPPORT_CELLS = 400_000
"""Support rows times features, per member: wide tables show the generator fewer rows."""


@dataclass
class Members:
    """What the generator wrote for M members.

    Attributes
    ----------
    weight0 : (M, f K + b, H); bias0 : (M, 1, H); weight1 : (M, H, H); bias1 : (M, 1, H)
    linear_scale : (M, d)
    prior : (M, p, C)
        W_gen; scores, not logits.
    precision : (M, p)
        λ of the posterior head.
    scale : (M, 1, 1)
        From scores to logits.
    """

    weight0: Tensor
    bias0: Tensor
    weight1: Tensor
    bias1: Tensor
    linear_scale: Tensor
    prior: Tensor
    precision: Tensor
    scale: Tensor

    def phi(self, first: Tensor, linear: Tensor) -> Tensor:
        """Head inputs (M, N, p) of encoded rows: `first` (N, f K + b), `linear` (N, d)."""
        M, _, H = self.weight0.shape
        p = 2 * H + linear.shape[1] + 1
        out = torch.empty(M, len(first), p)
        h1 = torch.baddbmm(self.bias0, first.expand(M, -1, -1), self.weight0).relu_()  # (M, N, H)
        out[..., :H] = h1
        out[..., H : 2 * H] = torch.baddbmm(self.bias1, h1, self.weight1).relu_()
        torch.mul(linear, self.linear_scale[:, None], out=out[..., 2 * H : -1])  # (M, N, d)
        out[..., -1] = 1
        return out

    def merged(self, heads: Tensor) -> dict[str, Tensor]:
        """Parameters of the merged `TabularModel`, from the members' heads in logits (M, p, C)."""
        H = self.weight1.shape[-1]
        mean = heads / len(heads)
        hidden1, hidden2, linear, bias = mean.split([H, H, heads.shape[1] - 2 * H - 1, 1], 1)
        return {
            "layers.0.weight": self.weight0,
            "layers.0.bias": self.bias0,
            "layers.1.weight": self.weight1,
            "layers.1.bias": self.bias1,
            "head.hidden1": hidden1,
            "head.hidden2": hidden2,
            "head.linear": (linear * self.linear_scale[..., None]).sum(0),
            "head.bias": bias.sum((0, 1)),
        }


def draw_support(y: np.ndarray, n_classes: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `n` rows, stratified by class with at least a few rows of each (regression: uniform)."""
    if n >= len(y):
        return rng.permutation(len(y))
    if not n_classes:
        return rng.permutation(len(y))[:n]
    order = rng.permutation(len(y))
    position = np.zeros(len(y))  # of each row within its class, as a share: small first
    for c in range(n_classes):
        rows = order[y[order] == c]
        least = min(len(rows), max(2, n // (4 * n_classes)))
        position[rows] = np.arange(len(rows)) / max(len(rows), 1) - (np.arange(len(rows)) < least)
    return np.argsort(position, kind="stable")[:n]


def generate_members(
    generator: Generator,
    encoder: TableEncoder,
    x: np.ndarray,
    codes: np.ndarray,
    y: np.ndarray,
    *,
    n_classes: int,
    members: int,
    seed: int,
    texts: TaskTexts | None = None,
    device: str = "cpu",
    max_support: int = MAX_SUPPORT,
    left_out: Sequence[np.ndarray] | None = None,
) -> Members:
    """Run the hypernetwork once, with M members as its batch.

    Parameters
    ----------
    x, codes : (N, s), (N, c)
        Rows that support may be drawn from; none at all for a requirement-only build.
    y : (N,)
        Class indices, or the standardised target.
    n_classes : int
        0 for regression.
    texts : TaskTexts, optional
        Embedded requirement and names.
    left_out : M arrays of row indices, optional
        Rows that must not be in a member's support.
    """
    rng = np.random.default_rng([seed, 7])
    d = encoder.n_features
    allowed = [np.arange(len(y))] * members
    if left_out is not None:
        allowed = [np.setdiff1d(allowed[0], rows) for rows in left_out]
    n = min(max_support, *(len(rows) for rows in allowed), max(64, MAX_SUPPORT_CELLS // max(d, 1)))
    chosen = [rows[draw_support(y[rows], n_classes, n, rng)] for rows in allowed]
    rows = np.concatenate(chosen) if n else np.zeros(0, dtype=np.int64)
    z, u, flat = encoder.apply(x[rows], codes[rows])
    ch = join_channels(z, u, flat)  # (M n, d, K)
    ch = ch.view(members, n, *ch.shape[1:])
    C = max(n_classes, 1)
    labels = torch.from_numpy(y[rows]).view(members, n)
    E = generator.config.embedding
    full = torch.zeros(members, d)
    full[:, : encoder.n_full] = 1.0
    generator_rng = torch.Generator().manual_seed(seed)
    words = _words(encoder, texts, C, E)
    inputs = TaskInputs(
        channels=ch,
        target=targets(labels, C, n_classes == 0),
        codes=class_codes(members, n_classes, generator_rng),
        feature_mask=torch.ones(members, d, dtype=torch.bool),
        full=full,
        regression=n_classes == 0,
        requirement=words[0].expand(members, -1),
        feature_names=words[1].expand(members, -1, -1),
        class_names=words[2].expand(members, -1, -1),
    )
    return _run(generator, inputs, encoder, device)


def _words(encoder: TableEncoder, texts: TaskTexts | None, C: int, E: int) -> tuple[Tensor, Tensor, Tensor]:
    """Requirement (1, E), feature names (1, d, E), class names (1, C, E); zeros where there are none."""
    if texts is None:
        return torch.zeros(1, E), torch.zeros(1, encoder.n_features, E), torch.zeros(1, C, E)
    classes = torch.from_numpy(texts.classes) if len(texts.classes) else torch.zeros(C, E)
    features = torch.from_numpy(feature_texts(encoder, texts))
    return torch.from_numpy(texts.requirement)[None], features[None], classes[None]


@torch.inference_mode()
def _run(generator: Generator, inputs: TaskInputs, encoder: TableEncoder, device: str) -> Members:
    if next(generator.parameters()).device != torch.device(device):  # a walk through all of its modules
        generator.to(device)
    inputs = inputs.to(device)
    parameters = generator(inputs)
    body = make_body(parameters, inputs.full, inputs.feature_mask)
    keep = torch.from_numpy(channel_columns(encoder.n_full, encoder.n_features - encoder.n_full)).to(device)
    members = Members(
        weight0=body.weight0[:, keep],
        bias0=body.bias0[:, None],
        weight1=body.weight1,
        bias1=body.bias1[:, None],
        linear_scale=body.linear_scale,
        prior=prior_head(parameters, inputs.regression),
        precision=head_precision(parameters, encoder.n_features),
        scale=score_scale(parameters, inputs.regression),
    )
    return Members(**{k: v.cpu().clone() for k, v in vars(members).items()})
