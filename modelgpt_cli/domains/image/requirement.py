"""What a requirement of an image model says. Between the requirement's file and the build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.domains.image import DOMAIN

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain, or a column of images."""
    if requirement.domain is not None:
        return requirement.domain == DOMAIN.name
    return any(column.role in DOMAIN.roles for column in requirement.columns)


def check(requirement: Requirement) -> None:
    """Make sure that there is one column of images at most, and no regression.

    Raises
    ------
    UsageError
        If not; names the key.
    """
    roles = [column.role for column in requirement.columns if column.role]
    if len(roles) > 1:
        raise UsageError("columns: one column alone has the role image.", f"The roles here: {', '.join(roles)}.")
    if requirement.task == "regression":
        raise UsageError("task can't be regression: models of images tell classes apart.", "domain is image.")


def require(requirement: Requirement) -> tuple[str, ...]:
    """Return the classes of a requirement that has to do without images.

    Raises
    ------
    UsageError
        It names none.
    """
    if not requirement.classes:
        raise UsageError(
            "There are no images, and the requirement names no classes.",
            "A sentence alone doesn't say what to tell apart.",
            "Give --data PATH, or name the classes below a line ---, such as classes: [cat, dog].",
        )
    return requirement.classes


def keys_of(dataset: Dataset) -> Mapping[str, Any]:
    """Return nothing: a requirement of images has no keys of its own."""
    return {}


def written_columns(requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
    """Refuse: an LLM writes no images.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError(
        "Images can't be generated.",
        "An LLM writes tables and texts.",
        "Look for images with modelgpt find, or give some with build --data.",
    )
