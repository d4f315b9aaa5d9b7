"""Requirement-only builds of image models: what a requirement has to say where there are no images."""

from __future__ import annotations

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.requirement_generator.requirement import Requirement


def requirement_only_classes(requirement: Requirement) -> tuple[str, ...]:
    """The classes of a requirement that has to do without images.

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
