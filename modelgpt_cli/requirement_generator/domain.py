"""Which domain a requirement is about, as far as it says so itself; where there are data, they decide."""

from __future__ import annotations

from typing import Any, Protocol

from modelgpt_cli.core.domain import Domain, all_domains, find_domain
from modelgpt_cli.requirement_generator.requirement import Requirement


class Claims(Protocol):
    """A domain's part ``requirement``."""

    def claims(self, requirement: Requirement) -> bool:
        """Whether a requirement that names no domain is about this one."""

    def require(self, requirement: Requirement) -> Any:
        """Return what a build without data needs of a requirement.

        Raises
        ------
        UsageError
            It lacks some of that.
        """


def domain_of(requirement: Requirement) -> Domain:
    """Return the domain that a requirement names, or else the first that claims it."""
    if requirement.domain is not None:
        return find_domain(requirement.domain)
    return next(domain for domain in all_domains() if claims_of(domain).claims(requirement))


def claims_of(domain: Domain) -> Claims:
    """Return a domain's part ``requirement``."""
    found: Claims = domain.part("requirement")
    return found
