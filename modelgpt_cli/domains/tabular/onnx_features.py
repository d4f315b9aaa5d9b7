"""Raw columns to features as nodes of the graph: the twin of `domains.tabular.features`, `encoder` and `preprocessing`.

The order of the float32 operations is theirs, so that both give the same numbers.
Shapes: N rows, s numeric sources, f full features, b flat features, K channels, Q knots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.schema import MAX_LEVELS
from modelgpt_cli.domains.shared import onnx_text_encoder
from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.tabular.features import CELL_LIMIT, Z_CLIP
from modelgpt_cli.domains.tabular.preprocessing import DATE_PARTS, LEVELS, YEAR, TablePreprocessor, text_parts
from modelgpt_cli.domains.tabular.text_columns import PREFIX

SOURCES = CONSTANTS + "sources."
TABLES = CONSTANTS + "tables."
STATISTICS = CONSTANTS + LEVELS


def encode(
    g: GraphWriter, preprocessor: TablePreprocessor, inputs: list[tuple[str, ...]]
) -> tuple[list[str], list[str]]:
    """Write the nodes that turn the inputs into features.

    Parameters
    ----------
    g : GraphWriter
    preprocessor : TablePreprocessor
    inputs : list of tuple of str
        Graph inputs of the preprocessor's columns: one (N, 1), or of a text two (N, T); see `graph_inputs`.

    Returns
    -------
    full : list of str
        The `CHANNELS` views of the full features, each (N, f); empty if there are none.
    flat : list of str
        The flat features, (N, b) in one part; empty if there are none.
    """
    full: list[str] = []
    flat: list[str] = []
    if preprocessor.sources:
        full, flat = _numeric(g, sources(g, preprocessor, inputs))
    tables = _categorical(g, preprocessor, [inputs[i][0] for i in preprocessor.categorical])
    flat = [*flat, *tables]
    return full, [g.join(flat)] if flat else []


def sources(g: GraphWriter, preprocessor: TablePreprocessor, inputs: list[tuple[str, ...]]) -> str:
    """Numeric sources (N, s), written once."""
    return g.once("sources", lambda: _sources(g, preprocessor, inputs))


def tree_features(
    g: GraphWriter, preprocessor: TablePreprocessor, inputs: list[tuple[str, ...]], orders: Sequence[np.ndarray]
) -> str:
    """Write the nodes that turn the inputs into what trees read, (N, F); see `tree_model.tree_features`."""
    parts = [sources(g, preprocessor, inputs)] if preprocessor.sources else []
    for j, (i, order) in enumerate(zip(preprocessor.categorical, orders, strict=True)):
        codes = _codes(g, preprocessor.levels[j], j, inputs[i][0])  # (N, 1)
        parts.append(g.op("Gather", g.const(order), codes, axis=0))
    return g.join(parts)


def _sources(g: GraphWriter, preprocessor: TablePreprocessor, inputs: list[tuple[str, ...]]) -> str:
    """Float and text columns to numeric sources (N, s): cells clipped, dates in their parts, NaN = missing."""
    parts: list[str] = []
    found: list[tuple[int, str]] = []  # the source of each column of the parts, side by side
    floats = [i for i, column in enumerate(preprocessor.columns) if column.is_float]
    dates = [i for i in floats if preprocessor.columns[i].type == "datetime"]
    if floats:
        raw = g.join([inputs[i][0] for i in floats])
        # Clip's answer to NaN is the runtime's own affair, so missing cells go around it.
        parts.append(g.op("Where", g.op("IsNaN", raw), raw, g.clip(raw, -CELL_LIMIT, CELL_LIMIT)))
        found += [(i, DATE_PARTS[0] if i in dates else "value") for i in floats]
    if dates:
        parts += _date_parts(g, g.take(parts[0], g.index(*(floats.index(i) for i in dates))))
        found += [(i, part) for part in DATE_PARTS[1:] for i in dates]
    for j, i in enumerate(preprocessor.textual):
        parts += _text(g, j, inputs[i])
        found += [(i, part) for part in text_parts(preprocessor.columns[i])]
    for j, (i, statistics) in enumerate(zip(preprocessor.categorical, preprocessor.statistics, strict=False)):
        if statistics is not None:
            looked_up = g.op(
                "Gather", g.tensor(f"{STATISTICS}{j}"), _codes(g, preprocessor.levels[j], j, inputs[i][0]), axis=0
            )
            parts.append(g.op("Squeeze", looked_up, g.index(1)))  # (N, 1, S) to (N, S)
            found += [(i, f"level {k}") for k in range(statistics.table.shape[1])]
    order = [found.index((source.column, source.part)) for source in preprocessor.sources]
    joined = g.join(parts)
    return joined if order == list(range(len(found))) else g.take(joined, g.index(*order))


def _text(g: GraphWriter, j: int, inputs: tuple[str, ...]) -> list[str]:
    """The j-th text column's components (N, k), 0 where there is no text, and whether there is one (N, 1)."""
    vectors = onnx_text_encoder.embed(g, *inputs)
    state = f"{CONSTANTS}{PREFIX}{j}."
    values = g.op("MatMul", g.op("Sub", vectors, g.tensor(state + "mean")), g.tensor(state + "components"))
    tokens = g.op("Cast", g.op("ReduceSum", inputs[1], g.index(1), keepdims=1), to=TensorProto.FLOAT)
    present = g.clip(tokens, 0, 1)
    return [g.op("Mul", values, present), present]


def _date_parts(g: GraphWriter, days: str) -> list[str]:
    """Days since 1970-01-01 to the phases in the year, the week and the day; see `preprocessor.date_part`."""

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


def _categorical(g: GraphWriter, preprocessor: TablePreprocessor, inputs: list[str]) -> list[str]:
    """String inputs (N, 1) to their flat features, (N, b) in one part, looked up in the tables."""
    parts = []
    for i, name in enumerate(inputs):
        if g.state[f"{TABLES}{i}"].shape[1] == 0:
            continue  # a column that says nothing has a table without columns
        codes = _codes(g, preprocessor.levels[i][:MAX_LEVELS], i, name)
        parts.append(g.op("Gather", g.tensor(f"{TABLES}{i}"), codes, axis=0))  # (N, 1, f_c)
    return [g.op("Squeeze", g.join(parts, axis=2), g.index(1))] if parts else []


def _codes(g: GraphWriter, levels: Sequence[str], j: int, name: str) -> str:
    """The j-th string input (N, 1) to the rows of a look-up that has these levels, int64 (N, 1)."""

    def write() -> str:
        known = {level: code for code, level in enumerate(levels) if level}
        known[""] = len(levels)  # the missing cell's row; the unseen level's is the one after
        return g.op(
            "LabelEncoder",
            name,
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=len(levels) + 1,
        )

    return g.once(f"{len(levels)} codes of {j}", write)


def _size(g: GraphWriter, field: str) -> int:
    return int(np.size(g.state[SOURCES + field]))
