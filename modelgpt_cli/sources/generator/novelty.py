"""Is a generated row new? Exactly, after normalisation, and for texts by how near their embeddings are."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modelgpt_cli.sources.generator.form import TEXT, Cell, Form

SIMILAR = 0.95
"""Texts whose embeddings have a cosine of this or more count as one. Of real texts of one set next to none do
(docs/no-data.md), while a sentence with a word or a name exchanged does."""
_BLANKS = re.compile(r"[\W_]+")

Row = Mapping[str, Cell]
Embed = Callable[[Sequence[str]], np.ndarray]


def normal(cell: Cell) -> str:
    """A cell as it is compared: numbers to six digits; of words neither case nor punctuation nor blanks."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    folded = unicodedata.normalize("NFKC", cell).casefold()
    return _BLANKS.sub(" ", folded).strip() or folded


class Novelty:
    """Remembers the rows that were kept, and says which of others are new beside them.

    The target doesn't count: the same inputs with another label are no new row either.

    Parameters
    ----------
    embed : callable, optional
        Texts to vectors (n, E), called only where rows have texts; None compares exactly alone.
    """

    def __init__(self, form: Form, embed: Embed | None) -> None:
        self._texts = [f.name for f in form.inputs if f.kind == TEXT]
        self._others = [f.name for f in form.inputs if f.kind != TEXT]
        self._embed = embed if self._texts else None
        self._exact: set[tuple[str, ...]] = set()
        # Vectors (n, T, E) of the rows that agree in all columns but the texts.
        self._near: defaultdict[tuple[str, ...], list[np.ndarray]] = defaultdict(list)

    def keep_new(self, rows: Sequence[Row]) -> list[bool]:
        """Which of the rows are new, beside those from before and the earlier ones of these; they are remembered."""
        vectors = self._vectors(rows)
        return [self._is_new(row, vectors[i] if vectors is not None else None) for i, row in enumerate(rows)]

    def _is_new(self, row: Row, vectors: np.ndarray | None) -> bool:
        others = tuple(normal(row[name]) for name in self._others)
        key = (*others, *(normal(row[name]) for name in self._texts))
        if key in self._exact:
            return False
        if vectors is not None:
            before = self._near[others]
            if before and float((np.stack(before) * vectors).sum(-1).min(1).max()) >= SIMILAR:
                return False
            before.append(vectors)
        self._exact.add(key)
        return True

    def _vectors(self, rows: Sequence[Row]) -> np.ndarray | None:
        """Unit vectors of the rows' texts, (n, T, E)."""
        if self._embed is None or not rows:
            return None
        found = self._embed([str(row[name] or "") for row in rows for name in self._texts])
        found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        vectors: np.ndarray = found.reshape(len(rows), len(self._texts), -1)
        return vectors
