"""Options that tables alone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.options import option


@dataclass(frozen=True)
class BuildOptions(options.BuildOptions):
    """How a table's model is to be built."""

    members: int | None = option("Merge so many networks into the model.", least=1, shown="8, or fewer under limits")
    one_pass: bool = option("One member, and no cross-validation: fast, of unknown quality.", False)
    coverage: float | None = option(
        "Regression: put this share of true values between 'lower' and 'upper'; 0: no such outputs.",
        metavar="SHARE",
        least=0,
        most=1,
        below=True,
        shown="0.9",
    )
    text_columns: str = option(
        "Free text: give the model the text encoder (24 MB) where the limits allow, or leave such columns out.",
        "embed",
        choices=("embed", "drop"),
    )
    words: bool = option("Show the generator the requirement's words even where there is data.", False)
    all_rows: bool = option("Solve the head on every row of more than 300,000.", False)
