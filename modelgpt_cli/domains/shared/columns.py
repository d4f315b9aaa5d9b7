"""Columns by name to arrays, as the graphs of tables and of texts take them. Between `runtime.session` and the graph.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.runtime.session import Input


def read_columns(inputs: Sequence[Input], columns: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], int]:
    """Bring columns into the form of a graph's inputs.

    Parameters
    ----------
    inputs : sequence of Input
    columns : mapping of str to array-like, (N,) or (N, 1)
        By column name. One that is absent is filled with missing cells, further ones are ignored.

    Returns
    -------
    arrays : dict of str to ndarray
        By the input's name, (N, 1): float32, or object of str.
    n_rows : int

    Raises
    ------
    UsageError
        The columns differ in length, none of the model's columns is there, or a number is none.
    """
    arrays = {i.name: _column(columns[i.column], i) for i in inputs if i.column in columns}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1:
        problem = "The columns differ in length." if lengths else "None of the model's columns is there."
        raise UsageError(problem, f"The model takes: {', '.join(i.column for i in inputs)}.")
    n_rows = lengths.pop()
    for i in inputs:
        if i.name not in arrays:
            fill = np.full((n_rows, 1), np.nan, np.float32) if i.is_float else np.full((n_rows, 1), "", object)
            arrays[i.name] = fill
    return arrays, n_rows


def _column(values: Any, i: Input) -> np.ndarray:
    """Bring one column into the graph's form: (N, 1), float32 or object of str."""
    if i.is_float:
        try:
            with np.errstate(over="ignore"):
                return np.asarray(values, dtype=np.float32).reshape(-1, 1)
        except (TypeError, ValueError) as error:
            raise UsageError(f"Column '{i.column}' must hold numbers.", str(error)) from error
    # As an array of fixed width, a list of strings takes the longest one's room for each.
    array = np.array(values, dtype=object) if isinstance(values, (list, tuple)) else np.asarray(values)
    if array.dtype.kind == "U":
        return array.astype(object).reshape(-1, 1)
    cells = array.reshape(-1).tolist()
    # None and NaN (which differs from itself) are how frames say that a cell is missing.
    return np.array(["" if c is None or c != c else c if type(c) is str else str(c) for c in cells], object)[:, None]
