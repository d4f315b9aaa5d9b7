"""Comparing methods over many tables: common tables, ranks, wins, and whether a difference of ranks means anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

SCORES = {"classification": "roc_auc", "regression": "r2"}
"""What methods are ranked by; higher is better."""


@dataclass(frozen=True)
class Comparison:
    """Results of the tables that every method has in full.

    Attributes
    ----------
    means : DataFrame
        Indexed by (method, table): every measured number, averaged over repeats.
    incomplete : dict
        Table that is left out -> why, in words.
    """

    task: str
    methods: list[str]
    repeats: int
    means: pd.DataFrame
    incomplete: dict[str, str]

    @property
    def tables(self) -> list[str]:
        """The common tables, by name."""
        return sorted(self.means.index.get_level_values("table").unique())

    @property
    def scores(self) -> pd.DataFrame:
        """Table x method: what methods are ranked by."""
        scores: pd.DataFrame = self.means[SCORES[self.task]].unstack("method")[self.methods]
        return scores

    @property
    def ranks(self) -> pd.DataFrame:
        """Table x method: 1 is best, ties share the mean of their ranks."""
        ranks: pd.DataFrame = self.scores.rank(axis=1, ascending=False, method="average")
        return ranks

    def average(self, column: str) -> pd.Series:
        """Return the mean over the common tables, by method; NaN where a method does not have the column."""
        return self.means[column].groupby("method").mean().reindex(self.methods)

    def record(self, method: str, other: str) -> tuple[int, int, int]:
        """Return on how many tables `method` beats, equals and loses to `other`."""
        difference = self.scores[method] - self.scores[other]
        return int((difference > 0).sum()), int((difference == 0).sum()), int((difference < 0).sum())


def compare(results: pd.DataFrame, task: str, methods: Sequence[str]) -> Comparison:
    """Average over repeats, and keep the tables for which every method has every repeat without a failure."""
    chosen = results[(results["task"] == task) & results["method"].isin(methods)]
    repeats = sorted(chosen["repeat"].unique())
    incomplete = {}
    for table, cells in chosen.groupby("table"):
        good = cells[cells["error"] == ""].groupby("method")["repeat"].nunique().reindex(methods, fill_value=0)
        failed = set(cells.loc[cells["error"] != "", "method"])
        if (good < len(repeats)).any():
            lacking = [m for m in methods if good[m] < len(repeats)]
            words = (f"{m} {'failed' if m in failed else 'not measured'}" for m in lacking)
            incomplete[str(table)] = ", ".join(words)
    common = chosen[~chosen["table"].isin(incomplete)]
    means = common.groupby(["method", "table"]).mean(numeric_only=True)
    return Comparison(task, list(methods), len(repeats), means, incomplete)


def friedman(mean_ranks: np.ndarray, n_tables: int) -> tuple[float, float, float]:
    """Test whether the mean ranks (k,) of k methods differ at all.

    Returns
    -------
    chi2, f, p : float
        Friedman's statistic, Iman and Davenport's F, and the probability of such an F where no method differs.

    References
    ----------
    Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), section 3.2.2.
    """
    k = len(mean_ranks)
    chi2 = 12 * n_tables / (k * (k + 1)) * (float(np.sum(np.square(mean_ranks))) - k * (k + 1) ** 2 / 4)
    rest = n_tables * (k - 1) - chi2
    f = (n_tables - 1) * chi2 / rest if rest > 1e-12 else float("inf")
    return chi2, f, float(stats.f.sf(f, k - 1, (k - 1) * (n_tables - 1)))


def critical_difference(n_methods: int, n_tables: int, alpha: float = 0.05) -> float:
    """Return the least significant difference of mean ranks by Nemenyi's test (Demšar 2006, section 3.2.2)."""
    return nemenyi_q(n_methods, alpha) * float(np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def nemenyi_q(n_methods: int, alpha: float = 0.05) -> float:
    """Return the critical value: the studentised range over √2, at infinitely many degrees of freedom."""
    return float(stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / np.sqrt(2))


def groups(mean_ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Return the largest runs of methods whose ends don't differ: (first, last) positions in `mean_ranks`.

    Parameters
    ----------
    mean_ranks : float (k,)
        Ascending.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(mean_ranks)):
        last = int(np.searchsorted(mean_ranks, mean_ranks[first] + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
