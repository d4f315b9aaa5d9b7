"""The data of a requirement, read as it fixes them. What `build` and `generate` begin with."""

from __future__ import annotations

from pathlib import Path

from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.requirement_generator.requirement import Requirement

SAMPLE_ROWS = 50_000
"""Rows held in memory; preprocessing, support and refinement are taken from them, the closed-form head sees more."""


def load_wanted(
    wanted: Requirement,
    source: str | Path,
    *,
    types: str | Path | None = None,
    merge_labels: bool = False,
    text_columns: int = 0,
    sample_rows: int = SAMPLE_ROWS,
    seed: int = 0,
    text: str | None = None,
    text_pair: str | None = None,
) -> Dataset:
    """Read data with the columns and classes that the requirement fixes; the rest as in `load_dataset`."""
    return load_dataset(
        source,
        target=wanted.target,
        task=wanted.task,
        columns=[c for c in wanted.columns if c.used or c.is_text] or None,
        classes=wanted.classes or None,
        types=types,
        merge_labels=merge_labels,
        sample_rows=sample_rows,
        text_columns=text_columns,
        text=text,
        text_pair=text_pair,
        domain=wanted.domain,
        seed=seed,
    )
