"""True labels, as a file spells them, to the model's classes: what `evaluate` compares with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from modelgpt_cli.core.spelling import fold_label
from modelgpt_cli.runtime.table import logger

MISSING = -1


class LabelReader:
    """Reads label cells as the training side did: where all labels are numbers, ``1.0`` is ``1``.

    A spelling that differs from one of the model's labels only in case, blanks or final punctuation counts as that
    label. Every other is unknown: it takes a code after the model's.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._known = len(labels)
        self._labels = list(labels)
        self._codes: dict[str, int] = {label: k for k, label in enumerate(labels)}
        numbers = [_number(label) for label in labels]
        self._by_number = {} if None in numbers else {number: k for k, number in enumerate(numbers)}
        keys = Counter(_key(label) for label in labels)
        self._by_key = {_key(label): k for k, label in enumerate(labels) if keys[_key(label)] == 1}
        self._rows: Counter[int] = Counter()
        self._respelled: dict[str, str] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's labels, then the unknown ones met."""
        return tuple(self._labels)

    def codes(self, cells: np.ndarray) -> np.ndarray:
        """Map cells, (N,) of str or None, to codes, (N,) int64: the class, `MISSING`, or C and more for unknown."""
        codes = np.array([MISSING if cell is None or cell != cell else self._code(cell) for cell in cells.tolist()])
        codes = codes.astype(np.int64)
        self._rows.update(codes[codes >= self._known].tolist())
        return codes

    def report(self) -> None:
        """Warn of labels that the model doesn't know, and of those read as another spelling."""
        if self._respelled:
            pairs = ", ".join(f"'{cell}' as '{label}'" for cell, label in list(self._respelled.items())[:5])
            logger.warning("Labels that differ only in spelling are taken together: %s.", pairs)
        if self._rows:
            worst = ", ".join(f"'{self._labels[k]}' ({n:,})" for k, n in self._rows.most_common(5))
            more = f" and {len(self._rows) - 5} more" if len(self._rows) > 5 else ""
            total = self._rows.total()
            logger.warning(
                "%s a label the model doesn't know, and count%s: %s%s.",
                "1 row has" if total == 1 else f"{total:,} rows have",
                "s as an error" if total == 1 else " as errors",
                worst,
                more,
            )

    def _code(self, cell: str) -> int:
        code = self._codes.get(cell)
        if code is None:
            code = self._codes[cell] = self._find(cell)
        return code

    def _find(self, cell: str) -> int:
        """Find the class of a spelling not met before."""
        number = _number(cell)
        if number in self._by_number:
            return self._by_number[number]
        if _key(cell) in self._by_key:
            code = self._by_key[_key(cell)]
            if cell.strip() != self._labels[code]:
                self._respelled[cell] = self._labels[code]
            return code
        self._labels.append(cell)
        return len(self._labels) - 1


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _key(label: str) -> str:
    """What spellings of one label have in common; blanks within it differ too where no other label is as near."""
    return fold_label(label).replace(" ", "")
