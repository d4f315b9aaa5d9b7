"""What a requirement of a table's model says. Between the requirement's file and the build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


def claims(requirement: Requirement) -> bool:
    """Whether a requirement is about a table: so it is where no other domain claims it."""
    return True


def check(requirement: Requirement) -> None:
    """Accept every requirement: what holds of all of them is enough."""


def require(requirement: Requirement) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return columns and classes of a requirement that has to do without data.

    Raises
    ------
    UsageError
        If it names no usable columns or no classes, or asks for regression.
    """
    hint = (
        "Give --data PATH, or name them below a line ---, such as columns: {age: numeric, income: numeric} and "
        "classes: [stays, leaves]; modelgpt describe writes them."
    )
    if requirement.multi_label:
        raise UsageError("multi_label: models of tables have one answer a row.", hint="Leave it out.")
    if requirement.task == "regression":
        raise UsageError(
            "A regression can't be built without data.", "Words don't tell the target's scale.", "Give --data PATH."
        )
    if not any(c.used for c in requirement.columns):
        raise UsageError("There is no data, and the requirement names no columns.", hint=hint)
    if not requirement.classes:
        raise UsageError("There is no data, and the requirement names no classes.", hint=hint)
    bare = [c.name for c in requirement.columns if c.used and not c.is_float and not c.levels]
    if bare:
        raise UsageError(
            f"The column {bare[0]!r} is categorical, but the requirement names no levels of it.", hint=hint
        )
    return requirement.columns, requirement.classes


def keys_of(dataset: Dataset) -> Mapping[str, Any]:
    """Return nothing: a requirement of a table has no keys of its own."""
    return {}


def written_columns(requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
    """Return the columns of a row that an LLM is to write.

    Raises
    ------
    UsageError
        There are none.
    """
    if schema is not None:
        return schema.used
    columns = tuple(column for column in requirement.columns if column.used or column.is_text)
    if not columns:
        raise UsageError(
            "The requirement names no columns, so nobody knows what a row is.",
            hint="Name them below the --- of the requirement file, or give --data PATH.",
        )
    return columns
