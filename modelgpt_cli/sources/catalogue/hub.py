"""Data sets on the Hugging Face hub, as cards: the hub's own search finds them, `search` ranks them. Beside `cards`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.web import get
from modelgpt_cli.sources.catalogue.cards import DataCard

DEFAULT_ENDPOINT = "https://huggingface.co"
FOUND_PER_WORD = 20
MOST_WORDS = 4
TIMEOUT = 20.0
"""Seconds to wait for an answer; the hub's own search takes one or two."""
_COMMON = frozenset(
    ("and", "data", "dataset", "for", "from", "into", "that", "the", "what", "which", "whether", "with")
)


def search_hub(words: str) -> list[DataCard]:
    """Look for data sets on the hub: by all words together, then by each of the longest, as it matches names only.

    ``HF_ENDPOINT`` names another hub. The words are all that is sent, with the user's token for the hub where there is
    one.

    Raises
    ------
    UnreachableError
        If the hub is out of reach, or answers with something else.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    spoken = [word for word in re.findall(r"\w{3,}", words.lower()) if word not in _COMMON]
    queries = list(dict.fromkeys([words, *sorted(dict.fromkeys(spoken), key=len, reverse=True)[:MOST_WORDS]]))
    cards: dict[str, DataCard] = {}
    try:
        for query in queries:
            for found in _search(query, endpoint):
                cards.setdefault(str(found["id"]), _card(found, endpoint))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(
            f"The hub at {endpoint} is out of reach.",
            " ".join(str(getattr(error, "reason", error)).split())[:300],
            "Look in a catalogue of your own instead: --catalog DIR.",
        ) from None
    return list(cards.values())


def _search(query: str, endpoint: str) -> list[dict[str, Any]]:
    """Return what the hub finds, at most `FOUND_PER_WORD`; raises `OSError` or `ValueError` where it answers otherwise.

    Asked here rather than by the hub's own client, which follows redirects with the token.
    """
    from huggingface_hub import constants, get_token

    if constants.is_offline_mode() if hasattr(constants, "is_offline_mode") else constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    asked = urlencode({"search": query, "limit": FOUND_PER_WORD, "full": "true"})
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    reply = get(f"{endpoint}/api/datasets?{asked}", headers, timeout=TIMEOUT)
    if reply.status != 200:
        raise OSError(f"It answers with HTTP {reply.status}.")
    found = parse_json(reply.body)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("Its answer is no list of data sets.")
    return found[:FOUND_PER_WORD]


def _card(found: dict[str, Any], endpoint: str) -> DataCard:
    name = str(found["id"])
    tags = [tag for tag in found.get("tags") or () if isinstance(tag, str)]
    description = str(found.get("description") or name.replace("/", " ").replace("_", " "))
    return DataCard(
        name=name,
        title=name,
        description=" ".join(description.split()),
        licence=_tagged(tags, "license"),
        task=_tagged(tags, "task_categories"),
        source="the Hugging Face hub",
        url=f"{endpoint}/datasets/{name}",
    )


def _tagged(tags: Iterable[str], kind: str) -> str:
    return ", ".join(tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:"))
