"""From words and rows to answers: generate, adapt the backbone, solve the head. Alike in training and in builds.

Shapes: N rows, P head inputs, C classes, s support rows, q query rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from modelgpt_cli.domains.shared.head import solve, with_bias
from modelgpt_cli.domains.shared.tasks import Episode, R
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, HeadPrior, class_evidence

Embed: TypeAlias = Callable[[Mapping[str, Tensor], R, bool], Tensor]


@dataclass
class Answers:
    """What came of an episode.

    Attributes
    ----------
    posterior, prior : float (q, C)
        Logits of the queries (or the standardised target) with the support, and of the requirement alone.
    prior_support : float (k, C)
        Of the requirement alone, for those support rows that pass gradients on.
    kept : list of int
        Which rows of the support these are.
    lora : dict of Tensor
        The generated factors.
    """

    posterior: Tensor
    prior: Tensor
    prior_support: Tensor
    kept: list[int]
    lora: dict[str, Tensor]


def run_episode(
    generator: AdapterGenerator,
    embed: Embed[R],
    episode: Episode[R],
    *,
    free: int = 64,
    cut: Callable[[Tensor], Tensor] | None = None,
) -> Answers:
    """Answer an episode's queries.

    Parameters
    ----------
    embed : callable
        From factors, rows and whether they are pairs to head inputs (N, P) float32.
    free : int
        So many support rows pass gradients on; the others are only looked at.
    cut : callable, optional
        Given each generated tensor; what it returns is used in its stead (Algorithm 1 cuts the graph there).
    """
    words = episode.words
    lora, tokens = generator.adapt(words)
    if cut is not None:
        lora = {name: cut(value) for name, value in lora.items()}
    s, q = len(episode.support), len(episode.query)
    kept = torch.randperm(s)[:free].tolist() if torch.is_grad_enabled() and s > free else list(range(s))
    other = sorted(set(range(s)) - set(kept))
    rows = episode.support.take(kept).followed_by(episode.query)
    phi = embed(lora, rows, words.pair)  # (s' + q, P)
    target = episode.target.to(phi.device)[kept + other]
    support = phi[: len(kept)]
    if other:
        with torch.no_grad():
            more = embed(lora, episode.support.take(other), words.pair)
        support = torch.cat([support, more])
    named: Tensor | None = None
    if episode.names is not None and not words.pair:
        named = embed(lora, episode.names, False)  # (C, P)
        named = named if cut is None else named.detach()
    query = with_bias(phi[-q:])
    alone = generator.head(tokens, words, named, None)
    seen = support if cut is None else support.detach()
    told = generator.head(tokens, words, named, class_evidence(seen, target, words.regression, alone))
    if cut is not None:
        told = HeadPrior(cut(told.weight), cut(told.precision))
        alone = HeadPrior(cut(alone.weight), alone.precision)
    weight = solve(support, target, told, words.regression)
    on_support = with_bias(phi[: len(kept)]) @ alone.weight
    return Answers(query @ weight, query @ alone.weight, on_support, kept, lora)
