"""What key points are called, and which becomes which in a mirror."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelgpt_cli.domains.image.annotations.objects import PointNames

_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


def point_names(
    names: Sequence[str], edges: Sequence[tuple[int, int]] = (), mirrored: Sequence[int] | None = None
) -> PointNames:
    """Name key points; without `mirrored`, those are exchanged in a mirror whose names differ in left and right alone.

    Examples
    --------
    >>> point_names(["left_eye", "nose", "right_eye"]).mirrored
    (2, 1, 0)
    >>> point_names(["LShoulder", "RShoulder", "l-hip", "r-hip"]).mirrored
    (1, 0, 3, 2)
    """
    if mirrored is None:
        keys = ["".join(_words(name)) for name in names]
        other = {key: k for k, key in enumerate(keys)}
        swapped = ["".join(_SIDES.get(word, word) for word in _words(name)) for name in names]
        mirrored = [other.get(key, k) for k, key in enumerate(swapped)]
    return PointNames(tuple(names), tuple(mirrored), tuple(edges))


def numbered_names(n: int) -> list[str]:
    """Names for points that have none."""
    return [f"point {k + 1}" for k in range(n)]


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: parts between marks, capitals and numbers."""
    apart = re.sub(r"([A-Z])([A-Z][a-z])", r"\1 \2", name)  # LShoulder
    ends = r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])"
    return [word.lower() for word in re.split(ends, apart) if word]
