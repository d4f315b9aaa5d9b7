"""`predict`: rows in, a CSV of labels or numbers out, at constant memory and in the input's order."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.runtime.answers import DocumentAnswers, DocumentWriter, FileAnswers, FileWriter
from modelgpt_cli.runtime.feed import Chunk, HasColumns, Source, file_titles
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.output import (
    DOCUMENT_SUFFIX,
    JSON_SUFFIXES,
    Layout,
    RowWriter,
    check_confidence,
    count_novel,
    given_labels,
    keep_columns,
    number_outputs,
    too_unsure,
)
from modelgpt_cli.runtime.scoring import scored
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.runtime.texts import open_given

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
    """(N,) str: the most likely class; where a row has any number of labels these, joined by ";"."""
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
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of a task that a domain alone has: its answers by name, (N,) object each; of marked texts ``spans``, a list for
    each text; of images with masks ``mask``, uint8 (H, W), and ``shares``, class → share of the pixels; of images with
    boxes ``boxes``, a list for each image; of images with
    key points ``points``, name → [x, y, score], and ``keypoints``, float32 (K, 3)."""
    files: tuple[str, ...] = ()
    """Where each row is a file: the N files. One that can't be read has the label "" and probabilities that are NaN."""
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)
    """The columns of the input that were asked for, (N,) each, as they were read."""
    unsure: int = 0
    """Rows whose label is left empty, as no class is as likely as `min_confidence`."""
    novelty: np.ndarray | None = None
    """(N,) float32: how unlike the training data each row is, of a model of texts or images built from data; NaN for a
    file that can't be read."""
    novelty_threshold: float | None = None
    """The novelty that next to no row of the training data's kind exceeds."""
    novel: int = 0
    """Rows that exceed it."""


