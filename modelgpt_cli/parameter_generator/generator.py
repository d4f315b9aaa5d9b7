"""The hypernetwork: requirement, names and support rows in; the target network's parameters out, in one forward pass.

Text encoder E (embeddings arrive ready-made), transformation block M, module-wise generator G.
With feedback the target is written in two stages: the first layer, then the rest by blocks that have been told what a
head on that layer leaves unexplained of each support row (its leave-one-out residual). Rows also write weights
directly: a layer's weight gets the mean over rows of (input of that row) ⊗ (a direction read from the row's token).
Shapes: B batch of tasks, n support rows, d features, C classes, D width, K channels, E embedding size, R code size,
H hidden units.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.blocks import Block, Evidence, Tokens, make_norm, zero_init
from modelgpt_cli.parameter_generator.decoders import RowReadout, make_decoder
from modelgpt_cli.parameter_generator.spec import ParameterSpec

CODE = 16
"""Numbers in a class code; drawn anew for each pass, which makes the generator class-equivariant."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator; part of every checkpoint."""

    width: int = 128
    """D, width of every token."""
    blocks: int = 4
    """Rounds of exchange."""
    heads: int = 4
    """Attention heads."""
    exchange: int = 64
    """V, width of what features and support rows tell each other, per channel."""
    embedding: int = 384
    """Size of the text encoder's sentence embeddings."""
    feedback: int = 0
    """Blocks after the feedback of the support's residuals; 0: everything is written in one stage, without readouts."""
    spare: int = 0
    """Learned tokens that attend beside the support rows' and are then forgotten."""
    norm: str = "layer"
    """Normalisation of tokens: ``layer`` or ``rms``."""

    def to_dict(self) -> dict[str, int | str]:
        """The sizes, for the checkpoint's header."""
        return asdict(self)


@dataclass
class TaskInputs:
    """A batch of tasks as the generator reads it. Texts are optional: zeros where there are none.

    Attributes
    ----------
    channels : float (B, n, d, K)
        Channels of the support rows, zero where a feature pads.
    target : float (B, n, C)
        One-hot labels, or the standardised target with C = 1.
    codes : float (B, C, R)
        Class codes (regression: zeros).
    feature_mask : bool (B, d)
    full : float (B, d)
        1 for a full feature, 0 for a flat one.
    regression : bool
    requirement : float (B, E)
        z0 = E(r), Equation 1.
    feature_names : float (B, d, E)
    class_names : float (B, C, E)
    """

    channels: Tensor
    target: Tensor
    codes: Tensor
    feature_mask: Tensor
    full: Tensor
    regression: bool
    requirement: Tensor
    feature_names: Tensor
    class_names: Tensor

    def to(self, device: str) -> TaskInputs:
        """The inputs on another device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def draw_codes(batch: int, n_classes: int, generator: torch.Generator | None = None) -> Tensor:
    """Random class codes of unit root mean square, (B, C, R)."""
    codes = torch.randn(batch, n_classes, CODE, generator=generator)
    unit: Tensor = codes / codes.norm(dim=-1, keepdim=True) * CODE**0.5
    return unit


class Feedback(Protocol):
    """What a domain's target tells the generator about the support rows while it is being written."""

    def floor(self, task: TaskInputs) -> Tensor:
        """Leave-one-out residuals (B, n, C) of the target without any generated layer; detached."""
        ...

    def hidden(self, parameters: dict[str, Tensor], task: TaskInputs) -> tuple[Tensor, Tensor]:
        """The first layer's units (B, n, H), and leave-one-out residuals (B, n, C) of a head on them (detached)."""
        ...


