"""Architecture cards of key points: at which size a network sees an image. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.image.dense.architectures import (
    MATRICES,
    NETWORK,
    encoder_config,
    size_of,
    storages,
    with_halves,
)
from modelgpt_cli.domains.image.keypoints import DOMAIN
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Costs, NetworkSize, Sizes, network_costs

__all__ = ["NETWORK", "cards", "check", "conflict", "costs", "encoder_config", "find", "fixed", "size_of", "storages"]
SIZES = (256, 384)
"""Pixels of an image's longer side, the default first. On faces, of images of at most 160 pixels, errors of images that
were not learned from were the same at 256 and at 320."""
DIRECTIONS = (64, 96, 64)
"""Principal directions of the maps at strides of 8, 16 and 32; of many points fewer, see `MOST_INPUTS`."""
MOST_INPUTS, MOST_NUMBERS = 1600, 110_000
"""Inputs of a step, and numbers of its weight: the finer maps have fewer directions where there are more points. Of ten
points 1,000 inputs instead cost 1.4 points of PCK, with 40 faces; of more than 34 points files would become large."""
LEAST_DIRECTIONS = 2
GRID = 4
"""Places a side as which the first guess sees the two coarser maps."""
AROUND, WINDOW = 5, 5
"""Places a side whose mean is read where an object is looked for, and at which the first guess sees it when found."""
CUT = 256
"""A side of what the second look sees, at most, though the image be seen at more pixels: objects as large as those that
the network was trained on tell most. Of 40 faces at 384 pixels a second look at as many was no better than one."""
STEPS = 4
CHANNELS = (240, 672, 1280)
"""Of the maps; see `dense.maps.MapTrunk`."""
_FLOPS_160, _SIDE = 391_742_400, 160
"""Operations of the network on an image of 160 x 160 pixels."""


def cut_size(seen: int) -> int:
    """Return the pixels a side of what the second look sees, where the longer side of an image is seen at so many."""
    return min(seen, CUT)


def card_name(size: int) -> str:
    """Return what the card of a size is called."""
    return f"{NETWORK}-points-{size}"


def cards() -> Iterator[ArchitectureCard]:
    """Yield the cards, the default one first."""
    return (_card(size) for size in SIZES)


def find(name: str) -> ArchitectureCard | None:
    """Return the card of a name."""
    return next((card for card in cards() if card.name == name), None)


def _card(size: int) -> ArchitectureCard:
    package = PACKAGES[NETWORK]
    return ArchitectureCard(
        name=card_name(size),
        domain=DOMAIN.name,
        architecture=card_name(size),
        weights=package.name,
        at_hand=package.is_installed(),
        limits={"pixels": size},
    )


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs at most: it looks twice, and images are square."""
    size = size_of(card.name)
    network = NetworkSize(3_371_008, MATRICES, CHANNELS[-1], _FLOPS_160 * (size**2 + cut_size(size) ** 2) // _SIDE**2)
    numbers = head_numbers(sizes.outputs)
    found = network_costs(network, numbers - 1, 1)
    kept = n_directions(sizes.outputs)
    projections = 2 * sum(c * d for c, d in zip(CHANNELS, kept, strict=True)) + sum(kept) + kept[1]
    n_bytes = with_halves(found, projections, numbers - projections)
    return replace(found, at=f"{size} x {size} pixels", n_bytes=n_bytes)


def n_directions(n_points: int) -> tuple[int, ...]:
    """Return how many principal directions of each map are kept for so many points."""
    *finer, last = DIRECTIONS
    inputs = min(MOST_INPUTS, MOST_NUMBERS // (2 * n_points))
    share = min(1.0, inputs / (n_points * sum(finer)))
    return (*(max(LEAST_DIRECTIONS, round(share * n)) for n in finer), last)


def head_numbers(n_points: int) -> int:
    """Return how many numbers all heads have: of each look projections, first guess, steps and score; the locator."""
    kept = n_directions(n_points)
    projections = sum((c + 1) * d for c, d in zip(CHANNELS, kept, strict=True))
    first = GRID * GRID * sum(kept[1:]) + 1
    step = n_points * sum(kept[:2]) + 1
    look = projections + 2 * n_points * first + step * n_points * (2 * STEPS + 1)
    window = WINDOW * WINDOW
    locator = sum(kept) + kept[1] + 1 + 2 * window + window * sum(kept[1:]) * 2 * n_points
    return 2 * look + locator + 2 * n_points


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return None: no option but ``--card`` decides."""
    return None


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return "": no option asks for another card."""
    return ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Accept all: no option of this domain excludes another."""
