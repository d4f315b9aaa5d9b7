"""What each domain provides so that its models can be run: files to rows, and rows to the inputs of a graph.

`session`, `predict` and `evaluate` know these protocols alone; a domain's module ``feed`` follows `Feeds`. Nothing here
or there imports torch.
Shapes: N rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from modelgpt_cli.core.domain import all_domains
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.data.address import without_place
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model


@dataclass(frozen=True)
class Chunk:
    """Some rows that are to be scored.

    Attributes
    ----------
    rows : int
        N.
    columns : mapping of str to array-like
        The rows that could be read, as `Model.run` takes them.
    truth : ndarray, optional
        The true value of each row that could be read, where it was asked for: numbers, or labels as `str`, None where
        there is none.
    names : sequence of str
        The files that the rows are, N; empty in a table.
    readable : bool ndarray (N,), optional
        Which rows could be read; None where all could.
    kept : mapping of str to sequence
        Columns of the input that are handed on as they are, (N,) each; see `HasColumns`.
    """

    rows: int
    columns: Mapping[str, Any]
    truth: np.ndarray | None = None
    names: Sequence[str] = ()
    readable: np.ndarray | None = None
    kept: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class Source(Protocol):
    """The rows of some data, in their order, at constant memory."""

    @property
    def name(self) -> str:
        """What messages call the data."""

    @property
    def target(self) -> str:
        """What the true values are called."""

    @property
    def findings(self) -> Findings:
        """What the rows hold that the model was not made for, once all chunks are through."""

    @property
    def total(self) -> int | None:
        """How many rows there are, or about so many; None where only reading them tells."""

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield all rows, at most so many at a time; no chunk is empty."""

    def report(self) -> None:
        """Warn of what could not be read, once all chunks are through; an error where nothing could be."""


@runtime_checkable
class HasColumns(Protocol):
    """A source whose rows have columns, further ones than the model's among them.

    Attributes
    ----------
    columns : sequence of str
        All of them, in their order.
    kept_columns : sequence of str
        Those that chunks hand on, in the order in which they were asked for.
    """

    columns: Sequence[str]
    kept_columns: Sequence[str]

    def keep(self, columns: Sequence[str]) -> None:
        """Hand on these columns as `Chunk.kept`.

        Raises
        ------
        UsageError
            There is no such column.
        """


@runtime_checkable
class HasFiles(Protocol):
    """A source whose rows are files, which can be looked at once more."""

    def open_file(self, name: str) -> bytes:
        """Return the bytes of a file by its name in `Chunk.names`.

        Raises
        ------
        OSError, ValueError
            It can't be read.
        """


class Feed(Protocol):
    """Turns columns into the inputs of one model's graph."""

    @property
    def graph_inputs(self) -> Mapping[str, str]:
        """The inputs that the graph must have, with their types as onnxruntime writes them; empty for an odd card."""

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's inputs, batch by batch, in the order that costs least.

        Raises
        ------
        UsageError
            The columns differ in length, none of the model's columns is there, or a number is none.
        """

    def report(self) -> None:
        """Warn of what was cut or changed on the way, once all rows are through."""


@runtime_checkable
class Counting(Protocol):
    """What a feed follows that counts what passes, for `Feed.report` to tell of."""

    def fresh(self) -> Feed:
        """Return a feed of the same model that has counted nothing; what takes long to load is shared."""


class Parted(Protocol):
    """Rows of several requests: read at once, and told of apart."""

    def read(self, sizes: Sequence[int]) -> tuple[Chunk, list[Findings]]:
        """Read all rows as one chunk.

        Parameters
        ----------
        sizes : sequence of int
            How many rows each part has, in their order.

        Returns
        -------
        Chunk
        list of Findings
            Of each part.

        Raises
        ------
        ModelGPTError
            Some row can't be read.
        """


@runtime_checkable
class OpensCells(Protocol):
    """What a module ``feed`` follows also where rows are plain cells by column."""

    def open_cells(self, model: Model, columns: Mapping[str, Sequence[Any]]) -> Parted:
        """Open rows in memory, of texts, numbers, yes and no, and None; read as `Feeds.open_source` reads them."""


@runtime_checkable
class OpensBytes(Protocol):
    """What a module ``feed`` follows also where each row is a file that may be held in memory."""

    def open_bytes(self, model: Model, files: Sequence[tuple[str, bytes]]) -> Source:
        """Open files, each a name for messages and its content; no file of the machine is read."""


class Feeds(Protocol):
    """The module ``feed`` of a domain.

    Attributes
    ----------
    FILES : bool
        Whether each row is a file. Then predict takes several files and folders, names each file with its likeliest
        classes (``--topk``), and evaluate reports top-k accuracy and the scores of each class.
    """

    FILES: bool

    def make_feed(self, model: Model) -> Feed:
        """Make the feed of a model whose card is read; raises `ModelGPTError` if the file lacks something."""

    def open_source(self, model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> Source:
        """Open data for a model.

        Parameters
        ----------
        data : sequence
            What the user named; one thing unless `FILES`.
        labelled : bool
            Whether the true values are wanted. Of a folder with a part to test on only that part is taken then.
        target : str, optional
            The column of true values; the model's own by default.
        """

    def reads(self, card: Mapping[str, Any]) -> str:
        """Say in a line what a model takes, from its card; "" where the list of its inputs says all."""


def open_source(model: Model, data: Any, *, labelled: bool = False, target: str | None = None) -> Source:
    """Open what a user named, one thing or a sequence, for a model.

    A list of mappings is one table. A list of texts is one too, for a model whose only input they are, unless they name
    files.

    Raises
    ------
    UsageError
        There is no such file; or it is a sequence of several, and the model is for tables or the like.
    """
    given = _listed(model, data) if isinstance(data, (list, tuple)) else [data]
    if len(given) != 1 and not model.feeds.FILES:
        raise UsageError(
            f"Several files are for models of {file_titles()}.",
            "This is none.",
            f"Give one source of {model.domain.rows} at a time.",
        )
    if not model.feeds.FILES:  # of files, patterns are names too, which their domain resolves
        check_exists(given[0], "Check the path.")
    return model.feeds.open_source(model, given, labelled=labelled, target=target)


def _listed(model: Model, data: Sequence[Any]) -> list[Any]:
    """Return the sources of data that a list or a tuple stands for."""
    if not data or all(isinstance(row, Mapping) for row in data):
        return [data]
    only = model.inputs[0] if len(model.inputs) == 1 else None
    texts = isinstance(data, list) and only is not None and only.type == FREE_TEXT and not model.feeds.FILES
    if texts and all(isinstance(cell, str) for cell in data) and not all(map(_names_a_file, data)):
        assert only is not None
        return [{only.column: data}]
    return list(data)


def _names_a_file(text: str) -> bool:
    return (
        text == "-" or os.path.exists(text) or without_place(text).lower().removesuffix(".gz").endswith(TABLE_SUFFIXES)
    )


def file_titles() -> str:
    """Return what the domains are called whose rows are files."""
    return " and ".join(domain.title for domain in all_domains() if domain.part("feed").FILES)
