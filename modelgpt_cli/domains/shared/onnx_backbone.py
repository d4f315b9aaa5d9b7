"""What the graphs of texts and images share: the head on a backbone's features, and the way back to a model's state.

Shapes: N rows, P inputs of the head, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.outputs import write_answers
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_INPUTS, HEAD_WEIGHT, TARGET
from modelgpt_cli.domains.shared.novelty import novelty_names, write_novelty


def write_head(g: GraphWriter, blueprint: Blueprint, features: str, beside: str = "") -> None:
    """Write the nodes from the head's inputs (N, P), and from scores (N, C) to add, to the graph's outputs."""
    inputs = g.op("Identity", features, output=HEAD_INPUTS)  # (N, P)
    scores = g.op("Add", g.op("MatMul", inputs, g.tensor(HEAD_WEIGHT)), g.tensor(HEAD_BIAS))  # (N, C)
    if beside:
        scores = g.op("Add", scores, beside)
    write_answers(g, blueprint, scores, TARGET)
    if blueprint.novelty:
        write_novelty(g, inputs)


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's state from all tensors of its graph: the head's, and of the others those that are there."""
    names = [name for name in tensors if name.startswith(BACKBONE)]
    names += [HEAD_WEIGHT, HEAD_BIAS, *([TARGET] if blueprint.task == "regression" else [])]
    names += novelty_names(tensors)
    return {name: tensors[name] for name in names}
