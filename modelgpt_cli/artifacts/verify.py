"""The proof before a file appears: the ONNX checker, then onnxruntime against torch on rows that could go wrong.

Which rows, and how they get into the graph, is for each domain's part ``verify``; what they share is here.
Shapes: N rows, C classes, P inputs of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from torch import Tensor

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import VerificationError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.runtime.session import register_extensions

TOLERANCE = 1e-4
"""The largest difference of a probability, or of a prediction in standard deviations of the target, that passes where
weights are exact: some hundred times what the order of float32 sums makes."""
BATCHES = (1, 2, 7)
"""Rows of a batch: answers must not depend on it."""


class Verifier(Protocol):
    """A domain's part ``verify``. Its models and rows are the domain's own."""

    def verify(self, model: Any, raw: bytes, rows: Any, *, quantize: str, options: Mapping[str, Any]) -> float:
        """Hold an exported model against the original.

        Parameters
        ----------
        model : TargetModel
            The original.
        raw : bytes
            The export.
        rows : optional
            Rows of the real data, to be compared besides the edge cases; the first few are taken.
        quantize : {"none", "fp16", "int8"}
            What was done to the weights.
        options : mapping
            Options of the domain that it was written with.

        Returns
        -------
        float
            The largest difference of a probability, or of a prediction in standard deviations of the target.

        Raises
        ------
        VerificationError
            The checker or onnxruntime refuses the graph, or a difference is above the tolerance.
        """
        ...


def check_weights(state: Mapping[str, Tensor]) -> None:
    """Make sure that all of a model's tensors hold finite numbers.

    Raises
    ------
    VerificationError
        One doesn't.
    """
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        more = f" and {len(bad) - 3} more tensors" if len(bad) > 3 else ""
        raise VerificationError(
            "The model has weights that are no finite numbers; nothing was written.",
            f"There are NaN or infinite ones in {', '.join(bad[:3])}{more}.",
            "Build it again; if it still fails, please report it.",
        )


def graph_session(raw: bytes, *, extensions: bool = False) -> ort.InferenceSession:
    """Check a graph and load it; with the operators of onnxruntime-extensions where it needs them.

    Raises
    ------
    VerificationError
        The checker or onnxruntime refuses it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if extensions:
        register_extensions(options)
    try:
        onnx.checker.check_model(raw)
        return ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        detail = " ".join(str(error).split())
        raise VerificationError("The exported model can't be loaded; nothing was written.", detail[:300]) from error


def with_inner_values(raw: bytes, values: Mapping[str, tuple[int, Sequence[str | int]]]) -> bytes:
    """Return the graph with some of its inner values (element type and shape of each) as its last outputs."""
    proto = onnx.load_model_from_string(raw)
    proto.graph.output.extend(helper.make_tensor_value_info(name, *about) for name, about in values.items())
    changed: bytes = proto.SerializeToString()
    return changed


def in_batches(
    session: ort.InferenceSession, feed: Callable[[np.ndarray], dict[str, np.ndarray]], n_rows: int, size: int
) -> list[np.ndarray]:
    """Run a graph batch by batch.

    Parameters
    ----------
    session : InferenceSession
    feed : callable
        Row numbers, int64, to the graph's inputs.
    n_rows : int
        N
    size : int
        Rows of a batch.

    Returns
    -------
    list of ndarray
        The graph's outputs, (N, ...) each.
    """
    places = [np.arange(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
    parts = []
    with progress("verify", n_rows) as advance:
        for place in places:
            parts.append(session.run(None, feed(place)))
            advance(len(place))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def relative_gap(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return how far a quantised model's head inputs (N, P) are from the original's, as shares of their length (N,)."""
    gap: np.ndarray = np.linalg.norm(got - expected, axis=1) / np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    return gap


def check_gap(gaps: np.ndarray, largest: float, mean: float) -> None:
    """Hold gaps, (N,), against the largest and the mean one that pass.

    Raises
    ------
    VerificationError
        One is above.
    """
    if not gaps.max() <= largest or not gaps.mean() <= mean:
        raise failed(
            f"What its head sees is off by {gaps.max():.2g} of its length, by {gaps.mean():.2g} in the mean; "
            f"{largest:.2g} and {mean:.2g} are allowed."
        )


def check_difference(found: float, tolerance: float = TOLERANCE) -> None:
    """Hold the largest difference found against the one that passes.

    Raises
    ------
    VerificationError
        It is above.
    """
    if found > tolerance:
        raise failed(f"It differs from the original by {found:.2g}; {tolerance:.2g} is allowed.")


def difference(blueprint: Blueprint, expected: np.ndarray, outputs: list[np.ndarray], std: float = 1.0) -> np.ndarray:
    """Compute how far a graph's answers are from torch's.

    Parameters
    ----------
    blueprint : Blueprint
    expected : (N, C)
        Probabilities, or the predictions and what else the graph gives of a number.
    outputs : list of ndarray
        The graph's.
    std : float
        Regression: the target's standard deviation.

    Returns
    -------
    ndarray (N, C)
        Of probabilities, or of numbers in standard deviations of the target; steps that float32 can't tell apart don't
        count.

    Raises
    ------
    VerificationError
        There are answers that are no numbers, too few, or labels that are not the likeliest.
    """
    got = outputs[1] if blueprint.task == "classification" else np.concatenate(outputs, axis=1)
    if not np.isfinite(expected).all():
        raise failed("The original itself gives answers that are no numbers.")
    if got.shape != expected.shape or not np.isfinite(got).all():
        raise failed("It gives answers that are no numbers, or not one for each row and class.")
    gap: np.ndarray = np.abs(got.astype(np.float64) - expected)
    if blueprint.task == "regression":
        steps = 2 * np.spacing(np.abs(expected)).astype(np.float64)
        excess: np.ndarray = np.maximum(gap - steps, 0) / (std or 1.0)
        return excess
    if blueprint.multi_label:
        limits = np.array(blueprint.multi_label["thresholds"], dtype=np.float32)
        if not np.array_equal(outputs[0], got >= limits):
            raise failed("Its labels are not those with a probability of their threshold or more.")
        return gap
    best = [blueprint.labels[k] for k in got.argmax(1)]
    if [str(label) for label in outputs[0].tolist()] != best:
        raise failed("Its label is not the one with the highest probability.")
    return gap


def failed(cause: str) -> VerificationError:
    """Make the error for an export that is not what it should be."""
    return VerificationError(
        "The exported model failed its verification; nothing was written.",
        cause,
        "Try another --opset, or --quantize none; if it still fails, please report it.",
    )
