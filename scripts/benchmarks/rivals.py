"""Networks with the heads that people train, on the same images, for as many CPU seconds as ours are built in, or more.

Each begins with the network that ours keep frozen, with its ImageNet weights, and trains it, but for its first blocks
and the statistics of its BatchNorm: by AdamW, on images that are changed at random, at a rate that rises and then falls
as a cosine until the seconds are used up. It is measured by the code that measures our files.
"""

from __future__ import annotations

import argparse
import copy
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.domains.image.dense.architectures import NETWORK
from modelgpt_cli.domains.image.dense.build import shared_map_trunk
from modelgpt_cli.domains.image.dense.feed import IMAGE
from modelgpt_cli.domains.image.dense.loop import FROZEN
from modelgpt_cli.domains.image.dense.maps import MapTrunk
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.runtime.evaluate import Evaluation
from modelgpt_cli.runtime.session import Model

from .common import names

E = TypeVar("E")
HEAD_LR, TRUNK_LR = 2e-3, 4e-4
"""Highest rates, of what is new and of what is pretrained."""
WEIGHT_DECAY = 1e-4
WARM_UP = 0.1
"""Share of the time in which the rates rise."""
LONGEST = 5.0
"""The norm that gradients are cut to."""
TIMED = 16


@dataclass(frozen=True)
class Method:
    """A rival, and how many times the CPU seconds of our build it is trained for."""

    name: str
    times: float

    def __str__(self) -> str:
        return f"{self.name} trained {self.times:g}x as long"


def add_methods(parser: argparse.ArgumentParser, name: str) -> None:
    """Add ``--methods``, for a rival of some name."""

    def methods(text: str) -> list[Method]:
        found = [re.fullmatch(rf"{name}@([\d.]+)x", one) for one in names(text) if one != "ours"]
        if not all(found):
            raise argparse.ArgumentTypeError(f"{name}@1x,{name}@20x is read, of any numbers")
        return [Method(name, float(one[1])) for one in found if one is not None]

    parser.add_argument(
        "--methods",
        type=methods,
        default=[],
        metavar="LIST",
        help=f"beside ours: {name}@20x is a trained network, for 20 times the CPU seconds of our build",
    )


class Rival(ABC):
    """A network with a head, and what it learns from.

    Attributes
    ----------
    trunk : MapTrunk
        A copy of the pretrained network.
    module : nn.Module
        All that is trained, the trunk within.
    """

    module: nn.Module

    def __init__(self) -> None:
        self.trunk: MapTrunk = copy.deepcopy(shared_map_trunk(NETWORK)).requires_grad_(True)
        for module in self.trunk.first_modules(FROZEN):
            module.requires_grad_(False)
        self._first = folded(self.trunk)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The network's maps at strides of 8, 16 and 32 pixels; its first blocks are frozen, as in our tuning."""
        with torch.no_grad():
            x = self._first.first(x.contiguous(memory_format=torch.channels_last), FROZEN)
        return self.trunk.maps_of(x, FROZEN)

    @abstractmethod
    def loss(self, rng: np.random.Generator) -> Tensor:
        """The loss of some images, changed at random: ()."""

    @abstractmethod
    def answer(self, images: np.ndarray) -> list[np.ndarray]:
        """What our graph would give for images of one size, uint8 (N, H, W, 3)."""


def train(rival: Rival, seconds: float, seed: int) -> int:
    """Train for some CPU seconds; return the number of steps."""
    rng, steps = np.random.default_rng([seed, 83]), 0
    trunk = [p for p in rival.trunk.parameters() if p.requires_grad]
    own = {id(p) for p in rival.trunk.parameters()}
    groups = [{"params": trunk}, {"params": [p for p in rival.module.parameters() if id(p) not in own]}]
    rates = (TRUNK_LR, HEAD_LR)
    optimizer = torch.optim.AdamW(groups, lr=HEAD_LR, weight_decay=WEIGHT_DECAY)
    rival.module.to(memory_format=torch.channels_last).train()
    rival.trunk.eval()  # BatchNorm keeps its statistics
    optimizer.zero_grad()  # torch loads much when this is done for the first time
    start = time.process_time()
    while (done := (time.process_time() - start) / seconds) < 1:
        share = done / WARM_UP if done < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * max(share, 0.01)
        optimizer.zero_grad(set_to_none=True)
        rival.loss(rng).backward()
        nn.utils.clip_grad_norm_(rival.module.parameters(), LONGEST)
        optimizer.step()
        steps += 1
    rival.module.eval()
    return steps


class _Answering:
    """A model whose graph is a rival's network: what reads its answers and measures them stays."""

    def __init__(self, model: Model, rival: Rival) -> None:
        self._model, self._rival = model, rival

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def execute(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            return self._rival.answer(inputs[IMAGE])

    def run(self, columns: Mapping[str, Any], *, advance: Any = None) -> dict[str, np.ndarray]:
        assert self._model.answers is not None
        return self._model.answers.run(cast(Model, self), columns, advance)


def measure(rival: Rival, model: Path, test: Path, images: Sequence[Path]) -> tuple[Evaluation, float, float]:
    """Measure a rival in the place of a model's graph: metrics, images a CPU second, and megabytes of its weights."""
    session = Model(model)
    assert session.answers is not None
    answering = cast(Model, _Answering(session, rival))
    found = session.answers.evaluate(answering, _opened(session, [test], labelled=True), 64)
    start = time.process_time()
    for chunk in _opened(session, images[:TIMED], labelled=False).chunks(64):
        answering.run(chunk.columns)
    rate = min(TIMED, len(images)) / (time.process_time() - start)
    return found, rate, 4e-6 * sum(p.numel() for p in rival.module.parameters())


def _opened(session: Model, data: Sequence[Path], *, labelled: bool) -> Any:
    return session.feeds.open_source(session, data, labelled=labelled, target=None)


def drawn(examples: Sequence[E], n: int, rng: np.random.Generator) -> list[E]:
    """Draw some examples, none twice while there are others."""
    return [examples[k] for k in rng.choice(len(examples), n, replace=n > len(examples))]


def rivals_of(
    methods: Sequence[Method],
    make: Callable[[], Rival],
    figures: Callable[[Evaluation, float, float, float], tuple[float, ...]],
    model: Path,
    test: Path,
    images: Sequence[Path],
    seconds: float,
    seed: int,
) -> list[tuple[float, ...]]:
    """Train and measure rivals of a model that was built in some CPU seconds; return the figures of each.

    Parameters
    ----------
    figures : callable
        From metrics, CPU seconds, images a CPU second and megabytes.
    """
    found = []
    for method in methods:
        torch.manual_seed(seed)
        rival = make()
        start = time.process_time()
        steps = train(rival, method.times * seconds, seed)
        took = time.process_time() - start
        measured, rate, megabytes = measure(rival, model, test, images)
        print(f"{method}: {steps} steps", flush=True)
        found.append(figures(measured, took, rate, megabytes))
    return found
