"""The list of classes beside annotations that don't hold it themselves."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.listing import Listing

NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "class_names.txt", "names.txt", "labelmap.txt")
"""How lists are called, the best first."""


def listed_names(listing: Listing) -> list[str]:
    """Return the names in the list of classes nearest to a folder's top, in its order; none where there is no list."""
    place = list_place(listing)
    if place is None:
        return []
    try:
        text = listing.source.open(place).decode("utf-8-sig", errors="replace")
    except ImageError:
        return []
    if PurePosixPath(place).name.lower() == "labelmap.txt":  # name:color:parts:actions
        text = re.sub(r":.*", "", re.sub(r"(?m)^#.*\n?", "", text))
    return [line.strip() for line in text.strip().splitlines()]


def list_place(listing: Listing) -> str | None:
    """The place of the list of classes; None without one."""
    found = [place for place in listing.places if _name(place) in NAME_FILES or _name(place).endswith(".names")]
    return min(found, key=lambda place: (place.count("/"), _rank(place), place), default=None)


def _name(place: str) -> str:
    return PurePosixPath(place).name.lower()


def _rank(place: str) -> int:
    name = _name(place)
    return NAME_FILES.index(name) if name in NAME_FILES else 1
