"""`predict`: rows in, a CSV of labels or numbers out, at constant memory and in the input's order."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.runtime.feed import Chunk, Source, file_titles, open_source
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

logger = logging.getLogger("modelgpt")


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
    findings: Findings = field(default_factory=Findings)
    """What the rows hold that the model was not made for."""
    files: tuple[str, ...] = ()
    """Where each row is a file: the N files. One that can't be read has the label "" and probabilities that are NaN."""


def predict(
    model: str | Path,
    data: Data | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    proba: bool = False,
    topk: int | None = None,
    chunk_rows: int = 16_384,
    threads: int | None = None,
    strict: bool = False,
    force: bool = False,
) -> Prediction:
    """Score rows, or files, with a ``model.onnx``.

    Parameters
    ----------
    model : str or Path
        The ``model.onnx``.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        Any table that `describe` can read, ``-`` for stdin, or a table in memory. Of a model that takes one column of
        text, also a list of texts. Where each row is a file: a file, folder, glob, zip or table of paths, or a sequence
        of such.
    output : str or Path, optional
        The CSV file to write (``-`` for stdout), in constant memory; without it the arrays are returned.
    proba : bool
        Write a column ``probability_<label>`` for each class too.
    topk : int, optional
        Where each row is a file: write its so many likeliest classes; the likeliest by default.
    chunk_rows : int
        Rows held in memory at a time.
    threads : int, optional
        CPU threads; all cores by default.
    strict : bool
        Refuse rows that hold what the model was not made for: unknown levels, cells of another kind, values far outside
        those of the build, missing columns. Nothing is written to `output` then.
    force : bool
        Replace `output` if it exists.

    Returns
    -------
    Prediction

    Raises
    ------
    ModelGPTError
        The model or the data can't be read, or don't fit each other.
    VerificationError
        With `strict`, the rows hold what the model was not made for.
    UsageError
        An option makes no sense for this model, or there is no such data.

    Examples
    --------
    With the model of the example of `build`:

    >>> from sklearn.datasets import load_iris
    >>> from modelgpt_cli import predict
    >>> answers = predict("iris.onnx", load_iris(as_frame=True).data.iloc[[0, 60, 120]])
    >>> answers.label.tolist()
    ['setosa', 'versicolor', 'virginica']
    >>> answers.probabilities.shape
    (3, 3)
    """
    path = None if output is None or str(output) == "-" else Path(output)
    if path is not None:
        check_destination(path, force)
    loaded = Model(model, threads=threads)
    _check_topk(loaded, topk)
    source = open_source(loaded, data)
    start = time.perf_counter()
    if output is None:
        done = _collect(loaded, source, chunk_rows)
        _report(loaded, source, strict)
    else:
        with _sink(path, force) as stream:
            n_rows = _write(loaded, source, stream, proba=proba, topk=topk or 1, chunk_rows=chunk_rows)
            _report(loaded, source, strict)
        done = Prediction(n_rows, 0.0, loaded.labels, path)
    seconds = time.perf_counter() - start
    rate = done.rows / max(seconds, 1e-9)
    logger.debug("%d %s in %.2f s, %.0f %s/s", done.rows, loaded.domain.rows, seconds, rate, loaded.domain.rows)
    return replace(done, seconds=seconds, findings=source.findings)


def _check_topk(model: Model, topk: int | None) -> None:
    """Make sure that the model's predictions are ranked, and that it can name so many classes."""
    if topk is None:
        return
    if not model.feeds.FILES:
        raise UsageError(f"--topk is for models of {file_titles()}.", "This is none.", "Use --proba.")
    if not 1 <= topk <= len(model.labels):
        raise UsageError(f"--topk can't be {topk}.", f"The model has {len(model.labels)} classes.")


def _report(model: Model, source: Source, strict: bool) -> None:
    if strict:
        source.findings.require_fit(source.name)
    source.report()
    model.report()


def _collect(model: Model, source: Source, chunk_rows: int) -> Prediction:
    """Keep all predictions in memory."""
    parts: list[dict[str, np.ndarray]] = []
    names: list[str] = []
    n_rows = 0
    for chunk in source.chunks(chunk_rows):
        parts.append(_spread(model.run(chunk.columns), chunk))
        names += chunk.names
        n_rows += chunk.rows
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    files = tuple(names)
    if model.task == "regression":
        none = np.empty((0, 1), np.float32)
        prediction, *bounds = (joined.get(name, none)[:, 0] for name in _numbers(model))
        lower, upper = bounds or (None, None)
        return Prediction(
            n_rows, 0.0, prediction=prediction, lower=lower, upper=upper, coverage=model.coverage, files=files
        )
    label = joined.get("label", np.empty(0, object)).astype(str).astype(object)
    probabilities = joined.get("probabilities", np.empty((0, len(model.labels)), np.float32))
    return Prediction(n_rows, 0.0, model.labels, label=label, probabilities=probabilities, files=files)


