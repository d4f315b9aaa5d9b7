"""Options that images alone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core.options import option
from modelgpt_cli.domains.shared.options import BackboneBuildOptions


@dataclass(frozen=True)
class BuildOptions(BackboneBuildOptions):
    """How an image model is to be built."""

    backbone_weights: str | None = option(
        "Weights for the backbone, as torchvision has them.", metavar="FILE", path="path"
    )
