"""What a generated row must be: made from the requirement, and from real data where there are some. First here.

A form serves twice: it says what an LLM is asked for (a JSON schema, and a description), and it judges what comes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import FREE_TEXT, Column, TaskType
from modelgpt_cli.core.units import plain_number
from modelgpt_cli.data.cells import format_number
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.dates import fits_format
from modelgpt_cli.data.synthetic import SYNTHETIC
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.requirement_generator.domain import Claims, domain_of
from modelgpt_cli.requirement_generator.profile import apart, profiler_of

SPREADS = 10.0
"""A number so many standard deviations from the mean is refused: at most one real cell in a hundred is (Chebyshev)."""
MARGIN = 0.5
"""Beyond the real numbers, a generated one may lie by this share of their range."""
MAX_CHARS = 8000
"""Of a text; longer ones are no examples, but an LLM that has lost its way."""

Cell = float | str | None
Kind = Literal["number", "level", "word", "date", "text"]
TEXT: Kind = FREE_TEXT


class BadCellError(Exception):
    """A cell can't be used; the message ends the sentence "<column> …"."""


@dataclass(frozen=True)
class Field:
    """One column, or the target.

    Attributes
    ----------
    name, shown : str
        What it is called in the file, and by the LLM (which may see placeholders).
    kind : str
        A "level" is one of `levels`, a "word" any short text.
    levels : dict
        As the LLM sees them → as they are.
    low, high : float
        Least and greatest number.
    missing : bool
        Whether the cell may be left empty.
    format : str
        Of a date.
    about : dict
        What else is told of it.
    """

    name: str
    shown: str
    kind: Kind
    levels: Mapping[str, str] = field(default_factory=dict)
    low: float = -math.inf
    high: float = math.inf
    missing: bool = False
    format: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def schema(self) -> dict[str, Any]:
        """JSON schema of a cell."""
        kind = "number" if self.kind == "number" else "string"
        values: dict[str, Any] = {"type": [kind, "null"] if self.missing else kind}
        if self.kind == "level":
            values["enum"] = [*self.levels, *([None] if self.missing else [])]
        return values

    def read(self, value: Any) -> Cell:
        """Give a cell of an answer as the file has it.

        Raises
        ------
        BadCellError
            If it is of another type, no known level, or out of range.
        """
        if value is None or value == "":
            if not self.missing:
                raise BadCellError("can't be empty")
            return None
        if self.kind == "number":
            return self._number(value)
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, (int, float)):
            value = format_number(float(value))
        if not isinstance(value, str):
            raise BadCellError("must be one value")
        text = value.strip() if self.kind != TEXT else value
        if self.kind == "level":
            return self._level(text)
        if "\0" in text or not text.strip() or len(text) > MAX_CHARS:
            raise BadCellError(f"must be a text of 1 to {MAX_CHARS:,} characters")
        if self.kind == "date" and not fits_format(text, self.format):
            raise BadCellError(f"must be a date, written as {self.format or 'YYYY-MM-DD'}")
        return text

    def _number(self, value: Any) -> float:
        try:
            number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise BadCellError("must be a number")
        if not self.low <= number <= self.high:
            raise BadCellError(f"must be between {plain_number(self.low)} and {plain_number(self.high)}")
        return number

    def _level(self, text: str) -> str:
        if text in self.levels:
            return self.levels[text]
        folded = {level.casefold(): real for level, real in self.levels.items()}
        if text.casefold() not in folded:
            some = ", ".join(list(self.levels)[:8]) + (", …" if len(self.levels) > 8 else "")
            raise BadCellError(f"must be one of {some}")
        return folded[text.casefold()]


