"""What a `model.onnx` costs to run: latency, operations and memory, measured on the file itself. Before `limits`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import pandas as pd
from onnx import helper

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.tabular.text_rows import TEXT_WORDS
from modelgpt_cli.runtime.peak_memory import save_rows
from modelgpt_cli.runtime.session import Model

Rows: TypeAlias = "pd.DataFrame | Sequence[np.ndarray] | None"
"""Typed rows of the real data; of the image domain images, uint8 (H, W, 3) each."""
RUNS = 50
_WARM_UP = 5
_ENOUGH_SECONDS = 10.0
TYPICAL_TEXT = "The parcel came a week late, but the people at the counter were kind and gave me the money back."
TYPICAL_SIDE = 256
"""What a text and an image model's latency are measured on where there are no rows of the user's."""
_PRODUCTS = {"MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0, "Gemm": 0}
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Operators that are counted, and which of their inputs says how many products each output is the sum of."""
_SHAPE = "modelgpt flops "


def measure_latency(path: Path, batch_size: int, threads: int, rows: Rows = None) -> tuple[float, float]:
    """Milliseconds of one batch, after a warm-up: the median, and what 95 % of the runs keep below.

    A table's rows are neutral ones, with texts of `TEXT_WORDS` words; texts and images are `rows`, or `TYPICAL_TEXT`
    and images of `TYPICAL_SIDE` pixels.
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

    Counted are matrix products and convolutions, in 8 bits as well; what the rest costs is little beside them. The
    graph is run on one row with the shapes of these nodes as outputs, as shapes are not to be had without data where
    texts and images differ in size. The row is that of `measure_latency`.
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
        found = session.run(batch(session, 1, rows))
        del session  # Windows doesn't remove a file that is open
    total = 0
    for i, node in enumerate(counted):
        out, factor_shape = (found[f"{_SHAPE}{i} {part}"][0] for part in ("out", "in"))
        total += 2 * int(np.prod(out)) * _terms(node, factor_shape)
    return total


def _terms(node: onnx.NodeProto, shape: np.ndarray) -> int:
    """How many products each number of a node's output is the sum of."""
    if node.op_type in _CONVOLUTIONS:
        return int(np.prod(shape[1:]))
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(shape[0] if turned else shape[-1])


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """So many rows as `Model.run` takes them."""
    if session.domain.name == "image":
        return _images(batch_size, rows)
    return _texts(session, batch_size, rows) if session.domain.name == "text" else _neutral(session, batch_size)


def _images(batch_size: int, rows: Rows) -> dict[str, Any]:
    """A batch of the given images, over and over if they are few."""
    given: Sequence[np.ndarray] = () if rows is None or isinstance(rows, pd.DataFrame) else rows
    found = given[:batch_size] if len(given) else [np.full((TYPICAL_SIDE, TYPICAL_SIDE, 3), 127, dtype=np.uint8)]
    return {IMAGE: [found[i % len(found)] for i in range(batch_size)]}


def _texts(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """A batch of the given texts, over and over if they are few."""
    columns = {}
    for i in session.inputs:
        given = (
            []
            if not isinstance(rows, pd.DataFrame) or i.column not in rows
            else rows[i.column].iloc[:batch_size].tolist()
        )
        columns[i.column] = np.resize(np.array(given or [TYPICAL_TEXT], dtype=object), batch_size)
    return columns


def _neutral(session: Model, batch_size: int) -> dict[str, Any]:
    cells: dict[str, Any] = {"categorical": "", "boolean": "", "text": "word " * TEXT_WORDS}
    return {
        entry["name"]: np.full(batch_size, cells[entry["type"]], dtype=object)
        if entry["type"] in cells
        else np.full(batch_size, np.nan, dtype=np.float32)
        for entry in session.metadata["inputs"]
    }
