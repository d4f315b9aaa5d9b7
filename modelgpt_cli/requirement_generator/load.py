"""The data of a requirement, read as it fixes them. What `build` and `generate` begin with."""

from __future__ import annotations

from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data

SAMPLE_ROWS = 50_000
"""Rows held in memory; preprocessing, support and refinement are taken from them, the closed-form head sees more."""


def load_wanted(wanted: Requirement, source: Data, *, sample_rows: int = SAMPLE_ROWS, **reading: Any) -> Dataset:
    """Read data with the columns and classes that the requirement fixes; the rest as in `load_dataset`.

    Raises
    ------
    UsageError
        A task is asked for that is not the requirement's.
    """
    task = reading.pop("task", None)
    if task and wanted.task not in (None, task):
        raise UsageError(
            f"The requirement's task is {wanted.task}, and --task says {task}.",
            "",
            "Leave --task out, or describe anew.",
        )
    if wanted.multi_label:
        reading = {"multi_label": True} | reading
    return load_dataset(
        source,
        target=wanted.target,
        task=wanted.task or task,
        target_reading=wanted.target_reading,
        columns=[c for c in wanted.columns if c.used or c.is_text] or None,
        classes=wanted.classes or None,
        domain=wanted.domain,
        sample_rows=sample_rows,
        **reading,
    )
