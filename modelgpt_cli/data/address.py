"""Where a table lies within a file: ``book.xlsx#Sales``, ``data.csv#header=none``. Read by `readers`.

It is part of the name that a user gives, so that every command, a requirement file and a batch take it alike.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES


@dataclass(frozen=True)
class Address:
    """A file, and where the table lies in it.

    Attributes
    ----------
    path : str
        The file as the user named it.
    sheet : str
        The name or number of the sheet of a workbook; the first that looks like a table where empty.
    header : str
        "auto", "none", or the number of the header's row, from 1 on.
    """

    path: str
    sheet: str = ""
    header: str = "auto"


def without_place(text: str) -> str:
    """Return the name of a file without what follows a ``#`` behind it; any other text as it is."""
    path, sign, _ = text.rpartition("#")
    if not sign or os.path.exists(text):
        return text
    named = path.lower().removesuffix(".gz").endswith((*TABLE_SUFFIXES, ".txt", ".zip"))
    return path if named or os.path.isfile(path) else text


def read_address(text: str) -> Address:
    """Read ``FILE``, ``FILE#SHEET``, ``FILE#header=none``, ``FILE#header=3`` or ``FILE#sheet=SHEET&header=3``.

    Raises
    ------
    UsageError
        The header is neither auto, none nor a number from 1 on.
    """
    path = without_place(text)
    sheet, header = "", "auto"
    for part in text[len(path) + 1 :].split("&"):
        if part.startswith("header="):
            header = part.removeprefix("header=")
        elif part:
            sheet = part.removeprefix("sheet=")
    if header not in ("auto", "none") and not (header.isdigit() and int(header)):
        raise UsageError(
            f"{text}: there is no header {header!r}.", "", "It is auto, none or the number of a row, from 1 on."
        )
    return Address(path, sheet, header)
