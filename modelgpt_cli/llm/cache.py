"""Answers that an LLM has given, kept on this machine: the same request to the same server is paid for once.

A file's name is a hash of the server and the whole request, model included; in it are the answer, the model and the
date. Neither the request, which holds a user's data, nor a key is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.paths import cache_folder, keep


@dataclass(frozen=True)
class KeptAnswer:
    """An answer from the cache."""

    answer: str
    model: str
    """The one that answered, which need not be called as it was asked for."""
    date: str
    """When it was given: ISO 8601, UTC, to the second."""


def answers_folder() -> Path:
    """Where answers are kept."""
    return cache_folder() / "answers"


class AnswerCache:
    """The answers kept in a folder, one file each, for nobody but their owner to read."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or answers_folder()

    def get(self, server: str, request: Mapping[str, Any]) -> KeptAnswer | None:
        """Give the answer to a request; None if there is none that can be read."""
        try:
            values = parse_json(self._path(server, request).read_text(encoding="utf-8"))
            found = KeptAnswer(**values)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return found if all(isinstance(value, str) for value in asdict(found).values()) else None

    def put(self, server: str, request: Mapping[str, Any], answer: str, model: str) -> None:
        """Keep an answer and which model gave it; where that can't be written, the next time is paid for again."""
        path = self._path(server, request)
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        content = json.dumps(asdict(KeptAnswer(answer, model, date)), ensure_ascii=False, indent=1)
        keep(path, (content + "\n").encode(), private=True)

    def _path(self, server: str, request: Mapping[str, Any]) -> Path:
        whole = json.dumps([server, request], sort_keys=True).encode()
        return self.folder / f"{hashlib.sha256(whole).hexdigest()}.json"
