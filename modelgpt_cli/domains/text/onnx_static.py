"""The nodes of the static encoder; the ONNX twin of `domains.text.static`, but for the mean over the tokens."""

from __future__ import annotations

from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter


def static_states(g: GraphWriter, prefix: str, ids: str) -> str:
    """The vectors of the pieces, float32 (N, T, E), of int64 (N, T); the encoder's tensors have names with `prefix`."""
    x = g.op("Cast", g.op("Gather", g.tensor(prefix + "table"), ids, axis=0), to=TensorProto.FLOAT)
    return g.op("Mul", x, g.op("Gather", g.tensor(prefix + "scale"), ids, axis=0))
