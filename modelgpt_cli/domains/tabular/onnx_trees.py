"""Trees as one node of the graph, `TreeEnsembleRegressor` of ai.onnx.ml: the ONNX twin of `tree_model`.

Shapes: N rows, F features, K sums, C outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.domains.tabular.tree_model import Trees, n_sums, sides


def tree_scores(g: GraphWriter, trees: Trees, features: str, n_outputs: int) -> str:
    """Write the trees; return what they add to the network's outputs (N, C), from `tree_features` (N, F)."""
    K = n_sums(n_outputs)
    sums = g.op("TreeEnsembleRegressor", features, **_attributes(trees, K))
    return sums if n_outputs == K else g.op("Mul", sums, g.const(sides(n_outputs)))


def _attributes(trees: Trees, n_targets: int) -> dict[str, Any]:
    inner = trees.right > 0
    sizes = np.diff(np.append(trees.roots, len(trees.value)))
    tree = np.repeat(np.arange(len(trees.roots)), sizes)  # of each node
    start = np.repeat(trees.roots, sizes)
    node = np.arange(len(trees.value)) - start
    leaves = np.flatnonzero(~inner)
    return {
        "n_targets": n_targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": node.tolist(),
        "nodes_featureids": np.where(inner, trees.feature, 0).tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_values": np.where(inner, trees.value, 0).astype(np.float32).tolist(),
        "nodes_truenodeids": np.where(inner, node + 1, 0).tolist(),
        "nodes_falsenodeids": np.where(inner, trees.right - start, 0).tolist(),
        "nodes_missing_value_tracks_true": (inner & trees.missing_left).astype(int).tolist(),
        "target_treeids": tree[leaves].tolist(),
        "target_nodeids": node[leaves].tolist(),
        "target_ids": trees.sums[leaves].tolist(),
        "target_weights": trees.value[leaves].astype(np.float32).tolist(),
    }
