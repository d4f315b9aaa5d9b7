"""Architecture cards of dense vision: at which size a network sees an image. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.image.architectures import DEFAULT_CARD, LITE
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORAGES, Costs, NetworkSize, Sizes, network_costs

NETWORK = DEFAULT_CARD
SIZES = (640, 480, 320)
"""Pixels of an image's longer side, the default first. On 40 street scenes of 480 x 360 pixels the mIoU of held-out
images was .487 at 640, .469 at 480 and .430 at 320."""
_LOST = {480: 0.018, 320: 0.057}
"""The same, against the first."""
N_INPUTS = 2864
"""P; see `maps.GROUPS`."""
MATRICES = 3_328_992
"""Numbers of the network's convolutions."""
_FLOPS_160, _SIDE = 391_742_400, 160
"""Operations of the network on an image of 160 x 160 pixels."""


def card_name(size: int) -> str:
    """Return what the card of a size is called."""
    return f"{NETWORK}-dense-{size}"


def encoder_config(size: int) -> dict[str, object]:
    """What a blueprint keeps of a card: the network, and how it sees an image."""
    mean, std = LITE
    return {"network": NETWORK, "size": size, "mean": list(mean), "std": list(std)}


def size_of(card: str) -> int:
    """Return the size of a card."""
    return int(card.rpartition("-")[2])


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
        generator="weights/image",  # what names of classes mean, where there is no data
        weights=package.name,
        at_hand=package.is_installed(),
        limits={"pixels": size},
        lost={"miou": _LOST[size]} if size in _LOST else {},
    )


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs; operations are those of a square image, which costs most."""
    size = size_of(card.name)
    network = NetworkSize(3_371_008, MATRICES, N_INPUTS, _FLOPS_160 * size**2 // _SIDE**2)
    found = network_costs(network, N_INPUTS, sizes.outputs)
    return replace(found, at=f"{size} x {size} pixels", n_bytes=with_halves(found, N_INPUTS * sizes.outputs))


def with_halves(costs: Costs, halves: int, integers: int = 0) -> dict[str, int]:
    """Return a model's bytes by storage: in 8 bits its heads have so many numbers in halves and in 8 bits."""
    return {**costs.n_bytes, "int8": MATRICES + 2 * halves + integers}


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return None: no option but ``--card`` decides."""
    return None


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return "": no option asks for another card."""
    return ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Accept all: no option of this domain excludes another."""


def storages(*, data: bool) -> tuple[str, ...]:
    """Return the storages: 8 bits take images to measure the ranges of a network's numbers on."""
    return tuple(storage for storage in STORAGES.values() if data or storage != "int8")
