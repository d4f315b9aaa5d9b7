"""A request's rows, and how they are scored: by itself, or in one run with those of other requests.

Between `bodies`, which reads them, and `runtime`, whose sources, feeds and findings are used as `predict` does.
Shapes: N rows of a request.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.runtime.feed import Chunk, Counting, OpensBytes, OpensCells, Source, open_source
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.errors import RequestError

_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Scored:
    """A request's rows with the model's answers.

    Attributes
    ----------
    model : Model
        That has scored them: another may be served by now.
    parts : list of (Chunk, dict of str to ndarray)
        As `Model.run` gives them.
    findings : Findings
    warnings : list of str
        What `predict` would warn of.
    """

    model: Model
    parts: list[tuple[Chunk, dict[str, np.ndarray]]]
    findings: Findings
    warnings: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows were asked about."""
        return sum(chunk.rows for chunk, _ in self.parts)


class Job(Protocol):
    """What is to be scored for one request."""

    @property
    def rows(self) -> int:
        """How many rows it counts as; 1 where they are not known yet."""

    @property
    def strict(self) -> bool:
        """Whether rows that the model was not made for are refused."""

    def score(self, model: Model) -> Scored:
        """Score it by itself, with a model whose counts are its own (`Model.fresh`)."""


@dataclass(frozen=True)
class RowsJob:
    """Rows in memory, by column.

    Attributes
    ----------
    columns : mapping of str to list (N,)
        Raw cells.
    kinds : mapping of str to str, optional
        What the cells of each column are: ``number``, ``str``, ``bool``, or "" where all are missing. None where they
        are of several kinds, or of others: such rows are read by themselves, so that no request's cells decide how
        another's are read.
    """

    columns: Mapping[str, list[Any]]
    rows: int
    kinds: Mapping[str, str] | None = None
    strict: bool = False

    def score(self, model: Model) -> Scored:
        """Score the rows, as `predict` scores a table in memory."""
        return score_source(model, open_source(model, self.columns), self.strict)


@dataclass(frozen=True)
class FilesJob:
    """Files in memory, each a name and its content, of a model whose rows are files."""

    files: Sequence[tuple[str, bytes]]
    strict: bool = False

    @property
    def rows(self) -> int:
        """How many files there are."""
        return len(self.files)

    def score(self, model: Model) -> Scored:
        """Score the files."""
        if not isinstance(model.feeds, OpensBytes):
            raise RequestError(415, f"Files can't be uploaded for {model.domain.title} yet.")
        return score_source(model, model.feeds.open_bytes(model, self.files), self.strict)


@dataclass(frozen=True)
class CsvJob:
    """A CSV, which is read as `predict` reads a file of its content."""

    content: bytes
    rows: int = 1
    strict: bool = False

    def score(self, model: Model) -> Scored:
        """Score its rows; the readers need a file, which is there for so long."""
        from modelgpt_cli.data.csv_file import CsvFile
        from modelgpt_cli.data.readers import Table

        with tempfile.TemporaryDirectory(prefix="modelgpt-serve-") as folder:
            file = Path(folder, "body.csv")
            file.write_bytes(self.content)
            name = "The CSV"
            table = Table(CsvFile(file, name), name, file, None)
            return score_source(model, open_source(model, table), self.strict)


@dataclass(frozen=True)
class TensorJob:
    """What the graph takes, without anything to be read."""

    columns: Mapping[str, np.ndarray]
    rows: int
    strict: bool = False

    def score(self, model: Model) -> Scored:
        """Run the graph."""
        with collected() as warnings:
            outputs = model.run(self.columns)
            model.report()
        return Scored(model, [(Chunk(self.rows, self.columns), outputs)], Findings(rows=self.rows), warnings)


def score_source(model: Model, source: Source, strict: bool) -> Scored:
    """Score a source as `predict` does.

    Raises
    ------
    VerificationError
        It is `strict`, and the rows hold what the model was not made for.
    """
    with collected() as warnings:
        parts = [(chunk, model.run(chunk.columns)) for chunk in source.chunks(_CHUNK_ROWS)]
        if strict:
            source.findings.require_fit(source.name)
        source.report()
        model.report()
    if not parts:
        raise RequestError(422, f"{source.name} holds no row.", hint="Send at least one.")
    return Scored(model, parts, source.findings, warnings)


