"""Raw columns to features, as nodes of the graph: the ONNX twin of `domains.tabular.features`, `encoder` and `codec`.

The order of the float32 operations is theirs, so that both give the same numbers.
Shapes: N rows, s numeric sources, f full features, b flat features, K channels, Q knots.
"""

from __future__ import annotations

import math

import numpy as np

from modelgpt_cli.artifact.onnx_graph import GraphWriter
from modelgpt_cli.domains.tabular.codec import DATE_PARTS, YEAR, TableCodec
from modelgpt_cli.domains.tabular.features import CELL_LIMIT, Z_CLIP
from modelgpt_cli.domains.tabular.model import CONSTANTS

SOURCES = CONSTANTS + "sources."
TABLES = CONSTANTS + "tables."


def encode(g: GraphWriter, codec: TableCodec, inputs: list[str]) -> tuple[list[str], list[str]]:
    """Write the nodes that turn the inputs into features.

    Parameters
    ----------
    g : GraphWriter
    codec : TableCodec
    inputs : list of str
        Graph inputs of the codec's columns, each (N, 1).

    Returns
    -------
    full : list of str
        The `CHANNELS` views of the full features, each (N, f); empty if there are none.
    flat : list of str
        The flat features, (N, b) in one part; empty if there are none.
    """
    full: list[str] = []
    flat: list[str] = []
    floats = [name for name, column in zip(inputs, codec.columns, strict=True) if column.is_float]
    if floats:
        values = _sources(g, codec, g.join(floats))
        full, flat = _numeric(g, values)
    tables = _categorical(g, codec, [inputs[i] for i in codec.categorical])
    flat = [*flat, *tables]
    return full, [g.join(flat)] if flat else []


def _sources(g: GraphWriter, codec: TableCodec, raw: str) -> str:
    """Float columns (N, k) to numeric sources (N, s): cells clipped, dates in their parts, NaN = missing."""
    # Clip's answer to NaN is the runtime's own affair, so missing cells go around it.
    cells = g.op("Where", g.op("IsNaN", raw), raw, g.clip(raw, -CELL_LIMIT, CELL_LIMIT))
    columns = [column for column in codec.columns if column.is_float]
    dates = [i for i, column in enumerate(columns) if column.type == "datetime"]
    if not dates:
        return cells
    parts = g.op("Concat", cells, *_date_parts(g, g.take(cells, g.index(*dates))), axis=1)
    order: list[int] = []
    for i, column in enumerate(columns):
        order.append(i)
        if column.type == "datetime":
            # behind the cells come the years, weeks and days of all dates
            order += [len(columns) + dates.index(i) + k * len(dates) for k in range(len(DATE_PARTS) - 1)]
    return g.take(parts, g.index(*order))


def _date_parts(g: GraphWriter, days: str) -> list[str]:
    """Days since 1970-01-01 to the phases in the year, the week and the day; see `codec.date_part`."""

    def phase(value: str, period: float) -> str:
        turns = g.op("Floor", g.op("Div", value, g.const(period)))
        return g.op("Sub", value, g.op("Mul", turns, g.const(period)))

    whole = g.op("Floor", days)
    return [phase(days, YEAR), phase(g.op("Add", whole, g.const(3)), 7), g.op("Sub", days, whole)]


def _numeric(g: GraphWriter, values: str) -> tuple[list[str], list[str]]:
    """Numeric sources (N, s) to the views of full features and the parts of flat ones; see `apply_sources`."""
    missing = g.op("IsNaN", values)
    mean = g.tensor(SOURCES + "mean")
    x = g.op("Where", missing, mean, values)
    scaled = g.op("Mul", g.op("Sub", x, mean), g.tensor(SOURCES + "inv_std"))
    z = g.clip(scaled, -Z_CLIP, Z_CLIP)
    half = g.const(0.5)

    full, flat = [], []
    if _size(g, "full"):
        columns = g.tensor(SOURCES + "full")
        full = _channels(g, g.take(z, columns), _cdf(g, g.take(x, columns)), g.take(missing, columns))
    if _size(g, "flat"):
        flat.append(g.op("Mul", g.take(z, g.tensor(SOURCES + "flat")), half))
    indicators = _indicators(g, values, missing)
    if indicators:
        centred = g.op("Sub", g.join(indicators), g.tensor(SOURCES + "flat_mean"))
        scaled = g.op("Mul", centred, g.tensor(SOURCES + "flat_inv_std"))
        flat.append(g.op("Mul", g.clip(scaled, -Z_CLIP, Z_CLIP), half))
    return full, flat


def _indicators(g: GraphWriter, values: str, missing: str) -> list[str]:
    """1 where a coded source has a certain value, then 1 where a source is missing."""
    found = []
    if _size(g, "coded"):
        cells = g.take(values, g.tensor(SOURCES + "coded"))
        found.append(g.op("Cast", g.op("Equal", cells, g.tensor(SOURCES + "coded_value")), to=1))
    if _size(g, "absent"):
        found.append(g.op("Cast", g.take(missing, g.tensor(SOURCES + "absent")), to=1))
    return found


def _cdf(g: GraphWriter, x: str) -> str:
    """Empirical CDF in [-1, 1] of full sources (N, f)."""
    cells = g.op("Unsqueeze", x, g.index(2))  # (N, f, 1)
    scaled = g.op("Mul", g.op("Sub", cells, g.tensor(SOURCES + "knots")), g.tensor(SOURCES + "inv_width"))
    segment = g.clip(g.op("Add", scaled, g.tensor(SOURCES + "offset")), 0, 1)  # (N, f, Q - 1)
    total = g.op("ReduceSum", segment, g.index(2), keepdims=0)
    n_segments = g.state[SOURCES + "knots"].shape[1]
    return g.op("Sub", g.op("Mul", g.op("Div", total, g.const(n_segments)), g.const(2)), g.const(1))


def _channels(g: GraphWriter, z: str, u: str, missing: str) -> list[str]:
    """The views of full features, each (N, f), 0 where missing; see `features.channels`."""
    zero = g.const(0)
    u = g.op("Where", missing, zero, u)
    a = g.op("Mul", u, g.const(math.pi))
    a2 = g.op("Mul", a, g.const(2))
    return [
        g.op("Mul", z, g.const(0.5)),
        g.op("Tanh", g.op("Mul", z, g.const(1.5))),
        u,
        g.op("Sin", a),
        # of all views, the cosines alone are not 0 at 0
        g.op("Where", missing, zero, g.op("Cos", a)),
        g.op("Sin", a2),
        g.op("Where", missing, zero, g.op("Cos", a2)),
        g.op("Tanh", g.op("Mul", u, g.const(4))),
    ]


def _categorical(g: GraphWriter, codec: TableCodec, inputs: list[str]) -> list[str]:
    """String inputs (N, 1) to their flat features, (N, b) in one part, looked up in the tables."""
    parts = []
    for i, (name, levels) in enumerate(zip(inputs, codec.levels, strict=True)):
        if g.state[f"{TABLES}{i}"].shape[1] == 0:
            continue  # a column that says nothing has a table without columns
        known = {level: code for code, level in enumerate(levels) if level}
        known[""] = len(levels)  # the missing cell's row; the unseen level's is the one after
        codes = g.op(
            "LabelEncoder",
            name,
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=len(levels) + 1,
        )
        parts.append(g.op("Gather", g.tensor(f"{TABLES}{i}"), codes, axis=0))  # (N, 1, f_c)
    return [g.op("Squeeze", g.join(parts, axis=2), g.index(1))] if parts else []


def _size(g: GraphWriter, field: str) -> int:
    return int(np.size(g.state[SOURCES + field]))
