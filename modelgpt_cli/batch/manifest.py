"""What a batch has made, on disk after every model: an interrupted batch goes on where it was.

``manifest.jsonl``, a JSON object for each model: those built with their figures, those that failed with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.core.json_text import parse_json

NAME = "manifest.jsonl"
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
"""How lines are written: half a surrogate pair, which a request may hold, becomes its JSON escape."""


@dataclass(frozen=True)
class Entry:
    """What came of one request.

    Attributes
    ----------
    id : str
    key : str
        What the model was made of; see `Request.key`.
    status : {"built", "failed"}
    path : str
        The model, as seen from the manifest; of one that failed, where it would have been.
    seconds : float
    report : dict
        Of one that was built; see `REPORTED`, and `sha256`.
    error : dict
        Of one that failed: `problem`, `cause`, `hint`, and `exit_code` as `modelgpt build` has it.
    """

    id: str
    key: str
    status: str
    path: str
    seconds: float
    report: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)

    @property
    def built(self) -> bool:
        """Whether there is a model."""
        return self.status == "built"

    def line(self) -> str:
        """As it stands in the file."""
        values = {name: value for name, value in asdict(self).items() if value != {}}
        return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, line: str) -> Entry:
        """The entry of a line; a ValueError or TypeError where it is none."""
        return cls(**parse_json(line))


class Manifest:
    """The manifest of a folder.

    Attributes
    ----------
    entries : dict
        By the model's path; the last of each.

    Raises
    ------
    UsageError
        The file is there and is no manifest.
    ModelGPTError
        It can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")  # a line that breaks off may do so anywhere
        except FileNotFoundError:
            return
        except OSError as error:
            raise ModelGPTError(
                f"Can't read {self.path}.", error.strerror or "", "Name another folder with -o."
            ) from error
        *lines, rest = text.split("\n")  # the rest is empty, or the line that a batch was killed at
        for number, line in enumerate(lines, 1):
            try:
                entry = Entry.read(line)
            except (ValueError, TypeError) as error:
                raise UsageError(
                    f"{self.path} is not the manifest of a batch.", f"Line {number}: {error}.", "Name another -o."
                ) from None
            self.entries[entry.path] = entry
        if rest and not self.entries and not rest.startswith("{"):
            raise UsageError(f"{self.path} is not the manifest of a batch.", hint="Name another -o.")

    def add(self, entry: Entry) -> None:
        """Keep what came of a request."""
        self.entries[entry.path] = entry
        try:
            with open(self.path, "a", **TEXT) as file:
                file.write(entry.line())
        except OSError as error:
            raise ModelGPTError(
                f"Can't write {self.path}.",
                error.strerror or "",
                "What is built stays: go on once there is room.",
            ) from error

    def write(self, paths: Iterable[str]) -> None:
        """Write it anew: a line for each of these models, in this order."""
        self.entries = {path: self.entries[path] for path in paths}
        with atomic_write(self.path, force=True) as temporary:
            temporary.write_text("".join(entry.line() for entry in self.entries.values()), **TEXT)
