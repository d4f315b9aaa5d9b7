"""``modelgpt export``, and the last step of a build: the graph is made, verified, and only then appears."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.artifact.model_file import load_model
from modelgpt_cli.artifact.onnx_file import check_options, to_onnx
from modelgpt_cli.artifact.verify import TOLERANCE, verify
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.errors import UsageError
from modelgpt_cli.files import atomic_write, check_destination

if TYPE_CHECKING:
    import pandas as pd

TOLERANCES: dict[str, float] = {"none": TOLERANCE, "fp16": 0.01, "int8": 0.1}
"""The largest difference that passes, by quantisation; see `verify`."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the original."""

    path: Path
    size_bytes: int
    opset: int
    quantize: str
    max_difference: float
    """Largest difference of a probability, or of a prediction in standard deviations of the target."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"path": str(self.path)}


def export(
    model: str | Path, *, output: str | Path, opset: int = 17, quantize: str = "none", force: bool = False
) -> ExportReport:
    """Turn a ``model.safetensors``, or an unquantised ``model.onnx``, into a verified ``model.onnx``.

    Parameters
    ----------
    model, output : path-like
    opset : int
        Operator set, 13 to 20.
    quantize : {"none", "fp16", "int8"}
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    UsageError
        An option is off, or the output exists.
    ModelGPTError
        The model can't be read, or the output not written.
    VerificationError
        The export differs from the original.
    """
    start = time.perf_counter()
    check_options(opset, quantize)
    if Path(output).suffix.lower() != ".onnx":
        raise UsageError(f"Can't write an ONNX model to {output}.", hint="End the name in .onnx.")
    check_destination(output, force)
    return write_onnx(load_model(model), output, opset=opset, quantize=quantize, force=force, start=start)


def write_onnx(
    model: TabularModel,
    path: str | Path,
    *,
    opset: int = 17,
    quantize: str = "none",
    force: bool = False,
    rows: pd.DataFrame | None = None,
    accept: Callable[[Path], None] | None = None,
    start: float | None = None,
) -> ExportReport:
    """Write a model as a verified ``model.onnx``; on any failure, what was at `path` stays.

    Parameters
    ----------
    rows : DataFrame, optional
        Typed rows of the real data, to verify on besides the edge cases. They don't go into the file.
    accept : callable, optional
        Given the verified file before it appears under its name; what it raises, such as a limit that is not met,
        keeps the file from appearing.
    start : float, optional
        When the work began, on `time.perf_counter`'s clock; now by default.
    """
    start = time.perf_counter() if start is None else start
    check_options(opset, quantize)
    with atomic_write(path, force=force) as temporary:
        proto = to_onnx(model, opset=opset, quantize=quantize)
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        written = temporary.read_bytes()
        difference = verify(model, written, rows, TOLERANCES[quantize])
        if accept is not None:
            accept(temporary)
    return ExportReport(Path(path), len(written), opset, quantize, difference, time.perf_counter() - start)
