"""The weights of a model: how often a mood has a note, less the mean of all moods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from melody.model import MelodyModel, presence
from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Sizes


class MelodyBuild:
    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement
        self.shown: Any = None
        self.built = ""  # the card that it was begun with
        self.truth: np.ndarray | None = None

    def from_words(self) -> Any:
        raise NotImplementedError

    def from_data(self, dataset: Dataset, *, check_fingerprint: bool) -> tuple[MelodyModel, dict[str, Any], int]:
        schema = dataset.schema
        self.shown, self.truth = dataset.sample, dataset.sample[schema.target].to_numpy()
        notes = presence(dataset.sample["melody"].tolist())
        means = np.stack([notes[self.truth == label].mean(0) for label in schema.classes], 1)
        blueprint = Blueprint(
            task="classification",
            target=schema.target,
            labels=schema.classes,
            columns=schema.used,
            requirement=self.requirement.sentence,
            architecture=Architecture("notes", 0, 1),
            domain="melody",
        )
        weight = torch.from_numpy(4 * (means - means.mean(1, keepdims=True)).astype(np.float32))
        return MelodyModel(blueprint, {"weight": weight}), {}, 0

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        return Sizes()


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], MelodyBuild]:
    return lambda card: MelodyBuild(requirement)


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    return {}
