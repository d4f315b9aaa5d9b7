"""What a requirement says of images."""

from __future__ import annotations

from modelgpt_cli.domains.image import DOMAIN
from modelgpt_cli.domains.image.requirement_only import requirement_only_classes as require
from modelgpt_cli.requirement_generator.requirement import Requirement

__all__ = ["claims", "require"]


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain, or a column has the role of an image."""
    if requirement.domain is not None:
        return requirement.domain == DOMAIN.name
    return any(column.role == "image" for column in requirement.columns)
