"""What requirements of segmentation, detection and key points say alike. Behind each domain's part `requirement`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.domain import Domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


@dataclass(frozen=True)
class MarkedImageClaims:
    """Follows `requirement_generator.domain.Claims`.

    Attributes
    ----------
    domain : Domain
    model : str
        What messages call a model: "A detector".
    marks : str
        What is marked in its images: "boxes".
    needed : str
        What to give, and how much of it is a start.
    words : bool
        Whether names of classes alone can make a model, if the network knows them.
    """

    domain: Domain
    model: str
    marks: str
    needed: str
    words: bool = False

    def claims(self, requirement: Requirement) -> bool:
        """Whether a requirement names the domain, or its task."""
        return requirement.domain == self.domain.name or requirement.task == self.domain.task

    def check(self, requirement: Requirement) -> None:
        """Make sure that one image is read.

        Raises
        ------
        UsageError
            There are several; names the key.
        """
        images = [column.name for column in requirement.columns if column.role]
        if len(images) > 1:
            raise UsageError("columns: one image is read.", f"These are several: {', '.join(images)}.", "Keep one.")

    def require(self, requirement: Requirement) -> tuple[str, ...]:
        """Return the classes of a requirement that has to do without data; whether they can be named shows later.

        Raises
        ------
        UsageError
            There are none, or names alone make no such model.
        """
        if self.words and requirement.classes:
            return requirement.classes
        raise UsageError(
            f"{self.model} can't be built from words alone: images with {self.marks} are needed.", "", self.needed
        )

    def keys_of(self, dataset: Dataset) -> Mapping[str, Any]:
        """Return nothing: every key is one of all domains."""
        return {}

    def written_columns(self, requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
        """Refuse rows by an LLM.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            f"--generate writes no images with {self.marks}.", "An LLM writes tables and texts.", "Leave it out."
        )
