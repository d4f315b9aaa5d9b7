"""Options that all domains with a backbone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.options import option


@dataclass(frozen=True)
class BackboneBuildOptions(options.BuildOptions):
    """How a model with a backbone is to be built."""

    backbone: str | None = option(
        "What to adapt: an architecture card, or where the domain takes it, a folder or a hub name.",
        metavar="NAME|DIR",
        path="place",
    )
    rows: int | None = option("Solve the head on so many rows at most.", least=1, shown="4,096")
    all_rows: bool = option("Solve the head on every row.", False)
