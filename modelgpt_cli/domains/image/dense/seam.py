"""What builds and graphs on a frozen network's maps have in common: segmentation, detection and key points."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.dense.maps import View
from modelgpt_cli.model_generator.costs import Sizes


class MapBuild:
    """One build, as far as it is the same; see `model_generator.builders.Builder`.

    Parameters
    ----------
    card : str
        Its name.
    config : mapping
        What a blueprint keeps of it; see `maps.View.of`.
    """

    def __init__(self, requirement: Requirement, options: BuildOptions, card: str, config: dict[str, object]) -> None:
        self.requirement, self.options, self.card = requirement, options, card
        self.view = View.of(config)
        self.shown: list[np.ndarray] | None = None
        self.truth: np.ndarray | None = None  # a smaller file is not compared
        self.built = ""

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """What the task decides of a model's shapes."""
        return Sizes(len(dataset.schema.classes if dataset is not None else self.requirement.classes))


def map_entries(blueprint: Blueprint, column: Column) -> dict[str, Any]:
    """Return the model card's entries that all these models have: the network, and how it sees an image."""
    view = dict(blueprint.architecture.encoder)
    network = view.pop("network")
    return {
        "inputs": [{"name": column.name, "type": column.type, "role": column.role}],
        "backbone": {"card": blueprint.architecture.card, "type": network},
        "image": view,
    }
