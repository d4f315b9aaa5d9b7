"""The competitors from scikit-learn, XGBoost and CatBoost, at their defaults behind sensible preprocessing."""

from __future__ import annotations

import gzip
import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelgpt_cli.core.schema import Column, TaskType

MAX_CATEGORIES = 250
"""Levels of a column that the boosted trees tell apart (HistGradientBoosting's limit is 255)."""


def one_hot(columns: Sequence[Column]) -> ColumnTransformer:
    """Standardised numbers (missing = the mean) beside one-hot categories (missing = a category of its own)."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return _transformer(columns, numbers, categories)


def ordinal(columns: Sequence[Column]) -> ColumnTransformer:
    """Numbers as they are beside categories as integers; the categories come last."""
    categories = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=MAX_CATEGORIES,
    )
    return _transformer(columns, "passthrough", categories)


def _transformer(columns: Sequence[Column], numbers: Any, categories: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", numbers, [c.name for c in columns if c.used and c.is_float]),
            ("categories", categories, [c.name for c in columns if c.used and not c.is_float]),
        ]
    )


def is_categorical(columns: Sequence[Column]) -> np.ndarray:
    """Which columns of `ordinal`'s output are categories, bool (d,)."""
    used = [c for c in columns if c.used]
    return np.arange(len(used)) >= sum(c.is_float for c in used)


Make = Callable[..., Pipeline]
"""(columns, task, seed, threads, **parameters) -> an unfitted pipeline."""


class Fitted:
    """A scikit-learn pipeline as a method of the benchmark.

    Parameters
    ----------
    make : callable
        Makes the unfitted pipeline.
    parameters : dict
        Further arguments of `make`; none means the library's defaults.
    """

    versions: tuple[str, ...] = ("scikit-learn",)
    classes_: np.ndarray

    def __init__(self, make: Make, seed: int, threads: int, **parameters: Any) -> None:
        self.make, self.seed, self.threads, self.parameters = make, seed, threads, parameters

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column], task: TaskType) -> None:
        """Fit preprocessing and model on the training rows."""
        self.task, target = task, y
        if task == "classification":
            self.classes_, target = np.unique(y, return_inverse=True)  # XGBoost takes only integers
        self.pipeline = self.make(columns, task, self.seed, self.threads, **self.parameters).fit(frame, target)

    def package(self) -> int:
        """Bytes of the compressed pickle of everything that prediction needs."""
        return len(gzip.compress(pickle.dumps(self.pipeline)))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities (n, C), or predictions (n,)."""
        predict = self.pipeline.predict_proba if self.task == "classification" else self.pipeline.predict
        return np.asarray(predict(frame), dtype=np.float64)

    def interval(self, frame: pd.DataFrame, coverage: float) -> tuple[np.ndarray, np.ndarray] | None:
        """None: these give no intervals."""
        return None


class Majority(Fitted):
    """The most frequent class by its prior probabilities, or the mean: what no model may fall below."""

    def __init__(self, seed: int, threads: int) -> None:
        super().__init__(_dummy, seed, threads)

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column], task: TaskType) -> None:
        """Count, or average."""
        super().fit(frame, y, columns, task)
        self.y = y

    def interval(self, frame: pd.DataFrame, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles of the training target: the width that knowing nothing costs."""
        low, high = np.quantile(self.y, [(1 - coverage) / 2, (1 + coverage) / 2])
        return np.full(len(frame), low), np.full(len(frame), high)


def _dummy(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    return make_pipeline(DummyClassifier() if task == "classification" else DummyRegressor())


def neighbours(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """k nearest neighbours, k = 5."""
    kind = KNeighborsClassifier if task == "classification" else KNeighborsRegressor
    return make_pipeline(one_hot(columns), kind(n_jobs=threads))


def linear(columns: Sequence[Column], task: TaskType, seed: int, threads: int, **parameters: Any) -> Pipeline:
    """Logistic regression, or ridge."""
    if task == "regression":
        return make_pipeline(one_hot(columns), Ridge(**parameters))
    return make_pipeline(one_hot(columns), LogisticRegression(max_iter=1000, **parameters))


def network(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """scikit-learn's multi-layer perceptron: one hidden layer of 100, Adam, up to 200 epochs.

    It does not scale a numeric target itself, and does not learn from a large one.
    """
    if task == "classification":
        return make_pipeline(one_hot(columns), MLPClassifier(random_state=seed))
    model = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    return make_pipeline(one_hot(columns), model)


def forest(columns: Sequence[Column], task: TaskType, seed: int, threads: int, **parameters: Any) -> Pipeline:
    """Random forest of 100 trees."""
    kind = RandomForestClassifier if task == "classification" else RandomForestRegressor
    return make_pipeline(one_hot(columns), kind(n_jobs=threads, random_state=seed, **parameters))


def boosting(columns: Sequence[Column], task: TaskType, seed: int, threads: int, **parameters: Any) -> Pipeline:
    """HistGradientBoosting with its own treatment of categories and gaps."""
    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    model = kind(categorical_features=is_categorical(columns), random_state=seed, **parameters)
    return make_pipeline(ordinal(columns), model)


def xgboost(columns: Sequence[Column], task: TaskType, seed: int, threads: int, **parameters: Any) -> Pipeline:
    """XGBoost with its own treatment of categories and gaps."""
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBClassifier if task == "classification" else XGBRegressor
    types = ["c" if categorical else "q" for categorical in is_categorical(columns)]
    model = kind(feature_types=types, enable_categorical=True, n_jobs=threads, random_state=seed, **parameters)
    return make_pipeline(ordinal(columns), model)


class XGBoost(Fitted):
    """`xgboost` as a method."""

    versions: tuple[str, ...] = ("xgboost-cpu", "xgboost", "scikit-learn")


class CatBoost:
    """CatBoost on the raw columns, categories and gaps handled natively."""

    versions: tuple[str, ...] = ("catboost",)
    classes_: np.ndarray

    def __init__(self, seed: int, threads: int, **parameters: Any) -> None:
        self.seed, self.threads, self.parameters = seed, threads, parameters

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column], task: TaskType) -> None:
        """Fit on the training rows."""
        from catboost import CatBoostClassifier, CatBoostRegressor

        self.columns, self.task = [c for c in columns if c.used], task
        kind = CatBoostClassifier if task == "classification" else CatBoostRegressor
        self.model = kind(
            cat_features=[c.name for c in self.columns if not c.is_float],
            random_seed=self.seed,
            thread_count=self.threads,
            verbose=False,
            allow_writing_files=False,
            **self.parameters,
        )
        self.model.fit(self._cells(frame), y)
        if task == "classification":
            self.classes_ = self.model.classes_

    def package(self) -> int:
        """Bytes of the library's own file, compressed."""
        with tempfile.TemporaryDirectory(prefix="modelgpt-benchmark-") as folder:
            path = Path(folder) / "model.cbm"
            self.model.save_model(str(path))
            return len(gzip.compress(path.read_bytes()))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities (n, C), or predictions (n,)."""
        predict = self.model.predict_proba if self.task == "classification" else self.model.predict
        return np.asarray(predict(self._cells(frame)), dtype=np.float64)

    def interval(self, frame: pd.DataFrame, coverage: float) -> tuple[np.ndarray, np.ndarray] | None:
        """None: it gives no intervals."""
        return None

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The used columns; a missing category is the empty string, as CatBoost takes no gap in a category."""
        return pd.DataFrame(
            {c.name: frame[c.name] if c.is_float else frame[c.name].astype(object).fillna("") for c in self.columns}
        )
