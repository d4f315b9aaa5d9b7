"""What a table's model is measured on, and a model with random numbers that costs as much as any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.dummy import dummy_blueprint
from modelgpt_cli.domains.tabular.kernel_model import Kernel
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.text_rows import TEXT_WORDS
from modelgpt_cli.domains.tabular.tree_model import Trees, n_sums
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.measure import Rows
from modelgpt_cli.runtime.session import Model

DUMMY_TREES = 300
"""For each sum of leaves; a build has between 40 and 300."""
DUMMY_POINTS = 512
"""As many as a kernel has at most."""
COMPARED = 2000
"""A row costs next to nothing."""


def batch(session: Model, batch_size: int, rows: Rows) -> dict[str, Any]:
    """Return neutral rows, whatever is given: missing numbers, unknown categories, texts of `TEXT_WORDS` words."""
    cells: dict[str, Any] = {"categorical": "", "boolean": "", "text": "word " * TEXT_WORDS}
    return {
        entry["name"]: np.full(batch_size, cells[entry["type"]], dtype=object)
        if entry["type"] in cells
        else np.full(batch_size, np.nan, dtype=np.float32)
        for entry in session.metadata["inputs"]
    }


def columns(model: TabularModel, rows: pd.DataFrame) -> Mapping[str, Any]:
    """Return a typed frame's columns."""
    return {column.name: rows[column.name].to_numpy() for column in model.blueprint.used}


def parameters(model: TabularModel) -> int:
    """Return the parameters of network, kernel and (where it is carried) text encoder; numbers of trees."""
    from modelgpt_cli.parameter_generator.default_encoder import PARAMETERS

    beside = 0 if model.trees is None else len(model.trees.value)
    beside += 0 if model.kernel is None else model.kernel.numel()
    return sum(p.numel() for p in model.parameters()) + beside + (PARAMETERS if model.preprocessor.textual else 0)


def smaller(model: TabularModel) -> str:
    """Return how to do without the text encoder, where the model carries it."""
    return "--text-columns drop" if model.preprocessor.textual else ""


def bench_rows() -> None:
    """Return none: neutral rows will do."""


def dummy_model(card: ArchitectureCard, n_columns: int, classes: int) -> TabularModel:
    """Return a model of random numbers for so many columns of numbers."""
    import torch

    from modelgpt_cli.domains.shared.names import CONSTANTS
    from modelgpt_cli.domains.tabular.architectures import KERNEL, SETTING, TREES
    from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
    from modelgpt_cli.domains.tabular.requirement_only import encoder_from_statistics
    from modelgpt_cli.domains.tabular.sizes import CHANNELS
    from modelgpt_cli.domains.tabular.sizes import HIDDEN as H

    numbers = tuple(Column(f"x{i}", "numeric", mean=0.0, std=1.0) for i in range(n_columns))
    encoder = encoder_from_statistics(make_preprocessor(numbers))
    M, C, d, f = card.settings[SETTING], classes, encoder.n_features, encoder.n_full
    shapes = {
        "layers.0.weight": (M, f * CHANNELS + d - f, H),
        "layers.0.bias": (M, 1, H),
        "layers.1.weight": (M, H, H),
        "layers.1.bias": (M, 1, H),
        "head.hidden1": (M, H, C),
        "head.hidden2": (M, H, C),
        "head.linear": (d, C),
        "head.bias": (C,),
    }
    draw = torch.Generator().manual_seed(0)
    state = {CONSTANTS + name: value for name, value in encoder.state().items()}
    state |= {name: torch.randn(shape, generator=draw) / 100 for name, shape in shapes.items()}
    trees = dummy_trees(n_columns, classes) if card.settings[TREES] else None
    state |= {} if trees is None else trees.state()
    points = DUMMY_POINTS if card.settings[KERNEL] else 0
    if points:
        state |= Kernel(torch.ones(d), torch.zeros(points, d), torch.zeros(points, C), torch.zeros(C)).state()
    architecture = Architecture(members=M, trees=0 if trees is None else len(trees), kernel=points)
    return TabularModel(dummy_blueprint(card, numbers, classes, architecture), state)


def dummy_trees(n_columns: int, classes: int) -> Trees:
    """Return `DUMMY_TREES` random trees of eight leaves each, for each sum of leaves that so many classes take."""
    K, rng = n_sums(classes), np.random.default_rng(0)
    right = np.array([8, 5, 4, 0, 0, 7, 0, 0, 12, 11, 0, 0, 14, 0, 0])  # two ways at each of three steps
    T, n = DUMMY_TREES * K, len(right)
    starts = np.arange(T) * n
    inner = np.tile(right > 0, T)
    return Trees(
        feature=np.where(inner, rng.integers(0, n_columns, T * n), 0).astype(np.int16),
        value=rng.standard_normal(T * n).astype(np.float32) / np.where(inner, 1, 100).astype(np.float32),
        right=np.where(inner, np.tile(right, T) + np.repeat(starts, n), 0).astype(np.int32),
        missing_left=np.zeros(T * n, dtype=np.bool_),
        roots=starts.astype(np.int32),
        sums=np.repeat(np.arange(T) % K, n).astype(np.int16),
    )
