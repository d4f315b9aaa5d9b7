"""A build from images: requirement and labelled images in, a target model out. Called by `model_generator.builders`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.architectures import GENERATOR_CARDS, find_card
from modelgpt_cli.domains.image.backbone import shared_backbone
from modelgpt_cli.domains.image.fit import Adapted, adapt, thumbnail_model
from modelgpt_cli.domains.image.likeness import alike_split
from modelgpt_cli.domains.image.model import IMAGE_COLUMN, ImageModel
from modelgpt_cli.domains.image.nameable import nameable_words, nearest_concepts
from modelgpt_cli.domains.image.options import BuildOptions
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.requirement import require
from modelgpt_cli.domains.image.rows import LabelledImages, read_labelled
from modelgpt_cli.domains.image.target import shared_image_generator
from modelgpt_cli.domains.image.trunks import trunk_tensors
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.alike import tell
from modelgpt_cli.domains.shared.backbone_build import NO_DATA, BackboneBuild, backbone_builders, one_hot
from modelgpt_cli.domains.shared.baselines import baseline_scores
from modelgpt_cli.domains.shared.build import first_notes
from modelgpt_cli.domains.shared.head import fit_head
from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.domains.shared.split import read_split
from modelgpt_cli.domains.shared.thresholds import DEFAULT
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.concepts import COVERED

log = logging.getLogger("modelgpt")


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], ImageBuild]:
    """Return what gives the build of a card."""
    return backbone_builders(ImageBuild, requirement, options)


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is: images are read where the head is solved."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return nothing: an image model has one form."""
    return {}


class ImageBuild(BackboneBuild):
    """One build: what was asked, and the backbone, generator and encoder that serve it."""

    domain = "image"
    generator_cards = GENERATOR_CARDS

    def __init__(self, requirement: Requirement, options: BuildOptions) -> None:
        self.card = find_card(options.backbone)
        self.backbone = shared_backbone(self.card, options.backbone_weights)
        self.view = View.of(self.card.encoder_config())
        self._own_weights = options.backbone_weights
        own = options.backbone_weights is not None
        super().__init__(requirement, options, self.card.name, lora_spec(self.backbone), own_weights=own)
        if self.header is not None and self.header.get("trunk") != self.backbone.weights:
            raise UsageError(
                f"The generator was trained for other weights of {self.card.name!r}.",
                hint="Give the --backbone-weights that it was trained with.",
            )

    @staticmethod
    def read_generator(path: Path) -> tuple[AdapterGenerator, dict[str, Any]]:
        """Read a checkpoint of the domain."""
        return shared_image_generator(path)

    def architecture(self) -> Architecture:
        """What a blueprint says of the backbone."""
        return Architecture(card=self.card.name, members=1, hidden=0, encoder=self.card.encoder_config())

    def weights_given(self) -> dict[str, Any]:
        """Return the digest of weights that are the user's own, which no licence of ours holds for."""
        return {} if self._own_weights is None else {"weights": {"given": self.backbone.weights}}

    def from_words(self) -> tuple[ImageModel, dict[str, dict[str, float]], int]:
        """Requirement-only: W = W_gen, the paper's own setting.

        Raises
        ------
        UsageError
            The requirement names no classes, or no generator was trained for the backbone.
        """
        classes = require(self.requirement)
        self.check_generator()
        log.warning(NO_DATA)
        several = self.requirement.multi_label
        adapted = self._adapt(classes, several)
        nearest = nearest_concepts(self.generator, adapted.words, classes)
        notes = [NO_DATA, *self._tell_names(nearest, images=False)]
        head = adapted.prior(None, None, self.card.features).weight
        blueprint = self.blueprint(None, (IMAGE_COLUMN,), self.requirement.target or "label", classes, notes)
        blueprint.nearest = nearest
        if several:
            self.serve_labels(blueprint, np.full(len(classes), DEFAULT))
        return self._model(blueprint, adapted, head[:-1], head[-1]), {}, 0

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[ImageModel, dict[str, dict[str, float]], int]:
        """The usual way: generate, see the images once, cross-validate, and solve the head on them all."""
        schema = dataset.schema
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        read = self._read(dataset, self.head_rows(dataset, notes, "images"))
        notes += read.notes
        rows, self.shown, self.truth = read.rows, read.shown, read.shown_cells
        target = one_hot(read.cells, schema.classes, schema.multi_label)
        adapted = self._adapt(schema.classes, schema.multi_label)
        nearest = nearest_concepts(self.generator, adapted.words, schema.classes)
        self._tell_names(nearest, images=True)
        features = adapted.features(rows)
        usual = adapted.scaling  # of features in general, not of these images
        adapted.scaling = usual or Scaling.of(features)
        phi = adapted.scaling.inputs(features)
        split = read_split(read.frame, self.asked)
        if split is None:
            split, told = alike_split(read, schema.used[0].name)
            tell(told)
            notes += told[:1]  # names of files are for the user, not for the model's card
        fit = fit_head(adapted, phi, target, seed=self.options.seed, scale=(0.0, 1.0), split=split)
        fit.metrics |= baseline_scores(
            fit, target, False, (0.0, 1.0), lambda: thumbnail_model(rows), multi_label=schema.multi_label
        )
        blueprint = self.blueprint(dataset, (IMAGE_COLUMN,), schema.target, schema.classes, notes)
        blueprint.nearest = nearest
        self.report(blueprint, fit, dataset, len(rows), "images", split=split)
        novelty = self.novelty(blueprint, fit, phi if usual else features, target, usual)
        return self._model(blueprint, adapted, fit.weight, fit.bias, novelty), fit.metrics, len(fit.scored)

    def _read(self, dataset: Dataset, frame: pd.DataFrame) -> LabelledImages:
        return read_labelled(dataset, frame, self.view)

    def _tell_names(self, nearest: dict[str, dict[str, Any]], *, images: bool) -> list[str]:
        """Say what the network can name of the classes; what is to be noted where it can't name all."""
        if not nearest:
            return []
        told, warns = nameable_words(nearest, images=images)
        log.log(logging.WARNING if warns else logging.INFO, "%s", told)
        return [told] if any(near["likeness"] < COVERED for near in nearest.values()) else []

    def _adapt(self, classes: tuple[str, ...], multi_label: bool) -> Adapted:
        """Embed the words and let the generator adapt the backbone."""
        adapted = adapt(self.backbone, self.generator, self.words(classes), device=self.device)
        adapted.multi_label = multi_label
        return adapted

    def _model(
        self,
        blueprint: Blueprint,
        adapted: Adapted,
        weight: Tensor,
        bias: Tensor,
        novelty: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> ImageModel:
        assert adapted.scaling is not None
        weight, bias = adapted.scaling.folded(weight, bias)
        state = trunk_tensors(adapted.trunk.cpu())
        return ImageModel(blueprint, state | {HEAD_WEIGHT: weight, HEAD_BIAS: bias} | dict(novelty))
