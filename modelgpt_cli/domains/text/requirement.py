"""What a requirement says of texts."""

from __future__ import annotations

from modelgpt_cli.core.schema import TEXT_ROLES
from modelgpt_cli.domains.text import DOMAIN
from modelgpt_cli.domains.text.requirement_only import requirement_only_texts as require
from modelgpt_cli.requirement_generator.requirement import Requirement

__all__ = ["claims", "require"]


def claims(requirement: Requirement) -> bool:
    """Whether a requirement names the domain or a column's role, or can't be about a table: there are only words."""
    if requirement.domain is not None:
        return requirement.domain == DOMAIN.name
    if any(column.role in TEXT_ROLES for column in requirement.columns):
        return True
    return not requirement.columns and requirement.data is None
