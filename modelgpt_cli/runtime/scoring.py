"""Chunks of rows with the model's answers, under a progress bar: what `predict` and `evaluate` go through."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from modelgpt_cli.core.progress import progress
from modelgpt_cli.runtime.feed import Chunk, Source
from modelgpt_cli.runtime.session import Model


def scored(model: Model, source: Source, chunk_rows: int, what: str) -> Iterator[tuple[Chunk, dict[str, np.ndarray]]]:
    """Yield each chunk with the outputs of the rows in it that could be read.

    Parameters
    ----------
    model : Model
    source : Source
    chunk_rows : int
        Rows held in memory at a time, at most.
    what : str
        What the bar says is being done.
    """
    with progress(what, source.total, model.domain.rows) as advance:
        for chunk in source.chunks(chunk_rows):
            outputs = model.run(chunk.columns, advance=advance)
            if chunk.readable is not None:
                advance(int((~chunk.readable).sum()))
            yield chunk, outputs
