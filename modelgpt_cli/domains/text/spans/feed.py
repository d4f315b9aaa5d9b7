"""Marked texts at work: texts to the inputs of a graph, window by window. Follows `runtime.feed.Feeds`."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.columns import read_columns
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.spans.words import SHAPES, WORDS, Text, Windows, make_windows, read_texts
from modelgpt_cli.domains.text.strange import Strangeness
from modelgpt_cli.domains.text.token_rows import IDS, MASK
from modelgpt_cli.runtime.cells import CellRows
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.session import TOKENIZER
from modelgpt_cli.runtime.table import Rows

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
FILES = False


@dataclass
class Read:
    """Texts as a model reads them."""

    raw: list[str]
    texts: list[Text]
    windows: Windows


class SpanFeed:
    """Turns a column of texts into windows of token ids, words and shapes."""

    def __init__(self, model: Model) -> None:
        self._inputs = model.inputs
        self._window: int = model.metadata.get("max_tokens") or 0
        self._tokenizer = load_tokenizer(model.extras.get(TOKENIZER))
        card = str((model.metadata.get("backbone") or {}).get("card", ""))
        self._strange = Strangeness(self._tokenizer, card)
        self._read = self._long = 0

    def fresh(self) -> SpanFeed:
        """Return a feed of the same model that has counted nothing."""
        other = copy.copy(self)
        other._read = other._long = 0
        other._strange = self._strange.fresh()
        return other

    @property
    def graph_inputs(self) -> dict[str, str]:
        """Token ids, mask, words and their shapes."""
        return dict.fromkeys((IDS, MASK, WORDS, SHAPES), "tensor(int64)") if len(self._inputs) == 1 else {}

    def read(self, columns: Mapping[str, Any]) -> Read:
        """Tokenise the column of texts, and cut them into windows."""
        arrays, _ = read_columns(self._inputs, columns)
        raw = arrays[self._inputs[0].name][:, 0].tolist()
        texts = read_texts(self._tokenizer, raw)
        windows = make_windows(texts, self._tokenizer, self._window)
        self._read += len(raw)
        self._long += sum(n > 1 for n in Counter(windows.text).values())
        self._strange.add([np.array(ids) for ids in windows.ids])
        return Read(raw, texts, windows)

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the numbers of windows, and the graph's inputs."""
        yield from self.read(columns).windows.batches()

    def report(self) -> None:
        """Warn of texts that the encoder wasn't made for; say which were read in several windows."""
        if note := self._strange.note():
            logger.warning(note)
        if self._long:
            logger.info(
                "%s of %s texts are longer than %d tokens, and were read in windows that overlap.",
                f"{self._long:,}",
                f"{self._read:,}",
                self._window,
            )


class MarkedRows:
    """Marked texts with their true spans. Follows `runtime.feed.Source`.

    Raises
    ------
    ModelGPTError, UsageError
        The data can't be read, or hold no marked texts.
    """

    def __init__(self, model: Model, data: Any, target: str | None) -> None:
        from modelgpt_cli.data.readers import open_table
        from modelgpt_cli.domains.text.spans.table import SPANS, marked_cells, marked_table

        table = open_table(data)
        if table.test_path is not None:
            logger.info("Measured on %s.", table.test_path)
            table = open_table(table.test_path)
        found = marked_table(table, target if target in table.columns else None)
        if found is None:
            raise UsageError(
                f"{table.name} holds no marked texts to compare with.",
                "It has no column with a list of spans, and is no file of tokens and tags.",
                "Name the column of true spans with --target.",
            )
        cells = marked_cells(found)
        assert cells is not None
        self.name, self.target = found.name, SPANS
        self.findings = Findings()
        self.total: int | None = len(cells.texts)
        self._cells, self._column = cells, model.inputs[0].column
        self._faults = cells.faults

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the texts with their spans, cleaned."""
        from modelgpt_cli.domains.text.spans.marks import clean_spans

        faults = self._faults.copy()
        texts = self._cells.texts
        for start in range(0, len(texts), rows):
            part = texts[start : start + rows]
            truth = np.empty(len(part), dtype=object)
            truth[:] = [clean_spans(one.text, one.spans, faults) for one in part]
            self.findings.rows += len(part)
            yield Chunk(len(part), {self._column: [one.text for one in part]}, truth=truth)
        faults.check(self.name)
        self._faults = faults

    def report(self) -> None:
        """Warn of spans that were mended or left out."""
        for line in self._faults.lines():
            logger.warning(line)


def make_feed(model: Model) -> SpanFeed:
    """Make the feed of a model of marked texts."""
    return SpanFeed(model)


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> Any:
    """Open a table of texts, or of marked texts, whose spans are wanted where it is `labelled`."""
    if labelled:
        return MarkedRows(model, data[0], target)
    from modelgpt_cli.data.readers import open_table
    from modelgpt_cli.domains.text.spans.table import marked_cells, marked_table

    table = open_table(data[0])
    column = model.inputs[0].column
    if column not in table.columns and (found := marked_table(table)) is not None:
        if found.columns[0] != column:
            found.columns[0] = column
            found.cells.columns[0] = column
        table = found
    if (cells := marked_cells(table)) is not None:
        for line in cells.faults.told:
            logger.warning(line)
    return Rows(model, table)


def open_cells(model: Model, columns: Mapping[str, Sequence[Any]]) -> CellRows:
    """Open texts in memory; see `runtime.feed.OpensCells`."""
    return CellRows(model, columns)


def reads(card: Mapping[str, Any]) -> str:
    """Say what it takes."""
    return f"token ids, words and their shapes, in windows of at most {card['max_tokens']} tokens"
