"""A stratified sample of a stream of unknown length, in one pass. Used by `scan` on the way from `Table` to `Dataset`.

Each row draws a random key; the rows with the smallest keys stay. n: rows held, k: rows wanted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CLASS_FLOOR = 8
"""So many rows of each class are kept whatever its share (all of them where it has fewer)."""


def _ranks(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of each row's key among the rows of its label, from 0 (n,)."""
    order = np.lexsort((keys, labels))
    sorted_labels = labels[order]
    starts = np.flatnonzero(np.r_[True, sorted_labels[1:] != sorted_labels[:-1]])
    lengths = np.diff(np.r_[starts, len(order)])
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return ranks


class RowSampler:
    """Keeps the `k` rows with the smallest random keys, and of each label the `CLASS_FLOOR` smallest besides.

    Parameters
    ----------
    k : int
        Rows wanted; all rows are kept while there are no more.
    seed : int
        The same seed and rows give the same sample, however the rows are cut into frames.
    """

    def __init__(self, k: int, seed: int) -> None:
        self.k = k
        self._rng = np.random.default_rng(seed)
        self._frames: list[pd.DataFrame] = []
        self._keys: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._seen = 0
        self._held = 0
        self._bound = np.inf
        self._floor = np.zeros(0)

    def add(self, frame: pd.DataFrame, labels: np.ndarray | None) -> None:
        """Offer rows; `labels` (n,) are integers, None where rows are not to be told apart any more."""
        n = len(frame)
        keys = self._rng.random(n)
        rows = np.arange(self._seen, self._seen + n)
        self._seen += n
        codes = np.full(n, -1) if labels is None else labels
        keep = keys <= self._bound
        if labels is not None and not keep.all():
            keep |= keys <= self._floors(int(codes.max()))[codes]
        if not keep.all():
            index = np.flatnonzero(keep)
            frame, keys, codes, rows = frame.take(index), keys[index], codes[index], rows[index]
        self._frames.append(frame)
        self._keys.append(keys)
        self._labels.append(codes)
        self._rows.append(rows)
        self._held += len(keys)
        if self._held > 2 * self.k + len(keys):
            self._compact()

    def _join(self) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
        frame = self._frames[0] if len(self._frames) == 1 else pd.concat(self._frames, ignore_index=True)
        return frame, np.concatenate(self._keys), np.concatenate(self._labels), np.concatenate(self._rows)

    def _floors(self, label: int) -> np.ndarray:
        """The key up to which a row may be among the first of its label, by label, for labels up to `label`."""
        if len(self._floor) <= label:
            self._floor = np.append(self._floor, np.full(label + 1 - len(self._floor), np.inf))
        return self._floor

    def _compact(self) -> None:
        """Drop what can no longer be in the sample: neither among the k smallest keys nor first of its label."""
        frame, keys, labels, rows = self._join()
        self._bound = float(np.partition(keys, self.k - 1)[self.k - 1])
        ranks = _ranks(keys, labels)
        last = (labels >= 0) & (ranks == CLASS_FLOOR - 1)
        self._floors(int(labels.max()))[labels[last]] = keys[last]
        keep = np.flatnonzero((keys <= self._bound) | ((labels >= 0) & (ranks < CLASS_FLOOR)))
        self._frames, self._keys = [frame.take(keep)], [keys[keep]]
        self._labels, self._rows = [labels[keep]], [rows[keep]]
        self._held = len(keep)

    def result(self, stratified: bool) -> pd.DataFrame:
        """The sample in the file's order; where `stratified`, the first rows of each label come before all others."""
        frame, keys, labels, rows = self._join()
        if len(keys) > self.k:
            first = (labels >= 0) & (_ranks(keys, labels) < CLASS_FLOOR) & stratified
            size = max(self.k, int(first.sum()))
            chosen = np.lexsort((keys, ~first))[:size]
            frame, rows = frame.take(chosen), rows[chosen]
        return frame.take(np.argsort(rows)).reset_index(drop=True)
