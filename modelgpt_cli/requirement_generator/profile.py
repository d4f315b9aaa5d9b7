"""The profile of the data: what the requirement generator is shown of them, and nothing more."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from modelgpt_cli.core.domain import default_domain, find_domain
from modelgpt_cli.core.schema import Column, TaskType
from modelgpt_cli.core.units import plain_number
from modelgpt_cli.data.in_memory import NAME as IN_MEMORY
from modelgpt_cli.llm.redact import redact

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

V = TypeVar("V")
Clean = Callable[[str], str]
ROWS = 8
"""Rows that are shown at most."""
CELL_CHARS = 60
_CLEANED_CHARS = 4000
"""So much of a long text is cleaned: far more than is shown, whatever the cleaning leaves of it."""
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Sheet:
    """An image that an LLM is shown beside the words, where words alone can't say what the data are like."""

    content: bytes
    """A JPEG."""
    words: str
    """What it is, for a person: "a sheet of 16 images (JPEG, …)"."""


@dataclass(frozen=True)
class Profile:
    """A small, printable summary of a `Dataset`; its cells, or its sheet, are all that an LLM ever sees of the data.

    A domain whose data have more to tell has a subclass in its part ``profile``.
    """

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
    """A few rows, stratified by class; cells as text, cut at so many characters as the domain says."""
    description: str = ""
    """The user's own words about the data (``--description``, or a README in the folder)."""
    domain: str = field(default_factory=default_domain)
    multi_label: bool = False
    """Classification: whether a row has any number of classes."""

    @property
    def sheet(self) -> Sheet | None:
        """What an LLM is shown beside the words; None where nothing is."""
        return None

    def redacted(self) -> Profile:
        """Redact every word that comes from the data or the user: names, levels, labels, cells, description.

        Cells should have been cleaned before they were cut (`profile` with `clean`): of what is cut in half nobody can
        tell what it was. A sheet stays as it is.
        """
        known = [*(column.name for column in self.columns), self.target]
        names = dict(zip(known, apart(map(redact, known)), strict=True))
        return replace(
            self,
            name=redact(self.name),
            target=names[self.target],
            columns=tuple(_redacted_column(column, names[column.name]) for column in self.columns),
            class_counts=redacted_keys(self.class_counts),
            sample=tuple(
                {names[name]: redact(cell) for name, cell in row.items() if name in names} for row in self.sample
            ),
            description=redact(self.description),
        )


@dataclass(frozen=True)
class Vocabulary:
    """How a domain's requirement sentences are told from other words."""

    subject: str
    """What a sentence about nothing is told to say: "say what the texts are"."""
    verbs: Mapping[TaskType, tuple[str, ...]] = field(default_factory=dict)
    """Stems of verbs of judgement, beside those that serve everywhere."""
    objects: Mapping[TaskType, tuple[str, ...]] = field(default_factory=dict)
    """Stems of what is judged, beside those that serve everywhere."""
    topics: tuple[str, ...] = ()
    """Words that say what the data are about, beside those of the profile."""
    names_tell: bool = True
    """Whether a column's name says what the data are about."""


class Profiler(Protocol):
    """The part ``profile`` of a domain: what there is to say of its data. Imports no torch."""

    PROMPT: str
    """Name of the template for an LLM, in ``prompts/``; ``generate-<name>`` is the one for rows."""
    ROLES: Mapping[str, str]
    """Role → what an LLM is told that such a column is."""
    HAS_SHEET: bool
    """Whether its profiles have a `Sheet`."""
    # A domain with a task of its own also has REQUEST: how an offline sentence begins, with {labels} and {row}.

    def profile(
        self, dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
    ) -> Profile:
        """Summarise a dataset; see `profile` in this module.

        Raises
        ------
        ModelGPTError
            No model can be made of these data.
        """

    def shown(self, profile: Profile) -> dict[str, Any]:
        """Return the part of a profile that an LLM is shown in words, as JSON has it."""

    def phrases(self, profile: Profile, n_names: int) -> tuple[str, str]:
        """Return the parts of an offline sentence that are the domain's.

        Parameters
        ----------
        n_names : int
            So much detail at most: 6 is full, 0 none.

        Returns
        -------
        (str, str)
            What is predicted for ("row of 'iris' (150 rows)"), and what follows the answers (", from 4 numeric
            columns"), which may be "".
        """

    def vocabulary(self, profile: Profile) -> Vocabulary:
        """Return how sentences about such data are told from other words."""


