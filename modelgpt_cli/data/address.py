"""Where a table lies within a file: ``book.xlsx#Sales``, ``data.csv#header=none``. Read by `readers`.

It is part of the name that a user gives, so that every command, a requirement file and a batch take it alike.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES

T = TypeVar("T")
_HEADER_FIRST = re.compile(r"header=([^&]*)(?:&(?:sheet=)?(.*))?", re.DOTALL)
_SHEET_FIRST = re.compile(r"(?:sheet=)?(.*?)(?:&header=([^&]*))?", re.DOTALL)
"""What stands behind a ``#``. A sheet may be called ``R&D``."""


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
    """Return the name of a file or folder without what follows a ``#`` behind it; any other text as it is."""
    if os.path.exists(text):
        return text
    paths = [text[:i] for i, sign in enumerate(text) if sign == "#"]
    there = [path for path in paths if path == "-" or os.path.exists(os.path.expanduser(path))]
    if there:  # the longest, as names of files may hold a #, too
        return there[-1]
    named = (*TABLE_SUFFIXES, ".txt", ".zip")
    return next((path for path in paths if path.lower().removesuffix(".gz").endswith(named)), text)


def read_address(text: str) -> Address:
    """Read ``FILE``, ``FILE#SHEET``, ``FILE#header=none``, ``FILE#header=3`` or ``FILE#sheet=SHEET&header=3``.

    Raises
    ------
    UsageError
        The header is neither auto, none nor a number from 1 on.
    """
    path = without_place(text)
    place = text[len(path) + 1 :]
    if found := _HEADER_FIRST.fullmatch(place):
        header, sheet = found.groups()
    else:
        found = _SHEET_FIRST.fullmatch(place)
        assert found is not None, "it matches any text"
        sheet, header = found.groups()
    header = "auto" if header is None else header
    if header not in ("auto", "none") and not (header.isdigit() and int(header)):
        raise UsageError(
            f"{text}: there is no header {header!r}.", "", "It is auto, none or the number of a row, from 1 on."
        )
    return Address(path, sheet or "", header)


def with_sheet(data: T, sheet: str | None) -> T:
    """Put a sheet behind the name of a workbook, as ``--sheet`` does; behind each where there are several.

    Whether it is a workbook, and has such a sheet, its reader finds out.

    Parameters
    ----------
    data : data, or list or tuple of names
        As `readers.open_table` takes them, or None.
    sheet : str, optional
        A name or a number, from 1 on. Without one, the data stay as they are.

    Raises
    ------
    UsageError
        There are no data, they are not in a file, or another sheet is named behind the file already.
    """
    if sheet is None:
        return data
    if not sheet.strip():
        raise UsageError("--sheet names no sheet.", hint="Give a sheet's name, or its number from 1 on.")
    if isinstance(data, (list, tuple)) and data and all(isinstance(one, (str, os.PathLike)) for one in data):
        several: Any = type(data)(with_sheet(one, sheet) for one in data)
        return cast(T, several)
    if not isinstance(data, (str, os.PathLike)):
        why = "There are no data." if data is None else "The data are in memory."
        raise UsageError(f"--sheet {sheet} names a sheet of a workbook.", why, "Leave it out.")
    text = os.fspath(cast("str | os.PathLike[str]", data))
    address = read_address(text)
    if address.sheet:
        if address.sheet != sheet:
            raise UsageError(f"--sheet {sheet} and {text} name different sheets.", hint="Leave one of them out.")
        return data
    if not _may_hold_tables(address.path):
        raise UsageError(f"{text} is no workbook, so it has no sheet {sheet!r}.", hint="Leave --sheet out.")
    plain = address.header == "auto" and not any(key in sheet for key in ("header=", "sheet="))
    return cast(T, f"{address.path}#{'' if plain else f'header={address.header}&sheet='}{sheet}")


def _may_hold_tables(path: str) -> bool:
    """Whether a text names a file or folder, or would name a table if that were there."""
    return path == "-" or os.path.exists(os.path.expanduser(path)) or path.lower().endswith((*TABLE_SUFFIXES, ".zip"))
