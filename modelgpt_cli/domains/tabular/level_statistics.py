"""Categories of many levels as numbers: what the target is at each level, cross-fitted and shrunk towards its mean.

One-hot features hold the `MAX_LEVELS` most frequent levels of a column; where there are more, a look-up gives all of
them numeric sources too: the mean of the target, or the share of each class (target encoding, Micci-Barreca 2001). A
row of the build is given the numbers of levels as the rows of other folds have them, so that no answer leaks into its
own input; a new row those of all rows.
Shapes: N rows, L levels of a column, S statistics, K folds, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelgpt_cli.core.schema import MAX_LEVELS
from modelgpt_cli.domains.shared.folds import ALIKE, Folds, make_folds
from modelgpt_cli.domains.tabular.encoder import MISSING, UNSEEN
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.preprocessing import LevelStatistics, TablePreprocessor
from modelgpt_cli.domains.tabular.rows import RowStream, hash_rows

FOLDS = 5
MAX_STATISTICS = 8
"""Classes that a column has statistics of, the most frequent ones."""
LEAST_SHRINKAGE, MOST_SHRINKAGE = 0.5, 1e4
"""Rows' worth of pull of a level towards the mean of all, at least and at most."""
LEAST_F = 3.0
"""Standard deviations by which the ratio of variances between and within levels must be above 1, its value by chance:
else a column's statistics are noise, and it is left with one-hot features."""


