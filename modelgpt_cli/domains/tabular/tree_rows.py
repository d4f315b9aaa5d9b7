"""Which rows a fold's trees see, and how they see levels. For `forest` and `boosting`."""

from __future__ import annotations

import numpy as np

from modelgpt_cli.domains.shared.folds import TIME
from modelgpt_cli.domains.tabular.crossfit import HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays


def level_orders(table: TableArrays) -> tuple[np.ndarray, ...]:
    """The places of each categorical column's levels: missing cells, the most frequent level, … the rarest, unseen."""
    return tuple(np.array([*range(L), -1, L], dtype=np.float32) for L in table.levels)


def training_rows(table: TableArrays, shown: HeldOut, used: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Return the rows that a fold's trees see: those used of the shown ones, and others not tied to unseen ones."""
    rest = np.setdiff1d(np.arange(len(table.y)), shown.rows)
    if table.split is not None and table.split.kind == TIME:
        rest = rest[:0]
    elif table.split is not None:
        keys = table.split.keys
        rest = rest[(keys[rest] < 0) | ~np.isin(keys[rest], keys[shown.rows[unseen]])]
    return np.concatenate([shown.rows[used], rest])
