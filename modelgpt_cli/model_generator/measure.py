"""What a `model.onnx` costs to run: latency, operations and memory, measured on the file itself. Before `limits`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import onnx
import pandas as pd
from onnx import helper

from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.runtime.peak_memory import save_rows
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.artifacts.target_model import TargetModel

Rows: TypeAlias = "pd.DataFrame | Sequence[np.ndarray] | None"
"""Typed rows of the real data; or images, uint8 (H, W, 3) each."""
RUNS = 50
_WARM_UP = 5
_ENOUGH_SECONDS = 10.0
_PRODUCTS = {"MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0, "Gemm": 0}
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operators that are counted, and which of their inputs says how many products each output is the sum of."""
_TREES = "TreeEnsembleRegressor"
_SHAPE = "modelgpt flops "


class Measured(Protocol):
    """A domain's part ``measure``.

    Attributes
    ----------
    COMPARED : int
        Rows of the user's that a smaller file is compared on at most: each costs a pass of the model, twice.
    """

    COMPARED: int

    def batch(self, session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
        """Return so many rows as `Model.run` takes them: of the given ones where what they hold decides the cost."""

    def columns(self, model: Any, rows: Any) -> Mapping[str, Any]:
        """Return all rows as `Model.run` takes them."""

    def parameters(self, model: Any) -> int:
        """Return how many parameters a model has, all that its file carries."""

    def smaller(self, model: Any) -> str:
        """Return the option that would make a smaller model of the same card; "" where there is none."""

    def bench_rows(self) -> Rows:
        """Return rows like those of real data, to write and measure a dummy model with."""

    def dummy_model(self, card: ArchitectureCard, n_columns: int, classes: int) -> TargetModel:
        """Return a classifier of a card that is like any other in size and speed; its answers mean nothing.

        Parameters
        ----------
        n_columns : int
            Columns of numbers, where rows have columns.
        classes : int

        Raises
        ------
        UnreachableError
            Its weights are not at hand.
        """


def measured(domain: str) -> Measured:
    """Return a domain's part ``measure``."""
    found: Measured = find_domain(domain).part("measure")
    return found


def measure_latency(path: Path, batch_size: int, threads: int, rows: Rows = None) -> tuple[float, float]:
    """Milliseconds of one batch, after a warm-up: the median, and what 95 % of the runs keep below.

    The domain says which of `rows` the batch is made of, or what of where there are none.
    """
    session = Model(path, threads=threads)
    columns = batch(session, batch_size, rows)
    times: list[float] = []
    while len(times) < RUNS + _WARM_UP and (sum(times) < _ENOUGH_SECONDS or len(times) < 2 * _WARM_UP):
        start = time.perf_counter()
        session.run(columns)
        times.append(time.perf_counter() - start)
    median, high = np.quantile(times[_WARM_UP:], (0.5, 0.95)) * 1000
    return float(median), float(high)


def measure_memory(path: Path, batch_size: int, threads: int, rows: Rows = None) -> int:
    """Peak resident bytes of a fresh process that loads the model with onnxruntime and predicts one batch.

    Python and the libraries are in it. The rows are those of `measure_latency`.
    """
    columns = batch(Model(path, threads=threads), batch_size, rows)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "rows.npz"
        save_rows(saved, columns)
        command = [sys.executable, "-m", "modelgpt_cli.runtime.peak_memory", str(path.resolve()), str(saved)]
        done = subprocess.run([*command, str(threads)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelGPTError("limits: memory could not be measured.", done.stderr.strip().rpartition("\n")[2])
    return int(done.stdout)


def measure_flops(path: Path, rows: Rows = None) -> int:
    """Floating-point operations of one row: two for each multiplication with its addition.

    Counted are matrix products and convolutions, in 8 bits as well, and the comparisons on the longest way through each
    decision tree; what the rest costs is little beside them. The graph is run on one row with the shapes of these nodes
    as outputs, as shapes are not to be had without data where texts and images differ in size. The row is that of
    `measure_latency`.
    """
    model = onnx.load(path)
    counted = [node for node in model.graph.node if node.op_type in _PRODUCTS | _CONVOLUTIONS]
    for i, node in enumerate(counted):
        factor = node.input[(_PRODUCTS | _CONVOLUTIONS)[node.op_type]]
        for part, tensor in (("out", node.output[0]), ("in", factor)):
            name = f"{_SHAPE}{i} {part}"
            model.graph.node.append(helper.make_node("Shape", [tensor], [name + " flat"]))
            # One row each, so that the runtime takes it for an output like the others.
            model.graph.node.append(helper.make_node("Unsqueeze", [name + " flat", _SHAPE + "axes"], [name]))
            model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
    model.graph.initializer.append(helper.make_tensor(_SHAPE + "axes", onnx.TensorProto.INT64, [1], [0]))
    with tempfile.TemporaryDirectory() as folder:
        shaped = Path(folder) / "model.onnx"
        onnx.save(model, shaped)
        session = Model(shaped, threads=1)
        _, inputs = next(iter(session.feed.batches(batch(session, 1, rows))))
        found = dict(zip((output.name for output in model.graph.output), session.execute(inputs), strict=True))
        del session  # Windows doesn't remove a file that is open
    total = sum(_comparisons(node) for node in model.graph.node if node.op_type == _TREES)
    for i, node in enumerate(counted):
        out, factor_shape = (found[f"{_SHAPE}{i} {part}"][0] for part in ("out", "in"))
        total += 2 * int(np.prod(out)) * _terms(node, factor_shape)
    return total


def _comparisons(node: onnx.NodeProto) -> int:
    """How many comparisons the longest way through each tree of a node has, all trees together."""
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    trees: dict[int, int] = {}
    depths: dict[tuple[int, int], int] = {}
    kept = (found[f"nodes_{name}"] for name in ("treeids", "nodeids", "modes", "truenodeids", "falsenodeids"))
    for tree, own, mode, *children in zip(*kept, strict=True):  # parents come before their children
        depth = depths.get((tree, own), 0)
        trees[tree] = max(trees.get(tree, 0), depth)
        if mode != b"LEAF":
            depths |= {(tree, child): depth + 1 for child in children}
    return sum(trees.values())


def _terms(node: onnx.NodeProto, shape: np.ndarray) -> int:
    """How many products each number of a node's output is the sum of."""
    if node.op_type in _CONVOLUTIONS:
        return int(np.prod(shape[1:]))
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(shape[0] if turned else shape[-1])


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return so many rows as `Model.run` takes them."""
    return measured(session.metadata["domain"]).batch(session, batch_size, rows)
