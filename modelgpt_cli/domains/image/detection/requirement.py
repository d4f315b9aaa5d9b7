"""What a requirement of a detector says. Between the requirement's file and the build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.domains.image.detection import DOMAIN

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain, or its task."""
    return requirement.domain == DOMAIN.name or requirement.task == DOMAIN.task


def check(requirement: Requirement) -> None:
    """Make sure that one image is read, and that no metric is asked for that isn't measured.

    Raises
    ------
    UsageError
        If not; names the key.
    """
    images = [column.name for column in requirement.columns if column.role]
    if len(images) > 1:
        raise UsageError("columns: one image is read.", f"These are several: {', '.join(images)}.", "Keep one.")
    for metric in requirement.quality.to_mapping():
        raise UsageError(
            f"quality: {metric} is not measured on boxes.",
            "A detector is measured by its mean average precision, which a requirement can't ask for yet.",
            "Leave it out.",
        )


def require(requirement: Requirement) -> NoReturn:
    """Refuse a build without data.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError(
        "A detector can't be built from words alone: images with boxes are needed.",
        "",
        "Give --data PATH, a folder of images with annotations; ten images with all their things marked are a start.",
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
    raise UsageError("--generate writes no images with boxes.", "An LLM writes tables and texts.", "Leave it out.")
