"""Options that tables alone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option, option_like
from modelgpt_cli.domains.shared.options import BackboneBuildOptions, SplitTuneOptions

MOST_MEMBERS = 1000
"""More than eight gain next to nothing; a thousand of the largest network take some gigabytes."""


@dataclass(frozen=True)
class BuildOptions(options.BuildOptions):
    """How a table's model is to be built."""

    members: int | None = option("Networks to merge into the model.", least=1, most=MOST_MEMBERS, shown="up to 8")
    one_pass: bool = option("One network, no cross-validation: fast, quality unknown.", False)
    coverage: float | None = option(
        "Coverage of the regression interval; 0 for none.", metavar="SHARE", least=0, most=1, below=True, shown="0.9"
    )
    multi_label: bool | None = option_like(BackboneBuildOptions, "multi_label")
    group: str | None = option_like(BackboneBuildOptions, "group")
    time: str | None = option_like(BackboneBuildOptions, "time")
    text_columns: str = option("Embed free text (adds 24 MB), or drop it.", "embed", choices=("embed", "drop"))
    teacher: str | None = option(
        "Classifier or regressor to learn from, where that helps.", metavar="MODULE:CLASS", any_object=True
    )
    words: bool = option("Show the generator the requirement's words even with data.", False)
    all_rows: bool = option_like(BackboneBuildOptions, "all_rows")


@dataclass(frozen=True)
class TuneOptions(SplitTuneOptions):
    """How a table's model is to be finetuned."""


@dataclass(frozen=True)
class MetaTrainOptions(options.MetaTrainOptions):
    """How a generator for tables is to be trained."""

    fixed_tasks: bool = option("Train on the rows of --tasks alone, to serve them without data.", False)
    state: str | None = option("Go on from a compact state, in a new --out.", metavar="FILE", path="path")
