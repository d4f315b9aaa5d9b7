"""What a requirement of a model of marked texts says. Between the requirement's file and the build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.domains.text.spans import DOMAIN

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


NEEDED = "Give --data PATH, with some 30 marked texts or more."


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain, or its task."""
    return requirement.domain == DOMAIN.name or requirement.task == DOMAIN.task


def check(requirement: Requirement) -> None:
    """Make sure that one text is read.

    Raises
    ------
    UsageError
        There are several; names the key.
    """
    texts = [column.name for column in requirement.columns if column.role]
    if len(texts) > 1:
        raise UsageError(
            "columns: spans are found in one text.", f"These are several: {', '.join(texts)}.", "Keep one."
        )


def require(requirement: Requirement) -> tuple[str, ...]:
    """Return the classes of a requirement that has to do without data; whether they are known by name shows later.

    Raises
    ------
    UsageError
        There are none.
    """
    if requirement.classes:
        return requirement.classes
    raise UsageError(
        "Spans can't be found from words alone without the classes' names.",
        "What is to be found has to be named, as in classes: [person, date].",
        f"Add classes to the requirement. {NEEDED}",
    )


def keys_of(dataset: Dataset) -> Mapping[str, Any]:
    """Return nothing: every key is one of all domains."""
    return {}


def written_columns(requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
    """Refuse rows by an LLM.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError("--generate writes no marked texts.", "An LLM's spans can't be checked.", "Leave it out.")
