"""The models of a build's cards, each made by its domain's builder. Between `build` and the candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.domain import Domain
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.model_generator.candidates import Body
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Costs, Sizes
from modelgpt_cli.model_generator.measure import Rows

Made: TypeAlias = tuple[TargetModel, dict[str, dict[str, float]], int]
"""A model, its metrics by the name of model or baseline, and the number of rows that they were found on."""


class Builder(Protocol):
    """What builds the models of a card, or of several.

    Attributes
    ----------
    shown : DataFrame or list of uint8 (H, W, 3), optional
        Rows of the user's, or images, that the exported graph is verified, timed and calibrated on: known once
        `from_data` is through.
    truth : ndarray (N,), optional
        What the target is of those rows or images, as the dataset has it.
    built : str
        Name of the card that the last model is of, where that may be another than it was begun with; else "".
    """

    shown: Rows
    truth: np.ndarray | None
    built: str

    def from_words(self) -> Made:
        """Build from the requirement alone."""

    def from_data(self, dataset: Dataset, *, check_fingerprint: bool) -> Made:
        """Build from labelled rows."""

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """Return what the task decides of a model's shapes."""


class Builders(Protocol):
    """A domain's part ``build``."""

    def make_builders(self, requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], Builder]:
        """Return what gives the builder of a card; cards may share what is read once, or the builder itself."""

    def prepare(self, dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
        """Return the dataset as a model can be made of it; what is left out is noted in its warnings.

        Raises
        ------
        ModelGPTError
            No model can be made of it.
        """

    def export_options(self, options: BuildOptions) -> Mapping[str, Any]:
        """Return the options that `write_model` takes for models of this domain."""


def builders(domain: Domain) -> Builders:
    """Return a domain's part ``build``."""
    found: Builders = domain.part("build")
    return found


class CardModels:
    """The models of a build's cards; data are read once, and so is what builds from them, if it can."""

    def __init__(
        self,
        domain: Domain,
        wanted: Requirement,
        dataset: Dataset | None,
        options: BuildOptions,
        *,
        check_fingerprint: bool,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.domain, self.wanted, self.dataset, self.options = domain, wanted, dataset, options
        self._check_fingerprint, self._provenance = check_fingerprint, provenance or {}
        self._builder = builders(domain).make_builders(wanted, options)

    @property
    def task(self) -> str:
        """Classification or regression."""
        return self.dataset.schema.task if self.dataset is not None else self.wanted.task or "classification"

    def make(self, card: ArchitectureCard) -> Body:
        """Make a card's model."""
        builder = self._builder(card)
        if self.dataset is None:
            made = builder.from_words()
        else:
            made = builder.from_data(self.dataset, check_fingerprint=self._check_fingerprint)
        made[0].blueprint.provenance |= self._provenance
        return Body(*made, rows=builder.shown, truth=builder.truth, card=builder.built)

    def costs(self, card: ArchitectureCard) -> Costs | None:
        """Compute what a card's model costs; see `ArchitectureCard.costs`."""
        return card.costs(self._builder(card).sizes(self.dataset, check_fingerprint=self._check_fingerprint))
