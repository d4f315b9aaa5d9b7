"""Options that texts alone understand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelgpt_cli.core import options
from modelgpt_cli.core.options import option
from modelgpt_cli.domains.shared.options import BackboneBuildOptions


def _tokenizer_in_graph() -> Any:
    return option("Put the tokenizer into the ONNX file: strings in.", False)


@dataclass(frozen=True)
class BuildOptions(BackboneBuildOptions):
    """How a text model is to be built."""

    text: str | None = option("The column with the text.", metavar="COLUMN", shown="the requirement's", reading=True)
    text_pair: str | None = option(
        "The column with the second text of a pair.", metavar="COLUMN", shown="none", reading=True
    )
    max_tokens: int | None = option("The window; what is longer is cut off.", least=8, shown="128")
    tokenizer_in_graph: bool = _tokenizer_in_graph()


@dataclass(frozen=True)
class ExportOptions(options.ExportOptions):
    """How a text model's file is to be written."""

    tokenizer_in_graph: bool = _tokenizer_in_graph()
