"""``modelgpt export``, and the last step of a build: the graph is made, verified, and only then appears."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.artifacts.target_model import TargetModel, is_image, is_table, is_text
from modelgpt_cli.artifacts.verify import TOLERANCE, verify
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.domains.tabular.onnx import check_options, to_onnx

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from modelgpt_cli.domains.image.model import ImageModel

TOLERANCES: dict[str, float] = {"none": TOLERANCE, "fp16": 0.01, "int8": 0.1}
"""Tables: the largest difference that passes, by quantisation; see `verify`. `verify_text` and `verify_image` have
those of texts and images."""
DEFAULT_OPSET = 17
IMAGES = 128
"""Images in 8 bits: the ranges of a network's numbers are measured on so many images of the user's, or a few more."""


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
    before: dict[str, float | None] = field(default_factory=dict)
    after: dict[str, float | None] = field(default_factory=dict)
    """Metrics on labelled rows without and with quantisation; empty where there were no rows."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"path": str(self.path)}


def export(
    model: str | Path,
    *,
    output: str | Path,
    opset: int | None = None,
    quantize: str = "none",
    data: str | Path | None = None,
    tokenizer_in_graph: bool = False,
    force: bool = False,
) -> ExportReport:
    """Turn a ``model.safetensors``, or an unquantised ``model.onnx``, into a verified ``model.onnx``.

    Parameters
    ----------
    model, output : path-like
    opset : int, optional
        Operator set, 13 to 20; by default 17, or 18 where the encoder of a text model needs it.
    quantize : {"none", "fp16", "int8"}
    data : path-like, optional
        Labelled rows, as for `evaluate`: the report then has the metrics without and with quantisation. An image
        model's int8 needs images, with or without labels: it measures on some of them the ranges of its numbers.
    tokenizer_in_graph : bool
        Text models: see `write_onnx`.
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
    check_options(DEFAULT_OPSET if opset is None else opset, quantize)
    if Path(output).suffix.lower() != ".onnx":
        raise UsageError(f"Can't write an ONNX model to {output}.", hint="End the name in .onnx.")
    if data is not None and quantize == "none":
        raise UsageError(
            "--data is for measuring what --quantize costs, and there is no --quantize.",
            hint="Measure a model with: modelgpt evaluate",
        )
    check_destination(output, force)
    options: dict[str, Any] = {"opset": opset, "tokenizer_in_graph": tokenizer_in_graph}
    loaded = load_model(model)
    images = _some_images(loaded, data) if is_image(loaded) and data is not None else None
    measured: dict[str, dict[str, float | None]] = {}

    def measure(path: Path) -> None:
        assert data is not None
        measured.update(_cost(loaded, path, data, options))

    report = write_onnx(
        loaded,
        output,
        quantize=quantize,
        force=force,
        rows=images,
        accept=None if data is None else measure,
        start=start,
        **options,
    )
    return ExportReport(**(report.__dict__ | measured))


def write_onnx(
    model: TargetModel,
    path: str | Path,
    *,
    opset: int | None = None,
    quantize: str = "none",
    tokenizer_in_graph: bool = False,
    force: bool = False,
    rows: pd.DataFrame | Sequence[np.ndarray] | None = None,
    accept: Callable[[Path], None] | None = None,
    start: float | None = None,
) -> ExportReport:
    """Write a model as a verified ``model.onnx``; on any failure, what was at `path` stays.

    Parameters
    ----------
    opset : int, optional
        Operator set, 13 to 20; by default 17, or 18 where the encoder of a text model needs it.
    tokenizer_in_graph : bool
        Text models: the graph takes raw texts, one input (N,) for each column, and needs onnxruntime-extensions.
    rows : DataFrame or sequence of uint8 (H, W, 3), optional
        Typed rows of the real data, or images, to verify on besides the edge cases; an image model's int8 measures
        ranges on them. They don't go into the file.
    accept : callable, optional
        Given the verified file before it appears under its name; what it raises, such as a limit that is not met,
        keeps the file from appearing.
    start : float, optional
        When the work began, on `time.perf_counter`'s clock; now by default.
    """
    start = time.perf_counter() if start is None else start
    opset = _opset(model, opset)
    check_options(opset, quantize)
    if tokenizer_in_graph and not is_text(model):
        kind = "a table's" if is_table(model) else "one of images"
        raise UsageError(f"--tokenizer-in-graph is for models of the text domain, and this is {kind}.")
    given: Any = rows if rows is not None else () if is_image(model) else None
    with atomic_write(path, force=force) as temporary:
        written = _graph(model, given, opset=opset, quantize=quantize, tokenizer_in_graph=tokenizer_in_graph)
        temporary.write_bytes(written)
        if is_text(model):
            from modelgpt_cli.domains.text.verify import verify_text

            difference = verify_text(model, written, given, quantize=quantize, in_graph=tokenizer_in_graph)
        elif is_image(model):
            from modelgpt_cli.domains.image.verify import verify_image

            difference = verify_image(model, written, given, quantize=quantize)
        else:
            difference = verify(model, written, given, TOLERANCES[quantize])
        if accept is not None:
            accept(temporary)
    return ExportReport(Path(path), len(written), opset, quantize, difference, time.perf_counter() - start)


def _opset(model: TargetModel, opset: int | None) -> int:
    if opset is not None:
        return opset
    if is_text(model):
        from modelgpt_cli.domains.text.onnx import default_opset

        return default_opset(model)
    return DEFAULT_OPSET


def _graph(model: TargetModel, rows: Any, *, opset: int, quantize: str, tokenizer_in_graph: bool) -> bytes:
    """The file's bytes."""
    if is_image(model):
        from modelgpt_cli.domains.image.onnx import image_to_onnx

        proto = image_to_onnx(model, opset=opset, quantize=quantize, images=rows)
    elif is_text(model):
        from modelgpt_cli.domains.text.onnx import text_to_onnx

        proto = text_to_onnx(model, opset=opset, quantize=quantize, tokenizer_in_graph=tokenizer_in_graph)
    else:
        proto = to_onnx(model, opset=opset, quantize=quantize)
    raw: bytes = proto.SerializeToString(deterministic=True)
    return raw


def _cost(
    model: TargetModel, path: Path, data: str | Path, options: dict[str, Any]
) -> dict[str, dict[str, float | None]]:
    """The metrics of a model without and with quantisation, on labelled rows."""
    from modelgpt_cli.runtime.evaluate import evaluate

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "model.onnx"
        exact.write_bytes(_graph(model, (), quantize="none", **options | {"opset": _opset(model, options["opset"])}))
        with _unsaid():  # what there is to say of the rows is said once
            before = evaluate(exact, data).metrics
        return {"before": before, "after": evaluate(path, data).metrics}


def _some_images(model: ImageModel, data: str | Path) -> list[np.ndarray]:
    """Images of the user's, drawn evenly, to measure ranges on."""
    from modelgpt_cli.domains.image.decode import SHARP, ImageError
    from modelgpt_cli.domains.image.files import decoded, find_images

    files = find_images([data])
    step = max(1, len(files) // IMAGES)
    least = SHARP * model.view.resize
    found = [image for part in decoded(files[::step], least=least) for image in part.images]
    return [image for image in found if not isinstance(image, ImageError)]


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Without warnings to the user."""
    logger = logging.getLogger("modelgpt")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
