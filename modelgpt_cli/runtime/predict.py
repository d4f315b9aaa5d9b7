"""`predict`: rows in, a CSV of labels or numbers out, at constant memory and in the input's order."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.runtime.table import Rows, logger

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """What `predict` hands back. The arrays are there unless the predictions went to a file or to stdout."""

    rows: int
    seconds: float
    """From the first row to the last, after loading."""
    classes: tuple[str, ...] = ()
    path: Path | None = None
    label: np.ndarray | None = None
    """(N,) str: the most likely class."""
    probabilities: np.ndarray | None = None
    """(N, C) float32."""
    prediction: np.ndarray | None = None
    """(N,) float32, for regression."""
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    """(N,) float32: the bounds of the prediction interval, of a regression model that has one."""
    coverage: float | None = None
    """The share of true values that the interval was made to hold."""
    files: tuple[str, ...] = ()
    """Of images, the N files. One that can't be read has the label "" and probabilities that are NaN."""


def predict(
    model: str | Path,
    data: str | Path | pd.DataFrame | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    proba: bool = False,
    topk: int | None = None,
    chunk_rows: int = 16_384,
    threads: int | None = None,
    force: bool = False,
) -> Prediction:
    """Score a table, texts or images with a ``model.onnx``.

    Parameters
    ----------
    model : str or Path
        The ``model.onnx``.
    data : str, Path or DataFrame
        Any table that `describe` can read, ``-`` for stdin, or a data frame. Of images, a file, folder, glob, zip or
        table of paths, or a sequence of such.
    output : str or Path, optional
        The CSV file to write (``-`` for stdout), in constant memory; without it the arrays are returned.
    proba : bool
        Write a column ``probability_<label>`` for each class too.
    topk : int, optional
        Images: write the so many likeliest classes of each image; the likeliest by default.
    chunk_rows : int
        Rows held in memory at a time.
    threads : int, optional
        CPU threads; all cores by default.
    force : bool
        Replace `output` if it exists.
    """
    path = None if output is None or str(output) == "-" else Path(output)
    if path is not None:
        check_destination(path, force)
    loaded = Model(model, threads=threads)
    if loaded.reads_images:
        return _predict_images(loaded, data, output, path, proba=proba, topk=topk, force=force)
    if topk is not None:
        raise UsageError("--topk is for models of images.", "This is none.", "Use --proba.")
    rows = Rows(loaded, _only(data))
    start = time.perf_counter()
    if output is None:
        collected = _collect(loaded, rows, chunk_rows, start)
        rows.report()
        loaded.report()
        return collected
    with _sink(path, force) as stream:
        n_rows = _write(loaded, rows, stream, proba=proba, chunk_rows=chunk_rows)
    rows.report()
    loaded.report()
    seconds = time.perf_counter() - start
    logger.debug("%d rows in %.2f s, %.0f rows/s", n_rows, seconds, n_rows / max(seconds, 1e-9))
    return Prediction(n_rows, seconds, loaded.labels, path)


def _only(data: Any) -> Any:
    """The one table."""
    if not isinstance(data, (list, tuple)):
        return data
    if len(data) != 1:
        raise UsageError("Several files are for models of images.", "This is none.", "Score one table at a time.")
    return data[0]


def _predict_images(
    model: Model, data: Any, output: str | Path | None, path: Path | None, *, proba: bool, topk: int | None, force: bool
) -> Prediction:
    from modelgpt_cli.domains.image.predict import Images, check_topk, collect_images, write_images

    check_topk(1 if topk is None else topk, model)
    images = Images(model, data if isinstance(data, (list, tuple)) else [data])
    start = time.perf_counter()
    label = probabilities = None
    with contextlib.ExitStack() as stack:
        if output is None:
            label, probabilities = collect_images(images)
        else:
            write_images(images, stack.enter_context(_sink(path, force)), topk=topk or 1, proba=proba)
        images.report("have empty cells")
    seconds = time.perf_counter() - start
    names = tuple(file.name for file in images.files) if output is None else ()
    logger.debug("%d images in %.2f s, %.0f images/s", len(images.files), seconds, len(images.files) / seconds)
    return Prediction(
        len(images.files), seconds, model.labels, path, label=label, probabilities=probabilities, files=names
    )


def _collect(model: Model, rows: Rows, chunk_rows: int, start: float) -> Prediction:
    """Keep all predictions in memory."""
    parts = [model.run(columns) for n, columns in rows.chunks(chunk_rows) if n]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    n_rows = sum(len(part[next(iter(part))]) for part in parts)
    seconds = time.perf_counter() - start
    if model.task == "regression":
        none = np.empty((0, 1), np.float32)
        prediction, *bounds = (joined.get(name, none)[:, 0] for name in _numbers(model))
        lower, upper = bounds or (None, None)
        return Prediction(n_rows, seconds, prediction=prediction, lower=lower, upper=upper, coverage=model.coverage)
    label = joined.get("label", np.empty(0, object)).astype(str).astype(object)
    probabilities = joined.get("probabilities", np.empty((0, len(model.labels)), np.float32))
    return Prediction(n_rows, seconds, model.labels, label=label, probabilities=probabilities)


def _numbers(model: Model) -> list[str]:
    """The outputs of a regression model."""
    return ["prediction"] if model.coverage is None else ["prediction", "lower", "upper"]


@contextmanager
def _sink(path: Path | None, force: bool) -> Iterator[BinaryIO]:
    """Open the destination: stdout, or a file that appears only when it is whole."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic_write(path, force=force) as temporary, open(temporary, "wb") as stream:
        yield stream


def _write(model: Model, rows: Rows, stream: BinaryIO, *, proba: bool, chunk_rows: int) -> int:
    """Write the CSV: the header, then each chunk as it is scored."""
    names = _numbers(model) if model.task == "regression" else ["label"]
    if proba and model.task == "regression":
        logger.warning("--proba has no meaning for a regression; no column is added.")
    elif proba:
        names += [f"probability_{label}" for label in model.labels]
    stream.write((",".join(quoted(name) for name in names) + "\n").encode())
    cells = {label: quoted(label) for label in model.labels}
    total = 0
    for n, columns in rows.chunks(chunk_rows):
        if not n:
            continue
        total += n
        stream.write("\n".join([*_lines(model.run(columns), names, cells, proba), ""]).encode())
    return total


def _lines(outputs: dict[str, np.ndarray], names: list[str], cells: dict[str, str], proba: bool) -> list[str]:
    """Format one chunk. Labels are quoted once, not once a row; numbers have float32's digits."""
    if "prediction" in outputs:
        # As str, a float32 takes the fewest digits that give it back exactly.
        columns = [outputs[name].reshape(-1).astype(str).tolist() for name in names]
        return columns[0] if len(columns) == 1 else [",".join(row) for row in zip(*columns, strict=True)]
    labels = [cells.get(str(label), str(label)) for label in outputs["label"].tolist()]
    if not proba:
        return labels
    probabilities = outputs["probabilities"]
    row = ",%.7g" * probabilities.shape[1]
    return [label + row % tuple(p) for label, p in zip(labels, probabilities.tolist(), strict=True)]


def quoted(cell: str) -> str:
    """Quote a CSV cell where it needs it; a lone empty cell would read back as a blank line."""
    if cell and not any(c in cell for c in ',"\r\n') and cell == cell.strip():
        return cell
    return '"' + cell.replace('"', '""') + '"'
