"""The reading rules of a table's columns, from its first rows. Between `readers` and `scan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.data.cells import is_text, texts, to_arrow
from modelgpt_cli.data.numbers import find_number_rule, has_comma_decimals

_ROWS = 20_000
"""What so many rows don't say of how a column is written, the rest hardly will."""


def find_rules(frame: pd.DataFrame, columns: Sequence[str], given: Mapping[str, ReadingRule]) -> dict[str, ReadingRule]:
    """Find how the columns' numbers are written.

    Dates and levels have to wait until the whole column has been looked at; see `infer`.

    Parameters
    ----------
    frame : DataFrame
        The table's first rows, raw.
    given : mapping
        Rules that are known, which are kept.
    """
    found: dict[str, ReadingRule] = {}
    plain: dict[str, pa.Array] = {}
    counts: dict[str, dict[str, int]] = {}
    for name in columns:
        found[name] = given.get(name, PLAIN)
        if name in given:
            continue
        array = to_arrow(frame[name].head(_ROWS))
        if not is_text(array):
            continue
        if _are_plain(array):
            plain[name] = array
        else:
            counts[name] = _counts(array)
    comma_decimals = any(has_comma_decimals(cells) for cells in counts.values())
    if comma_decimals:  # then points may separate thousands
        counts |= {name: _counts(array) for name, array in plain.items()}
    for name, cells in counts.items():
        found[name] = find_number_rule(cells, comma_decimals) or PLAIN
    return found


def _are_plain(array: pa.Array) -> bool:
    """Whether all cells are numbers as programs write them."""
    try:
        pc.cast(array, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _counts(array: pa.Array) -> dict[str, int]:
    """Rows by cell."""
    counted = pc.value_counts(texts(array).drop_null())
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
