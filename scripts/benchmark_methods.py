"""The methods of `benchmark_tabular.py`: from a typed training frame to a fitted model, all with one interface."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import Tensor, nn

from modelgpt_cli.data.schema import Column

JOBS = 2
EPOCHS, BATCH, LR, WEIGHT_DECAY, WIDTH = 20, 64, 2e-2, 1e-4, 128
LORA_R, LORA_ALPHA = 4, 8


class Method(Protocol):
    """One way to get from labelled rows to class probabilities; preprocessing is part of it."""

    classes_: np.ndarray

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column]) -> Method:
        """Learn from a typed frame [n rows, d columns] and its labels [n]."""
        ...

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities [n, C], in the order of `classes_`."""
        ...

    def n_bytes(self) -> int:
        """Size of what would have to be shipped."""
        ...


def one_hot(columns: Sequence[Column]) -> ColumnTransformer:
    """Standardised numbers (missing = the mean) beside one-hot categories (missing = a category of its own)."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return _transformer(columns, numbers, categories)


def ordinal(columns: Sequence[Column]) -> ColumnTransformer:
    """Numbers as they are beside categories as integers, at most 250 a column (the boosted trees' limit is 255)."""
    categories = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, max_categories=250
    )
    return _transformer(columns, "passthrough", categories)


def _transformer(columns: Sequence[Column], numbers: object, categories: object) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", numbers, [c.name for c in columns if c.is_float]),
            ("categories", categories, [c.name for c in columns if not c.is_float]),
        ]
    )


class Sklearn:
    """A scikit-learn classifier behind its preprocessing."""

    def __init__(self, make: Callable[[Sequence[Column]], Pipeline]) -> None:
        self.make = make

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column]) -> Sklearn:
        """Fit preprocessing and classifier on the training rows."""
        self.pipeline = self.make(columns).fit(frame, y)
        self.classes_ = self.pipeline.classes_
        return self

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities [n, C]."""
        return self.pipeline.predict_proba(frame)

    def n_bytes(self) -> int:
        """Bytes of the pickled pipeline."""
        return len(pickle.dumps(self.pipeline))


def _forest(seed: int) -> Callable[[Sequence[Column]], Pipeline]:
    return lambda columns: make_pipeline(one_hot(columns), RandomForestClassifier(n_jobs=JOBS, random_state=seed))


def _boosting(seed: int) -> Callable[[Sequence[Column]], Pipeline]:
    def make(columns: Sequence[Column]) -> Pipeline:
        n_numbers = sum(c.is_float for c in columns)
        mask = np.arange(len(columns)) >= n_numbers  # `ordinal` puts the categories last
        return make_pipeline(
            ordinal(columns), HistGradientBoostingClassifier(categorical_features=mask, random_state=seed)
        )

    return make


class Mlp(nn.Module):
    """The target network of the paper's baselines: inputs -> 128 -> 128 -> classes, with ReLU."""

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, C] of inputs [n, inputs]."""
        hidden = torch.relu(self.first(x))
        hidden = torch.relu(self.second(hidden))
        return self.head(hidden)


class Trained:
    """The paper's Finetune and LoRA baselines: `Mlp` from random weights, 20 epochs of Adam.

    Parameters
    ----------
    lora : bool
        Train only adapters of rank 4 on the two frozen random hidden layers, and the head.
    """

    def __init__(self, seed: int, lora: bool = False) -> None:
        self.seed, self.lora = seed, lora

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column]) -> Trained:
        """Fit the preprocessing, then train for `EPOCHS` epochs."""
        torch.manual_seed(self.seed)
        self.inputs = one_hot(columns)
        x = torch.from_numpy(np.asarray(self.inputs.fit_transform(frame), dtype=np.float32))  # [n, inputs]
        self.classes_, codes = np.unique(y, return_inverse=True)
        labels = torch.from_numpy(codes)  # [n]
        self.net: nn.Module = Mlp(x.shape[1], len(self.classes_))
        if self.lora:
            from peft import LoraConfig, get_peft_model

            config = LoraConfig(
                r=LORA_R, lora_alpha=LORA_ALPHA, target_modules=["first", "second"], modules_to_save=["head"]
            )
            self.net = get_peft_model(self.net, config)  # type: ignore[arg-type]
        trained = [p for p in self.net.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(trained, lr=LR, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimiser.zero_grad()
                nn.functional.cross_entropy(self.net(x[rows]), labels[rows]).backward()
                optimiser.step()
        return self

    @torch.no_grad()
    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities [n, C]."""
        x = torch.from_numpy(np.asarray(self.inputs.transform(frame), dtype=np.float32))
        return torch.softmax(self.net(x), dim=1).double().numpy()

    def n_bytes(self) -> int:
        """Bytes of the network's float32 parameters (LoRA merged, as it would ship)."""
        net = self.net.merge_and_unload() if self.lora else self.net  # type: ignore[operator]
        return sum(4 * p.numel() for p in net.parameters())


class Generated:
    """ModelGPT: the generator writes the network in one pass; optionally followed by epochs of tuning."""

    def __init__(self, seed: int, members: int | None = None, tune_epochs: int = 0) -> None:
        from modelgpt_cli.domains.tabular.estimator import TabularModelGPT

        self.estimator = TabularModelGPT(members=members, tune_epochs=tune_epochs, seed=seed, device="cpu")

    def fit(self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column]) -> Generated:
        """Fit the preprocessing on the training rows, and generate."""
        self.estimator.fit(frame, y, columns, task="classification")
        self.classes_ = self.estimator.classes_
        return self

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities [n, C]."""
        return self.estimator.predict_proba(frame)

    def n_bytes(self) -> int:
        """Bytes of the network's float32 parameters."""
        return int(self.estimator.n_bytes_)


METHODS: dict[str, Callable[[int], Method]] = {
    "majority": lambda seed: Sklearn(lambda columns: make_pipeline(DummyClassifier())),
    "logistic": lambda seed: Sklearn(
        lambda columns: make_pipeline(one_hot(columns), LogisticRegression(max_iter=1000))
    ),
    "forest": lambda seed: Sklearn(_forest(seed)),
    "boosting": lambda seed: Sklearn(_boosting(seed)),
    "lora": lambda seed: Trained(seed, lora=True),
    "finetune": lambda seed: Trained(seed),
    "modelgpt_1": lambda seed: Generated(seed, members=1),
    "modelgpt": lambda seed: Generated(seed),
    "modelgpt_tuned": lambda seed: Generated(seed, members=1, tune_epochs=1),
}
"""Method name -> a fresh, unfitted method for a seed."""

LABELS = {
    "majority": "majority class",
    "logistic": "logistic regression",
    "forest": "random forest",
    "boosting": "HistGradientBoosting",
    "lora": f"LoRA, r {LORA_R}, {EPOCHS} epochs",
    "finetune": f"Finetune, {EPOCHS} epochs",
    "modelgpt_1": "**ModelGPT**, one pass",
    "modelgpt": "**ModelGPT**, default ensemble",
    "modelgpt_tuned": "**ModelGPT-F**, one pass + one epoch",
}
