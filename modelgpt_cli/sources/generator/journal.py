"""What an LLM has written so far, on disk after every answer: an interrupted run loses nothing, and `--resume` goes on.

One JSON object a line: first what the rows are for, then each answer's rows that were kept, and what was not.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.llm.usage import Usage
from modelgpt_cli.sources.generator.form import Cell, Form


@dataclass
class Entry:
    """What one request brought.

    Attributes
    ----------
    number : int
        Of the request.
    rows : list of dict
        Those kept, column → cell.
    dropped : dict
        Reason → rows.
    usage : dict
        Tokens, as `Usage` has them.
    """

    number: int
    rows: list[dict[str, Cell]]
    dropped: dict[str, int] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def spent(self) -> Usage:
        """The tokens."""
        return Usage(**self.usage)


def journal_path(output: Path) -> Path:
    """Where the journal of an output is: beside it."""
    return output.with_name(f"{output.name}.part")


class Journal:
    """The journal of one output.

    Parameters
    ----------
    form : Form
        A journal of rows of another form is not gone on with.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self._key = hashlib.sha256(repr(form).encode()).hexdigest()

    def start(self) -> None:
        """Begin anew."""
        self._write(json.dumps({"modelgpt_rows": self._key}) + "\n", "w")

    def add(self, entry: Entry) -> None:
        """Keep what a request brought."""
        self._write(json.dumps(asdict(entry), ensure_ascii=False) + "\n", "a")

    def read(self) -> list[Entry]:
        """What there is; a last line that was cut off is left out.

        Raises
        ------
        UsageError
            If there is none, or it is of another requirement.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise UsageError(
                "There is nothing to resume.", f"An interrupted run would have left {self.path}.", "Leave out --resume."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelGPTError(f"{self.path} can't be read.", str(error), "Begin anew with --force.") from None
        values = [_json(line) for line in lines]
        if not values or not isinstance(values[0], dict) or values[0].get("modelgpt_rows") != self._key:
            raise UsageError(
                f"{self.path} holds rows for another requirement.",
                "The sentence, a column or a class has changed since, or the data, or --redact.",
                "Name another output, or begin anew with --force.",
            )
        whole = values[1 : values.index(None) if None in values else None]
        entries = [Entry(**value) for value in whole]
        if len(whole) + 1 < len(lines):
            self._write("".join(line + "\n" for line in lines[: 1 + len(whole)]), "w")
        return entries

    def remove(self) -> None:
        """Forget it: the output is written."""
        self.path.unlink(missing_ok=True)

    def _write(self, text: str, mode: str) -> None:
        try:
            with open(self.path, mode, encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ModelGPTError(
                f"Can't write {self.path}.", error.strerror or "", "Choose another place with -o."
            ) from error


def _json(line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None
