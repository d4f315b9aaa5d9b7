"""The one pass over a whole table: counts, labels and the sample together. Between `readers` and `dataset`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from modelgpt_cli.core.background import ahead
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.data.cells import FLOAT_LIMIT, absent, as_read, is_coded, is_text, level_counts, texts
from modelgpt_cli.data.numbers import measure_numbers
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.rules import find_rules
from modelgpt_cli.data.sampling import RowSampler

MAX_LABELS = 100_000
"""Beyond so many different target values their counts are given up: it is no classification."""
_STRATA = 2_000
_SAMPLE_CELLS = 20_000_000
_MIN_SAMPLE_ROWS = 1_000
_ENOUGH_CELLS = 1_000
_LEAST_REPEATS = 4
"""Text whose cells repeat so often on average is looked at by its different cells."""


class ColumnFacts:
    """What the whole file says of one column, where a sample would not do.

    Attributes
    ----------
    missing, marked, bad, clipped : int
        Cells that are missing; that say so as columns of numbers do ("-"); present but no number; numbers that are
        infinite or too large for float32.
    low, high : float
        The smallest and the largest number; infinite where there is none.
    whole : bool
        Every number is an integer.
    mostly_text : bool
        The column turned out to be text; from then on `bad`, `low` and `high` were no longer counted.
    """

    def __init__(self, rule: ReadingRule = PLAIN) -> None:
        self.rule = rule
        self.missing = self.marked = self.bad = self.clipped = self.good = 0
        self.low, self.high = math.inf, -math.inf
        self.whole = True
        self.mostly_text = False
        self._repeats = True

    def update(self, array: pa.Array) -> None:
        """Count the cells of one more piece of the column, as `as_read` or `to_arrow` give it."""
        if is_text(array) and self._repeats:
            coded = array.dictionary_encode()
            self._repeats = len(coded.dictionary) * _LEAST_REPEATS <= len(array)
            array = coded if self._repeats else array
        if is_coded(array):  # each different cell is looked at once
            counts = level_counts(array)
            seen = counts > 0
            self.missing += array.null_count
            self._add(array.dictionary.filter(pa.array(seen)), counts[seen])
        elif pa.types.is_floating(array.type) and not self.mostly_text:
            self._add_floats(array.to_numpy(zero_copy_only=False))
        else:
            self._add(array, np.ones(len(array), dtype=np.int64))
        self.mostly_text = self.mostly_text or (self.bad > self.good and self.bad + self.good > _ENOUGH_CELLS)

    def _add(self, cells: pa.Array, counts: np.ndarray) -> None:
        """Cells, each of which stands for as many rows as `counts` (n,) says."""
        if pa.types.is_timestamp(cells.type):
            self.mostly_text = True
        if self.mostly_text:
            self.missing += int(counts[absent(cells, self.rule.markers)].sum())
            return
        measured = measure_numbers(cells, self.rule)
        found = ~np.isnan(measured.values)
        self.missing += int(counts[measured.missing].sum())
        self.marked += int(counts[measured.marked].sum())
        self.bad += int(counts[measured.odd].sum())
        self._add_numbers(measured.values[found], counts[found])

    def _add_floats(self, values: np.ndarray) -> None:
        absent = np.isnan(values)
        n_absent = int(absent.sum())
        self.missing += n_absent
        self._add_numbers(values[~absent] if n_absent else values)

    def _add_numbers(self, values: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Numbers, none of them NaN; one row each without `counts`."""
        if not len(values):
            return
        self.good += len(values) if counts is None else int(counts.sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if max(-self.low, self.high) > FLOAT_LIMIT:
            huge = np.abs(values) > FLOAT_LIMIT
            self.clipped += int(huge.sum() if counts is None else counts[huge].sum())
        self.whole = self.whole and bool((values == np.floor(values)).all())


class Scan:
    """The result of the pass: `n_rows` with a target, `skipped` without, `labels` counted, `facts` by column.

    `markers` counts the cells of the target that are taken as missing and are not empty.
    """

    def __init__(self, sample_rows: int, seed: int, rules: Mapping[str, ReadingRule]) -> None:
        self.n_rows = 0
        self.skipped = 0
        self.labels: Counter[str] = Counter()
        self.markers: Counter[str] = Counter()
        self.many_labels = False
        self.facts = {name: ColumnFacts(rule) for name, rule in rules.items()}
        self.sampler = RowSampler(sample_rows, seed)
        self._codes: dict[str, int] = {}

    def add(self, frame: pd.DataFrame, target: str) -> None:
        """Count one raw frame."""
        cells = as_read(frame[target])
        markers = self.facts[target].rule.markers
        codes = None
        if self.many_labels and not is_coded(cells):
            missing = absent(cells, markers)
        else:
            coded = cells if is_coded(cells) else cells.dictionary_encode()
            labels = texts(coded.dictionary, markers)
            self._count_markers(coded, labels)
            codes = coded.indices.cast(pa.int64()).fill_null(len(labels)).to_numpy(zero_copy_only=False)
            missing = np.append(labels.is_null().to_numpy(zero_copy_only=False), True)[codes]
        if missing.any():
            self.skipped += int(missing.sum())
            frame = frame[~missing]
        if not len(frame):
            return
        self.n_rows += len(frame)
        self.sampler.add(frame, None if codes is None else self._count(labels, codes[~missing]))
        for name, facts in self.facts.items():
            facts.update(as_read(frame[name]))

    def _count_markers(self, coded: pa.DictionaryArray, labels: pa.Array) -> None:
        """Count the target's cells that are a missing marker."""
        if not labels.null_count or not is_text(coded.dictionary):
            return
        for name, label, count in zip(
            coded.dictionary.to_pylist(), labels.to_pylist(), level_counts(coded).tolist(), strict=True
        ):
            if label is None and name is not None and name.strip():
                self.markers[name.strip()] += count

    def _count(self, names: pa.Array, codes: np.ndarray) -> np.ndarray | None:
        """Count the labels; their integer codes (n,), or None where there are too many to tell apart."""
        if self.many_labels:
            return None
        counts = np.bincount(codes, minlength=len(names))
        seen = np.flatnonzero(counts)
        labels = names.take(pa.array(seen)).to_pylist()
        for label, count in zip(labels, counts[seen].tolist(), strict=True):
            self.labels[label] += count
        if len(self.labels) > MAX_LABELS:
            self.many_labels = True
        if len(self.labels) > _STRATA:
            return None
        lookup = np.full(len(names), -1)
        lookup[seen] = [self._codes.setdefault(label, len(self._codes)) for label in labels]
        return lookup[codes]


def scan_table(
    table: Table,
    columns: Sequence[str],
    target: str,
    sample_rows: int,
    seed: int,
    given: Mapping[str, ReadingRule] | None = None,
) -> Scan:
    """Read the table once.

    The sample is smaller than `sample_rows` where the table is so wide that it would fill the memory.

    Parameters
    ----------
    given : mapping of str to ReadingRule, optional
        Column → how it is known to be written; of the others, the first rows tell.
    """
    names = [*columns, target]
    room = max(_MIN_SAMPLE_ROWS, _SAMPLE_CELLS // len(names))
    scan: Scan | None = None
    for frame in ahead(table.frames(columns=names)):
        if scan is None:
            scan = Scan(min(sample_rows, room), seed, find_rules(frame, names, given or {}))
        scan.add(frame, target)
    return scan or Scan(min(sample_rows, room), seed, dict.fromkeys(names, PLAIN))
