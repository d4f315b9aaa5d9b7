"""The nodes of a text model's lexical scores; the ONNX twin of `domains.text.lexical.LexicalScores`.

Shapes: N rows, T tokens, I items, C outputs.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.text.lexical import FACTOR, IDF, NEIGHBOURS, OVERLAPS, SLOTS, TINY, WEIGHT


def lexical_scores(g: GraphWriter, vocabulary: int, ids: str, mask: str, segments: str) -> str:
    """Write the nodes.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the tensors of `LexicalScores`.
    vocabulary : int
        V
    ids, mask, segments : str
        int64 (N, T); no segments where texts are no pairs.

    Returns
    -------
    str
        float32 (N, C)
    """
    code, present = _items(g, vocabulary, ids, mask)  # (N, I) each
    same = g.op("Equal", g.op("Unsqueeze", code, g.index(2)), g.op("Unsqueeze", code, g.index(1)))
    same = _float(g, same)
    same = g.op("Mul", same, g.op("Unsqueeze", present, g.index(1)))  # (N, I, I)
    count = g.op("Max", g.reduce("ReduceSum", same, 2, keep=False), g.const(1))
    kinds: list[str] = []
    if segments:
        kinds = _kinds(g, same, count, segments)
        size = vocabulary + NEIGHBOURS
        for k, kind in enumerate(kinds[1:], 1):
            code = g.op("Add", code, g.op("Mul", g.op("Cast", kind, to=TensorProto.INT64), g.const(k * size, np.int64)))
    slot = g.op("Cast", g.op("Gather", g.tensor(SLOTS), code, axis=0), to=TensorProto.INT64)
    idf = g.op("Gather", g.tensor(IDF), slot, axis=0)
    value = g.op("Mul", g.op("Add", g.op("Log", count), g.const(1)), idf)
    once = g.op("Div", present, count)
    square = g.op("Mul", g.op("Mul", value, value), once)
    whole = _above_zero(g, _sum(g, square))  # (N, 1)
    share = g.op("Div", g.op("Mul", value, once), g.op("Sqrt", whole))
    share = g.op("Unsqueeze", share, g.index(1))  # (N, 1, I)
    scores = g.op("Squeeze", g.op("MatMul", share, g.op("Gather", g.tensor(WEIGHT), slot, axis=0)), g.index(1))
    if not kinds:
        return scores
    first, second, both = (_sum(g, g.op("Mul", square, _float(g, kind))) for kind in kinds)
    parts = (whole, *(_above_zero(g, g.op("Add", one, both)) for one in (first, second)))
    of = [g.op("Div", both, part) for part in parts]
    last = g.op("Slice", g.tensor(WEIGHT), g.index(-OVERLAPS), g.index(np.iinfo(np.int64).max), g.index(0))
    return g.op("Add", scores, g.op("MatMul", g.join(of), last))


def _items(g: GraphWriter, vocabulary: int, ids: str, mask: str) -> tuple[str, str]:
    """Codes of pieces and of neighbours, int64 (N, I), and which of them there are, float32."""
    first = g.op("Slice", ids, g.index(0), g.index(1), g.index(1))
    before = g.op("Concat", first, g.op("Slice", ids, g.index(0), g.index(-1), g.index(1)), axis=1)
    sums = g.op("Add", g.op("Mul", before, g.const(FACTOR, np.int64)), ids)
    hashed = g.op("Mod", sums, g.const(NEIGHBOURS, np.int64))
    code = g.op("Concat", ids, g.op("Add", hashed, g.const(vocabulary, np.int64)), axis=1)
    no = g.op("Mul", g.op("Slice", mask, g.index(0), g.index(1), g.index(1)), g.const(0, np.int64))
    follows = g.op("Slice", mask, g.index(1), g.index(np.iinfo(np.int64).max), g.index(1))
    return code, _float(g, g.op("Concat", mask, no, follows, axis=1))


def _kinds(g: GraphWriter, same: str, count: str, segments: str) -> list[str]:
    """Whether items (N, I) are of the first text, the second, or both: bool."""
    part = _float(g, g.op("Concat", segments, segments, axis=1))
    seconds = g.op("Squeeze", g.op("MatMul", same, g.op("Unsqueeze", part, g.index(2))), g.index(2))
    none = g.op("Less", seconds, g.const(0.5))
    every = g.op("Less", g.op("Sub", count, seconds), g.const(0.5))
    every = g.op("And", every, g.op("Not", none))
    return [none, every, g.op("Not", g.op("Or", none, every))]


def _float(g: GraphWriter, x: str) -> str:
    return g.op("Cast", x, to=TensorProto.FLOAT)


def _sum(g: GraphWriter, x: str) -> str:
    """Sums over the items, (N, 1)."""
    return g.reduce("ReduceSum", x, 1)


def _above_zero(g: GraphWriter, x: str) -> str:
    return g.op("Max", x, g.const(TINY))
