"""Which candidates a build has: what the user has fixed, what is at hand, in the order of what is lost.

Between the cards and `candidates`, which tries them.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core.domain import Domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.model_generator.cards import ArchitectureCard, default_card, find_card, find_cards, shelf
from modelgpt_cli.model_generator.costs import STORAGES


@dataclass(frozen=True)
class Plan:
    """The candidates of a build.

    Attributes
    ----------
    cards : tuple of ArchitectureCard
        What a build takes by default comes first.
    storages : tuple of str
        In which each may be written.
    """

    cards: tuple[ArchitectureCard, ...]
    storages: tuple[str, ...]


def plan_candidates(wanted: Requirement, domain: Domain, options: BuildOptions, *, data: bool, onnx: bool) -> Plan:
    """Return what may be tried.

    Parameters
    ----------
    domain : Domain
    options : BuildOptions
        The domain's. Its `card`, ``NAME`` or ``NAME/STORAGE``, is tried alone; and so is what the other options decide
        on.
    data : bool
        Whether there are rows; without, a card needs a generator.
    onnx : bool
        Whether a ``model.onnx`` is written; a ``model.safetensors`` is in float32.

    Raises
    ------
    UsageError
        The card is unknown, of another domain, or contradicts another option.
    """
    name, _, stored = (options.card or "").partition("/")
    limits = wanted.limits
    changing = limits.size is not None or limits.latency_ms is not None or limits.memory is not None
    storages = shelf(domain).storages(data=data) if changing else ("none",)
    if wanted.deploy.quantize is not None:
        storages = (wanted.deploy.quantize,)
    if stored:
        storages = (_storage(stored, wanted),)
    if not onnx:
        if storages != ("none",) and stored:
            raise UsageError(f"--card {options.card} is for a model.onnx.", "A model.safetensors is in fp32.")
        storages = ("none",)
    if name:
        return Plan((_named(name, domain, options, data),), storages)
    fixed = shelf(domain).fixed(options)
    if fixed is not None:
        return Plan((fixed,), storages)
    # By itself, a build does not take what the machine happens to hold: only where the default misses a limit.
    if not (wanted.limits.to_mapping() or wanted.quality.to_mapping()):
        return Plan((default_card(domain.name),), storages)
    cards = [one for one in find_cards(domain.name) if one.at_hand and (data or one.generator)]
    return Plan(tuple(cards), storages)


def _storage(stored: str, wanted: Requirement) -> str:
    if stored not in STORAGES:
        raise UsageError(f"There is no storage {stored!r}.", f"It is one of {', '.join(STORAGES)}.")
    asked = wanted.deploy.quantize
    if asked is not None and asked != STORAGES[stored]:
        raise UsageError(f"--card says {stored}, and deploy: quantize says {asked}.", hint="Leave out one of the two.")
    return STORAGES[stored]


def _named(name: str, domain: Domain, options: BuildOptions, data: bool) -> ArchitectureCard:
    card = find_card(name)
    if card.domain != domain.name:
        own = ", ".join(one.name for one in find_cards(domain.name))
        raise UsageError(
            f"The card {name!r} is of the domain {card.domain}; this build's is {domain.name}.", f"Its cards: {own}."
        )
    if flag := shelf(domain).conflict(card, options):
        raise UsageError(f"--card {name} and {flag} contradict each other.", hint="Leave out one of the two.")
    if not data and not card.generator:
        raise UsageError(
            f"Without data, the card {name!r} needs a generator, and none was trained for it.",
            hint=f"Give --data PATH, or train one: modelgpt meta-train --domain {domain.name} --backbone {name}",
        )
    return card
