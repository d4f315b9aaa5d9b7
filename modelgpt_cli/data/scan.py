"""The one pass over a whole table: counts, labels and the sample together. Between `readers` and `dataset`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.data.cells import FLOAT_LIMIT, is_text, measure, texts, to_arrow
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.sampling import RowSampler

MAX_LABELS = 100_000
"""Beyond so many different target values their counts are given up: it is no classification."""
_STRATA = 2_000
_SAMPLE_CELLS = 20_000_000
_MIN_SAMPLE_ROWS = 1_000
_ENOUGH_CELLS = 1_000


class ColumnFacts:
    """What the whole file says of one column, where a sample would not do.

    Attributes
    ----------
    missing, bad, clipped : int
        Cells that are missing; present but no number; numbers that are infinite or too large for float32.
    low, high : float
        The smallest and the largest number; infinite where there is none.
    whole : bool
        Every number is an integer.
    mostly_text : bool
        The column turned out to be text; from then on `bad`, `low` and `high` were no longer counted.
    """

    def __init__(self) -> None:
        self.missing = self.bad = self.clipped = self.good = 0
        self.low, self.high = math.inf, -math.inf
        self.whole = True
        self.mostly_text = False

    def update(self, array: pa.Array) -> None:
        """Count the cells of one more piece of the column."""
        if pa.types.is_timestamp(array.type):
            self.mostly_text = True
        if self.mostly_text:
            self.missing += texts(array).null_count if is_text(array) else array.null_count
            return
        values, missing = measure(array)
        found = values[~np.isnan(values)]
        self.missing += missing
        self.bad += len(array) - missing - len(found)
        self.good += len(found)
        if len(found):
            self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
            if max(-self.low, self.high) > FLOAT_LIMIT:
                self.clipped += int((np.abs(found) > FLOAT_LIMIT).sum())
            self.whole = self.whole and bool((found == np.floor(found)).all())
        self.mostly_text = self.bad > self.good and self.bad + self.good > _ENOUGH_CELLS


class Scan:
    """The result of the pass: `n_rows` with a target, `skipped` without, `labels` counted, `facts` by column."""

    def __init__(self, sample_rows: int, seed: int, names: Sequence[str]) -> None:
        self.n_rows = 0
        self.skipped = 0
        self.labels: Counter[str] = Counter()
        self.many_labels = False
        self.facts = {name: ColumnFacts() for name in names}
        self.sampler = RowSampler(sample_rows, seed)
        self._codes: dict[str, int] = {}

    def add(self, frame: pd.DataFrame, target: str) -> None:
        """Count one raw frame."""
        cells = to_arrow(frame[target])
        labels = texts(cells)
        if labels.null_count:
            present = labels.is_valid().to_numpy(zero_copy_only=False)
            self.skipped += int(labels.null_count)
            frame, labels = frame[present], labels.drop_null()
        if not len(frame):
            return
        self.n_rows += len(frame)
        self.sampler.add(frame, self._count(labels))
        for name, facts in self.facts.items():
            facts.update(to_arrow(frame[name]))

    def _count(self, labels: pa.Array) -> np.ndarray | None:
        """Count the labels; their integer codes (n,), or None where there are too many to tell apart."""
        if self.many_labels:
            return None
        coded = labels.dictionary_encode()
        values = coded.dictionary.to_pylist()
        counts = pc.value_counts(coded.indices)
        for index, count in zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True):
            self.labels[values[index]] += count
        if len(self.labels) > MAX_LABELS:
            self.many_labels = True
        if len(self.labels) > _STRATA:
            return None
        lookup = np.array([self._codes.setdefault(value, len(self._codes)) for value in values])
        return lookup[coded.indices.to_numpy(zero_copy_only=False)]


def scan_table(table: Table, columns: Sequence[str], target: str, sample_rows: int, seed: int) -> Scan:
    """Read the table once.

    The sample is smaller than `sample_rows` where the table is so wide that it would fill the memory.
    """
    names = [*columns, target]
    room = max(_MIN_SAMPLE_ROWS, _SAMPLE_CELLS // len(names))
    scan = Scan(min(sample_rows, room), seed, names)
    for frame in table.frames(columns=names):
        scan.add(frame, target)
    return scan
