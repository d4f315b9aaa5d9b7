"""From a card's name to its data: `build --data-from`. After `cards`."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.sources.catalogue.cards import DataCard, read_catalogue


def card_data(name: str, catalog: str | Path | None) -> tuple[DataCard, Path]:
    """The card of this name, and where its data are.

    Raises
    ------
    UsageError
        There is no catalogue, no card of this name or more than one, or its data are not on this machine.
    """
    if catalog is None:
        raise UsageError(f"Where is {name!r}?", hint="Give --catalog DIR|FILE, the cards that it stands in.")
    cards = read_catalogue(catalog)
    found = [card for card in cards if card.name == name]
    if not found:
        near = get_close_matches(name, [card.name for card in cards], n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else 'modelgpt find "words" shows what there is.'
        raise UsageError(f"{catalog} has no data set {name!r}.", hint=hint)
    if len(found) > 1:
        raise UsageError(
            f"{catalog} has {len(found)} data sets called {name!r}.", hint="Name the folder of one of them."
        )
    card = found[0]
    if card.data is None or not card.data.exists():
        where = f"There is no {card.data}." if card.data else "Its card names no file ('data:' or 'file:')."
        raise UsageError(
            f"The data of {name!r} are not here.", where, f"Get them: {card.url or card.source or 'see the card'}"
        )
    return card, card.data
