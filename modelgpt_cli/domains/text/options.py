"""Options that texts alone understand."""

from __future__ import annotations

from dataclasses import dataclass

from modelgpt_cli.core import options
from modelgpt_cli.core.option_fields import option, option_like
from modelgpt_cli.domains.shared.options import BackboneBuildOptions, BackboneMetaTrainOptions, SplitTuneOptions


@dataclass(frozen=True)
class BuildOptions(BackboneBuildOptions):
    """How a text model is to be built."""

    text: str | None = option("Column with the text.", metavar="COLUMN", shown="the requirement's", reading=True)
    text_pair: str | None = option("Column with the second text of a pair.", metavar="COLUMN", reading=True)
    max_tokens: int | None = option(
        "Tokens to read of each text; the rest is cut off.", least=8, most=100_000, shown="128"
    )
    lexical: bool = option("Leave out what single words say, beside the encoder.", True)
    tokenizer_in_graph: bool = option("Put the tokenizer into the ONNX file, to run on strings.", False)


@dataclass(frozen=True)
class DescribeOptions(options.DescribeOptions):
    """How texts are to be described."""

    text: str | None = option_like(BuildOptions, "text", shown="guessed")
    text_pair: str | None = option_like(BuildOptions, "text_pair", shown="guessed")
    multi_label: bool | None = option_like(BuildOptions, "multi_label")


@dataclass(frozen=True)
class ExportOptions(options.ExportOptions):
    """How a text model's file is to be written."""

    tokenizer_in_graph: bool = option_like(BuildOptions, "tokenizer_in_graph")


@dataclass(frozen=True)
class TuneOptions(SplitTuneOptions):
    """How a text model is to be finetuned."""


@dataclass(frozen=True)
class MetaTrainOptions(BackboneMetaTrainOptions):
    """How a generator for texts is to be trained."""
