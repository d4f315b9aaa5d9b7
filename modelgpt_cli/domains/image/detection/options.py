"""Options that images with boxes understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option
from modelgpt_cli.domains.image.annotations.options import BuildOptions, DescribeOptions

__all__ = ["BuildOptions", "DescribeOptions", "PredictOptions"]


@dataclass(frozen=True)
class PredictOptions(options.PredictOptions):
    """How boxes are to be found."""

    draw: str | None = option(
        "Images with masks, boxes or key points: draw each image with these into this folder.", metavar="DIR"
    )