def _spread(outputs: dict[str, np.ndarray], chunk: Chunk) -> dict[str, np.ndarray]:
    """Outputs of the rows that could be read as outputs of all: "" and NaN for the others."""
    if chunk.readable is None or chunk.readable.all():
        return outputs
    found = {}
    for name, cells in outputs.items():
        empty = np.nan if cells.dtype.kind == "f" else ""
        found[name] = np.full((chunk.rows, *cells.shape[1:]), empty, dtype=cells.dtype)
        found[name][chunk.readable] = cells
    return found


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


def _write(model: Model, source: Source, stream: BinaryIO, *, proba: bool, topk: int, chunk_rows: int) -> int:
    """Write the CSV, the header, then each chunk as it is scored; return the number of rows."""
    layout = _Layout(model, proba, topk)
    head = ["file"] if model.feeds.FILES else []
    stream.write((",".join(quoted(name) for name in [*head, *layout.names]) + "\n").encode())
    n_rows = 0
    for chunk in source.chunks(chunk_rows):
        n_rows += chunk.rows
        lines = layout.lines(model.run(chunk.columns))
        if chunk.names:
            lines = _named(lines, chunk, "," * (len(layout.names) - 1))
        stream.write("\n".join([*lines, ""]).encode(errors="surrogateescape"))
    return n_rows


def _named(lines: Iterable[str], chunk: Chunk, empty: str) -> list[str]:
    """Put each row's file before it; the cells of one that can't be read are empty."""
    readable = [True] * chunk.rows if chunk.readable is None else chunk.readable.tolist()
    given = iter(lines)
    return [
        f"{quoted(name)},{next(given) if there else empty}" for name, there in zip(chunk.names, readable, strict=True)
    ]


class _Layout:
    """The columns of the CSV, and how they are filled.

    Attributes
    ----------
    names : list of str
        For regression prediction and bounds; else the label, with its probability and the next best ones where each
        row is a file, and where `proba` the probability of each class.
    """

    def __init__(self, model: Model, proba: bool, topk: int) -> None:
        # Labels are quoted once, not once a row.
        self._cells = {label: quoted(label) for label in model.labels}
        self._proba = proba and model.task != "regression"
        self._topk = topk if model.feeds.FILES else 0
        if model.task == "regression":
            self.names = _numbers(model)
            if proba:
                logger.warning("--proba has no meaning for a regression; no column is added.")
            return
        self.names = ["label", "probability"] if self._topk else ["label"]
        for k in range(2, self._topk + 1):
            self.names += [f"label_{k}", f"probability_{k}"]
        if proba:
            self.names += [f"probability_{label}" for label in model.labels]

    def lines(self, outputs: dict[str, np.ndarray]) -> list[str]:
        """Format one chunk; numbers have float32's digits."""
        if "prediction" in outputs:
            # As str, a float32 takes the fewest digits that give it back exactly.
            columns = [outputs[name].reshape(-1).astype(str).tolist() for name in self.names]
            return columns[0] if len(columns) == 1 else [",".join(row) for row in zip(*columns, strict=True)]
        probabilities = outputs["probabilities"]
        if self._topk:
            lines = self._ranked(probabilities)
        else:
            lines = [self._cells.get(str(label), str(label)) for label in outputs["label"].tolist()]
        if not self._proba:
            return lines
        row = ",%.7g" * probabilities.shape[1]
        return [line + row % tuple(p) for line, p in zip(lines, probabilities.tolist(), strict=True)]

    def _ranked(self, probabilities: np.ndarray) -> list[str]:
        """The likeliest classes of each row with their probabilities."""
        cells = list(self._cells.values())
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._topk]
        return [
            ",".join(f"{cells[k]},{p[k]:.7g}" for k in ranked)
            for ranked, p in zip(best.tolist(), probabilities.tolist(), strict=True)
        ]


def quoted(cell: str) -> str:
    """Quote a CSV cell where it needs it; a lone empty cell would read back as a blank line."""
    if cell and not any(c in cell for c in ',"\r\n') and cell == cell.strip():
        return cell
    return '"' + cell.replace('"', '""') + '"'