@dataclass(frozen=True)
class CrossFitted:
    """The statistics of some columns, fold by fold.

    Attributes
    ----------
    columns : tuple of int
        Which categorical columns.
    tables : list of K lists of float32 (L + 2, S)
        Per fold and column, from the rows that are not of the fold.
    """

    columns: tuple[int, ...]
    tables: list[list[np.ndarray]]

    def __call__(self, x: np.ndarray, codes: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Return x (N, s) with the statistics of each row behind, as the other folds have them; -1: those of no row."""
        parts = [x]
        for i, j in enumerate(self.columns):
            found = np.empty((len(x), self.tables[0][i].shape[1]), dtype=np.float32)
            for k, tables in enumerate(self.tables):
                rows = fold == k
                found[rows] = LevelStatistics(tables[i])(codes[rows, j])
            found[fold < 0] = self.tables[0][i][-1]
            parts.append(found)
        return np.concatenate(parts, axis=1)


def add_statistics(preprocessor: TablePreprocessor, table: TableArrays) -> tuple[TablePreprocessor, TableArrays]:
    """Give columns of many levels their statistics, or cut their levels where these say nothing.

    Parameters
    ----------
    preprocessor : TablePreprocessor
        With all levels that are to be told apart; see `make_preprocessor`.
    table : TableArrays
        Its rows, x without statistics. A stream, if there is one, is told how to add them.

    Returns
    -------
    preprocessor : TablePreprocessor
        With the statistics of all rows.
    table : TableArrays
        With cross-fitted statistics in x.
    """
    many = [j for j, levels in enumerate(preprocessor.levels) if len(levels) > MAX_LEVELS]
    if not many:
        return preprocessor, table
    target = _targets(table)
    telling = [j for j in many if _tells(table.codes[:, j], target, len(preprocessor.levels[j]))]
    preprocessor, table = _cut(preprocessor, table, [j for j in many if j not in telling])
    if not telling:
        return preprocessor, table
    if table.split is not None and table.split.kind != ALIKE:
        table = replace(table, stream=None)  # what ties its rows is unknown; the sample is enough for the head
    folds = _folds(table)
    sizes = [len(preprocessor.levels[j]) for j in telling]

    def fit(rows: np.ndarray) -> list[np.ndarray]:
        return [_fit(table.codes[rows, j], target[rows], L) for j, L in zip(telling, sizes, strict=True)]

    whole = fit(np.ones(len(table.y), dtype=bool))
    cross = CrossFitted(tuple(telling), [fit(used) for used in folds.used])
    if isinstance(table.stream, RowStream):
        table.stream.finish = lambda x, codes, y: (cross(x, codes, _fold_of(x, codes, y)), codes, y)
    statistics = [
        LevelStatistics(whole[telling.index(j)]) if j in telling else None for j in range(table.codes.shape[1])
    ]
    preprocessor = replace(preprocessor, statistics=tuple(statistics))
    return preprocessor, replace(table, x=cross(table.x, table.codes, folds.fold))


def refit_rows(preprocessor: TablePreprocessor, table: TableArrays) -> TableArrays:
    """Return rows that a model was built from with cross-fitted statistics, in place of those of all rows."""
    count = sum(s.table.shape[1] for s in preprocessor.statistics if s is not None)
    if not count:
        return table
    plain = replace(table, x=table.x[:, :-count])
    chosen = tuple(j for j, s in enumerate(preprocessor.statistics) if s is not None)
    folds, target = _folds(plain), _targets(plain)
    sizes = [len(preprocessor.levels[j]) for j in chosen]
    tables = [
        [_fit(plain.codes[used, j], target[used], L) for j, L in zip(chosen, sizes, strict=True)] for used in folds.used
    ]
    return replace(plain, x=CrossFitted(chosen, tables)(plain.x, plain.codes, folds.fold))


def _targets(table: TableArrays) -> np.ndarray:
    """What there are statistics of, float64 (N, S): the standardised target, or indicators of classes."""
    if not table.n_classes:
        y: np.ndarray = table.y.astype(np.float64)
        standard: np.ndarray = (y - y.mean()) / max(float(y.std()), 1e-300)
        return standard[:, None]
    if table.n_classes == 2:
        is_second: np.ndarray = table.y == 1
        return is_second.astype(np.float64)[:, None]
    frequent = np.argsort(-np.bincount(table.y, minlength=table.n_classes), kind="stable")[:MAX_STATISTICS]
    indicators: np.ndarray = table.y[:, None] == np.sort(frequent)
    return indicators.astype(np.float64)


def _moments(codes: np.ndarray, target: np.ndarray, L: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of each level (L,), their mean (L, S), and the variances between and within levels (S,) each."""
    known = codes >= 0
    codes, target = codes[known], target[known]
    count = np.bincount(codes, minlength=L).astype(np.float64)
    total = np.stack([np.bincount(codes, column, L) for column in target.T], axis=1)
    mean = total / np.maximum(count, 1)[:, None]
    present = int((count > 0).sum())
    centre = target.mean(0) if len(target) else np.zeros(target.shape[1])
    between = (count[:, None] * (mean - centre) ** 2).sum(0) / max(present - 1, 1)
    within = ((target - mean[codes]) ** 2).sum(0) / max(len(codes) - present, 1)
    return count, mean, between, within


def _tells(codes: np.ndarray, target: np.ndarray, L: int) -> bool:
    """Whether the target differs between levels by more than chance has it."""
    count, _, between, within = _moments(codes, target, L)
    rows, levels = count.sum(), (count > 0).sum()
    if levels < 2 or rows <= levels:
        return False
    # By chance the ratio is about F-distributed, with this standard deviation.
    spread = (2 / (levels - 1) + 2 / (rows - levels)) ** 0.5
    return bool((between > (1 + LEAST_F * spread) * within).any())


def _fit(codes: np.ndarray, target: np.ndarray, L: int) -> np.ndarray:
    """Statistics of each level, then of a missing cell and of an unseen level, float32 (L + 2, S).

    A level's mean is shrunk towards the mean of all rows by as many rows' worth as the variances within and between
    levels ask for (empirical Bayes).
    """
    prior = target.mean(0) if len(target) else np.zeros(target.shape[1])
    count, mean, between, within = _moments(codes, target, L)
    rows, levels = count.sum(), (count > 0).sum()
    size = (rows - (count**2).sum() / max(rows, 1)) / max(levels - 1, 1)
    true = np.maximum(between - within, 0) / max(size, 1e-9)
    pull = np.clip(within / np.maximum(true, 1e-12), LEAST_SHRINKAGE, MOST_SHRINKAGE)
    table = np.tile(prior, (L + 2, 1))
    table[:L] = (count[:, None] * mean + pull * prior) / (count[:, None] + pull)
    missing = codes == MISSING
    table[L] = (target[missing].sum(0) + pull * prior) / (missing.sum() + pull)
    found: np.ndarray = table.astype(np.float32)
    return found


def _folds(table: TableArrays) -> Folds:
    """Folds of the statistics: as the rows are tied, else at random; not by class, which would tell of a row's own.

    Where there is a stream, by what a row holds: so a row of the sample has the same fold when it comes again.
    """
    if table.stream is None:
        return make_folds(np.zeros(len(table.y)), 0, FOLDS, np.random.default_rng(43), split=table.split)
    fold = _fold_of(table.x, table.codes, table.y)
    return Folds(fold, fold != np.arange(FOLDS)[:, None])


def _fold_of(x: np.ndarray, codes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the fold of each row by its cells, int64 (N,)."""
    folds: np.ndarray = hash_rows(x, codes, y) % np.uint64(FOLDS)
    return folds.astype(np.int64)


def _cut(
    preprocessor: TablePreprocessor, table: TableArrays, columns: Sequence[int]
) -> tuple[TablePreprocessor, TableArrays]:
    """Leave some columns their most frequent levels alone; the others are as if unseen."""
    if not columns:
        return preprocessor, table
    codes, levels = table.codes.copy(), list(preprocessor.levels)
    for j in columns:
        codes[codes[:, j] >= MAX_LEVELS, j] = UNSEEN
        levels[j] = levels[j][:MAX_LEVELS]
    preprocessor = replace(preprocessor, levels=tuple(levels))
    if isinstance(table.stream, RowStream):
        table.stream.preprocessor = preprocessor
    return preprocessor, replace(table, codes=codes, levels=tuple(map(len, levels)))
