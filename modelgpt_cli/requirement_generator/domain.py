"""Which domain a requirement is about, as far as it says so itself; where there are data, they decide."""

from __future__ import annotations

from typing import Any, Protocol

from modelgpt_cli.core.domain import Domain, all_domains
from modelgpt_cli.requirement_generator.requirement import Requirement


class Claims(Protocol):
    """A domain's part ``requirement``."""

    def claims(self, requirement: Requirement) -> bool:
        """Whether a requirement is about this domain. Where there is data, the data decide."""

    def require(self, requirement: Requirement) -> Any:
        """Return what a build without data needs of a requirement.

        Raises
        ------
        UsageError
            It lacks some of that.
        """


def domain_of(requirement: Requirement) -> Domain:
    """Return the domain of a requirement that there is no data for: the first whose part claims it."""
    return next(domain for domain in all_domains() if _claims(domain, requirement))


def _claims(domain: Domain, requirement: Requirement) -> bool:
    claims: Claims = domain.part("requirement")
    return claims.claims(requirement)
