"""The words of a task, embedded: requirement, column names, levels and class names for the generator."""

from __future__ import annotations

import numpy as np

from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.tabular.preprocessing import TableCodec
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

MAX_LEVEL_TEXTS = 400
"""With more levels than this in a table, they share their column's embedding: the encoder reads some 500 texts/s."""


def column_text(column: Column) -> str:
    """What the text encoder reads of a column."""
    return f"{column.name}: {column.description}" if column.description else column.name


def level_text(column: Column, level: str) -> str:
    """What the text encoder reads of a level."""
    return f"{column.name} is {level}"


def embed_words(encoder: TextEncoder, codec: TableCodec, requirement: str, classes: tuple[str, ...]) -> TaskTexts:
    """Embed the words of a task in one batch.

    Parameters
    ----------
    encoder : TextEncoder
    codec : TableCodec
        Names the columns and levels.
    requirement : str
        The sentence, r.
    classes : tuple of str
        Class names; empty for regression.
    """
    columns = [column_text(c) for c in codec.columns]
    level_columns = [codec.columns[i] for i in codec.categorical]
    with_levels = sum(map(len, codec.levels)) <= MAX_LEVEL_TEXTS
    level_texts = (
        [[level_text(c, v) for v in values] for c, values in zip(level_columns, codec.levels, strict=True)]
        if with_levels
        else [[column_text(c)] * len(values) for c, values in zip(level_columns, codec.levels, strict=True)]
    )
    everything = [requirement, *columns, *classes, *(text for texts in level_texts for text in texts)]
    distinct = list(dict.fromkeys(everything))
    vectors = dict(zip(distinct, encoder(distinct), strict=True))

    def stack(texts: list[str]) -> np.ndarray:
        return np.stack([vectors[t] for t in texts]) if texts else np.zeros((0, encoder.size), dtype=np.float32)

    ordered = [columns[s.column] for s in codec.sources] + [columns[i] for i in codec.categorical]
    return TaskTexts(vectors[requirement], stack(ordered), [stack(t) for t in level_texts], stack(list(classes)))
