"""``modelgpt export``, and the last step of a build: a file is written, verified, and only then appears."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.artifacts.backends import Settings, check_deployable, find_backend
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.artifacts.outputs import NOVELTY
from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.domain import Domain, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.core.option_fields import make_options
from modelgpt_cli.core.options import ExportOptions
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.runtime.inspect import inspect

log = logging.getLogger("modelgpt")
_CHUNK_ROWS = 4_096


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the original."""

    path: Path
    size_bytes: int
    opset: int | None
    """None where the format has none."""
    quantize: str
    max_difference: float
    """Largest difference of a probability, or of a prediction in standard deviations of the target: on probe rows, and
    on all rows that were given."""
    seconds: float
    before: dict[str, float | None] = field(default_factory=dict)
    after: dict[str, float | None] = field(default_factory=dict)
    """Metrics on labelled rows without and with quantisation; empty where there were no rows."""
    title: str = ""
    """What people call the first metric, of a task that a domain alone has."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        found = asdict(self) | {"path": str(self.path)}
        del found["title"]
        return found


def export(
    model: str | Path,
    *,
    output: str | Path,
    opset: int | None = None,
    quantize: str = "none",
    runtime: str | None = None,
    data: Data | None = None,
    sheet: str | None = None,
    force: bool = False,
    **options: Any,
) -> ExportReport:
    """Turn a ``model.safetensors``, or an unquantised ``model.onnx``, into a verified ``model.onnx``.

    Parameters
    ----------
    model, output : path-like
    opset : int, optional
        Operator set, 13 to 20; by default 17, or the lowest later one that the model can be written in.
    quantize : {"none", "fp16", "int8"}
    runtime : str, optional
        A version of onnxruntime that must load the file, such as "ort-1.15": operator sets and IR version are
        lowered to what it loads.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d), optional
        Labelled rows, as for `evaluate`: the report then has the metrics without and with quantisation. Where the
        model's domain measures ranges for a quantisation, it does so on some of these rows, labelled or not.
    sheet : str, optional
        Of the data, as for `evaluate`.
    force : bool
        Whether an existing file may be replaced.
    **options
        Options of the model's domain, as ``modelgpt export --help`` lists them.

    Raises
    ------
    UsageError
        An option is off, or the output exists.
    ModelGPTError
        The model can't be read, or the output not written.
    VerificationError
        The export differs from the original.

    Examples
    --------
    With the model of the example of `build`:

    >>> from modelgpt_cli import export
    >>> report = export("iris.onnx", output="small.onnx", quantize="int8")
    >>> report.opset, report.size_bytes < 60_000, report.max_difference < 0.05
    (17, True, True)
    """
    start = time.perf_counter()
    ExportOptions(opset=opset, quantize=quantize, runtime=runtime)  # what is off is told before the model is read
    check_deployable(output)
    if data is not None and quantize == "none":
        raise UsageError(
            "--data is for measuring what --quantize costs, and there is no --quantize.",
            hint="Measure a model with: modelgpt evaluate",
        )
    check_destination(output, force)
    if any(options.values()):  # one may be for another domain, which the model's card tells before torch is loaded
        _settings(find_domain(inspect(model)["domain"]), opset, quantize, options | {"runtime": runtime})
    data = with_sheet(data, sheet)
    loaded = load_model(model)
    settings = _settings(find_domain(loaded.blueprint.domain), opset, quantize, options | {"runtime": runtime})
    rows = None
    if data is not None:
        rows = find_domain(loaded.blueprint.domain).part("onnx").calibration_rows(loaded, data)
    measured: dict[str, Any] = {}

    def measure(path: Path) -> None:
        assert data is not None
        try:
            measured.update(_cost(loaded, path, data, settings))
        except ModelGPTError as error:
            if rows is None:
                raise
            log.warning("Ranges were measured on these, but not what %s costs: %s", quantize, error.problem)

    report = _write(loaded, Path(output), settings, rows, None if data is None else measure, force, start)
    measured["max_difference"] = max(report.max_difference, measured.get("max_difference", 0.0))
    return replace(report, **measured)


def write_model(
    model: TargetModel,
    path: str | Path,
    *,
    opset: int | None = None,
    quantize: str = "none",
    rows: Any = None,
    entries: Mapping[str, Any] | None = None,
    accept: Callable[[Path], None] | None = None,
    force: bool = False,
    **options: Any,
) -> ExportReport:
    """Write a model as a verified file in the format that `path` is named for; on any failure, what was there stays.

    Parameters
    ----------
    model : TargetModel
    path : path-like
        Ends in .onnx or .safetensors.
    opset : int, optional
        Operator set of a ``model.onnx``, 13 to 20; by default 17, or the lowest later one that the model can be
        written in.
    quantize : {"none", "fp16", "int8"}
        How a ``model.onnx`` keeps its weights.
    rows : optional
        Rows of the real data, as `model.predict` takes them, to verify on besides the edge cases; a quantisation may
        measure ranges on them. They don't go into the file.
    entries : mapping, optional
        Further entries of the model card.
    accept : callable, optional
        Given the verified file before it appears under its name; what it raises, such as a limit that is not met,
        keeps the file from appearing.
    force : bool
        Whether an existing file may be replaced.
    **options
        Options of the model's domain, as ``modelgpt export --help`` lists them.

    Raises
    ------
    UsageError
        An option is off, or for another domain, or the file exists.
    VerificationError
        The file differs from the model.
    """
    start = time.perf_counter()
    domain = find_domain(model.blueprint.domain)
    settings = replace(_settings(domain, opset, quantize, options), entries=entries or {})
    return _write(model, Path(path), settings, rows, accept, force, start)


def _settings(domain: Domain, opset: int | None, quantize: str, options: Mapping[str, Any]) -> Settings:
    """Check all options against what the model's domain understands."""
    given = make_options(ExportOptions, domain, {"opset": opset, "quantize": quantize, **options}).given()
    return Settings(given.pop("opset", None), given.pop("quantize", "none"), given.pop("runtime", None), given)


