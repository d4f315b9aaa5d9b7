"""Images that are there more than once and contradict each other. Below `dataset` and `likeness`; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelgpt_cli.domains.image.layout import printable

_SHOWN = 3


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
    found, n = [], 0
    for group in groups:
        first = group[0]
        other = next((image for image in group if image[1] != first[1]), None)
        if other is not None:
            n += len(group)
            found.append(f"{first[0]} ({first[1]}) and {other[0]} ({other[1]})")
    if not found:
        return []
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    shown = printable("; ".join(found[:_SHOWN]))
    return [f"{what} images have different labels, {n:,} in all: {shown}{more}. Correct the labels that are wrong."]
