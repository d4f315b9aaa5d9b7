"""What a batch has made, on disk after every model: an interrupted batch goes on where it was.

``manifest.jsonl``, a JSON object for each request: those built with their figures, those that failed with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.errors import ModelGPTError, UsageError
from modelgpt_cli.files import atomic_write

NAME = "manifest.jsonl"


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
        Of one that was built: `size_bytes`, `sha256`, `card`, `storage`, `metrics`, `n_rows`, `limits`, `missed`,
        `notes`.
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
        return json.dumps(values, ensure_ascii=False, default=str) + "\n"


class Manifest:
    """The manifest of a folder.

    Attributes
    ----------
    entries : dict
        By id; the last of each.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        whole = True
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise ModelGPTError(f"{self.path} can't be read.", str(error), "Name another folder with -o.") from error
        for number, line in enumerate(lines, 1):
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise UsageError(
                        f"{self.path} is not the manifest of a batch.", f"Line {number}: {error}.", "Name another -o."
                    ) from None
                whole = False  # the last line of a run that was killed
                continue
            self.entries[entry.id] = entry
        if not whole or len(self.entries) < len(lines):
            self.write(self.entries.values())

    def add(self, entry: Entry) -> None:
        """Keep what came of a request."""
        self.entries[entry.id] = entry
        try:
            with open(self.path, "a", encoding="utf-8", newline="\n") as file:
                file.write(entry.line())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ModelGPTError(f"Can't write {self.path}.", error.strerror or "") from error

    def write(self, entries: Iterable[Entry]) -> None:
        """Write it anew, an entry for each request, in their order."""
        with atomic_write(self.path, force=True) as temporary:
            temporary.write_text("".join(entry.line() for entry in entries), encoding="utf-8", newline="\n")
