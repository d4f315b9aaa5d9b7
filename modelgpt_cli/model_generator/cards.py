"""The shelf: every architecture with its generator that a build can choose from. Before `choice`, which picks one.

The cards are the domains': each knows what its models cost, computed from their shapes, and what they are worth, which
is on record beside the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modelgpt_cli.core.domain import Domain, domain_names, find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.model_generator.costs import Costs, Sizes

LOSS = {"classification": "log_loss", "regression": "r2"}
"""The metric in which what a card or a storage loses is counted; of both, a loss is a positive number."""


@dataclass(frozen=True)
class ArchitectureCard:
    """An architecture and the generator that writes it.

    Attributes
    ----------
    name : str
        What `--card` takes.
    domain : str
        Name of the domain.
    architecture : str
        As blueprints name it.
    settings : mapping of str to int
        What the card fixes of the architecture, where several cards share one.
    generator : str
        The shipped checkpoint, as its folder below the project's top level; "" where none was trained.
    weights : str
        Where a pretrained network's weights come from; "" where all are generated.
    at_hand : bool
        Whether nothing has to be downloaded to build it.
    limits : mapping of str to int
        Columns, classes, tokens and the like that it takes at most.
    quality : mapping of str to float
        On record: means over tasks that the generator has not seen.
    lost : mapping of str to float
        On record: what it loses against the domain's first card, by metric of `LOSS` or of `Domain.metrics`; empty
        where nothing is.
    """

    name: str
    domain: str
    architecture: str
    settings: Mapping[str, int] = field(default_factory=dict)
    generator: str = ""
    weights: str = ""
    at_hand: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)

    def costs(self, sizes: Sizes) -> Costs | None:
        """Compute what a model of it costs; None where its shapes take its weights to know, or it is none of ours."""
        return shelf(find_domain(self.domain)).costs(self, sizes)


class Shelf(Protocol):
    """A domain's part ``architectures``. Imports no torch."""

    def cards(self) -> Iterator[ArchitectureCard]:
        """Yield the cards in the order in which a build tries them.

        First comes what a build takes by default; then what is on record, by what it loses; then what has no record.
        They are made one by one: whether a card's weights are at hand takes imports to know.
        """

    def find(self, name: str) -> ArchitectureCard | None:
        """Return the card of a name; None where the domain has none."""

    def costs(self, card: ArchitectureCard, sizes: Sizes) -> Costs | None:
        """Compute what a card's model costs; None where that is not known."""

    def fixed(self, options: BuildOptions) -> ArchitectureCard | None:
        """Return the card that the domain's options decide on; None where they leave it open."""

    def conflict(self, card: ArchitectureCard, options: BuildOptions) -> str:
        """Return the flag of the option that asks for another card; "" where none does."""

    def check(self, requirement: Requirement, options: BuildOptions, output: Path) -> None:
        """Make sure that the options suit the requirement and the output.

        Raises
        ------
        UsageError
            They don't.
        """

    def storages(self, *, data: bool) -> tuple[str, ...]:
        """Return how a model may be stored, in the order of what is lost.

        Parameters
        ----------
        data : bool
            Whether there are rows to measure on.
        """


def shelf(domain: Domain) -> Shelf:
    """Return a domain's shelf."""
    found: Shelf = domain.part("architectures")
    return found


def find_cards(domain: str | None = None) -> list[ArchitectureCard]:
    """Return the cards, of a domain or all, each domain's in the order in which a build tries them."""
    return [card for name in _names() if domain in (None, name) for card in shelf(find_domain(name)).cards()]


def default_card(domain: str) -> ArchitectureCard:
    """Return the first card of a domain; for what else is at hand nothing is looked up."""
    return next(shelf(find_domain(domain)).cards())


def find_card(name: str) -> ArchitectureCard:
    """Return the card of a name.

    Raises
    ------
    UsageError
        There is no such card.
    """
    for domain in _names():
        if (card := shelf(find_domain(domain)).find(name)) is not None:
            return card
    known = ", ".join(card.name for card in find_cards())
    raise UsageError(f"There is no card {name!r}.", f"There are: {known}.", "See: modelgpt zoo")


def _names() -> tuple[str, ...]:
    """The domains' names, the one that takes what others leave first: its cards need the fewest imports."""
    return domain_names()[::-1]
