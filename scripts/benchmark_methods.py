"""The methods of `benchmark_tabular.py` by name: from a typed training frame to a fitted model, one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from benchmark_common import versions
from benchmark_networks import Trained
from benchmark_ours import Generated, generator_hash
from benchmark_sklearn import (
    CatBoost,
    Fitted,
    Majority,
    XGBoost,
    boosting,
    forest,
    linear,
    neighbours,
    network,
    xgboost,
)
from benchmark_tuned import TUNABLE, Tuned

from modelgpt_cli.core.schema import Column, TaskType


class Method(Protocol):
    """One way to get from labelled rows to answers; preprocessing is part of it.

    After fitting classification, ``classes_`` holds the class names in the order of the probabilities.
    """

    classes_: np.ndarray
    versions: tuple[str, ...]
    """Packages whose versions are written down; of alternatives, those that are installed."""

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column], task: TaskType) -> None:
        """Learn from a typed frame [n rows, d columns] and its targets (n,). This is what is timed."""
        ...

    def package(self) -> int:
        """Bytes of what would be shipped. Called once after `fit`, before `predict`."""
        ...

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities (n, C) in the order of ``classes_``, or predictions (n,)."""
        ...

    def interval(self, frame: pd.DataFrame, coverage: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Regression: lower and upper ends (n,) that hold a share `coverage` of the targets, if it gives any."""
        ...


Make = Callable[[int, int], Method]
"""(seed, threads) -> a fresh, unfitted method."""

COMPETITORS: dict[str, Make] = {
    "majority": Majority,
    "knn": partial(Fitted, neighbours),
    "logistic": partial(Fitted, linear),
    "mlp": partial(Fitted, network),
    "forest": partial(Fitted, forest),
    "boosting": partial(Fitted, boosting),
    "xgboost": partial(XGBoost, xgboost),
    "catboost": CatBoost,
    "lora": partial(Trained, lora=True),
    "finetune": Trained,
}
OURS: dict[str, dict[str, Any]] = {
    "one_pass": {"members": 1},
    "ensemble": {"members": None},
    "ensemble8": {"members": 8},
    "tuned_ours": {"members": None, "tune_epochs": 1},
}
"""Our methods, by the arguments of `Generated`."""


def make_methods(tuned: int = 0, generator: Path | None = None) -> dict[str, Make]:
    """Method name -> how to make it.

    Parameters
    ----------
    tuned : int
        Seconds of random search on each split; adds a tuned twin of each method that can be tuned.
    generator : Path, optional
        The checkpoint that our methods use.
    """
    methods: dict[str, Make] = dict(COMPETITORS)
    for name in TUNABLE if tuned else ():
        methods[f"{name}_tuned{tuned}"] = partial(Tuned, name, float(tuned))
    for name, arguments in OURS.items():
        methods[name] = partial(Generated, generator=generator, **arguments)
    return methods


def method_versions(name: str, method: Method, generator: Path | None) -> str:
    """What a row says of the software behind it, such as ``scikit-learn 1.7.2``; ours name the generator, too."""
    found = versions(*method.versions)
    return f"{found}, generator {generator_hash(generator)}" if name in OURS else found
