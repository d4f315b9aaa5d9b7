"""Competitors tuned by random search: cross-validation on the training rows, for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline

from modelgpt_cli.core.metrics import roc_auc
from modelgpt_cli.core.schema import Column, TaskType

from ..metrics import number_metrics
from .competitors import CatBoost, Competitor, Pipelined, boosting, forest, linear, xgboost
from .tasks import Table

FOLDS = 3
Parameters = dict[str, Any]
Rng = np.random.Generator


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _linear(rng: Rng, task: TaskType) -> Parameters:
    name = "C" if task == "classification" else "alpha"
    return {name: _log_uniform(rng, 1e-4, 1e4)}


def _forest(rng: Rng, task: TaskType) -> Parameters:
    return {
        "n_estimators": int(rng.integers(100, 501)),
        "max_features": float(rng.uniform(0.1, 1)),
        "min_samples_leaf": int(_log_uniform(rng, 1, 20)),
        "max_depth": [None, 4, 8, 16][rng.integers(4)],
    }


def _boosting(rng: Rng, task: TaskType) -> Parameters:
    return {
        "learning_rate": _log_uniform(rng, 0.01, 0.5),
        "max_iter": int(_log_uniform(rng, 30, 500)),
        "max_leaf_nodes": int(_log_uniform(rng, 4, 64)),
        "min_samples_leaf": int(_log_uniform(rng, 2, 60)),
        "l2_regularization": _log_uniform(rng, 1e-4, 100),
    }


def _xgboost(rng: Rng, task: TaskType) -> Parameters:
    return {
        "learning_rate": _log_uniform(rng, 0.01, 0.5),
        "n_estimators": int(_log_uniform(rng, 30, 500)),
        "max_depth": int(rng.integers(2, 11)),
        "min_child_weight": _log_uniform(rng, 0.1, 30),
        "subsample": float(rng.uniform(0.4, 1)),
        "colsample_bytree": float(rng.uniform(0.4, 1)),
        "reg_lambda": _log_uniform(rng, 1e-2, 100),
        "reg_alpha": _log_uniform(rng, 1e-4, 10),
    }


def _catboost(rng: Rng, task: TaskType) -> Parameters:
    return {
        "learning_rate": _log_uniform(rng, 0.01, 0.5),
        "iterations": int(_log_uniform(rng, 30, 1000)),
        "depth": int(rng.integers(2, 9)),
        "l2_leaf_reg": _log_uniform(rng, 0.5, 50),
        "random_strength": _log_uniform(rng, 0.1, 20),
    }


def _pipelined(make: Callable[..., Pipeline], seed: int, threads: int, **parameters: Any) -> Pipelined:
    def made(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
        pipeline = make(columns, task, seed, threads)
        pipeline[-1].set_params(**parameters)
        return pipeline

    return Pipelined(made, seed, threads)


TUNABLE: dict[str, tuple[Callable[..., Any], Callable[[Rng, TaskType], Parameters]]] = {
    "logistic": (partial(_pipelined, linear), _linear),
    "forest": (partial(_pipelined, forest), _forest),
    "boosting": (partial(_pipelined, boosting), _boosting),
    "xgboost": (partial(_pipelined, xgboost), _xgboost),
    "catboost": (CatBoost, _catboost),
}
"""Method name -> how to make it from (seed, threads, **parameters), and a random draw of parameters."""


class Tuned(Competitor):
    """A competitor with the best of the parameters that were tried; the defaults are tried first, and whole.

    A candidate counts by its mean ROC AUC (R² for regression) over 3 folds of the training rows. When the time is up
    a candidate that has not had all its folds is given up, and the best is fitted to all training rows. The search is
    part of fitting.

    Parameters
    ----------
    name : str
        A key of `TUNABLE`.
    seconds : float
        For the search; of processor time per thread, so that other work on the machine takes nothing away.
    """

    def __init__(self, name: str, seconds: float, seed: int, threads: int) -> None:
        super().__init__(seed, threads)
        self.make, self.draw = TUNABLE[name]
        self.seconds = seconds

    def fit(self, train: Table) -> None:
        """Search, then fit the best."""
        stop = time.process_time() + self.seconds * self.threads
        rng = np.random.default_rng(self.seed)
        kind = StratifiedKFold if train.task == "classification" else KFold
        folds = list(kind(FOLDS, shuffle=True, random_state=self.seed).split(train.frame, train.y))
        self.best: Parameters = {}
        best_score, candidate, self.tried = -np.inf, dict[str, Any](), 0
        while not self.tried or time.process_time() < stop:
            scores: list[float] = []
            for learnt, judged in folds:
                if self.tried and time.process_time() >= stop:
                    break
                scores.append(self._score(candidate, train.take(learnt), train.take(judged)))
            if len(scores) == FOLDS:
                self.tried += 1
                if (score := float(np.mean(scores))) > best_score:
                    best_score, self.best = score, candidate
            candidate = self.draw(rng, train.task)
        self.model = self.make(self.seed, self.threads, **self.best)
        self.model.fit(train)
        if train.task == "classification":
            self.classes_ = self.model.classes_

    def _score(self, parameters: Parameters, train: Table, test: Table) -> float:
        model = self.make(self.seed, self.threads, **parameters)
        model.fit(train)
        answers = model.predict(test.frame)
        if test.task == "regression":
            return number_metrics(test.y, answers)["r2"]
        known = np.isin(test.y, model.classes_)  # a class with two rows may be in one fold only
        codes = np.searchsorted(model.classes_, test.y[known])
        return roc_auc(codes, answers[known]) or 0.5

    def package(self) -> int:
        """As the competitor's."""
        return int(self.model.package())

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return probabilities (n, C), or predictions (n,)."""
        answers: np.ndarray = self.model.predict(frame)
        return answers
