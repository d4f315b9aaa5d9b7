"""Options of builds of marked texts."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option_like
from modelgpt_cli.domains.shared.options import BackboneBuildOptions


@dataclass(frozen=True)
class BuildOptions(options.BuildOptions):
    """How a model of marked texts is to be built."""

    backbone: str | None = option_like(
        BackboneBuildOptions, "backbone", help="Encoder of BERT's kind: a folder or hub name."
    )
