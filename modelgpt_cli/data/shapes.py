"""What the cells of a column look like as text: free text, or names and codes. Between `cells` and `infer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from modelgpt_cli.core.scripts import count_words
from modelgpt_cli.data.cells import texts, to_arrow

TEXT_UNIQUE_SHARE = 0.5
"""In free text more of the present cells than this differ."""
_TEXT_WORDS = 4
_TEXT_CHARS = 60
_PROBE = 2_000
_PROBE_CHARS = 10_000


@dataclass(frozen=True)
class Shape:
    """What the cells of a column look like as text, over the different ones among them."""

    share: float
    """Different cells per present cell; 1 where no cell repeats."""
    words: float
    """Words per cell on average, of its first 10,000 characters, as `count_words` has them."""
    chars: float
    """Characters per cell on average, 10,000 at most."""
    letters: float
    """Share of the cells that hold a letter of any script."""

    @property
    def is_free_text(self) -> bool:
        """Whether these are mostly different cells of several words."""
        long = self.words >= _TEXT_WORDS or (self.chars > _TEXT_CHARS and self.words >= 2)
        return self.share > TEXT_UNIQUE_SHARE and long


def shape_of(raw: pd.Series) -> Shape:
    """Return the shape of a raw column; all zeros where no cell is present."""
    cells = texts(to_arrow(raw)).drop_null()
    return shape_of_cells(cells.unique().to_pylist(), len(cells))


def shape_of_cells(distinct: Sequence[str], n: int) -> Shape:
    """Return the shape of a column of `n` present cells, from the different ones."""
    if not distinct:
        return Shape(0.0, 0.0, 0.0, 0.0)
    probe = [text[:_PROBE_CHARS] for text in distinct[:_PROBE]]
    return Shape(
        len(distinct) / n,
        sum(map(count_words, probe)) / len(probe),
        sum(len(text) for text in probe) / len(probe),
        sum(any(map(str.isalpha, text)) for text in probe) / len(probe),
    )
