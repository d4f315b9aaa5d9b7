"""Tables at work: rows of a table, with free text or without, to the inputs of a graph. Follows `runtime.feed.Feeds`.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.domains.shared.columns import read_columns
from modelgpt_cli.domains.shared.tokens import load_tokenizer, padded, token_ids
from modelgpt_cli.runtime.cells import CellRows
from modelgpt_cli.runtime.session import TOKENIZER
from modelgpt_cli.runtime.table import Rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from modelgpt_cli.runtime.session import Model

FILES = False
_CELLS_PER_RUN = 400_000
"""The graph holds several numbers per cell at once: a bounded number of cells a run bounds the memory, and one that
stays in the processor's cache is faster too."""
_LEAST_PER_RUN = 256
_TEXTS_PER_RUN = 32
"""The text encoder holds many numbers per token: a few rows a run do."""


class TableFeed:
    """Turns columns into the inputs of a table's graph."""

    def __init__(self, model: Model) -> None:
        self._inputs = model.inputs
        self._tokenizer: Tokenizer | None = None
        if any(i.mask for i in self._inputs):
            self._tokenizer = load_tokenizer(model.extras.get(TOKENIZER))

    @property
    def graph_inputs(self) -> dict[str, str]:
        """An input a column; of free text two, token ids and attention mask."""
        found: dict[str, str] = {}
        for i in self._inputs:
            kind = "tensor(float)" if i.is_float else "tensor(int64)" if i.mask else "tensor(string)"
            found |= {name: kind for name in (i.name, i.mask) if name}
        return found

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's inputs: in order, or where there is free text, short with short."""
        arrays, n_rows = read_columns(self._inputs, columns)
        if self._tokenizer is not None:
            yield from self._with_text(arrays, n_rows, self._tokenizer)
            return
        step = max(_LEAST_PER_RUN, _CELLS_PER_RUN // len(self._inputs))
        for start in range(0, n_rows, step):
            rows = np.arange(start, min(start + step, n_rows))
            yield rows, {name: array[start : start + step] for name, array in arrays.items()}

    def _with_text(
        self, arrays: dict[str, np.ndarray], n_rows: int, tokenizer: Tokenizer
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Rows with texts of like length together: the encoder's work grows with the longest."""
        texts = {i.name: token_ids(tokenizer, arrays.pop(i.name)[:, 0].tolist()) for i in self._inputs if i.mask}
        masks = {i.name: i.mask for i in self._inputs}
        length = np.zeros(n_rows, dtype=np.int64)
        for ids in texts.values():
            length += [len(row) for row in ids]
        order = np.argsort(length, kind="stable")
        for start in range(0, n_rows, _TEXTS_PER_RUN):
            rows = order[start : start + _TEXTS_PER_RUN]
            inputs = {name: array[rows] for name, array in arrays.items()}
            for name, ids in texts.items():
                inputs[name], inputs[masks[name]] = padded([ids[row] for row in rows])
            yield rows, inputs

    def report(self) -> None:
        """Nothing is cut."""


def make_feed(model: Model) -> TableFeed:
    """Make the feed of a table's model."""
    return TableFeed(model)


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> Rows:
    """Open a table."""
    return Rows(model, data[0], labelled=labelled, target=target)


def open_cells(model: Model, columns: Mapping[str, Sequence[Any]]) -> CellRows:
    """Open rows in memory; see `runtime.feed.OpensCells`."""
    return CellRows(model, columns)


def reads(card: Mapping[str, Any]) -> str:
    """The list of its inputs says all."""
    return ""
