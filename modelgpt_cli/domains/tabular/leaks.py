"""What makes the figures of a table flatter its model: leaks, copies of rows, groups of like rows, drift in time.

Each test is cheap (at most `ROWS` rows), and speaks only where the case is clear.
Shapes: N rows, s numeric sources, c categorical columns, C classes, L levels or bins of a column, p inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modelgpt_cli.domains.shared.folds import ALIKE, GROUP, TIME, Split, make_folds
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor
from modelgpt_cli.domains.tabular.rows import hash_rows

ROWS = 2_000
FOLDS = 5
LEAST_ROWS = 30
"""In a smaller table anything may be told from one column by chance."""
BINS = 64
ROWS_PER_BIN = 10
LEAK_ACCURACY = 0.98
"""Of a column alone, as a share of the way from the majority class to no error: the smell of mushrooms, the strongest
honest column that is known, reaches .97."""
LEAK_R2 = 0.99
SCREEN = 0.6
"""Of the same measures within the rows themselves, by bins; three bins of a straight line reach .79."""
COPIED_SHARE = 0.01
"""Copies below this share of the rows change no figure that is worth a word."""
CONTINUOUS_SHARE = 0.5
"""Rows that repeat are copies only where some column tells so large a share of the different rows apart: in a table of
a few categories rows are equal by chance, and may lie in different folds."""
CONTINUOUS_VALUES = 20
"""The fewest different values of such a column."""
LEAST_GROUPS = 10
ALIKE_ICC = 0.8
"""Intraclass correlation of the numbers within groups, in the median: patients measured again and again reach .95 and
more, cars of one make .5."""
LEAST_DATES = 20
DRIFT_RATIO = 0.5
"""Of von Neumann's ratio, which is 1 where neighbours in time have nothing in common, and 0 where they are equal."""
RIDGE = 1.0
MAX_INPUTS = 200
_ID_NAME = re.compile(r"(^|[_\W])(id|nr|no|number|nummer|key|code)$|[a-z](Id|ID|Nr|No)$", re.IGNORECASE)


@dataclass(frozen=True)
class Leak:
    """A column that predicts the target almost perfectly by itself, and how well: accuracy, or R²."""

    column: str
    score: float


