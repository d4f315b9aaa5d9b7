"""A dataset's rows as arrays: the sample at once, and a stream of the rows that the closed-form head is solved on.

Every row is read, typed and counted. Up to `HEAD_ROWS` of them enter the head's sums; of a longer table so many are
drawn, each row with the same probability: the head has a few hundred weights per class, and the error that n rows leave
in it shrinks with 1/n, while each row costs as much as reading some fifty of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.shared.folds import Split
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, level_codes

HEAD_ROWS = 300_000
"""Rows of a long table that the head is solved on: a few hundred weights gain next to nothing from more."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def hash_rows(*parts: np.ndarray) -> np.ndarray:
    """Return a number of each row's cells, uint64 (n,); `parts` are (n, …), and equal rows have equal numbers."""
    mixed = np.zeros(len(parts[0]), dtype=np.uint64)
    for part in parts:
        for column in part.reshape(len(part), -1).T:
            hashed = pd.util.hash_array(np.ascontiguousarray(column))
            mixed = pd.util.hash_array(mixed * np.uint64(31) + hashed)
    return mixed


class RowStream:
    """The rows of a dataset as (x, codes, y) chunks, from the first on at each call.

    Attributes
    ----------
    share : float
        Each row's probability to be drawn.
    rows : int
        How many rows the last call gave.
    """

    def __init__(self, dataset: Dataset, preprocessor: TablePreprocessor, share: float, seed: int) -> None:
        self.dataset, self.preprocessor, self.share, self.seed = dataset, preprocessor, share, seed
        self.rows = 0
        self.finish: Callable[[np.ndarray, np.ndarray, np.ndarray], Arrays] | None = None
        """What is still to be done to a chunk's arrays; see `level_statistics.add_statistics`."""

    def __call__(self) -> Iterator[Arrays]:
        self.rows = 0
        for frame in self.dataset.frames(share=self.share, seed=self.seed):
            self.rows += len(frame)
            arrays = self.arrays(frame)
            yield arrays if self.finish is None else self.finish(*arrays)

    def arrays(self, frame: pd.DataFrame) -> Arrays:
        """A typed frame's inputs, level codes and targets."""
        schema = self.dataset.schema
        x, codes = self.preprocessor.arrays(frame)
        if schema.task == "classification":
            return x, codes, level_codes(frame[schema.target], schema.classes)
        return x, codes, frame[schema.target].to_numpy(dtype=np.float64)

    def note(self) -> str:
        """What the user has to know of the rows that were left out, or ""."""
        if self.share >= 1:
            return ""
        return (
            f"The closed-form head was solved on {self.rows:,} rows, drawn evenly from the {self.dataset.n_rows:,} of "
            "the table; --all-rows takes every one, which is slower."
        )


def table_arrays(
    dataset: Dataset,
    preprocessor: TablePreprocessor,
    *,
    all_rows: bool = True,
    seed: int = 0,
    split: Split | None = None,
) -> TableArrays:
    """A dataset's sample as arrays, with a stream of the head's rows where the sample isn't all.

    Parameters
    ----------
    all_rows : bool
        Whether the stream gives every row; else it gives about `HEAD_ROWS` where there are more.
    seed : int
        For the draw.
    split : Split, optional
        What ties the sample's rows together.
    """
    share = 1.0 if all_rows else min(1.0, HEAD_ROWS / max(dataset.n_rows, 1))
    stream = RowStream(dataset, preprocessor, share, seed)
    x, codes, y = stream.arrays(dataset.sample)
    levels = tuple(len(names) for names in preprocessor.levels)
    whole = len(dataset.sample) >= dataset.n_rows
    n_classes = len(dataset.schema.classes)
    return TableArrays(x, codes, y, n_classes, levels, None if whole else stream, dataset.synthetic, split)
