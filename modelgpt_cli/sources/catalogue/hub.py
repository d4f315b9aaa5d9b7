"""Data sets on the Hugging Face hub, as cards: the hub's own search finds them, `search` ranks them. Beside `cards`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.sources.catalogue.cards import DataCard

DEFAULT_ENDPOINT = "https://huggingface.co"
FOUND_PER_WORD = 20
MOST_WORDS = 4
_COMMON = frozenset(
    ("and", "data", "dataset", "for", "from", "into", "that", "the", "what", "which", "whether", "with")
)


def search_hub(words: str) -> list[DataCard]:
    """Look for data sets on the hub: by all words together, then by each of the longest, as it matches names only.

    ``HF_ENDPOINT`` names another hub. The words are all that is sent.

    Raises
    ------
    UnreachableError
        If the hub is out of reach.
    """
    from huggingface_hub import HfApi

    endpoint = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    api = HfApi(endpoint=endpoint)
    spoken = [word for word in re.findall(r"\w{3,}", words.lower()) if word not in _COMMON]
    queries = list(dict.fromkeys([words, *sorted(dict.fromkeys(spoken), key=len, reverse=True)[:MOST_WORDS]]))
    cards: dict[str, DataCard] = {}
    try:
        for query in queries:
            for found in api.list_datasets(search=query, limit=FOUND_PER_WORD, full=True):
                cards.setdefault(found.id, _card(found, endpoint))
    except Exception as error:  # requests' or httpx's errors, whichever the installed client uses
        raise UnreachableError(
            f"The hub at {endpoint} is out of reach.",
            " ".join(str(error).split())[:300],
            "Look in a catalogue of your own instead: --catalog DIR.",
        ) from None
    return list(cards.values())


def _card(found: Any, endpoint: str) -> DataCard:
    tags: list[str] = list(found.tags or ())
    return DataCard(
        name=found.id,
        title=found.id,
        description=" ".join(
            (getattr(found, "description", None) or found.id.replace("/", " ").replace("_", " ")).split()
        ),
        licence=_tagged(tags, "license"),
        task=_tagged(tags, "task_categories"),
        source="the Hugging Face hub",
        url=f"{endpoint.rstrip('/')}/datasets/{found.id}",
    )


def _tagged(tags: Iterable[str], kind: str) -> str:
    return ", ".join(tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:"))