def predict(
    model: str | Path,
    data: Data | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    sheet: str | None = None,
    proba: bool = False,
    topk: int | None = None,
    draw: str | Path | None = None,
    keep: str | Sequence[str] | None = None,
    min_confidence: float | None = None,
    json_lines: bool = False,
    chunk_rows: int = 16_384,
    threads: int | None = None,
    strict: bool = False,
    findings: str | Path | None = None,
    force: bool = False,
) -> Prediction:
    """Score rows, or files, with a ``model.onnx``.

    Parameters
    ----------
    model : str or Path
        The ``model.onnx``.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        Any table that `describe` can read, ``-`` for stdin, or a table in memory. Of a model that takes one column of
        text, also a text of several words, a list of texts, or lines of text on stdin. Where each row is a file: a
        file, folder, glob, zip or table of paths, or a sequence of such.
    output : str or Path, optional
        The CSV file to write (``-`` for stdout), in constant memory; without it the arrays are returned. A name that
        ends in .jsonl or .ndjson gets JSON lines. Of images with masks a name without an ending is a folder, which gets
        a PNG of class indices for each image, of images with key points a JSON file. Of images with masks, boxes or key
        points a name that ends in .json gets them as COCO has them: results with the ids of a COCO file that is given
        for its images, else annotations.
    sheet : str, optional
        The name or number of a workbook's sheet, of each where there are several; the first that looks like a table
        where not given.
    proba : bool
        Write a column ``probability_<label>`` for each class too.
    topk : int, optional
        Where each row is a file: write its so many likeliest classes; the likeliest by default.
    draw : str or Path, optional
        Images with masks, boxes or key points: a folder to draw each image into, with what is found in it.
    keep : str or sequence of str, optional
        Columns of the input to put before the answers; names separated by commas, or ``all``, where it is one str.
    min_confidence : float, optional
        Leave the label empty where the likeliest class is less likely than this, 0 to 1.
    json_lines : bool
        Write JSON lines rather than CSV, whatever `output` is called.
    chunk_rows : int
        Rows held in memory at a time.
    threads : int, optional
        CPU threads; all cores by default.
    strict : bool
        Refuse rows that hold what the model was not made for: unknown levels, cells of another kind, values far outside
        those of the build, missing columns. No file is written to `output` then.
    findings : str or Path, optional
        Write the counts of these into a JSON file, also where `strict` refuses them.
    force : bool
        Replace `output` and `findings` if they exist.

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
    if path is not None and not path.is_dir():
        check_destination(path, force)
    if findings is not None:
        check_destination(findings, force)
    data = with_sheet(data, sheet)
    loaded = Model(model, threads=threads)
    as_folder = path is not None and _is_folder(loaded, path)
    if path is not None and not as_folder:
        check_destination(path, force)
    writers = _file_writers(loaded, path if as_folder else None, draw, force)
    _check_topk(loaded, topk)
    check_confidence(loaded, min_confidence)
    source = open_given(loaded, data)
    if keep is not None:
        keep_columns(source, keep)
    start = time.perf_counter()
    if output is None:
        done = _collect(loaded, source, chunk_rows, min_confidence, writers)
        _report(loaded, source, strict, findings, force)
    elif as_folder:
        n_rows = sum(chunk.rows for chunk, _ in _scored(loaded, source, chunk_rows, writers))
        _report(loaded, source, strict, findings, force)
        done = Prediction(n_rows, 0.0, loaded.labels, path)
    else:
        layout = Layout(loaded, proba, topk or 1, min_confidence)
        writer = _writer(loaded, source, data, layout, "" if path is None else path.name.lower(), json_lines)
        with _sink(path, force) as stream:
            n_rows = _write(loaded, source, stream, writer, chunk_rows, writers)
            _report(loaded, source, strict, findings, force)
        done = Prediction(
            n_rows,
            0.0,
            loaded.labels,
            path,
            unsure=layout.unsure,
            novel=layout.novel,
            novelty_threshold=loaded.novelty,
        )
    seconds = time.perf_counter() - start
    if done.novel:
        words = "is unlike anything" if done.novel == 1 else "are unlike anything"
        of = f"{done.novel:,} of {done.rows:,} {loaded.domain.rows}"
        logger.info("%s %s in the training data (novelty above %.3g).", of, words, loaded.novelty)
    rate = done.rows / max(seconds, 1e-9)
    logger.debug("%d %s in %.2f s, %.0f %s/s", done.rows, loaded.domain.rows, seconds, rate, loaded.domain.rows)
    return replace(done, seconds=seconds, findings=source.findings)


def _check_topk(model: Model, topk: int | None) -> None:
    """Make sure that the model's predictions are ranked, and that it can name so many classes."""
    if topk is None:
        return
    if model.answers is not None:
        raise UsageError(f"--topk is not for {model.domain.title}.", hint="Leave it out.")
    if not model.feeds.FILES:
        raise UsageError(f"--topk is for models of {file_titles()}.", "This is none.", "Use --proba.")
    if model.multi_label:
        raise UsageError("--topk is for one label an image.", "This model is multi-label.", "Leave it out.")
    if not 1 <= topk <= len(model.labels):
        raise UsageError(f"--topk can't be {topk}.", f"The model has {len(model.labels)} classes.")


def _is_folder(model: Model, path: Path) -> bool:
    """Whether a destination is a folder of files: of a model whose answers may be files, what has no file's ending."""
    return isinstance(model.answers, FileAnswers) and (path.is_dir() or not path.suffix)


def _file_writers(model: Model, folder: Path | None, draw: str | Path | None, force: bool) -> list[FileWriter]:
    """What writes answers as files: into `folder`, and drawn for people into `draw`."""
    answers = model.answers
    if not isinstance(answers, FileAnswers):
        if draw is not None:
            raise UsageError(f"--draw is not for {model.domain.title}.", hint="Leave it out.")
        return []
    if folder is not None and draw is not None and folder.resolve() == Path(draw).resolve():
        raise UsageError("--draw and --output name one folder.", hint="Name two.")
    wanted = ((folder, False), (None if draw is None else Path(draw), True))
    return [answers.open_folder(model, place, drawn=drawn, force=force) for place, drawn in wanted if place is not None]


def _scored(
    model: Model, source: Source, chunk_rows: int, writers: Sequence[FileWriter]
) -> Iterator[tuple[Chunk, dict[str, np.ndarray]]]:
    """Yield each chunk with its answers, once they are written as files."""
    for chunk, outputs in scored(model, source, chunk_rows, "predict"):
        for writer in writers:
            writer.write(chunk, outputs)
        yield chunk, outputs


