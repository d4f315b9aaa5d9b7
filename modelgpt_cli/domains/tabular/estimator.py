"""Tables without files: a scikit-learn-like estimator over the same steps that `modelgpt build` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column, TaskType
from modelgpt_cli.domains.tabular.crossfit import CrossFit, cross_fit, one_pass
from modelgpt_cli.domains.tabular.fit import DEFAULT_MEMBERS, TableArrays
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.intervals import DEFAULT_COVERAGE, add_interval, check_coverage
from modelgpt_cli.domains.tabular.model import CONSTANTS, PARAMETERS, TabularModel
from modelgpt_cli.domains.tabular.preprocessing import TableCodec, make_codec
from modelgpt_cli.domains.tabular.text_columns import projection_state


def make_model(blueprint: Blueprint, codec: TableCodec, cross: CrossFit, table: TableArrays) -> TabularModel:
    """Solve and merge: the target model of a blueprint, whose columns get the codec's levels."""
    heads = cross.heads(table)
    state = cross.fitted.state(heads) | {CONSTANTS + k: v for k, v in projection_state(codec.texts).items()}
    return TabularModel(replace(blueprint, columns=with_levels(blueprint.columns, codec)), state)


def with_levels(columns: Sequence[Column], codec: TableCodec) -> tuple[Column, ...]:
    """The columns, the categorical ones holding the vocabulary that the codec encodes with."""
    vocabulary = {codec.columns[i].name: levels for i, levels in zip(codec.categorical, codec.levels, strict=True)}
    return tuple(replace(c, levels=vocabulary[c.name]) if c.name in vocabulary else c for c in columns)


class TabularModelGPT:
    """Generate a model for a typed frame; no gradient step unless `tune_epochs` asks for it.

    Parameters
    ----------
    members : int, optional
        M; 1 is a single pass. By default 8, with the head chosen by cross-fitting.
    validate : bool, optional
        Choose the head by cross-fitting; by default only for more than one member.
    tune_epochs : int
        Epochs of all-parameter finetuning (ModelGPT-F) afterwards.
    generator : str, optional
        A checkpoint; the shipped one by default.
    coverage : float
        Regression: share of true values that `predict_interval` shall hold; 0 for no interval.

    Attributes
    ----------
    classes_ : ndarray (C,)
    n_bytes_ : int
        Bytes of the fp32 model.
    """

    def __init__(
        self,
        members: int | None = None,
        tune_epochs: int = 0,
        seed: int = 0,
        device: str = "cpu",
        validate: bool | None = None,
        generator: str | None = None,
        coverage: float = DEFAULT_COVERAGE,
    ) -> None:
        check_coverage(coverage)
        self.members, self.coverage = members or DEFAULT_MEMBERS, coverage
        self.validate = self.members > 1 if validate is None else validate
        self.tune_epochs, self.seed, self.device = tune_epochs, seed, device
        path = generator or asset("weights", "tabular", "generator.safetensors")
        self.generator, _ = load_generator(path, device)

    def fit(
        self, frame: pd.DataFrame, y: np.ndarray, columns: Sequence[Column], task: TaskType = "classification"
    ) -> TabularModelGPT:
        """Make the model from a typed frame (see `Column`) and its targets."""
        used = [c for c in columns if c.used]
        codec = make_codec(used, frame)
        x, codes = codec.arrays(frame)
        self.classes_ = np.unique(y) if task == "classification" else np.zeros(0)
        labels = np.searchsorted(self.classes_, y) if len(self.classes_) else np.asarray(y, dtype=np.float32)
        levels = tuple(len(names) for names in codec.levels)
        table = TableArrays(x, codes, labels, len(self.classes_), levels)
        if self.validate:
            cross = cross_fit(self.generator, table, members=self.members, seed=self.seed, device=self.device)
        else:
            cross = one_pass(self.generator, table, members=self.members, seed=self.seed, device=self.device)
        blueprint = Blueprint(
            task=task,
            target="target",
            labels=tuple(str(c) for c in self.classes_),
            columns=tuple(used),
            requirement="",
            architecture=Architecture(members=self.members),
        )
        self.model_ = make_model(blueprint, codec, cross, table)
        if task == "regression":
            add_interval(self.model_, table, cross.checked, self.coverage)
        if self.tune_epochs:
            from modelgpt_cli.domains.tabular.tune import tune_arrays

            tune_arrays(self.model_, table, epochs=self.tune_epochs, seed=self.seed)
        state = self.model_.state()
        self.n_bytes_ = sum(v.numel() * v.element_size() for k, v in state.items() if k in PARAMETERS)
        return self

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities (N, C), or predictions (N, 1) for regression."""
        return self.model_.predict(frame)

    def predict_interval(self, frame: pd.DataFrame) -> np.ndarray:
        """Lower and upper bounds of a regression's prediction, (N, 2).

        Raises
        ------
        ModelGPTError
            The model has none.
        """
        if not self.model_.has_interval:
            raise ModelGPTError(
                "This model has no prediction interval.",
                "It is a classifier, was fitted without cross-validation or with coverage=0, or had too few rows.",
            )
        return self.model_.predict(frame, interval=True)[:, 1:]
