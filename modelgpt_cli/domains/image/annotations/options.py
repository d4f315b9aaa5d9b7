"""Options that all domains understand which learn from marked objects: their parts ``options`` subclass these."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option, option_like
from modelgpt_cli.domains.image.annotations import TASKS


@dataclass(frozen=True)
class BuildOptions(options.BuildOptions):
    """How a model is to be built from marked objects."""

    task: str | None = option(
        "detection, segmentation or keypoints.", metavar="TASK", choices=TASKS, shown="found", reading=True
    )


@dataclass(frozen=True)
class DescribeOptions(options.DescribeOptions):
    """How marked objects are to be described."""

    task: str | None = option_like(BuildOptions, "task")
