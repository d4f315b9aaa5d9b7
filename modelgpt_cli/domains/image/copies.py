"""Images that are there more than once and contradict each other. Below `dataset` and `likeness`; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelgpt_cli.domains.image.layout import printable
from modelgpt_cli.domains.shared import alike


def equal_files(rows: Iterable[tuple[str, str]], digests: Mapping[str, bytes]) -> list[list[tuple[str, str]]]:
    """Group images by what their files hold.

    Parameters
    ----------
    rows : iterable of (str, str)
        Place and label of each.
    digests : mapping of str to bytes
        Place → digest of the file, of those that can be read.
    """
    groups: dict[bytes, list[tuple[str, str]]] = {}
    for place, label in rows:
        if place in digests:
            groups.setdefault(digests[place], []).append((place, label))
    return list(groups.values())


def contradictions(groups: Iterable[Sequence[tuple[str, str]]], what: str) -> list[str]:
    """Return the words about groups of like images, place and label each, that have more than one label."""
    shown = [[(printable(place), printable(label)) for place, label in group] for group in groups]
    return alike.contradictions(shown, f"{what} images")
