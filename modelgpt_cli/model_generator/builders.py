"""The models of a build's cards, each made by its domain's builder. Between `pipeline` and the candidates."""

from __future__ import annotations

from dataclasses import replace

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.shared.build import Builder, BuildOptions
from modelgpt_cli.model_generator.candidates import Body
from modelgpt_cli.model_generator.cards import ModelCard
from modelgpt_cli.model_generator.costs import Costs


class CardModels:
    """The models of a build's cards; data are read once, and so is what builds from them, if it can."""

    def __init__(
        self,
        domain: str,
        wanted: Requirement,
        dataset: Dataset | None,
        options: BuildOptions,
        *,
        check_fingerprint: bool,
    ) -> None:
        self.domain, self.wanted, self.dataset, self.options = domain, wanted, dataset, options
        self._check_fingerprint = check_fingerprint
        self._builders: dict[str, Builder] = {}

    @property
    def task(self) -> str:
        """Classification or regression."""
        return self.dataset.schema.task if self.dataset is not None else self.wanted.task or "classification"

    def make(self, card: ModelCard) -> Body:
        """A card's model."""
        builder = self._builder(card)
        if self.dataset is None:
            made = builder.from_words()
        else:
            made = builder.from_data(self.dataset, check_fingerprint=self._check_fingerprint)
        return Body(*made, rows=builder.shown, truth=builder.truth)

    def costs(self, card: ModelCard) -> Costs | None:
        """What a card's model costs; see `ModelCard.costs`."""
        return card.costs(self._builder(card).sizes(self.dataset, check_fingerprint=self._check_fingerprint))

    def _builder(self, card: ModelCard) -> Builder:
        """What builds a card; one does for all of tables."""
        is_table = self.domain == "tabular"
        options = self.options if is_table else replace(self.options, backbone=self.options.backbone or card.name)
        key = "" if is_table else card.name
        if key not in self._builders:
            self._builders[key] = self._new(options)
        builder = self._builders[key]
        if is_table:
            builder.members = card.members  # type: ignore[attr-defined]
        return builder

    def _new(self, options: BuildOptions) -> Builder:
        """What builds for the domain; only that domain's libraries are imported."""
        if self.domain == "text":
            from modelgpt_cli.domains.text.build import TextBuild

            return TextBuild(self.wanted, options)
        if self.domain == "image":
            from modelgpt_cli.domains.image.build import ImageBuild

            return ImageBuild(self.wanted, options)
        from modelgpt_cli.domains.tabular.build import TabularBuild

        return TabularBuild(self.wanted, options)
