"""Options that images alone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option, option_like
from modelgpt_cli.domains.shared.options import BackboneBuildOptions, BackboneMetaTrainOptions, SplitTuneOptions


@dataclass(frozen=True)
class BuildOptions(BackboneBuildOptions):
    """How an image model is to be built."""

    backbone_weights: str | None = option(
        "Weights for the backbone, in torchvision's format.", metavar="FILE", path="path"
    )


@dataclass(frozen=True)
class DescribeOptions(options.DescribeOptions):
    """How images are to be described."""

    contact_sheet: str | None = option(
        "Save the sheet of small images that an LLM is shown.", metavar="FILE.jpg", path="path"
    )
    multi_label: bool | None = option_like(BuildOptions, "multi_label")


@dataclass(frozen=True)
class PredictOptions(options.PredictOptions):
    """How images are to be scored."""

    topk: int | None = option("Write the N most likely classes of each.", least=1, most=1_000_000, shown="1")


@dataclass(frozen=True)
class TuneOptions(SplitTuneOptions):
    """How an image model is to be finetuned."""


@dataclass(frozen=True)
class MetaTrainOptions(BackboneMetaTrainOptions):
    """How a generator for images is to be trained."""

    backbone_weights: str | None = option_like(BuildOptions, "backbone_weights")
