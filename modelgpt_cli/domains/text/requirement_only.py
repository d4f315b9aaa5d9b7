"""Requirement-only builds of texts: what a requirement has to say where there is no data (the paper's own setting)."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import ROLES, TEXT_ROLES, Column
from modelgpt_cli.requirement_generator.requirement import Requirement


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


def requirement_only_texts(requirement: Requirement) -> Wanted:
    """Texts and classes of a requirement that has to do without data; one column ``text`` where it names none.

    Raises
    ------
    UsageError
        If it names no classes, or for a regression not the target's scale.
    """
    columns = tuple(sorted((c for c in requirement.columns if c.role in TEXT_ROLES), key=lambda c: ROLES.index(c.role)))
    columns = columns or (Column("text", "text", role="text"),)
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
