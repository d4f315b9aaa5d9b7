"""Architecture cards of the text domain: which encoder, and where generated LoRA factors go into it.

Adding an encoder means adding a card; any other that transformers' AutoModel loads gets one made on the spot.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.parameter_generator.default_encoder import DEFAULT_ENCODER, check_default, default_folder

DEFAULT_CARD = "minilm-l6"
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
    )
}


def find_card(name: str | None) -> TextCard:
    """The card of a name, or one made for a local folder or a hub name; the default one for None."""
    if name is None or name == DEFAULT_ENCODER:
        return CARDS[DEFAULT_CARD]
    if name in CARDS:
        return CARDS[name]
    return TextCard(Path(name).name if _is_folder(name) else name, name, ANY_ATTENTION)


def _is_folder(source: str) -> bool:
    return source.startswith((".", "/", "~")) or Path(source).is_dir()
