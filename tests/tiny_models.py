"""Tiny ONNX models that hold modelgpt's contract, for tests of the runtime that need no generator and no torch.

The classifier's score of class k is ``bias[k] + sum of (column's value) * weight[column][k]``: a missing number counts
0, a category counts 1 if it is the column's first level, else 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_model(
    path: Path,
    columns: Mapping[str, str],
    *,
    labels: Sequence[str] = (),
    weight: Mapping[str, Sequence[float]] | None = None,
    bias: Sequence[float] = (0.0,),
    levels: Mapping[str, Sequence[str]] | None = None,
    target: str = "target",
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write a linear model over `columns` (name to type): a classifier if it has `labels`, else a regressor."""
    levels, weight = levels or {}, weight or {}
    nodes, inputs, values = [], [], []
    for k, (name, kind) in enumerate(columns.items()):
        is_float = kind in ("numeric", "datetime")
        inputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT if is_float else TensorProto.STRING, ["N", 1])
        )
        if is_float:
            nodes.append(helper.make_node("IsNaN", [name], [f"_nan{k}"]))
            nodes.append(helper.make_node("Where", [f"_nan{k}", "_zero", name], [f"_value{k}"]))
        else:
            first = [levels.get(name, ["yes"])[0]]
            nodes.append(
                helper.make_node(
                    "LabelEncoder", [name], [f"_value{k}"], domain="ai.onnx.ml",
                    keys_strings=first, values_floats=[1.0], default_float=0.0,
                )
            )  # fmt: skip
        values.append(f"_value{k}")
    n_out = len(labels) or 1
    matrix = np.array([weight.get(name, [0.0] * n_out) for name in columns], np.float32).reshape(len(columns), n_out)
    nodes.append(helper.make_node("Concat", values, ["_x"], axis=1))
    nodes.append(helper.make_node("Gemm", ["_x", "_W", "_b"], ["scores"]))
    nodes += _head(labels)
    outputs = (
        [("label", TensorProto.STRING, ["N"]), ("probabilities", TensorProto.FLOAT, ["N", n_out])]
        if labels
        else [("prediction", TensorProto.FLOAT, ["N", 1])]
    )
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info(*output) for output in outputs],
        [
            numpy_helper.from_array(np.zeros(1, np.float32), "_zero"),
            numpy_helper.from_array(matrix, "_W"),
            numpy_helper.from_array(np.broadcast_to(np.array(bias, np.float32), (n_out,)).copy(), "_b"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    card = {
        "format": 2,
        "domain": "tabular",
        "task": "classification" if labels else "regression",
        "target": target,
        "labels": list(labels),
        "requirement": "Classify a tiny table.",
        "inputs": [{"name": name, "input": name, "type": kind} for name, kind in columns.items()],
        **(metadata or {}),
    }
    helper.set_model_props(model, {"modelgpt": json.dumps(card)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _head(labels: Sequence[str]) -> list[onnx.NodeProto]:
    if not labels:
        return [helper.make_node("Identity", ["scores"], ["prediction"])]
    return [
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node(
            "LabelEncoder", ["best"], ["label"], domain="ai.onnx.ml",
            keys_int64s=list(range(len(labels))), values_strings=list(labels), default_string="",
        ),
    ]  # fmt: skip
