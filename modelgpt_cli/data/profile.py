"""The profile of the data: what the requirement generator is shown of them, and nothing more."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from modelgpt_cli.core.schema import Column, TaskType
from modelgpt_cli.domains.image.profile import ImageProfile, profile_images

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

CELL_CHARS = 60
TEXT_CHARS = 200
"""So much of a text is shown in the text domain, where the cells are what there is to see."""
_CLEANED_CHARS = 4000
"""So much of a long text is cleaned: far more than is shown, whatever the cleaning leaves of it."""
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Profile:
    """A small, printable summary of a `Dataset`; its cells, or its sheet of images, are all that an LLM ever sees."""

    name: str
    n_rows: int
    task: TaskType
    target: str
    columns: tuple[Column, ...]
    class_counts: dict[str, int] = field(default_factory=dict)
    """Classification: rows per class, most frequent first."""
    target_range: tuple[float, float, float] | None = None
    """Regression: minimum, median, maximum."""
    sample: tuple[dict[str, str], ...] = ()
    """A few rows, stratified by class; cells as text, cut at 60 characters, in the text domain at 200. Of images
    none: their names may tell what is nobody's business."""
    description: str = ""
    """The user's own words about the data (``--description``, or a README in the folder)."""
    domain: str = "tabular"
    mean_words: float | None = None
    """Text domain: words per text of the sample; a word is what blanks enclose."""
    images: ImageProfile | None = None
    """Image domain: what the images look like."""


def profile(
    dataset: Dataset, *, description: str = "", rows: int = 8, seed: int = 0, clean: Callable[[str], str] | None = None
) -> Profile:
    """Summarise a dataset for the requirement generator.

    Parameters
    ----------
    description : str
        The user's words; a README beside the data serves where they are empty.
    rows : int
        Rows to show at most, drawn in turn from each class (regression: spread over the target's range). In the text
        domain so many texts: half as many rows where each is a pair; in the image domain none.
    seed : int
        For the draw.
    clean : callable, optional
        What the cells of text go through before they are cut.
    """
    schema = dataset.schema
    target = dataset.sample[schema.target]
    span = None
    if schema.task == "regression":
        span = (float(target.min()), float(target.median()), float(target.max()))
    is_text = schema.domain == "text"
    is_image = schema.domain == "image"
    rows = 0 if is_image else max(1, rows // len(schema.texts)) if is_text else rows
    chars = TEXT_CHARS if is_text else CELL_CHARS
    shown = dataset.sample.iloc[pick_rows(target, schema.task, rows, seed)]
    days = {column.name for column in schema.used if column.type == "datetime"}
    cells = tuple(
        {str(name): show_cell(value, name in days, chars, clean) for name, value in row.items()}
        for row in shown.to_dict("records")
    )
    return Profile(
        name=dataset.name,
        n_rows=dataset.n_rows,
        task=schema.task,
        target=schema.target,
        columns=schema.columns,
        class_counts=dict(sorted(dataset.class_counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        target_range=span,
        sample=cells,
        description=description or dataset.description,
        domain=schema.domain,
        mean_words=_mean_words(dataset) if is_text else None,
        images=profile_images(dataset, seed) if is_image else None,
    )


def _mean_words(dataset: Dataset) -> float:
    """Words per text of the sample, empty texts left out."""
    cells = pd.concat([dataset.sample[column.name] for column in dataset.schema.texts]).dropna()
    return sum(len(text.split()) for text in cells) / max(1, len(cells))


def pick_rows(target: pd.Series, task: TaskType, rows: int, seed: int) -> np.ndarray:
    """Positions of the rows to show: classes take turns; a regression's spread over its range."""
    order = np.random.default_rng(seed).permutation(len(target))
    if task == "regression":
        by_value = order[np.argsort(target.to_numpy()[order], kind="stable")]
        return by_value[np.linspace(0, len(by_value) - 1, min(rows, len(by_value))).round().astype(int)]
    labels = target.iloc[order]
    turn = labels.groupby(labels, sort=False).cumcount().to_numpy()
    # classes take turns, the frequent ones first
    frequency = labels.map(labels.value_counts()).to_numpy()
    return order[np.lexsort((labels.to_numpy().astype(str), -frequency, turn))[:rows]]


def show_cell(value: object, is_day: bool, chars: int, clean: Callable[[str], str] | None = None) -> str:
    """A typed cell as a person would write it, on one line, cut at `chars` characters; "" where missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        if is_day:
            return str(np.datetime64(round(value * 86_400), "s")).removesuffix("T00:00:00")
        return f"{value:.6g}"
    text = _BLANKS.sub(" ", str(value)).strip()
    if clean is not None:
        text = clean(text[:_CLEANED_CHARS])
    return text if len(text) <= chars else text[: chars - 1] + "…"
