"""Which rows a build may be judged by: real ones, where there are any. Beside `head` and `tabular.crossfit`."""

from __future__ import annotations

import numpy as np


def held_out_rows(synthetic: np.ndarray | None, least: int) -> tuple[np.ndarray | None, bool]:
    """Give the rows that cross-validation may hold out.

    A generated row is always learned from: what a model says of it tells nothing of the world. Where all rows are
    generated they are all there is, and the scores are told as what they are.

    Parameters
    ----------
    synthetic : bool (N,), optional
        Which rows were generated.
    least : int
        With fewer real rows there is nothing to tell; choices are then made on all rows.

    Returns
    -------
    rows : bool (N,) or None
        None for all.
    told : bool
        Whether the scores may be told.
    """
    if synthetic is None or synthetic.all() or not synthetic.any():
        return None, True
    real = ~synthetic
    return (real, True) if real.sum() >= least else (None, False)


def synthetic_note(rows: int, synthetic: int, cross_validated: bool, things: str = "rows") -> str:
    """What a card has to say of generated rows, and of what its metrics are worth."""
    if synthetic < rows:
        told = f"{synthetic:,} of the {rows:,} {things} were generated"
        return f"{told}; the metrics are of the real ones alone." if cross_validated else f"{told}."
    also = "and the metrics are of generated ones too; " if cross_validated else ""
    return f"All {rows:,} {things} were generated, {also}of real ones nothing is known."


def fold_of(
    y: np.ndarray, n_classes: int, folds: int, rng: np.random.Generator, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return the fold of each row, stratified by class, int64 (N,); -1 for those not among `rows`, bool (N,)."""
    order = rng.permutation(len(y))
    if rows is not None:
        order = order[rows[order]]
    if n_classes:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.full(len(y), -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold
