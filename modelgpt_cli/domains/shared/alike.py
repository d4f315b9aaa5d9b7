"""Groups of near-duplicates, whatever the rows are. Beside `folds`, whose `Split` they become.

Shapes: N rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from modelgpt_cli.core.printable import printable

log = logging.getLogger("modelgpt")

MOST_OF_ALL = 0.3
"""Where a group holds so large a share of the rows, and more than `FEW`, likeness tells of what all rows share."""
FEW = 10
_SHOWN = 3


def most_alike(n: int) -> float:
    """Return the size of the largest group, of n rows, that is one of single rows."""
    return max(FEW, MOST_OF_ALL * n)


def is_telling(group: np.ndarray, y: Sequence[str]) -> bool:
    """Whether groups (N,) are of single rows, and not of what all of them share.

    Parameters
    ----------
    y : sequence of str, N
        Classes: each must be left in two groups at least, if it has two rows.
    """
    if np.bincount(group).max(initial=0) > most_alike(len(group)):
        return False
    labels = np.asarray(y, dtype=object)
    return all(
        (labels == label).sum() < 2 or len(np.unique(group[labels == label])) > 1 for label in dict.fromkeys(labels)
    )


def connected(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Return the connected components of n rows, int64 (n,), by the numbers of both rows of each like pair."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def numbered(group: np.ndarray) -> np.ndarray:
    """Return group numbers, -1 for those alone in theirs, int64 (N,)."""
    found: np.ndarray = np.where(np.bincount(group, minlength=len(group))[group] > 1, group, -1).astype(np.int64)
    return found


def alike_note(keys: np.ndarray, things: str) -> str:
    """Say how many of the rows, called `things`, are near-duplicates, by `numbered` keys (N,); "" for none."""
    copies = int((keys >= 0).sum()) - len(np.unique(keys[keys >= 0]))
    if not copies:
        return ""
    of = "is a near-duplicate of another" if copies == 1 else "are near-duplicates of others"
    return f"{copies:,} of {len(keys):,} {things} {of}, and kept in one fold with {'it' if copies == 1 else 'them'}."


def like_rows(keys: np.ndarray) -> list[list[int]]:
    """Return the rows of each group of `numbered` keys (N,)."""
    groups: dict[int, list[int]] = {}
    for i in np.flatnonzero(keys >= 0).tolist():
        groups.setdefault(int(keys[i]), []).append(i)
    return list(groups.values())


def contradictions(
    groups: Sequence[Sequence[tuple[str, str]]], what: str, then: str = "Correct the labels that are wrong."
) -> list[str]:
    """Return the words about groups of like rows, name and label each, that have more than one label.

    Parameters
    ----------
    what : str
        What the rows are, in the plural.
    then : str
        What to do about it.
    """
    found, n = [], 0
    for group in groups:
        first = group[0]
        other = next((row for row in group if row[1] != first[1]), None)
        if other is not None:
            n += len(group)
            found.append(f"{first[0]} ({first[1]}) and {other[0]} ({other[1]})")
    if not found:
        return []
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    shown = printable("; ".join(found[:_SHOWN]))
    return [f"{what} have different labels, {n:,} in all: {shown}{more}. {then}"]


def tell(notes: Sequence[str]) -> None:
    """Warn of near-duplicates and of what their labels contradict."""
    for note in notes:
        log.warning("%s", note)
