"""Answers that are neither one class, nor labels, nor a number: what a domain with a task of its own gives for a row.

Beside `session`, which asks such a domain to run its graph, and `output`, which writes what it answers.
Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from modelgpt_cli.core.progress import Advance
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Chunk, Source
    from modelgpt_cli.runtime.session import Model


class Answers(Protocol):
    """A domain's part ``answers``. It imports no torch.

    Attributes
    ----------
    OUTPUTS : sequence of str
        What the graph must give.
    NAMES : sequence of str
        What the answers are called: columns of what `predict` writes, as JSON in a CSV.
    """

    OUTPUTS: Sequence[str]
    NAMES: Sequence[str]

    def check(self, model: Model) -> str:
        """Say what a model's card lacks to read its outputs; "" where nothing is missing."""

    def run(self, model: Model, columns: Mapping[str, Any], advance: Advance | None) -> dict[str, np.ndarray]:
        """Score rows; see `Model.run`.

        Returns
        -------
        dict of str to ndarray
            Of each of `NAMES` the answers, (N,) object: values as JSON has them. Further ones are for Python alone.
        """

    def evaluate(self, model: Model, source: Source, chunk_rows: int) -> Evaluation:
        """Compare true answers with a model's."""


@runtime_checkable
class FlatAnswers(Protocol):
    """What a part ``answers`` also follows whose answers are several columns of a CSV, rather than one of JSON each."""

    def csv_columns(self, model: Model) -> list[str]:
        """Return the names of the columns."""

    def csv_cells(self, model: Model, outputs: Mapping[str, np.ndarray]) -> list[list[float]]:
        """Return the numbers of each row, in the order of the columns."""


class FileWriter(Protocol):
    """Writes a run's answers as files."""

    def write(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> None:
        """Write the files of a chunk of rows."""


@runtime_checkable
class FileAnswers(Protocol):
    """What a part ``answers`` also follows where each answer may be a file."""

    def open_folder(self, model: Model, folder: Path, *, drawn: bool, force: bool) -> FileWriter:
        """Return what writes a run's answers into a folder, which need not be there.

        Parameters
        ----------
        drawn : bool
            Whether they are to be drawn for people, rather than written for programs.
        force : bool
            Whether existing files may be replaced.
        """


@runtime_checkable
class LineAnswers(Protocol):
    """What a part ``answers`` also follows where an answer is any number of lines of a CSV, rather than one cell.

    Attributes
    ----------
    CELLS : sequence of str
        The columns of such a line.
    """

    CELLS: Sequence[str]

    def cells(self, answer: Mapping[str, Any]) -> list[list[Any]]:
        """Return the lines of one row's answers by name."""


class DocumentWriter(Protocol):
    """Writes a run's answers as one JSON document."""

    def head(self) -> bytes:
        """Return what comes before the first row."""

    def rows(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> bytes:
        """Return what a chunk of rows adds."""

    def tail(self) -> bytes:
        """Return what comes behind the last row."""


@runtime_checkable
class DocumentAnswers(Protocol):
    """What a part ``answers`` also follows whose answers other tools read from one JSON document."""

    def open_document(self, model: Model, source: Source, data: Any) -> DocumentWriter:
        """Return what writes a run's answers so.

        Parameters
        ----------
        source : Source
            What is predicted for.
        data : object
            What the user gave, or a sequence of such.
        """