class Generator(nn.Module):
    """The parameter generator of one domain.

    Parameters
    ----------
    config : GeneratorConfig
    spec : list of ParameterSpec
        What to write; `forward` returns one tensor per entry, with a leading axis B.
    n_channels : int
        K, channels per feature.
    feedback : Feedback, optional
        Needed where `config.feedback` is above 0.
    """

    def __init__(
        self, config: GeneratorConfig, spec: list[ParameterSpec], n_channels: int, feedback: Feedback | None = None
    ) -> None:
        super().__init__()
        D, E = config.width, config.embedding
        self.config, self.spec, self.n_channels = config, spec, n_channels
        self.embed_requirement = zero_init(nn.Linear(E, D))
        self.embed_feature_name = zero_init(nn.Linear(E, D))
        self.embed_class_name = zero_init(nn.Linear(E, D))
        self.embed_sizes = nn.Linear(5, D)
        self.embed_code = nn.Linear(CODE, D)
        self.embed_value = nn.Linear(CODE, D)
        self.embed_statistics = nn.Linear(n_channels * (CODE + 2) + 1, D)
        block = (D, config.heads, n_channels, config.exchange, config.norm)
        self.blocks = nn.ModuleList([Block(*block) for _ in range(config.blocks)])
        self.norms = nn.ModuleDict({k: make_norm(config.norm, D) for k in ("features", "classes", "world")})
        self.decoders = nn.ModuleList([make_decoder(p, D) for p in spec])
        self.spare = nn.Parameter(torch.randn(config.spare, D)) if config.spare else None
        self.feedback = feedback if config.feedback else None
        if self.feedback is not None:
            (H,) = {p.sizes[-1] for p in spec if p.rows}  # all layers that rows write to are as wide
            self.embed_floor = zero_init(nn.Linear(CODE, D))
            self.embed_feedback = zero_init(nn.Linear(CODE + H, D))
            self.readouts = nn.ModuleList([RowReadout(D, H) for _ in range(2)])
            self.late_blocks = nn.ModuleList([Block(*block) for _ in range(config.feedback)])

    def forward(self, task: TaskInputs) -> dict[str, Tensor]:
        tokens = self.embed(task)
        evidence = Evidence(task.channels, task.target, task.feature_mask)
        for block in self.blocks:
            tokens = block(tokens, evidence)
        if self.feedback is None:
            return self._decode(tokens, task, (1, 2))
        written = self._decode(tokens, task, (1,))
        if task.channels.shape[1]:
            self._read_out(written, 1, task.channels.flatten(2), tokens.support)
            hidden, residual = self.feedback.hidden(written, task)
            told = torch.cat([self._as_codes(residual, task), hidden], -1)  # (B, n, R + H)
            tokens = replace(tokens, support=tokens.support + self.embed_feedback(told))
        for block in self.late_blocks:
            tokens = block(tokens, evidence)
        written |= self._decode(tokens, task, (2,))
        if task.channels.shape[1]:
            self._read_out(written, 2, hidden, tokens.support)
        return written

    def _decode(self, tokens: Tokens, task: TaskInputs, stages: tuple[int, ...]) -> dict[str, Tensor]:
        """G: the parameters of some stages, from the tokens alone."""
        f = self.norms["features"](tokens.features) * task.feature_mask[..., None]
        c = self.norms["classes"](tokens.classes)
        g = self.norms["world"](tokens.world)
        pairs = zip(self.spec, self.decoders, strict=True)
        return {p.name: decode(f, c, g) for p, decode in pairs if p.stage in stages}

    def _read_out(self, written: dict[str, Tensor], stage: int, values: Tensor, support: Tensor) -> None:
        """Add what the rows write, `values` (B, n, inputs) by their tokens, to the stage's weight and bias."""
        weight, bias = self.readouts[stage - 1](values, support)  # (B, inputs, H), (B, H)
        for p in self.spec:
            if p.rows and p.stage == stage:
                added = bias if len(p.axes) == 1 else weight.reshape(written[p.name].shape)
                written[p.name] = written[p.name] + added

    def embed(self, task: TaskInputs) -> Tokens:
        """First tokens, from the statistics of the support rows and the embedded texts."""
        B, n, d, K = task.channels.shape
        labels = self._as_codes(task.target, task)  # (B, n, R)
        flat = task.channels.reshape(B, n, d * K)
        by_label = (flat.transpose(1, 2) @ labels / max(n, 1)).view(B, d, K * CODE)
        mean = flat.sum(1).view(B, d, K) / max(n, 1)
        power = (flat**2).sum(1).view(B, d, K) / max(n, 1)
        statistics = torch.cat([by_label, mean, power, task.full[..., None]], -1)
        features = self.embed_statistics(statistics) + self.embed_feature_name(task.feature_names)
        support = self.embed_value(labels) if task.regression else self.embed_code(labels)
        if self.feedback is not None and n:
            support = support + self.embed_floor(self._as_codes(self.feedback.floor(task), task))
        classes = self.embed_code(task.codes) + self.embed_class_name(task.class_names)
        world = self.embed_requirement(task.requirement) + self.embed_sizes(self._sizes(task))
        spare = None if self.spare is None else self.spare.expand(B, -1, -1)
        return Tokens(features, support, classes, world, spare)

    @staticmethod
    def _as_codes(scores: Tensor, task: TaskInputs) -> Tensor:
        """Labels or residuals (B, n, C) as R numbers a row: weighted class codes, or views of the number."""
        if not task.regression:
            return scores @ task.codes
        y = scores.clamp(-5, 5)  # (B, n, 1)
        views = [y, torch.tanh(2 * y), torch.sin(y), torch.cos(y), torch.sin(2 * y), torch.cos(2 * y), y**2 / 5]
        views.append(torch.ones_like(y))
        return torch.cat(views + [torch.zeros_like(y)] * (CODE - len(views)), -1)

    @staticmethod
    def _sizes(task: TaskInputs) -> Tensor:
        """log n, log d, log C and the task type, on a scale of about 1. (B, 5)"""
        n = task.channels.shape[1]
        d = task.feature_mask.sum(1).to(task.channels.dtype)
        one = torch.ones_like(d)
        columns = [
            one * torch.log(one * (n + 1)) / 5 - 1,
            torch.log(d + 1) / 3 - 1,
            one * torch.log(one * task.codes.shape[1]) / 2,
            one * float(task.regression),
            one * float(n == 0),
        ]
        return torch.stack(columns, -1)
