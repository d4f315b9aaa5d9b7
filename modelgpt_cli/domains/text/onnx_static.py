"""The nodes of the static encoder; the ONNX twin of `domains.text.static`.

Shapes: N rows, T tokens, E embedding size.
"""

from __future__ import annotations

from onnx import TensorProto

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.shared.onnx_text_encoder import mean_direction


class StaticNodes:
    """Writes the nodes for texts, or for each of a pair.

    Parameters
    ----------
    g : GraphWriter
        Its state holds the encoder's tensors.
    prefix : str
        Of their names.
    """

    def __init__(self, g: GraphWriter, prefix: str) -> None:
        self.g, self.prefix = g, prefix

    def table(self, ids: str) -> str:
        """The vectors of the pieces, (N, T, E), of int64 (N, T)."""
        g = self.g
        x = g.op("Cast", g.op("Gather", g.tensor(self.prefix + "table"), ids, axis=0), to=TensorProto.FLOAT)
        return g.op("Mul", x, g.op("Gather", g.tensor(self.prefix + "scale"), ids, axis=0))

    def embed(self, x: str, present: str) -> str:
        """Embeddings (N, E) of what `table` gives, and of float32 (N, T)."""
        return mean_direction(self.g, x, present)
