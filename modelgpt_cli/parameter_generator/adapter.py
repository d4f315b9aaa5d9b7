"""The hypernetwork of domains whose target is a pretrained backbone: it writes LoRA factors and the head.

First the words speak: requirement and names become the global token and class tokens, and the global token is decoded
into the LoRA factors. Then the adapted backbone's view of the user's rows joins in: class tokens take the means of
their rows, and are decoded into the prior head and its precision. So the factors, and with them every row's head
inputs, don't depend on the rows, and cross-validating the head costs nothing but solving it.
One task at a time. Shapes: C classes, D width, E embedding size, P head inputs, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.parameter_generator.blocks import FeedForward, SelfAttention, zero_init
from modelgpt_cli.parameter_generator.concepts import Concepts
from modelgpt_cli.parameter_generator.spec import ParameterSpec

PRECISION = 0.05
"""The prior precision of the head's weights where the generator starts, in logits."""
NAME_SCALE = 8.0
"""Logits per unit of cosine between a text and a class name where the generator starts."""
SEEN_ROWS = 96
"""Labelled rows of an episode, at most."""
_LIMIT = 6.0
InputGroups: TypeAlias = Mapping[bool, Mapping[str, int]]
"""The kinds of head inputs and how many of each, in order: of single inputs (False), and of pairs (True)."""


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes of a generator; part of every checkpoint."""

    domain: str = ""
    """Which domain's backbones it adapts."""
    backbone: str = "minilm-l6"
    """Name of the backbone's card."""
    size: int = 384
    """E of the backbone's states."""
    width: int = 256
    """D, width of every token."""
    blocks: int = 2
    """Rounds of exchange among words, and again with the rows."""
    heads: int = 4
    """Attention heads."""
    embedding: int = 384
    """Size of the text encoder's sentence embeddings."""
    shared: bool = False
    """One LoRA for all tasks instead of a generated one (for comparison)."""
    feedback: bool = False
    """Whether the tokens are told how well the head of words alone does on the rows."""
    scaled: bool = False
    """Whether the head's inputs have a scaling, kept with the weights: those of a convolutional network have no scale
    of their own."""
    concepts: int = 0
    """K, concepts whose heads are at hand by name; see `concepts.Concepts`."""
    spread: int = 0
    """R, directions in which usual head inputs differ most: the concepts' heads are scaled by them. 0: they are not."""
    groups: dict[str, int] = field(default_factory=dict)
    """Kinds of head inputs and how many of each, in order; empty where the domain knows."""
    precisions: dict[str, float] = field(default_factory=dict)
    """By kind of head inputs: the prior precision where the generator starts, if it is not `PRECISION`."""

    def to_dict(self) -> dict[str, Any]:
        """The sizes, for the checkpoint's header."""
        return asdict(self)


@dataclass
class Words:
    """What is known of a task in words.

    Attributes
    ----------
    requirement : float (E,)
        z0 = E(r), Equation 1; zeros where there is none.
    names : float (C, E)
        Embedded class names; zeros where there are none. One row for regression.
    regression, pair : bool
    hidden : bool
        Whether the tokens are not shown the names, but only the concepts are (in meta-training).
    """

    requirement: Tensor
    names: Tensor
    regression: bool
    pair: bool
    hidden: bool = False


@dataclass
class Evidence:
    """What the labelled rows say, under the adapted backbone.

    Attributes
    ----------
    means : float (C, P)
        Mean head inputs of each class's rows (of all classes', where it has none); regression: weighted by the
        standardised target.
    counts : float (C,)
        Rows of each class.
    agreement : float (1 + C, 2), optional
        How well the head that words alone give does on the rows, over all and by class: its loss (about 1 where it
        knows nothing), and its share of right answers (regression: its correlation).
    """

    means: Tensor
    counts: Tensor
    agreement: Tensor | None = None


@dataclass
class HeadPrior:
    """The generated head.

    Attributes
    ----------
    weight : float (P + 1, C)
        The prior mean W_gen, in logits (or the standardised target); the last row is the bias.
    precision : float (P + 1,)
        λ, the prior precision, above 0.
    """

    weight: Tensor
    precision: Tensor


