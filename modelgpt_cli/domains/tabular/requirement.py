"""What a requirement says of a table."""

from __future__ import annotations

from modelgpt_cli.core.schema import Column
from modelgpt_cli.requirement_generator.requirement import Requirement


def claims(requirement: Requirement) -> bool:
    """Whatever no other domain claims is about a table."""
    return True


def require(requirement: Requirement) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return the columns and classes of a requirement; see `requirement_only_columns`."""
    from modelgpt_cli.domains.tabular.requirement_only import requirement_only_columns

    return requirement_only_columns(requirement)
