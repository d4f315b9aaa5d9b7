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
from sklearn import ensemble, linear_model, neighbors, neural_network
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelgpt_cli.core.schema import Column, TaskType

from .tasks import Table

MAX_CATEGORIES = 250
"""Levels of a column that the boosted trees tell apart (HistGradientBoosting's limit is 255)."""
Interval = tuple[np.ndarray, np.ndarray]


def one_hot(columns: Sequence[Column]) -> ColumnTransformer:
    """Standardised numbers (missing = the mean) beside one-hot categories (missing = a category of its own)."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return _transformer(columns, numbers, categories)


def ordinal(columns: Sequence[Column]) -> ColumnTransformer:
    """Numbers as they are beside categories as integers; the categories come last."""
    categories = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan,
        max_categories=MAX_CATEGORIES,
    )  # fmt: skip
    return _transformer(columns, "passthrough", categories)


def _transformer(columns: Sequence[Column], numbers: Any, categories: Any) -> ColumnTransformer:
    used = [c for c in columns if c.used]
    parts = ("numbers", numbers, True), ("categories", categories, False)
    return ColumnTransformer([(name, step, [c.name for c in used if c.is_float == kind]) for name, step, kind in parts])


def is_categorical(columns: Sequence[Column]) -> np.ndarray:
    """Return which columns of `ordinal`'s output are categories, bool (d,)."""
    used = [c for c in columns if c.used]
    return np.arange(len(used)) >= sum(c.is_float for c in used)


class Competitor:
    """What all of them share."""

    classes_: np.ndarray
    task: TaskType

    def __init__(self, seed: int, threads: int) -> None:
        self.seed, self.threads = seed, threads

    def interval(self, frame: pd.DataFrame, coverage: float) -> Interval | None:
        """None: these give no intervals."""
        return None


class Pipelined(Competitor):
    """A scikit-learn pipeline.

    Parameters
    ----------
    make : callable
        ``(columns, task, seed, threads)`` -> an unfitted pipeline.
    """

    def __init__(self, make: Callable[..., Pipeline], seed: int, threads: int) -> None:
        super().__init__(seed, threads)
        self.make = make

    def fit(self, train: Table) -> None:
        """Fit preprocessing and model on the training rows."""
        self.task, target = train.task, train.y
        if train.task == "classification":
            self.classes_, target = np.unique(train.y, return_inverse=True)  # XGBoost takes only integers
        self.pipeline = self.make(train.columns, train.task, self.seed, self.threads).fit(train.frame, target)

    def package(self) -> int:
        """Return the bytes of the compressed pickle of everything that prediction needs."""
        return len(gzip.compress(pickle.dumps(self.pipeline)))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return probabilities (n, C), or predictions (n,)."""
        predict = self.pipeline.predict_proba if self.task == "classification" else self.pipeline.predict
        return np.asarray(predict(frame), dtype=np.float64)


class Majority(Pipelined):
    """The most frequent class by its prior probabilities, or the mean: what no model may fall below."""

    def __init__(self, seed: int, threads: int) -> None:
        super().__init__(_dummy, seed, threads)

    def fit(self, train: Table) -> None:
        """Count, or average."""
        super().fit(train)
        self.y = train.y

    def interval(self, frame: pd.DataFrame, coverage: float) -> Interval:
        """Return quantiles of the training target: the width that knowing nothing costs."""
        low, high = np.quantile(self.y, [(1 - coverage) / 2, (1 + coverage) / 2])
        return np.full(len(frame), low), np.full(len(frame), high)


def _dummy(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    return make_pipeline(DummyClassifier() if task == "classification" else DummyRegressor())


def _kind(library: Any, name: str, task: TaskType) -> Any:
    """Return a library's classifier or regressor."""
    return getattr(library, name + ("Classifier" if task == "classification" else "Regressor"))


def neighbours(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """k nearest neighbours, k = 5."""
    return make_pipeline(one_hot(columns), _kind(neighbors, "KNeighbors", task)(n_jobs=threads))


def linear(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """Logistic regression, or ridge."""
    if task == "regression":
        return make_pipeline(one_hot(columns), linear_model.Ridge())
    return make_pipeline(one_hot(columns), linear_model.LogisticRegression(max_iter=1000))


def network(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """scikit-learn's multi-layer perceptron: one hidden layer of 100, Adam, up to 200 epochs.

    It does not scale a numeric target itself, and does not learn from a large one.
    """
    model = _kind(neural_network, "MLP", task)(random_state=seed)
    if task == "regression":
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return make_pipeline(one_hot(columns), model)


def forest(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """Random forest of 100 trees."""
    kind = _kind(ensemble, "RandomForest", task)
    return make_pipeline(one_hot(columns), kind(n_jobs=threads, random_state=seed))


def boosting(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """HistGradientBoosting with its own treatment of categories and gaps."""
    kind = _kind(ensemble, "HistGradientBoosting", task)
    model = kind(categorical_features=is_categorical(columns), random_state=seed)
    return make_pipeline(ordinal(columns), model)


def xgboost(columns: Sequence[Column], task: TaskType, seed: int, threads: int) -> Pipeline:
    """XGBoost with its own treatment of categories and gaps."""
    import xgboost as library

    types = ["c" if categorical else "q" for categorical in is_categorical(columns)]
    model = _kind(library, "XGB", task)(feature_types=types, enable_categorical=True, n_jobs=threads, random_state=seed)
    return make_pipeline(ordinal(columns), model)


class CatBoost(Competitor):
    """CatBoost on the raw columns, categories and gaps handled natively."""

    def __init__(self, seed: int, threads: int, **parameters: Any) -> None:
        super().__init__(seed, threads)
        self.parameters = parameters

    def fit(self, train: Table) -> None:
        """Fit on the training rows."""
        import catboost

        self.columns, self.task = [c for c in train.columns if c.used], train.task
        self.model = _kind(catboost, "CatBoost", train.task)(
            cat_features=[c.name for c in self.columns if not c.is_float], random_seed=self.seed,
            thread_count=self.threads, verbose=False, allow_writing_files=False, **self.parameters,
        )  # fmt: skip
        self.model.fit(self._cells(train.frame), train.y)
        if train.task == "classification":
            self.classes_ = self.model.classes_

    def package(self) -> int:
        """Return the bytes of the library's own file, compressed."""
        with tempfile.TemporaryDirectory(prefix="modelgpt-benchmark-") as folder:
            path = Path(folder) / "model.cbm"
            self.model.save_model(str(path))
            return len(gzip.compress(path.read_bytes()))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return probabilities (n, C), or predictions (n,)."""
        predict = self.model.predict_proba if self.task == "classification" else self.model.predict
        return np.asarray(predict(self._cells(frame)), dtype=np.float64)

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the used columns; a missing category is the empty string, as CatBoost takes no gap in a category."""
        cells: pd.DataFrame = pd.DataFrame(
            {c.name: frame[c.name] if c.is_float else frame[c.name].astype(object).fillna("") for c in self.columns}
        )
        return cells