class AdapterGenerator(nn.Module):
    """The parameter generator of one backbone.

    Parameters
    ----------
    config : AdapterConfig
    spec : list of ParameterSpec
        The LoRA factors; gain 0 marks those that start at zero.
    inputs : mapping of bool to mapping of str to int
        The groups of head inputs, of single texts (False) and of pairs (True); a group ``text`` is of the kind that
        class names are embedded in.

    Attributes
    ----------
    concept_names : tuple of str
        What its concepts are called, in order; empty where that isn't known.
    """

    input_mean: Tensor
    input_std: Tensor
    """The scaling of the features, (P,) both, where the domain has some."""

    def __init__(self, config: AdapterConfig, spec: list[ParameterSpec], inputs: InputGroups) -> None:
        super().__init__()
        D, E = config.width, config.embedding
        self.config, self.spec, self.inputs = config, spec, inputs
        self.concept_names: tuple[str, ...] = ()
        self.embed_requirement = nn.Linear(E, D)
        self.embed_name = nn.Linear(E, D)
        self.embed_task = nn.Linear(4, D)
        self.embed_counts = zero_init(nn.Linear(3, D))
        self.word_blocks = _blocks(config)
        self.row_blocks = _blocks(config)
        self.factors = FactorDecoder(config, spec)
        groups = {name: n for kind in inputs.values() for name, n in kind.items()}
        self.read_means = nn.ModuleDict({k: nn.Linear(n, D, bias=False) for k, n in groups.items()})
        self.head_norm, self.global_norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.head_hidden = nn.Linear(2 * D, D)
        self.head_out = nn.ModuleDict({k: zero_init(nn.Linear(D, n)) for k, n in groups.items()})
        self.head_bias = zero_init(nn.Linear(D, 1))
        names = [*groups, "bias"]
        self.log_precision = zero_init(nn.Linear(D, len(names)))
        self.places = {name: i for i, name in enumerate(names)}
        self.base_precision = torch.tensor([config.precisions.get(name, PRECISION) for name in names])
        self.name_scale = zero_init(nn.Linear(D, 1))
        self.mean_scale = zero_init(nn.Linear(D, 1))
        if config.scaled:
            self.register_buffer("input_mean", torch.zeros(config.size))
            self.register_buffer("input_std", torch.ones(config.size))
        if config.concepts:
            self.concepts = Concepts(config.concepts, E, sum(inputs[False].values()), D, config.spread)
            self.concept_scale = zero_init(nn.Linear(D, 1))
        if config.feedback:
            self.embed_agreement = nn.ModuleList([zero_init(nn.Linear(2, D)) for _ in range(2)])

    def adapt(self, words: Words) -> tuple[dict[str, Tensor], Tensor]:
        """From words to LoRA factors, and the tokens (1 + C, D) that the head goes on from."""
        C = len(words.names)
        task = [float(words.regression), float(words.pair), math.log(C) / 2, float(not words.requirement.any())]
        world = self.embed_requirement(words.requirement) + self.embed_task(words.names.new_tensor(task))
        names = torch.zeros_like(words.names) if words.hidden else words.names
        tokens = torch.cat([world[None], self.embed_name(names)])  # (1 + C, D)
        if self.config.concepts:
            tokens = tokens + F.pad(self.concepts(words.names)[1], (0, 0, 1, 0))
        tokens = _mix(self.word_blocks, tokens)
        return self.factors(self.global_norm(tokens[0])), tokens

    def head(self, tokens: Tensor, words: Words, named: Tensor | None, evidence: Evidence | None) -> HeadPrior:
        """The generated head.

        Parameters
        ----------
        tokens : (1 + C, D)
            From `adapt`.
        named : (C, P), optional
            Class names as the adapted backbone sees them, for single texts: the head leans towards them.
        evidence : Evidence, optional
            None in the requirement-only case.
        """
        groups = self.inputs[words.pair]
        if evidence is not None:
            tokens = tokens + self._told(evidence, groups)
            tokens = _mix(self.row_blocks, tokens)
        world = self.global_norm(tokens[0])
        classes = self.head_norm(tokens[1:])  # (C, D)
        hidden = F.gelu(self.head_hidden(torch.cat([classes, world.expand_as(classes)], 1)))
        weight = torch.cat([self.head_out[k](hidden) for k in groups], 1)  # (C, P)
        if named is not None:
            weight = weight + _exp(self.name_scale(world)) * NAME_SCALE * (named - named.mean(0))
        if self.config.concepts and not words.pair:
            known = self.concepts(words.names)[0]  # (C, P)
            weight = weight + _exp(self.concept_scale(world)) * self.concepts.scale * (known - known.mean(0))
        if evidence is not None:
            means = evidence.means if words.regression else evidence.means - evidence.means.mean(0)
            weight = weight + self.mean_scale(world) * means
        weight = torch.cat([weight, self.head_bias(hidden)], 1).T  # (P + 1, C)
        level = _exp(self.log_precision(world)) * self.base_precision.to(world)
        return HeadPrior(weight, self._by_input(level, words.pair))

    def usual_precision(self, pair: bool) -> Tensor:
        """The prior precision (P + 1,) that the head has where nothing is said of a task."""
        return self._by_input(self.base_precision, pair)

    def _by_input(self, level: Tensor, pair: bool) -> Tensor:
        """Numbers of groups of head inputs, as those of inputs and bias, (P + 1,)."""
        groups = self.inputs[pair]
        repeats = torch.tensor([*groups.values(), 1], device=level.device)
        return level[[self.places[name] for name in (*groups, "bias")]].repeat_interleave(repeats)

    def beyond_shared(self, lora: Mapping[str, Tensor]) -> Tensor:
        """Mean square of what is generated for this task alone, in units of a factor's usual size."""
        base = self.factors.base
        squares = [(lora[p.name] - base[_key(p.name)]).square().mean() * _length(p) for p in self.spec]
        return torch.stack(squares).mean()

    def _told(self, evidence: Evidence, groups: Mapping[str, int]) -> Tensor:
        """What rows tell the tokens, (1 + C, D)."""
        parts = evidence.means.split(list(groups.values()), 1)
        read = sum(self.read_means[name](part) for name, part in zip(groups, parts, strict=True))
        # Of more rows than meta-training has shown, the generator is told as many as it knows.
        log_n = torch.log1p(evidence.counts.clamp(max=SEEN_ROWS))  # (C,)
        share = evidence.counts / evidence.counts.sum().clamp(min=1) * len(evidence.counts)
        told = torch.stack([log_n / 3, share, torch.zeros_like(log_n)], 1)
        total = torch.stack(
            [torch.log1p(evidence.counts.sum().clamp(max=SEEN_ROWS)) / 3, log_n.mean() / 3, torch.ones_like(log_n[0])]
        )
        result = torch.cat([self.embed_counts(total)[None], read + self.embed_counts(told)])
        if self.config.feedback and evidence.agreement is not None:
            over_all, by_class = self.embed_agreement
            result = result + torch.cat([over_all(evidence.agreement[:1]), by_class(evidence.agreement[1:])])
        return result


