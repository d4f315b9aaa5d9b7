"""The outputs of a model's graph, the same in every domain: label and probabilities, or prediction and its bounds.

Named as sklearn-onnx names them. Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.blueprint import Blueprint

NOVELTY = "novelty"
"""Texts and images: how unlike anything in the training data a row is, (N,)."""
OUTPUTS = ("label", "probabilities", "prediction", "lower", "upper", NOVELTY)
_INT64 = np.iinfo(np.int64)


def write_answers(g: GraphWriter, blueprint: Blueprint, scores: str, target: str) -> None:
    """Write the nodes that turn scores into the answers of a model's task.

    Parameters
    ----------
    g : GraphWriter
    blueprint : Blueprint
    scores : str
        Logits (N, C), or the standardised target (N, 1).
    target : str
        Regression: the tensor with the target's mean and standard deviation, (2,).
    """
    if blueprint.multi_label:
        _labels(g, scores, blueprint.multi_label["thresholds"])
    elif blueprint.task == "classification":
        _probabilities(g, scores, blueprint.labels)
    else:
        _prediction(g, scores, target)


def _probabilities(g: GraphWriter, scores: str, labels: Sequence[str]) -> None:
    """Logits (N, C) to the outputs ``probabilities`` (N, C) and ``label`` (N,)."""
    g.op("Softmax", scores, axis=1, output="probabilities")
    best = g.op("ArgMax", "probabilities", axis=1, keepdims=0)
    names = g.const([int(label) for label in labels], np.int64) if integer_labels(labels) else g.strings(labels)
    g.op("Gather", names, best, axis=0, output="label")


def _labels(g: GraphWriter, scores: str, thresholds: Sequence[float]) -> None:
    """Logits (N, C) to the outputs ``probabilities`` (N, C) and ``label`` (N, C), 1 for each label that is given."""
    g.op("Sigmoid", scores, output="probabilities")
    g.op("Cast", g.op("GreaterOrEqual", "probabilities", g.const(thresholds)), to=TensorProto.INT64, output="label")


def _prediction(g: GraphWriter, scores: str, target: str) -> None:
    """The standardised target (N, 1) to the output ``prediction``, in the target's own unit and its scale's type."""
    if is_wide(g, target):
        scores = g.op("Cast", scores, to=TensorProto.DOUBLE)
    mean, std = (g.op("Gather", g.tensor(target), g.index(i), axis=0) for i in (0, 1))
    g.op("Add", g.op("Mul", scores, std), mean, output="prediction")


def is_wide(g: GraphWriter, target: str) -> bool:
    """Whether float32 can't hold the target's resolution, so that the graph's numbers are float64."""
    return bool(g.state[target].dtype == np.float64)


def answer_outputs(blueprint: Blueprint, *, interval: bool = False, wide: bool = False) -> list[ValueInfoProto]:
    """Return the graph's outputs: ``label`` and ``probabilities``, or ``prediction`` and the interval's bounds; then
    ``novelty``, where the model has it."""
    novelty = [helper.make_tensor_value_info(NOVELTY, TensorProto.FLOAT, ["N"])] if blueprint.novelty else []
    if blueprint.task == "regression":
        names = ["prediction", "lower", "upper"] if interval else ["prediction"]
        kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
        return [helper.make_tensor_value_info(name, kind, ["N", 1]) for name in names] + novelty
    kind = TensorProto.INT64 if integer_labels(blueprint.labels) else TensorProto.STRING
    shape: list[str | int] = ["N"]
    if blueprint.multi_label:
        kind, shape = TensorProto.INT64, ["N", len(blueprint.labels)]
    return [
        helper.make_tensor_value_info("label", kind, shape),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(blueprint.labels)]),
        *novelty,
    ]


def integer_labels(labels: Sequence[str]) -> bool:
    """Whether all labels are whole numbers in their plain spelling that fit into int64."""
    try:
        numbers = [int(label) for label in labels]
    except ValueError:
        return False
    return all(
        str(number) == label and _INT64.min <= number <= _INT64.max
        for number, label in zip(numbers, labels, strict=True)
    )
