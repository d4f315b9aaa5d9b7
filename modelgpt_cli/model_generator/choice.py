"""Which candidates a build has: what the user has fixed, what is at hand, in the order of what is lost.

Between the cards and `artifact.candidates`, which tries them.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.shared.build import BuildOptions
from modelgpt_cli.model_generator.cards import ModelCard, default_card, find_card, find_cards, table_card
from modelgpt_cli.model_generator.costs import STORAGES


@dataclass(frozen=True)
class Plan:
    """The candidates of a build.

    Attributes
    ----------
    cards : tuple of ModelCard
        What a build takes by default comes first.
    storages : tuple of str
        In which each may be written.
    """

    cards: tuple[ModelCard, ...]
    storages: tuple[str, ...]


def plan_candidates(
    wanted: Requirement, domain: str, options: BuildOptions, card: str | None, *, data: bool, onnx: bool
) -> Plan:
    """What may be tried.

    Parameters
    ----------
    domain : {"tabular", "text", "image"}
    options : BuildOptions
        Members, a backbone, its weights or a generator that are given are the user's choice: they alone are tried.
    card : str, optional
        ``NAME`` or ``NAME/STORAGE``, which alone is tried.
    data : bool
        Whether there are rows; without, a card needs a generator, and an image model no measured ranges for 8 bits.
    onnx : bool
        Whether a ``model.onnx`` is written; a ``model.safetensors`` is in float32.

    Raises
    ------
    UsageError
        The card is unknown, of another domain, or contradicts another option.
    """
    name, _, stored = (card or "").partition("/")
    limits = wanted.limits
    changing = limits.size is not None or limits.latency_ms is not None or limits.memory is not None
    storages: tuple[str, ...] = tuple(STORAGES.values()) if changing else ("none",)
    if domain == "image" and not data:
        storages = tuple(storage for storage in storages if storage != "int8")
    if wanted.deploy.quantize is not None:
        storages = (wanted.deploy.quantize,)
    if stored:
        storages = (_storage(stored, wanted),)
    if not onnx:
        if storages != ("none",) and stored:
            raise UsageError(f"--card {card} is for a model.onnx.", "A model.safetensors is in fp32.")
        storages = ("none",)
    if name:
        return Plan((_named(name, domain, options, data),), storages)
    fixed = _fixed(domain, options)
    if fixed is not None:
        return Plan((fixed,), storages)
    # By itself, a build does not take what the machine happens to hold: only where the default misses a limit.
    if not (wanted.limits.to_mapping() or wanted.quality.to_mapping()):
        return Plan((default_card(domain),), storages)
    cards = [one for one in find_cards(domain) if one.at_hand and (data or one.generator)]
    return Plan(tuple(cards), storages)


def _storage(stored: str, wanted: Requirement) -> str:
    if stored not in STORAGES:
        raise UsageError(f"There is no storage {stored!r}.", f"It is one of {', '.join(STORAGES)}.")
    asked = wanted.deploy.quantize
    if asked is not None and asked != STORAGES[stored]:
        raise UsageError(f"--card says {stored}, and deploy: quantize says {asked}.", hint="Leave out one of the two.")
    return STORAGES[stored]


def _named(name: str, domain: str, options: BuildOptions, data: bool) -> ModelCard:
    card = find_card(name)
    if card.domain != domain:
        own = ", ".join(one.name for one in find_cards(domain))
        raise UsageError(
            f"The card {name!r} is of the domain {card.domain}; this build's is {domain}.", f"Its cards: {own}."
        )
    if options.members not in (None, card.members) or options.backbone not in (None, card.name):
        raise UsageError(
            f"--card {name} and {'--members' if domain == 'tabular' else '--backbone'} contradict each other.",
            hint="Leave out one of the two.",
        )
    if not data and not card.generator:
        raise UsageError(
            f"Without data, the card {name!r} needs a generator, and none was trained for it.", hint="Give --data PATH."
        )
    return card


def _fixed(domain: str, options: BuildOptions) -> ModelCard | None:
    """The card of what the user has chosen by other options; None where that is left open."""
    if domain == "tabular":
        return None if options.members is None else table_card(options.members)
    if options.backbone is not None:
        name = _backbone_name(domain, options.backbone)
        return next((card for card in find_cards(domain) if card.name == name), ModelCard(name, domain, name))
    return default_card(domain) if options.backbone_weights is not None or options.generator is not None else None


def _backbone_name(domain: str, backbone: str) -> str:
    """A backbone's name without the path of a folder."""
    if domain == "text":
        from modelgpt_cli.domains.text import architectures as texts

        return texts.find_card(backbone).name
    from modelgpt_cli.domains.image import architectures as images

    return images.find_card(backbone).name
