"""Texts at work: texts, or pairs of texts, to the inputs of a graph. Follows `runtime.feed.Feeds`.

Shapes: N rows.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.domains.shared.columns import read_columns
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.strange import Strangeness
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS, TextRows
from modelgpt_cli.runtime.cells import CellRows
from modelgpt_cli.runtime.session import TOKENIZER
from modelgpt_cli.runtime.table import Rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
FILES = False
_TEXTS_PER_RUN = 32
"""Raw texts, whose tokens are not known beforehand; tokenised ones go by the number of tokens (`TextRows.batches`)."""


class TextFeed:
    """Turns columns of text into the inputs of a text model's graph: token ids, or raw texts."""

    def __init__(self, model: Model) -> None:
        self._inputs = model.inputs
        self._window: int = model.metadata.get("max_tokens") or 0
        self._tokenizer: Tokenizer | None = None
        if model.metadata.get("tokenizer") != "graph":
            self._tokenizer = load_tokenizer(model.extras.get(TOKENIZER))
        card = str((model.metadata.get("backbone") or {}).get("card", ""))
        self._strange = None if self._tokenizer is None else Strangeness(self._tokenizer, card)
        self._seen: Mapping[str, float] = (model.metadata.get("provenance") or {}).get("languages") or {}
        self._read = self._cut = 0

    def fresh(self) -> TextFeed:
        """Return a feed of the same model that has counted nothing."""
        other = copy.copy(self)
        other._read = other._cut = 0
        if self._strange is not None:
            other._strange = self._strange.fresh()
        return other

    @property
    def graph_inputs(self) -> dict[str, str]:
        """Token ids, mask and, of pairs, segments; or an input a text where the tokenizer is in the graph."""
        if not 1 <= len(self._inputs) <= 2:
            return {}
        if self._tokenizer is None:
            return {i.name: "tensor(string)" for i in self._inputs}
        names = [IDS, MASK, *([SEGMENTS] if len(self._inputs) == 2 else [])]
        return dict.fromkeys(names, "tensor(int64)")

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's inputs, texts of like length together."""
        arrays, _ = read_columns(self._inputs, columns)
        texts = [arrays[i.name][:, 0] for i in self._inputs]
        if self._tokenizer is not None:
            tokenised = TextRows(self._tokenizer, *(column.tolist() for column in texts))
            self._read += len(tokenised)
            self._cut += tokenised.cut
            if self._strange is not None:
                self._strange.add(tokenised.ids, *(column.tolist() for column in texts))
            yield from tokenised.batches()
            return
        order = np.argsort([sum(map(len, row)) for row in zip(*texts, strict=True)], kind="stable")
        for start in range(0, len(order), _TEXTS_PER_RUN):
            rows = order[start : start + _TEXTS_PER_RUN]
            # The operators take a NUL character for a text's end; tokenizers pass over it.
            cells = (np.array([text.replace("\0", "") for text in column[rows]], object) for column in texts)
            yield rows, {i.name: column for i, column in zip(self._inputs, cells, strict=True)}

    def report(self) -> None:
        """Warn of texts that were longer than the window, and of texts that the encoder wasn't made for."""
        if self._strange is not None and (note := self._strange.note()):
            logger.warning(note)
        if self._strange is not None and (note := self._strange.new_languages(self._seen)):
            logger.warning(note)
        if self._cut:
            logger.warning(
                "%s of %s %s are longer than the model's window (%d tokens) and were cut.",
                f"{self._cut:,}",
                f"{self._read:,}",
                "texts" if len(self._inputs) == 1 else "pairs of texts",
                self._window,
            )


def make_feed(model: Model) -> TextFeed:
    """Make the feed of a text model."""
    return TextFeed(model)


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> Rows:
    """Open a table or folder of texts."""
    return Rows(model, data[0], labelled=labelled, target=target)


def open_cells(model: Model, columns: Mapping[str, Sequence[Any]]) -> CellRows:
    """Open rows in memory; see `runtime.feed.OpensCells`."""
    return CellRows(model, columns)


def reads(card: Mapping[str, Any]) -> str:
    """Say whether it takes texts or their tokens, and how many tokens."""
    raw = "raw texts" if card.get("tokenizer") == "graph" else "token ids"
    return f"{raw}, at most {card['max_tokens']} tokens a row"
