"""One card: a linear model of which notes there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Costs, Sizes

CARD = ArchitectureCard("notes", "melody", "notes")


def cards() -> Iterator[ArchitectureCard]:
    yield CARD


def find(name: str) -> ArchitectureCard | None:
    return CARD if name == CARD.name else None


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    return None


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    return CARD


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    return ""


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    pass


def storages(*, data: bool) -> tuple[str, ...]:
    return ("none",)
