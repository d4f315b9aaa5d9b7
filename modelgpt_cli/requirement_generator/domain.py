"""Which domain a requirement is about, as far as it can be told from the requirement alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from modelgpt_cli.core.domain import Domain, all_domains
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset


class Claims(Protocol):
    """The part ``requirement`` of a domain: what its requirements say. Imports no torch."""

    def claims(self, requirement: Requirement) -> bool:
        """Whether a requirement is about this domain. Where there is data, the data decide."""

    def check(self, requirement: Requirement) -> None:
        """Make sure that a requirement of this domain makes sense.

        Raises
        ------
        UsageError
            It doesn't; names the key.
        """

    def require(self, requirement: Requirement) -> Any:
        """Return what a build without data needs.

        Raises
        ------
        UsageError
            The requirement doesn't say it.
        """

    def keys_of(self, dataset: Dataset) -> Mapping[str, Any]:
        """Return the keys of the requirement file, beside those of every domain, that a dataset gives values for."""

    def written_columns(self, requirement: Requirement, schema: Schema | None) -> tuple[Column, ...]:
        """Return the input columns of a row that an LLM is to write.

        Parameters
        ----------
        schema : Schema, optional
            Of real data, whose columns go before the requirement's.

        Raises
        ------
        UsageError
            The requirement names none, or what is predicted for can't be written in words.
        """


def domain_of(requirement: Requirement) -> Domain:
    """Return the domain of a requirement that there is no data for: the first whose part claims it.

    Where there is data, the data decide: see `load_dataset`.
    """
    return next(domain for domain in all_domains() if _claims(domain, requirement))


def _claims(domain: Domain, requirement: Requirement) -> bool:
    claims: Claims = domain.part("requirement")
    return claims.claims(requirement)
