"""The methods of the table benchmark by name.

A model has ``fit(train: Table)``, which is what is timed; ``package()``, the bytes of what would be shipped, called
once after fitting; ``predict(frame)``, probabilities (n, C) in the order of ``classes_`` or predictions (n,); and
``interval(frame, coverage)``, lower and upper ends (n,) that hold a share of the targets, or None.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ..harness import Method
from .competitors import CatBoost, Majority, Pipelined, boosting, forest, linear, neighbours, network, xgboost
from .networks import Trained
from .ours import Generated
from .tuned import TUNABLE, Tuned

SKLEARN = ("scikit-learn",)
XGBOOST = ("xgboost-cpu", "xgboost", "scikit-learn")
COMPETITORS: dict[str, Method] = {
    "majority": Method(Majority, packages=SKLEARN),
    "knn": Method(partial(Pipelined, neighbours), packages=SKLEARN),
    "logistic": Method(partial(Pipelined, linear), packages=SKLEARN),
    "mlp": Method(partial(Pipelined, network), packages=SKLEARN),
    "forest": Method(partial(Pipelined, forest), packages=SKLEARN),
    "boosting": Method(partial(Pipelined, boosting), packages=SKLEARN),
    "xgboost": Method(partial(Pipelined, xgboost), packages=XGBOOST),
    "catboost": Method(CatBoost, packages=("catboost",)),
    "lora": Method(partial(Trained, lora=True), packages=("torch", "peft")),
    "finetune": Method(Trained, packages=("torch", "peft")),
}
"""``make(seed, threads)`` returns a fresh, unfitted model."""
OURS: dict[str, dict[str, Any]] = {
    "one_pass": {"members": 1},
    "ensemble": {"members": None},
    "ensemble8": {"members": 8},
    "network": {"members": None, "trees": False, "kernel": False},
    "tuned_ours": {"members": None, "tune_epochs": 1},
}
"""Our methods, by the arguments of `Generated`."""


def make_methods(generator: Path | None = None, tuned: int = 0) -> dict[str, Method]:
    """Return the methods by name; ours with a checkpoint, the shipped one by default.

    Parameters
    ----------
    tuned : int
        Seconds of random search on each split: adds a tuned twin of each method that can be tuned.
    """
    packages = ("modelgpt-cli", "torch", "onnxruntime")
    ours = {name: partial(Generated, generator=generator, **arguments) for name, arguments in OURS.items()}
    twins = {
        f"{name}_tuned{tuned}": Method(partial(Tuned, name, float(tuned)), packages=COMPETITORS[name].packages)
        for name in (TUNABLE if tuned else ())
    }
    return COMPETITORS | twins | {name: Method(make, packages=packages, ours=True) for name, make in ours.items()}
