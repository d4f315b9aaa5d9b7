"""Levels and labels in their canonical spelling, whatever the file spells them like. Between `cells` and `typing`.

A cell is a level as it stands; else, where no other level is as near, the one that differs from it only in case, blanks
or Unicode form, in zeros behind the point ("2.0" is "2"), or in how yes and no are written; else, of codes with leading
zeros, the one of the same value ("7" is "007").
Shapes: n cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from modelgpt_cli.core.reading import ReadingRule
from modelgpt_cli.core.spelling import fold
from modelgpt_cli.data.words import NO, YES

_LEADING_ZEROS = re.compile(r"0+(\d+)")


class Spelling:
    """Finds the level that a cell stands for.

    Parameters
    ----------
    levels : sequence of str
        In canonical spelling.
    rule : ReadingRule
        Whether they are a yes and a no.
    """

    def __init__(self, levels: Sequence[str], rule: ReadingRule) -> None:
        self._found: dict[str, str | None] = {level: level for level in levels}
        self._keys = _keys_of(tuple(levels))
        self._rule = rule if {rule.true, rule.false} == set(levels) else None

    def find(self, cell: str) -> str | None:
        """Return the level of a cell's text; None where there is none."""
        if cell not in self._found:
            self._found[cell] = self._search(cell)
        return self._found[cell]

    def _search(self, cell: str) -> str | None:
        for key, known in zip((fold, _without_zeros), self._keys, strict=True):
            if (level := known.get(key(cell))) is not None:
                return level
        if self._rule is not None:
            word = fold(cell)
            return self._rule.true if word in YES else self._rule.false if word in NO else None
        return None

    def apply(self, cells: pa.Array) -> np.ndarray:
        """Text from `texts` as levels, object (n,): a cell without one stays as it is, a missing one is None."""
        coded = cells.dictionary_encode()
        names = [self.find(cell) or cell for cell in coded.dictionary.to_pylist()]
        codes = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        return np.array([*names, None], dtype=object)[codes]


@lru_cache(maxsize=1024)  # a request of one row would pay for as much as a file
def _keys_of(levels: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """`_unique` of both keys."""
    return _unique(fold, levels), _unique(_without_zeros, levels)


def _unique(key: Callable[[str], str], levels: Iterable[str]) -> dict[str, str]:
    """Key → level, of the keys that one level alone has."""
    keys = {level: key(level) for level in levels}
    counts = Counter(keys.values())
    return {k: level for level, k in keys.items() if counts[k] == 1}


def _without_zeros(text: str) -> str:
    """A code without its leading zeros, which files lose that take it for a number."""
    folded = fold(text)
    match = _LEADING_ZEROS.fullmatch(folded)
    return match[1] if match else folded


def merge_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Find cells that spell one level differently.

    Parameters
    ----------
    counts : mapping
        Cells → rows.

    Returns
    -------
    dict of str to str
        Cell → the most frequent spelling of its level, of those that are spelled otherwise. Single letters keep their
        case: a and A may be two things.
    """
    groups: dict[str, list[str]] = {}
    for cell in sorted(counts, key=lambda cell: (-counts[cell], cell)):
        folded = fold(cell)
        groups.setdefault(cell.strip() if len(folded) == 1 and folded.isalpha() else folded, []).append(cell)
    return {cell: group[0] for group in groups.values() for cell in group[1:]}


def yes_and_no(levels: Sequence[str]) -> tuple[str, str] | None:
    """The spelling of yes and of no, where two levels are that; else None."""
    if len(levels) != 2:
        return None
    for yes, no in (levels, levels[::-1]):
        if fold(yes) in YES and fold(no) in NO:
            return yes, no
    return None
