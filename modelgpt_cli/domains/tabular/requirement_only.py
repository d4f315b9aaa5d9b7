"""Requirement-only builds: the generator sees no row, and the head is the one it wrote (the paper's own setting)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import MAX_LEVELS, Column
from modelgpt_cli.domains.tabular.encoder import TableEncoder, fit_encoder
from modelgpt_cli.domains.tabular.fit import Fitted
from modelgpt_cli.domains.tabular.fit_model import with_levels
from modelgpt_cli.domains.tabular.head import HeadSums
from modelgpt_cli.domains.tabular.members import generate_members
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.parameter_generator.generator import Generator

GRID = 256
"""Rows of the grid that stands in for the data when preprocessing is fitted to the requirement's column statistics."""


def make_requirement_only_model(
    blueprint: Blueprint,
    preprocessor: TablePreprocessor,
    generator: Generator,
    texts: TaskTexts,
    *,
    seed: int,
    device: str = "cpu",
) -> TabularModel:
    """The model that the words alone give."""
    encoder = encoder_from_statistics(preprocessor)
    empty = np.zeros(0, dtype=np.int64)
    members = generate_members(
        generator,
        encoder,
        np.zeros((0, len(preprocessor.sources)), dtype=np.float32),
        np.zeros((0, len(preprocessor.levels)), dtype=np.int64),
        empty,
        n_classes=blueprint.n_outputs,
        members=blueprint.architecture.members,
        seed=seed,
        texts=texts,
        device=device,
    )
    fitted = Fitted(encoder, members, HeadSums(members, blueprint.n_outputs))
    state = fitted.state(members.prior * members.scale)
    return TabularModel(replace(blueprint, columns=with_levels(blueprint.columns, preprocessor)), state)


def cut_levels(columns: Sequence[Column]) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns with as many levels as have features, and notes on those that lose some.

    What further levels mean only rows could tell.
    """
    notes = [
        f"{c.name!r} has {len(c.levels)} levels: without data, the first {MAX_LEVELS} are told apart, "
        "and the others are as if unseen."
        for c in columns
        if c.used and len(c.levels) > MAX_LEVELS
    ]
    return tuple(replace(c, levels=c.levels[:MAX_LEVELS]) for c in columns), notes


def encoder_from_statistics(preprocessor: TablePreprocessor) -> TableEncoder:
    """Preprocessing for normal columns of the stated mean and standard deviation (0 and 1 where none are stated)."""
    at = (np.arange(GRID) + 0.5) / GRID
    normal = np.sqrt(2) * _inverse_erf(2 * at - 1)
    x = np.zeros((GRID, len(preprocessor.sources)), dtype=np.float32)
    for j, source in enumerate(preprocessor.sources):
        column = preprocessor.columns[source.column]
        if source.part in ("value", "days"):
            x[:, j] = (column.mean or 0.0) + (1.0 if column.std is None else column.std) * normal
        else:
            x[:, j] = at * {"year": 365.2425, "week": 7.0, "day": 1.0}[source.part]
    codes = (
        np.stack([np.arange(GRID) % max(len(names), 1) for names in preprocessor.levels], 1)
        if preprocessor.levels
        else None
    )
    levels = tuple(len(names) for names in preprocessor.levels)
    return fit_encoder(x, np.zeros((GRID, 0), dtype=np.int64) if codes is None else codes, levels, coded=False)


def _inverse_erf(x: np.ndarray) -> np.ndarray:
    """Inverse error function."""
    import torch

    return torch.erfinv(torch.from_numpy(x)).numpy()
