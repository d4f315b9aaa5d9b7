"""Architecture cards of detection: at which size a network sees an image. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.image.dense.architectures import (
    MATRICES,
    N_INPUTS,
    NETWORK,
    encoder_config,
    size_of,
    storages,
    with_halves,
)
from modelgpt_cli.domains.image.detection import DOMAIN
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Costs, NetworkSize, Sizes, network_costs

__all__ = ["NETWORK", "encoder_config", "size_of", "storages"]
SIZES = (640, 480, 320)
"""Pixels of an image's longer side, the default first. Of 40 held-out blood cell images of 480 x 360 pixels the mAP at
.5 was .881 at 640 and .869 at 480; 320 is the fastest."""
_LOST = {480: 0.012, 320: 0.014}
"""Of 40 images, against the first: by images held out, and by those of the test part."""
_FLOPS_160, _SIDE = 391_742_400, 160
"""Operations of the network on an image of 160 x 160 pixels."""
_PROJECTED = 240 * 48 + 48 + 672 * 64 + 64
_REGION = (48 + 64) * 25 + 5


def card_name(size: int) -> str:
    """Return what the card of a size is called."""
    return f"{NETWORK}-boxes-{size}"


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
        lost={"map50": _LOST[size]} if size in _LOST else {},
    )


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs; operations are those of a square image, which costs most."""
    size, classes = size_of(card.name), sizes.outputs
    heads = 4 * N_INPUTS + 4 + _PROJECTED + (_REGION + 1) * (classes + 4) + 5 * classes
    network = NetworkSize(3_371_008 + heads, MATRICES + heads, N_INPUTS, _FLOPS_160 * size**2 // _SIDE**2)
    found = network_costs(network, N_INPUTS, classes)
    n_bytes = with_halves(found, (N_INPUTS + _REGION) * (classes + 4) + _PROJECTED)
    return replace(found, at=f"{size} x {size} pixels", n_bytes=n_bytes)


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return None: no option but ``--card`` decides."""
    return None


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return "": no option asks for another card."""
    return ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Accept all: no option of this domain excludes another."""