def profiler_of(name: str) -> Profiler:
    """Return the part ``profile`` of the domain of a name."""
    found: Profiler = find_domain(name).part("profile")
    return found


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> Profile:
    """Summarise a dataset for the requirement generator.

    Parameters
    ----------
    description : str
        The user's words; a README beside the data serves where they are empty.
    rows : int
        Rows to show at most. Of texts, so many texts: half as many rows where each is a pair; of images none.
    seed : int
        For the draw of rows.
    clean : callable, optional
        What the cells of text go through before they are cut.
    """
    return profiler_of(dataset.schema.domain).profile(
        dataset, description=description, rows=rows, seed=seed, clean=clean
    )


def common_profile(
    dataset: Dataset,
    *,
    description: str,
    rows: int,
    chars: int = CELL_CHARS,
    seed: int,
    clean: Clean | None,
) -> Profile:
    """Summarise what every dataset has.

    Parameters
    ----------
    rows : int
        Rows to show at most, drawn in turn from each class (regression: spread over the target's range).
    chars : int
        Of a cell.
    description, seed, clean
        As for `profile`.
    """
    schema = dataset.schema
    target = dataset.sample[schema.target]
    span = None
    if schema.task == "regression":
        span = (float(target.min()), float(target.median()), float(target.max()))
    drawn = dataset.sample.iloc[pick_rows(target, schema.task, rows, seed)]
    days = {column.name for column in schema.used if column.type == "datetime"}
    cells = tuple(
        {str(name): show_cell(value, name in days, chars, clean) for name, value in row.items()}
        for row in drawn.to_dict("records")
    )
    return Profile(
        name="" if dataset.name == IN_MEMORY else dataset.name,
        n_rows=dataset.n_rows,
        task=schema.task,
        target=schema.target,
        columns=schema.columns,
        class_counts=dict(sorted(dataset.class_counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        target_range=span,
        sample=cells,
        description=description or dataset.description,
        domain=schema.domain,
        multi_label=schema.multi_label,
    )


def pick_rows(target: pd.Series, task: TaskType, rows: int, seed: int) -> np.ndarray:
    """Positions of the rows to show: classes take turns; a regression's spread over its range."""
    order = np.random.default_rng(seed).permutation(len(target))
    if task == "regression":
        by_value = order[np.argsort(target.to_numpy()[order], kind="stable")]
        spread: np.ndarray = by_value[np.linspace(0, len(by_value) - 1, min(rows, len(by_value))).round().astype(int)]
        return spread
    labels = target.iloc[order]
    turn = labels.groupby(labels, sort=False).cumcount().to_numpy()
    # classes take turns, the frequent ones first
    frequency = labels.map(labels.value_counts()).to_numpy()
    return order[np.lexsort((labels.to_numpy().astype(str), -frequency, turn))[:rows]]


def show_cell(value: object, is_day: bool, chars: int, clean: Clean | None = None) -> str:
    """A typed cell as a person would write it, on one line, cut at `chars` characters; "" where missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        if is_day:
            return str(np.datetime64(round(value * 86_400), "s")).removesuffix("T00:00:00")
        return plain_number(value, digits=6, comma="")
    text = _BLANKS.sub(" ", str(value)).strip()
    if clean is not None:
        text = clean(text[:_CLEANED_CHARS])
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _redacted_column(column: Column, name: str) -> Column:
    levels = tuple(redact(level) for level in column.levels)
    return replace(column, name=name, description=redact(column.description), levels=levels)


def redacted_keys(values: Mapping[str, V]) -> dict[str, V]:
    """Redact the keys of a mapping; those that become the same are numbered."""
    return dict(zip(apart(map(redact, values)), values.values(), strict=True))


def apart(names: Iterable[str]) -> Iterator[str]:
    """Number names that have become the same, so that each stays one of its own."""
    taken: Counter[str] = Counter()
    for name in names:
        taken[name] += 1
        yield name if taken[name] == 1 else f"{name} ({taken[name]})"
