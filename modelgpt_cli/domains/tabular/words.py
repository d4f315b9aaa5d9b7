"""The words of a task, embedded: requirement, column names, levels and class names for the generator."""

from __future__ import annotations

import numpy as np

from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor
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


def embed_words(
    encoder: TextEncoder, preprocessor: TablePreprocessor, requirement: str, classes: tuple[str, ...]
) -> TaskTexts:
    """Embed the words of a task in one batch.

    Parameters
    ----------
    encoder : TextEncoder
    preprocessor : TablePreprocessor
        Names the columns and levels.
    requirement : str
        The sentence, r.
    classes : tuple of str
        Class names; empty for regression.
    """
    columns = [column_text(c) for c in preprocessor.columns]
    level_columns = [preprocessor.columns[i] for i in preprocessor.categorical]
    with_levels = sum(map(len, preprocessor.levels)) <= MAX_LEVEL_TEXTS
    level_texts = (
        [[level_text(c, v) for v in values] for c, values in zip(level_columns, preprocessor.levels, strict=True)]
        if with_levels
        else [[column_text(c)] * len(values) for c, values in zip(level_columns, preprocessor.levels, strict=True)]
    )
    everything = [requirement, *columns, *classes, *(text for texts in level_texts for text in texts)]
    distinct = list(dict.fromkeys(everything))
    vectors = dict(zip(distinct, encoder(distinct), strict=True))

    def stack(texts: list[str]) -> np.ndarray:
        return np.stack([vectors[t] for t in texts]) if texts else np.zeros((0, encoder.size), dtype=np.float32)

    ordered = [columns[s.column] for s in preprocessor.sources] + [columns[i] for i in preprocessor.categorical]
    return TaskTexts(vectors[requirement], stack(ordered), [stack(t) for t in level_texts], stack(list(classes)))
