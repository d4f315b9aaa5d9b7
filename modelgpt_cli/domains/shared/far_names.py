"""Class names that are like nothing that is known by name, in an error's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def far_names(nearest: Mapping[str, Mapping[str, Any]], least: float, key: str) -> str:
    """Name the classes whose likeness to what is nearest is below some, each with that; "" where there is none.

    Parameters
    ----------
    nearest : mapping
        Class → ``likeness`` (float), and by `key` what the nearest is called.
    """
    return ", ".join(
        f"{name!r} (nearest: {near[key]}, {near['likeness']:.2f})"
        for name, near in nearest.items()
        if near["likeness"] < least
    )
