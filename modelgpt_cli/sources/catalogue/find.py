"""``find``: words in, the cards of data sets that are about them out."""

from __future__ import annotations

from pathlib import Path

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import FindOptions
from modelgpt_cli.sources.catalogue.cards import DataCard, read_catalogue
from modelgpt_cli.sources.catalogue.search import rank


def find(
    words: str, *, catalog: str | Path | None = None, hub: bool = False, k: int = 5
) -> list[tuple[DataCard, float]]:
    """Look for data sets.

    Parameters
    ----------
    words : str
        What the data shall be about.
    catalog : path-like, optional
        A folder of cards, or a file of them.
    hub : bool
        Look on the Hugging Face hub too.
    k : int
        How many to give at most.

    Returns
    -------
    list of (DataCard, float)
        Best first, with the cosine of the embeddings.

    Raises
    ------
    UsageError
        There are no words, or nowhere to look, or `k` is less than 1.
    UnreachableError
        The hub is out of reach.
    """
    most = FindOptions(top=k).top
    if not words.strip():
        raise UsageError("There are no words to look for.", hint='For instance: modelgpt find "spam messages" ...')
    if catalog is None and not hub:
        raise UsageError("Where shall be looked?", hint="Give --catalog DIR|FILE, or --hub for the Hugging Face hub.")
    cards = read_catalogue(catalog) if catalog is not None else []
    if hub:
        from modelgpt_cli.sources.catalogue.hub import search_hub

        cards += search_hub(words)
    return rank(words, cards)[:most]