class FactorDecoder(nn.Module):
    """LoRA factors from the global token with embeddings of layer and factor row (after Text-to-LoRA).

    Each row of a factor (a column, of the second one) is decoded on its own, by one decoder per length; of a
    convolution that is one of its r kernels. Ordinary LoRA initialisation plus a decoder that starts at zero: the first
    adapter is a no-op. Of each pair, lora_A (r, inputs[, h, w]) has a gain and lora_B (outputs, r[, 1, 1]) none.
    """

    def __init__(self, config: AdapterConfig, spec: list[ParameterSpec]) -> None:
        super().__init__()
        D = config.width
        self.spec, self.shared = spec, config.shared
        self.base = nn.ParameterDict()
        for p in spec:
            start = torch.empty(p.sizes)
            if p.gain:
                nn.init.kaiming_uniform_(start, a=math.sqrt(5))
            self.base[_key(p.name)] = nn.Parameter(start if p.gain else start.zero_())
        rank = next(p.sizes[0] for p in spec if p.gain)
        self.layer = nn.Parameter(torch.randn(len(spec), 1, D) * 0.5)
        self.row = nn.Parameter(torch.randn(2, rank, D) * 0.5)
        self.from_world = nn.Linear(D, D)
        self.norm = nn.LayerNorm(D)
        lengths = sorted({_length(p) for p in spec})
        self.out = nn.ModuleDict({str(n): zero_init(nn.Linear(D, n)) for n in lengths})

    def forward(self, world: Tensor) -> dict[str, Tensor]:
        """All factors from the global token (D,)."""
        result = {}
        heard = self.from_world(world)
        for i, p in enumerate(self.spec):
            base = self.base[_key(p.name)]
            if self.shared:
                result[p.name] = base
                continue
            second = int(not p.gain)  # lora_B
            hidden = F.gelu(self.norm(heard + self.layer[i] + self.row[second]))  # (r, D)
            rows = self.out[str(_length(p))](hidden) * _length(p) ** -0.5  # (r, length)
            result[p.name] = base + (rows.T if second else rows).reshape(p.sizes)
        return result


