"""Target models with random parameters over random tables, for tests of the artifact that need no generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.tabular.encoder import fit_encoder
from modelgpt_cli.domains.tabular.model import CONSTANTS, TabularModel
from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
from modelgpt_cli.domains.tabular.sizes import CHANNELS


def random_table(n_rows: int = 200, seed: int = 0) -> tuple[list[Column], pd.DataFrame]:
    """A typed table: full, coded, two-valued and missing numbers, dates, booleans, categories, a constant."""
    rng = np.random.default_rng(seed)
    cells: dict[str, np.ndarray] = {
        "age": rng.normal(40, 12, n_rows),
        "income": np.exp(rng.normal(10, 2, n_rows)),
        "rooms": rng.integers(1, 6, n_rows).astype(float),
        "flag": rng.integers(0, 2, n_rows).astype(float),
        "seen on": rng.uniform(15_000, 20_000, n_rows),
        "colour": rng.choice(["red", "grün", "blue, or so"], n_rows).astype(object),
        "label": rng.choice(["yes", "no"], n_rows).astype(object),
        "same": np.full(n_rows, "x", dtype=object),
    }
    for name in ("income", "rooms", "seen on", "colour"):
        gone = rng.random(n_rows) < 0.15
        cells[name] = np.where(gone, np.nan if cells[name].dtype == float else None, cells[name])
    kinds = {"seen on": "datetime", "colour": "categorical", "label": "boolean", "same": "categorical"}
    columns = [Column(name, kinds.get(name, "numeric")) for name in cells]
    columns.append(Column("id", "identifier", note="every row has another value"))
    return columns, pd.DataFrame(cells)


def random_model(
    columns: Sequence[Column],
    frame: pd.DataFrame,
    *,
    labels: Sequence[str] = (),
    members: int = 2,
    hidden: int = 16,
    target: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> TabularModel:
    """A model with random parameters: a classifier if it has `labels`, else a regressor."""
    preprocessor = make_preprocessor(columns, frame)
    x, codes = preprocessor.arrays(frame)
    encoder = fit_encoder(x, codes, [len(names) for names in preprocessor.levels])
    f, d, c = encoder.n_full, encoder.n_features, len(labels) or 1
    rows = f * CHANNELS + d - f
    shapes = {
        "layers.0.weight": (members, rows, hidden),
        "layers.0.bias": (members, 1, hidden),
        "layers.1.weight": (members, hidden, hidden),
        "layers.1.bias": (members, 1, hidden),
        "head.hidden1": (members, hidden, c),
        "head.hidden2": (members, hidden, c),
        "head.linear": (d, c),
        "head.bias": (c,),
    }
    draw = torch.Generator().manual_seed(seed)
    state = {f"{CONSTANTS}{k}": v for k, v in encoder.state().items()}
    for name, shape in shapes.items():
        fan_in = shape[-2] if len(shape) > 1 else 1
        state[name] = torch.randn(shape, generator=draw) / max(fan_in, 1) ** 0.5
    if not labels:
        state[f"{CONSTANTS}target"] = torch.tensor(target)
    levels = dict(
        zip([preprocessor.columns[i].name for i in preprocessor.categorical], preprocessor.levels, strict=True)
    )
    blueprint = Blueprint(
        task="classification" if labels else "regression",
        target="y",
        labels=tuple(labels),
        columns=tuple(_fitted(column, frame, levels.get(column.name, ())) for column in columns),
        requirement="Tell what is asked from what is known.",
        architecture=Architecture(hidden=hidden, members=members),
    )
    return TabularModel(blueprint, state)


def _fitted(column: Column, frame: pd.DataFrame, levels: tuple[str, ...]) -> Column:
    if not column.used:
        return column
    if not column.is_float:
        return replace(column, levels=levels, n_levels=len(levels))
    return replace(column, mean=float(frame[column.name].mean()), std=float(frame[column.name].std(ddof=0)))