class Inspection:
    """Looks for what flatters a model, on some of a table's rows.

    Parameters
    ----------
    table : TableArrays
    preprocessor : TablePreprocessor
        Names the columns.
    seed : int
    """

    def __init__(self, table: TableArrays, preprocessor: TablePreprocessor, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 41])
        if len(table.y) > ROWS:
            table = table.take(np.sort(rng.permutation(len(table.y))[:ROWS]))
        self.table, self.preprocessor = table, preprocessor
        y = np.asarray(table.y)
        self._rng = rng
        tied = None if table.split is None or table.split.kind == TIME else table.split
        self.fold = self._folds(tied)
        if table.n_classes:
            self.target = np.eye(table.n_classes)[y]
        else:
            exact = y.astype(np.float64)
            self.target = ((exact - exact.mean()) / max(float(exact.std()), 1e-300))[:, None]

    def _folds(self, split: Split | None) -> np.ndarray:
        return make_folds(self.table.y, self.table.n_classes, FOLDS, self._rng, split=split).fold

    def leaks(self) -> list[Leak]:
        """Columns that predict the target almost perfectly by themselves, the best first; groups are none.

        Where rows of a group are alike, whole groups are held out: else any column would know the group.
        """
        if len(self.table.y) < LEAST_ROWS or len(self.preprocessor.columns) < 2:
            return []
        groups = dict(self._groupings())
        if name := self.group():
            self.fold = self._folds(Split(GROUP, groups[name].astype(np.int64), name))
        found: dict[str, float] = {}
        for name, values, bins in self._columns:
            if name in groups:
                continue
            score = self._score(bins, values)
            if score is not None:
                found[name] = max(score, found.get(name, 0.0))
        return [Leak(name, score) for name, score in sorted(found.items(), key=lambda pair: -pair[1])]

    def group(self) -> str:
        """Return the column whose groups of rows are alike, in their numbers or in the target; "" where none is."""
        best, name = 0.0, ""
        for column, codes in self._groupings():
            alike = self._likeness(codes)
            if self._score(codes, None) is not None:
                alike = max(alike, ALIKE_ICC)
            if alike >= ALIKE_ICC and alike > best:
                best, name = alike, column
        return name

    def drift(self) -> str:
        """Return the date column whose neighbours have like answers, whatever the other columns say; "" where none."""
        N = len(self.table.y)
        if N < LEAST_ROWS:
            return ""
        residuals: np.ndarray | None = None
        for j, source in enumerate(self.preprocessor.sources):
            if source.part != "days":
                continue
            days = self.table.x[:, j].astype(np.float64)
            rows = np.flatnonzero(~np.isnan(days))
            if len(np.unique(days[rows])) < LEAST_DATES:
                continue
            residuals = self._residuals() if residuals is None else residuals
            order = rows[np.lexsort((self._rng.random(len(rows)), days[rows]))]
            ratio = _von_neumann(residuals[order])
            # Under independence the ratio has a standard deviation of about N ** -0.5.
            if ratio < DRIFT_RATIO and (1 - ratio) * len(order) ** 0.5 > 5:
                return self.preprocessor.columns[source.column].name
        return ""

    @cached_property
    def _columns(self) -> list[tuple[str, np.ndarray | None, np.ndarray]]:
        """Each column's name, its numbers where it has some, and its bins, int64 (N,)."""
        return list(self._read_columns())

    def _read_columns(self) -> Iterator[tuple[str, np.ndarray | None, np.ndarray]]:
        columns = self.preprocessor.columns
        for j, source in enumerate(self.preprocessor.sources):
            if columns[source.column].type == "numeric" and source.part == "value":
                values = self.table.x[:, j].astype(np.float64)
                yield columns[source.column].name, values, _bins(values)
        for j, i in enumerate(self.preprocessor.categorical):
            yield columns[i].name, None, self.table.codes[:, j] + 2  # missing and unseen come first

    def _groupings(self) -> Iterator[tuple[str, np.ndarray]]:
        """Categories, and whole numbers called an id, that part the rows into groups of two rows or more: codes."""
        N = len(self.table.y)
        for name, values, bins in self._columns:
            codes = bins
            if values is not None:
                if not _ID_NAME.search(name) or np.isnan(values).any() or (values != np.round(values)).any():
                    continue
                codes = np.unique(values, return_inverse=True)[1]
            count = np.bincount(codes)
            count = count[count > 0]
            if LEAST_GROUPS <= len(count) <= N / 2 and count[count > 1].sum() >= 0.8 * N:
                yield name, codes

    def _score(self, bins: np.ndarray, values: np.ndarray | None) -> float | None:
        """What a column alone reaches on held-out rows, accuracy or R²; None where that is less than a leak's."""
        L = int(bins.max(initial=0)) + 1
        if not self._may_tell(bins, L):
            return None
        out = np.zeros_like(self.target)
        for k in range(FOLDS):
            kept, held = self.fold != k, self.fold == k
            total = np.stack([np.bincount(bins[kept], column[kept], L) for column in self.target.T], axis=1)
            count = np.bincount(bins[kept], minlength=L)[:, None]
            out[held] = ((total + 1e-6 * self.target[kept].mean(0)) / (count + 1e-6))[bins[held]]
        answers = [out] if values is None else [out, self._neighbours(values, out)]
        if self.table.n_classes:
            accuracy = max(float((found.argmax(1) == self.table.y).mean()) for found in answers)
            majority = float(self.target.mean(0).max())
            return accuracy if accuracy - majority >= LEAK_ACCURACY * (1 - majority) else None
        r2 = max(1 - float(((self.target - found) ** 2).mean()) for found in answers)
        return r2 if r2 >= LEAK_R2 else None

    def _may_tell(self, bins: np.ndarray, L: int) -> bool:
        """Whether the column tells something at least where no row is held out: most don't, which is found fast."""
        total = np.stack([np.bincount(bins, column, L) for column in self.target.T], axis=1)
        if self.table.n_classes:
            majority = float(self.target.mean(0).max())
            return float(total.max(1).sum()) / len(bins) - majority >= SCREEN * (1 - majority)
        return float((total[:, 0] ** 2 / np.maximum(np.bincount(bins, minlength=L), 1)).sum()) / len(bins) >= SCREEN

    def _neighbours(self, values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """Held-out answers from the rows with the next smaller and the next larger number: sharper than bins."""
        out: np.ndarray = otherwise.copy()
        for k in range(FOLDS):
            kept = np.flatnonzero((self.fold != k) & ~np.isnan(values))
            held = np.flatnonzero((self.fold == k) & ~np.isnan(values))
            if len(kept) < 2:
                continue
            kept = kept[np.argsort(values[kept], kind="stable")]
            right = np.clip(np.searchsorted(values[kept], values[held]), 1, len(kept) - 1)
            low, high = kept[right - 1], kept[right]
            width = values[high] - values[low]
            share = np.where(width > 0, (values[held] - values[low]) / np.where(width > 0, width, 1), 0.5)
            share = np.clip(share, 0, 1)[:, None]
            out[held] = (1 - share) * self.target[low] + share * self.target[high]
        return out

    def _likeness(self, codes: np.ndarray) -> float:
        """Intraclass correlation of the numbers within groups, the median over columns; 0 where there are none."""
        found = []
        for name, values, _ in self._columns:
            if values is None or _ID_NAME.search(name):
                continue
            rows = ~np.isnan(values)
            if rows.sum() >= LEAST_ROWS and np.ptp(values[rows]) > 0:
                found.append(_icc(values[rows], codes[rows]))
        return float(np.median(found)) if found else 0.0

    def _residuals(self) -> np.ndarray:
        """The target less what ridge regression on all columns but dates says of held-out rows, (N, C)."""
        parts = [np.ones((len(self.table.y), 1))]
        for _, values, bins in self._columns:
            if values is not None:
                spread = float(np.nanstd(values)) or 1.0
                parts.append(np.nan_to_num((values - np.nanmean(values)) / spread)[:, None])
            else:
                bins = np.minimum(bins, BINS)  # the rarest levels together
                parts.append(np.eye(int(bins.max(initial=0)) + 1)[bins])
        x = np.concatenate(parts, axis=1)[:, :MAX_INPUTS]
        penalty = np.diag([1e-6, *[RIDGE] * (x.shape[1] - 1)])
        out = np.zeros_like(self.target)
        for k in range(FOLDS):
            kept, held = self.fold != k, self.fold == k
            weight = np.linalg.solve(x[kept].T @ x[kept] + penalty, x[kept].T @ self.target[kept])
            out[held] = x[held] @ weight
        residuals: np.ndarray = self.target - out
        return residuals


def find_copies(table: TableArrays) -> tuple[Split | None, float]:
    """Find rows that are copies of others, inputs and target.

    Returns
    -------
    split : Split, optional
        None where there are too few, or where rows are equal by chance.
    share : float
        Of the rows that repeat an earlier one.
    """
    rows = hash_rows(table.x, table.codes, np.asarray(table.y))
    share = 1 - len(np.unique(rows)) / max(len(rows), 1)
    if share < COPIED_SHARE:
        return None, 0.0
    _, distinct = np.unique(hash_rows(table.x, table.codes), return_index=True)
    least = max(CONTINUOUS_VALUES, CONTINUOUS_SHARE * len(distinct))
    columns = (*table.x[distinct].T, *table.codes[distinct].T)
    if not any(len(np.unique(column)) >= least for column in columns):
        return None, 0.0
    return Split(ALIKE, np.unique(rows, return_inverse=True)[1].astype(np.int64)), share


def _bins(values: np.ndarray) -> np.ndarray:
    """Quantile bins of numbers, int64 (N,); 0 where they are missing, a bin of its own for each of few values."""
    present = values[~np.isnan(values)]
    if not len(present):
        return np.zeros(len(values), dtype=np.int64)
    different = np.unique(present)
    n = int(min(BINS, max(2, len(present) // ROWS_PER_BIN)))
    edges = different[1:] if len(different) <= n else np.unique(np.quantile(present, np.linspace(0, 1, n + 1)[1:-1]))
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right"))


def _icc(values: np.ndarray, codes: np.ndarray) -> float:
    """Intraclass correlation (one way, of groups of any size)."""
    _, group, count = np.unique(codes, return_inverse=True, return_counts=True)
    G, N = len(count), len(values)
    if G < 2 or N <= G:
        return 0.0
    mean = np.bincount(group, values) / count
    between = float((count * (mean - values.mean()) ** 2).sum() / (G - 1))
    within = float(((values - mean[group]) ** 2).sum() / (N - G))
    size = (N - float((count**2).sum()) / N) / (G - 1)
    return (between - within) / max(between + (size - 1) * within, 1e-300)


def _von_neumann(values: np.ndarray) -> float:
    """Mean squared difference of neighbours, over twice the variance; values (N, C) in order."""
    spread = float(((values - values.mean(0)) ** 2).sum())
    return float((np.diff(values, axis=0) ** 2).sum()) / (2 * spread) if spread > 0 else 1.0