def _write(
    model: TargetModel,
    path: Path,
    settings: Settings,
    rows: Any,
    accept: Callable[[Path], None] | None,
    force: bool,
    start: float,
) -> ExportReport:
    backend = find_backend(path)
    settings = backend.complete(model, settings)
    from modelgpt_cli.artifacts.verify import check_weights  # loads torch

    check_weights(model.state())
    with atomic_write(path, force=force) as temporary:
        raw = backend.write(model, settings, rows)
        temporary.write_bytes(raw)
        difference = backend.verify(model, raw, settings, rows)
        if accept is not None:
            accept(temporary)
    seconds = time.perf_counter() - start
    return ExportReport(path, len(raw), settings.opset, settings.quantize, difference, seconds)


def _cost(model: TargetModel, path: Path, data: Data, settings: Settings) -> dict[str, Any]:
    """Measure a model without and with quantisation on labelled rows: metrics, and how far its answers are apart."""
    from modelgpt_cli.runtime.evaluate import evaluate

    backend = find_backend(path)
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / f"model{path.suffix}"
        exact.write_bytes(backend.write(model, backend.complete(model, replace(settings, quantize="none"))))
        with quiet("modelgpt"):  # what there is to say of the rows is said once
            before = evaluate(exact, data)
            largest = _largest_difference(exact, path, data, model.target_std)
        title = next(iter(before.titles.values()), "")
        after = evaluate(path, data).metrics
        return {"before": before.metrics, "after": after, "title": title, "max_difference": largest}


def _largest_difference(exact: Path, path: Path, data: Data, std: float) -> float:
    """Compute the largest difference between two files' answers, on all rows; of numbers in the target's `std`.

    0 where a domain has answers of its own: what differs in these the verification alone knows.
    """
    from modelgpt_cli.runtime.feed import open_source
    from modelgpt_cli.runtime.session import Model

    one, other = Model(exact), Model(path)
    largest = 0.0
    if one.answers is not None:
        return largest
    for chunk in open_source(one, data, labelled=True).chunks(_CHUNK_ROWS):
        first, second = one.run(chunk.columns), other.run(chunk.columns)
        for name in first.keys() - {"label", NOVELTY}:
            if first[name].size:
                apart = np.abs(first[name].astype(np.float64) - second[name])
                largest = max(largest, float(apart.max()) / (std if name != "probabilities" else 1.0))
    return largest
