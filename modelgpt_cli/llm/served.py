"""Which models a server has: its list, which every other command but `describe`, `parse` and `generate` reads alone."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.web import get

SHOWN = 5
"""So many are named."""


@dataclass(frozen=True)
class Served:
    """What a server answers to the question for its models."""

    status: int
    """Of HTTP; not every server that speaks Chat Completions lists its models."""
    models: tuple[str, ...] = ()

    def words(self) -> str:
        """For a person: "a, b and 3 more"."""
        more = len(self.models) - SHOWN
        return ", ".join(self.models[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def ask_models(url: str, key: str | None, timeout: float) -> Served:
    """Ask a server for its models; nothing else is sent.

    Raises
    ------
    OSError, ValueError
        As `modelgpt_cli.core.web.get`.
    """
    address = f"{url.rstrip('/')}/models"
    reply = get(address, {"Authorization": f"Bearer {key}"} if key else None, timeout=timeout)
    return Served(reply.status, _names(reply.body) if reply.status < 300 else ())


def _names(body: bytes) -> tuple[str, ...]:
    try:
        listed = parse_json(body)
    except ValueError:
        return ()
    items = listed.get("data") if isinstance(listed, dict) else None
    names = [item.get("id") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return tuple(short_name(name) for name in names if isinstance(name, str) and name.strip())


def short_name(name: str) -> str:
    """A model's name without what can't be printed; of a file's path, the file."""
    plain = "".join(char for char in name.strip() if char.isprintable())[:200]
    return plain.replace("\\", "/").rsplit("/", 1)[-1] if plain.endswith(".gguf") else plain
