"""Options that all domains with a backbone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option, option_like


@dataclass(frozen=True)
class BackboneBuildOptions(options.BuildOptions):
    """How a model with a backbone is to be built."""

    backbone: str | None = option(
        "Backbone to adapt: a card's name, or a folder or hub name.", metavar="NAME|DIR", path="place"
    )
    rows: int | None = option("Solve the head on at most N rows.", least=1, most=10**9, shown="4,096")
    all_rows: bool = option("Solve the head on all rows, however many.", False)
    multi_label: bool | None = option("Learn any number of labels a row.", shown="found", reading=True)
    group: str | None = option("Cross-validate by the groups of this column.", metavar="COLUMN", reading=True)
    time: str | None = option("Cross-validate forward in the order of this column.", metavar="COLUMN", reading=True)


@dataclass(frozen=True)
class SplitTuneOptions(options.TuneOptions):
    """How a model is to be finetuned whose rows may belong together."""

    group: str | None = option_like(
        BackboneBuildOptions, "group", help="Hold out whole groups of this column.", shown="as in the build"
    )
    time: str | None = option_like(
        BackboneBuildOptions,
        "time",
        help="Hold out the last rows by this column.",
        shown="as in the build",
    )


@dataclass(frozen=True)
class BackboneMetaTrainOptions(options.MetaTrainOptions):
    """How a generator for a backbone is to be trained."""

    backbone: str | None = option_like(BackboneBuildOptions, "backbone")