def can_join(one: RowsJob, kinds: Mapping[str, str]) -> bool:
    """Whether a request's rows can be read in one table with rows whose cells are of these kinds."""
    own = one.kinds
    if own is None or own.keys() != kinds.keys():
        return False
    return all(not kind or not kinds[name] or kind == kinds[name] for name, kind in own.items())


def score_together(model: Model, jobs: Sequence[RowsJob]) -> list[Scored]:
    """Score the rows of several requests in one run.

    Parameters
    ----------
    model : Model
        With counts of its own.
    jobs : sequence of RowsJob
        That can be joined, or one whose cells are of known kinds.

    Returns
    -------
    list of Scored
        Of each request, as if it had been scored by itself.

    Raises
    ------
    ModelGPTError
        Some rows can't be read, or are refused; which request's, scoring each by itself tells.
    """
    sizes = [job.rows for job in jobs]
    columns: Mapping[str, list[Any]] = jobs[0].columns
    if len(jobs) > 1:
        columns = {name: [cell for job in jobs for cell in job.columns[name]] for name in columns}
    assert isinstance(model.feeds, OpensCells), "can_join says so"
    chunk, findings = model.feeds.open_cells(model, columns).read(sizes)
    if any(job.strict and not told.fits for job, told in zip(jobs, findings, strict=True)):
        raise ModelGPTError("Which request's rows are refused, a run of each tells.")
    with collected() as warnings:
        outputs = model.run(chunk.columns)
        model.report()
    if len(jobs) == 1:
        return [Scored(model, [(chunk, outputs)], findings[0], [*findings[0].messages(), *warnings])]
    counting = model.feed if isinstance(model.feed, Counting) else None
    if warnings and counting is None:
        raise ModelGPTError("Which request's rows these are, a run of each tells.", "\n".join(warnings))
    found, start = [], 0
    for job, told in zip(jobs, findings, strict=True):
        end = start + job.rows
        answers = {name: cells[start:end] for name, cells in outputs.items()}
        words = [] if told.fits else told.messages()
        if counting is not None:
            words += _feed_warnings(counting, {name: cells[start:end] for name, cells in chunk.columns.items()})
        found.append(Scored(model, [(Chunk(job.rows, {}), answers)], told, words))
        start = end
    return found


def score_jobs(model: Model, jobs: Sequence[Job]) -> list[Scored | Exception]:
    """Score the requests of a batch: together where they can be, and each by itself where that fails."""
    rows = [job for job in jobs if isinstance(job, RowsJob) and job.kinds is not None]
    if len(rows) == len(jobs) and isinstance(model.feeds, OpensCells):
        try:
            return list(score_together(model.fresh(), rows))
        except ModelGPTError:
            pass  # one of them is to blame, and is told so below
    return [_score_alone(model, job) for job in jobs]


def _score_alone(model: Model, job: Job) -> Scored | Exception:
    try:
        return job.score(model.fresh())
    except Exception as error:  # it belongs to whoever asked
        return error


def _feed_warnings(counting: Counting, columns: Mapping[str, Any]) -> list[str]:
    """What a feed that counts has to tell of one request's rows among those of a batch."""
    feed = counting.fresh()
    with collected() as warnings:
        for _ in feed.batches(columns):
            pass
        feed.report()
    return warnings


class _Collector(logging.Handler):
    """Keeps the warnings of the thread that asks for them, for its client rather than for the server's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning where the thread asks for it."""
        kept = getattr(self.local, "kept", None)
        if kept is not None:
            kept.append(record.getMessage())

    def is_other(self, record: logging.LogRecord) -> bool:
        """Whether a record is for the server's log."""
        return getattr(self.local, "kept", None) is None


_COLLECTOR = _Collector()


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the warnings that this thread logs in the rooms below."""
    _collect_from(logging.getLogger("modelgpt"))
    before = getattr(_COLLECTOR.local, "kept", None)
    kept: list[str] = []
    _COLLECTOR.local.kept = kept
    try:
        yield kept
    finally:
        _COLLECTOR.local.kept = before


def _collect_from(logger: logging.Logger) -> None:
    """Let the collector see what a logger gets, and its other handlers what nobody collects."""
    if _COLLECTOR in logger.handlers:
        return
    for handler in logger.handlers:
        if _COLLECTOR.is_other not in handler.filters:
            handler.addFilter(_COLLECTOR.is_other)
    logger.addHandler(_COLLECTOR)


def strictly(job: Job) -> Job:
    """Return a request whose rows are refused where the model was not made for them."""
    return replace(job, strict=True)  # type: ignore[type-var]  # all of them are dataclasses