def _report(model: Model, source: Source, strict: bool, findings: str | Path | None, force: bool) -> None:
    if findings is not None:
        with atomic_write(findings, force=force) as temporary:
            temporary.write_text(json.dumps(source.findings.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
    if strict:
        source.findings.require_fit(source.name)
    source.report()
    model.report()


def _collect(
    model: Model, source: Source, chunk_rows: int, min_confidence: float | None, writers: Sequence[FileWriter]
) -> Prediction:
    """Keep all predictions in memory."""
    parts: list[dict[str, np.ndarray]] = []
    names: list[str] = []
    kept: dict[str, list[Any]] = {}
    n_rows = 0
    for chunk, outputs in _scored(model, source, chunk_rows, writers):
        parts.append(_spread(outputs, chunk))
        names += chunk.names
        for name, cells in chunk.kept.items():
            kept.setdefault(name, []).extend(cells)
        n_rows += chunk.rows
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    common: dict[str, Any] = {"files": tuple(names), "kept": {name: _cells(cells) for name, cells in kept.items()}}
    if model.novelty is not None:
        scores = joined.get("novelty", np.empty(0, np.float32))
        common |= {
            "novelty": scores,
            "novelty_threshold": model.novelty,
            "novel": count_novel(scores, model.novelty),
        }
    if model.answers is not None:
        answers = {
            name: joined.get(name, np.empty(0, object)) for name in dict.fromkeys((*model.answers.NAMES, *joined))
        }
        return Prediction(n_rows, 0.0, model.labels, answers=answers, **common)
    if model.task == "regression":
        none = np.empty((0, 1), np.float32)
        prediction, *bounds = (joined.get(name, none)[:, 0] for name in number_outputs(model))
        lower, upper = bounds or (None, None)
        return Prediction(
            n_rows, 0.0, prediction=prediction, lower=lower, upper=upper, coverage=model.coverage, **common
        )
    probabilities = joined.get("probabilities", np.empty((0, len(model.labels)), np.float32))
    if model.multi_label:
        found = given_labels(
            {"label": joined.get("label", np.empty((0, len(model.labels)), np.int64)), "probabilities": probabilities},
            model.labels,
        )
        joint = np.array([";".join(given) for given in found], dtype=object)
        return Prediction(n_rows, 0.0, model.labels, label=joint, probabilities=probabilities, **common)
    label = joined.get("label", np.empty(0, object)).astype(str).astype(object)
    unsure = too_unsure(probabilities, min_confidence)
    label[unsure] = ""
    common["unsure"] = int(unsure.sum())
    return Prediction(n_rows, 0.0, model.labels, label=label, probabilities=probabilities, **common)


def _cells(cells: Sequence[Any]) -> np.ndarray:
    """Cells of any kind as an array, (N,) object."""
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def _spread(outputs: dict[str, np.ndarray], chunk: Chunk) -> dict[str, np.ndarray]:
    """Outputs of the rows that could be read as outputs of all: "" and NaN for the others."""
    if chunk.readable is None or chunk.readable.all():
        return outputs
    found = {}
    for name, cells in outputs.items():
        empty: Any = {"f": np.nan, "i": 0}.get(cells.dtype.kind, "")
        found[name] = np.full((chunk.rows, *cells.shape[1:]), empty, dtype=cells.dtype)
        found[name][chunk.readable] = cells
    return found


def _writer(
    model: Model, source: Source, data: Any, layout: Layout, name: str, json_lines: bool
) -> RowWriter | DocumentWriter:
    """What writes answers into a file of some name in lower case, "" for stdout."""
    if name.endswith(DOCUMENT_SUFFIX) and not json_lines and isinstance(model.answers, DocumentAnswers):
        return model.answers.open_document(model, source, data)
    kept = source.kept_columns if isinstance(source, HasColumns) else ()
    as_json = json_lines or name.endswith(JSON_SUFFIXES)
    return RowWriter(layout, files=model.feeds.FILES, kept=kept, as_json=as_json)


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


def _write(
    model: Model,
    source: Source,
    stream: BinaryIO,
    writer: RowWriter | DocumentWriter,
    chunk_rows: int,
    writers: Sequence[FileWriter],
) -> int:
    """Write what comes first, then each chunk as it is scored; return the number of rows."""
    stream.write(writer.head())
    n_rows = 0
    for chunk, outputs in _scored(model, source, chunk_rows, writers):
        n_rows += chunk.rows
        stream.write(writer.rows(chunk, outputs))
    stream.write(writer.tail())
    return n_rows
