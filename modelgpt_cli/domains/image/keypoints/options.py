"""Options that images with key points understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option
from modelgpt_cli.domains.image.annotations.options import BuildOptions as ObjectBuildOptions
from modelgpt_cli.domains.image.annotations.options import DescribeOptions

__all__ = ["BuildOptions", "DescribeOptions", "PredictOptions"]


@dataclass(frozen=True)
class BuildOptions(ObjectBuildOptions):
    """How a model of key points is to be built."""

    normalise: str | None = option("Points whose distance errors are divided by.", metavar="A,B", shown="diagonal")


@dataclass(frozen=True)
class PredictOptions(options.PredictOptions):
    """How key points are to be found."""

    draw: str | None = option("Draw each image with what is found into this folder.", metavar="DIR")
