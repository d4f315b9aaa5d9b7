"""The folder that an agent may read and write in; every path that it gives is resolved here."""

from __future__ import annotations

import os
from pathlib import Path

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.address import without_place


class Root:
    """A folder, and the paths below it.

    Parameters
    ----------
    folder : path-like

    Raises
    ------
    UsageError
        There is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", hint="Give the folder that agents may use: --root DIR")

    def path(self, given: str) -> str:
        """Return a path in full; a relative one is seen from the root. What stands behind a ``#`` is kept.

        Raises
        ------
        UsageError
            It leads out of the root, also by a symbolic link.
        """
        if "\0" in given:
            raise UsageError("A path holds a NUL character.", hint="Take it out.")
        joined = os.path.join(self.folder, given)
        bare = without_place(joined)
        full = Path(bare).resolve()
        if not full.is_relative_to(self.folder):
            raise UsageError(
                f"{given} is outside {self.folder}.",
                "This server reads and writes below that folder alone.",
                "Name a file below it, or start the server with another --root.",
            )
        return f"{full}{joined[len(bare) :]}"

    def words_or_path(self, given: str) -> tuple[str, bool]:
        """Return words as they are, or the path that they are in full; and whether they are one.

        Raises
        ------
        UsageError
            They are a path that leads out of the root.
        """
        try:
            there = os.path.exists(given) or os.path.exists(os.path.join(self.folder, given))
        except ValueError:  # a NUL character
            there = False
        named = len(given.split()) == 1 and (os.sep in given or bool(Path(without_place(given)).suffix))
        return (self.path(given), True) if there or named else (given, False)

    def shown(self, path: str | os.PathLike[str]) -> str:
        """Return a path as an agent is to see it: from the root on, where it lies below it."""
        full = Path(path)
        return full.relative_to(self.folder).as_posix() if full.is_relative_to(self.folder) else str(full)