def _length(p: ParameterSpec) -> int:
    """Numbers in one of a factor's r rows (lora_A), or columns (lora_B)."""
    rank = p.sizes[0] if p.gain else p.sizes[1]
    return math.prod(p.sizes) // rank


def class_evidence(phi: Tensor, target: Tensor, regression: bool, alone: HeadPrior | None = None) -> Evidence:
    """What labelled rows say of the classes.

    Parameters
    ----------
    phi : (n, P)
    target : (n, C)
        One-hot labels; regression: the standardised target, C = 1.
    alone : HeadPrior, optional
        The head of words alone, to be tried on the rows, of which it knows nothing.
    """
    agreement = None
    if alone is not None:  # an observation: no gradient makes the head of words tell lies about itself
        agreement = _agreement(F.pad(phi, (0, 1), value=1.0).detach() @ alone.weight.detach(), target, regression)
    if regression:
        n = max(len(phi), 1)
        return Evidence(target.T @ phi / n, phi.new_tensor([float(len(phi))]), agreement)
    counts = target.sum(0)
    means = target.T @ phi / counts.clamp(min=1)[:, None]
    given = counts > 0
    # A class without a row is neither here nor there: its place is the middle of the others.
    means = torch.where(given[:, None], means, means.sum(0) / given.sum().clamp(min=1))
    return Evidence(means, counts, agreement)


def _agreement(logits: Tensor, target: Tensor, regression: bool) -> Tensor:
    """Loss and share of right answers of logits (n, C), over all rows and by class, (1 + C, 2)."""
    if regression:
        pair = torch.stack([logits[:, 0], target[:, 0]])
        centred = pair - pair.mean(1, keepdim=True)
        product = centred[0] @ centred[1] / centred.norm(dim=1).prod().clamp(min=1e-6)
        loss = (pair[0] - pair[1]).square().mean().clamp(max=4.0)
        return torch.stack([loss, product]).expand(2, 2)
    loss = -(logits.log_softmax(1) * target).sum(1) / math.log(max(logits.shape[1], 2))
    told = torch.stack([loss.clamp(max=4.0), (logits.argmax(1) == target.argmax(1)).to(loss.dtype)], 1)  # (n, 2)
    counts = target.sum(0)
    by_class = target.T @ told / counts.clamp(min=1)[:, None]
    return torch.cat([told.mean(0, keepdim=True), torch.where(counts[:, None] > 0, by_class, told.mean(0))])


def _blocks(config: AdapterConfig) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(SelfAttention(config.width, config.heads), FeedForward(config.width))
        for _ in range(config.blocks)
    )


def _mix(blocks: nn.ModuleList, tokens: Tensor) -> Tensor:
    """Let tokens (k, D) hear each other."""
    x = tokens[None]
    for block in blocks:
        x = block(x)
    return x[0]


def _exp(x: Tensor) -> Tensor:
    """exp, within bounds that no step of training leaves for good."""
    return torch.exp(_LIMIT * torch.tanh(x / _LIMIT))


def _key(name: str) -> str:
    return name.replace(".", "/")
