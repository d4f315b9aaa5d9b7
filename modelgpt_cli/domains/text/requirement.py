"""What a requirement of a text model says. Between the requirement's file and the build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import FREE_TEXT, Column, Schema
from modelgpt_cli.domains.text import DOMAIN

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

ROLES: tuple[str, ...] = tuple(DOMAIN.roles)
"""What a column can be: the text that is judged, or the second text of a pair."""


@dataclass(frozen=True)
class Wanted:
    """What a requirement alone says of a text task.

    Attributes
    ----------
    columns : tuple of Column
        One text, or two of a pair.
    classes : tuple of str
        Empty for regression.
    scale : (float, float), optional
        Regression: mean and standard deviation of the target.
    """

    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    scale: tuple[float, float] | None = None


def texts_of(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return the columns that are read: the text, then the second one of a pair."""
    return tuple(sorted((c for c in columns if c.role in ROLES), key=lambda c: ROLES.index(c.role)))


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain or a column's role, or can't be about a table.

    A sentence without columns and data, with or without classes, can't be.
    """
    if requirement.domain is not None:
        return requirement.domain == DOMAIN.name
    return bool(texts_of(requirement.columns)) or (not requirement.columns and requirement.data is None)


def check(requirement: Requirement) -> None:
    """Make sure that there is a text for every second text, and one of each.

    Raises
    ------
    UsageError
        If not; names the key.
    """
    roles = [column.role for column in requirement.columns if column.role]
    if roles and sorted(roles) not in (["text"], ["pair", "text"]):
        raise UsageError(
            "columns: one column has the role text, and at most one other the role pair.",
            f"The roles here: {', '.join(roles)}.",
        )


def require(requirement: Requirement) -> Wanted:
    """Return texts and classes of a requirement that has to do without data; a column ``text`` where it names none.

    Raises
    ------
    UsageError
        If it names no classes, or for a regression not the target's scale.
    """
    columns = texts_of(requirement.columns) or (Column("text", FREE_TEXT, role=ROLES[0]),)
    if requirement.task == "regression":
        if requirement.target_mean is None or requirement.target_std is None:
            raise UsageError(
                "There is no data, and the requirement doesn't tell the regression's scale.",
                "It has no target_mean and target_std.",
                "Give --data PATH, or add both below the --- (modelgpt describe writes them).",
            )
        return Wanted(columns, (), (requirement.target_mean, requirement.target_std))
    if not requirement.classes:
        raise UsageError(
            "There is no data, and the requirement names no classes (for texts) and no columns (for a table).",
            "A sentence alone doesn't say what to tell apart.",
            "Give --data PATH, or name the classes below a line ---, such as classes: [positive, negative].",
        )
    return Wanted(columns, requirement.classes)


def keys_of(dataset: Dataset) -> Mapping[str, Any]:
    """Return the target's scale for a regression: mean and standard deviation over the sample."""
    if dataset.schema.task != "regression":
        return {}
    values = dataset.sample[dataset.schema.target]
    return {"target_mean": float(values.mean()), "target_std": float(values.std(ddof=0))}


def written_columns(requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
    """Return the texts of a row that an LLM is to write; a column ``text`` where nothing names one."""
    if schema is not None:
        return texts_of(schema.columns)
    return texts_of(requirement.columns) or (Column("text", FREE_TEXT, role=ROLES[0]),)