@dataclass(frozen=True)
class Form:
    """What a row must be.

    Attributes
    ----------
    domain : str
        The name of a `Domain`.
    task : {"classification", "regression"}
    sentence : str
        The requirement's.
    inputs : tuple of Field
    target : Field
    bands : tuple of (float, float)
        Regression on data: fifths of the targets, which requests take turns to ask for.
    """

    domain: str
    task: TaskType
    sentence: str
    inputs: tuple[Field, ...]
    target: Field
    bands: tuple[tuple[float, float], ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        """Columns and target, in the file's order."""
        return (*self.inputs, self.target)

    @property
    def classes(self) -> tuple[str, ...]:
        """As the file has them; empty for regression."""
        return tuple(self.target.levels.values()) if self.task == "classification" else ()

    def schema(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """Fill what a row is into the template's schema of an answer."""
        row = {
            "type": "object",
            "properties": {f.shown: f.schema() for f in self.fields},
            "required": [f.shown for f in self.fields],
            "additionalProperties": False,
        }
        return {**frame, "properties": {"rows": {**frame["properties"]["rows"], "items": row}}}


def form_of(requirement: Requirement, dataset: Dataset | None = None, *, hide: bool = False) -> Form:
    """Make the form of a requirement.

    Parameters
    ----------
    dataset : Dataset, optional
        Real data for it: columns, levels and ranges are theirs.
    hide : bool
        Show the LLM placeholders for e-mail addresses and long numbers in names, levels and words.

    Raises
    ------
    UsageError
        If it is about what an LLM can't write, or does not say what a row is.
    """
    domain = dataset.schema.domain if dataset is not None else domain_of(requirement).name
    task, columns, classes = _known(requirement, dataset, domain)
    target = (dataset.schema.target if dataset is not None else requirement.target) or "label"
    names = [*(column.name for column in columns), target]
    if SYNTHETIC in names:
        raise UsageError(
            f"A column is called {SYNTHETIC!r}.",
            "That is what the column is called that marks generated rows.",
            "Rename it in the data and in the requirement file.",
        )
    see = redact if hide else str
    shown = dict(zip(names, apart(map(see, names)), strict=True))
    roles = profiler_of(domain).ROLES
    inputs = tuple(_field(column, shown[column.name], dataset, roles, see) for column in columns)
    answer, bands = _target(requirement, dataset, target, shown[target], classes, see)
    return Form(domain, task, see(" ".join(requirement.sentence.split())), inputs, answer, bands)


def _known(
    requirement: Requirement, dataset: Dataset | None, domain: str
) -> tuple[TaskType, tuple[Column, ...], tuple[str, ...]]:
    """The task, the columns that are inputs, and the classes."""
    part: Claims = find_domain(domain).part("requirement")
    schema = dataset.schema if dataset is not None else None
    columns = part.written_columns(requirement, schema)
    if schema is not None:
        words = {column.name: column.description for column in requirement.columns}
        columns = tuple(replace(c, description=c.description or words.get(c.name, "")) for c in columns)
        return schema.task, columns, requirement.classes or schema.classes
    if requirement.task != "regression" and not requirement.classes:
        raise UsageError(
            "The requirement names no classes, so nobody knows what rows to write.",
            hint="Name them below the --- of the requirement file, or give --data PATH.",
        )
    return requirement.task or "classification", columns, requirement.classes


def _field(column: Column, shown: str, dataset: Dataset | None, roles: Mapping[str, str], see: Any) -> Field:
    about: dict[str, Any] = {"description": see(column.description)}
    base = Field(column.name, shown, "word", missing=column.missing > 0, about=about)
    if column.type == "numeric":
        low, high = _range(dataset, column.name, column.mean, column.std)
        if column.mean is not None and column.std is not None:
            about |= {"mean": float(f"{column.mean:.4g}"), "standard_deviation": float(f"{column.std:.4g}")}
        return replace(base, kind="number", low=low, high=high)
    if column.type == "datetime":
        about["format"] = column.reading.format or "YYYY-MM-DD"
        return replace(base, kind="date", format=column.reading.format)
    if column.is_text:
        about |= {"role": roles[column.role]} if column.role else {}
        return replace(base, kind=TEXT)
    levels = column.levels or (("true", "false") if column.type == "boolean" else ())
    seen = dict(zip(apart(map(see, levels)), levels, strict=True))
    if not levels or column.n_levels > len(levels):
        about |= {"values such as": list(seen)[:12]} if seen else {}
        return base
    return replace(base, kind="level", levels=seen)


def _target(
    requirement: Requirement, dataset: Dataset | None, name: str, shown: str, classes: tuple[str, ...], see: Any
) -> tuple[Field, tuple[tuple[float, float], ...]]:
    """The target's field; of a regression on data, the bands to ask for."""
    if classes:
        return Field(name, shown, "level", dict(zip(apart(map(see, classes)), classes, strict=True))), ()
    mean, std = requirement.target_mean, requirement.target_std
    low, high = _range(dataset, name, mean, std)
    about = {"mean": mean, "standard_deviation": std} if mean is not None and std is not None else {}
    bands: tuple[tuple[float, float], ...] = ()
    if dataset is not None:
        edges = np.quantile(dataset.real_rows[name].to_numpy(dtype=np.float64), np.linspace(0, 1, 6))
        bands = tuple((float(a), float(b)) for a, b in pairwise(edges) if b > a)
    return Field(name, shown, "number", low=low, high=high, about=about), bands


def _range(dataset: Dataset | None, name: str, mean: float | None, std: float | None) -> tuple[float, float]:
    """Least and greatest number that is let through; none below 0 where no real one is."""
    if dataset is not None:
        cells = dataset.real_rows[name].dropna()
        if len(cells):
            least, most = float(cells.min()), float(cells.max())
            margin = MARGIN * (most - least)
            return max(0.0, least - margin) if least >= 0 else least - margin, most + margin
    if mean is None or not std:
        return -math.inf, math.inf
    return mean - SPREADS * std, mean + SPREADS * std
