"""Tables without files: scikit-learn estimators over the same step that ``modelgpt build`` takes, `fit_model`.

Shapes: N rows, d columns, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_is_fitted, validate_data

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.option_fields import Options, options_of
from modelgpt_cli.core.schema import Column, TaskType
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.typing import typed
from modelgpt_cli.domains.tabular.fit import DEFAULT_MEMBERS, TableArrays
from modelgpt_cli.domains.tabular.fit_model import fit_model
from modelgpt_cli.domains.tabular.generator import shared_generator
from modelgpt_cli.domains.tabular.intervals import DEFAULT_COVERAGE, check_coverage
from modelgpt_cli.domains.tabular.kernel_model import PREFIX as KERNEL
from modelgpt_cli.domains.tabular.leaks import find_copies
from modelgpt_cli.domains.tabular.level_statistics import add_statistics
from modelgpt_cli.domains.tabular.model import PARAMETERS, TabularModel
from modelgpt_cli.domains.tabular.options import BuildOptions, TuneOptions
from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
from modelgpt_cli.domains.tabular.teacher import Teacher
from modelgpt_cli.domains.tabular.tree_model import PREFIX
from modelgpt_cli.parameter_generator.checkpoint import generator_file

TARGET = "target"


class _TabularEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the classifier and the regressor share."""

    _task: TaskType

    def __init__(
        self,
        *,
        members: int | None = None,
        one_pass: bool = False,
        trees: bool | None = None,
        kernel: bool | None = None,
        tune_epochs: int = 0,
        teacher: Any = None,
        columns: Sequence[Column] | None = None,
        generator: str | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.columns = columns
        self.members = members
        self.one_pass = one_pass
        self.trees = trees
        self.kernel = kernel
        self.tune_epochs = tune_epochs
        self.teacher = teacher
        self.generator = generator
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _fit(self, X: Any, y: np.ndarray, labels: tuple[str, ...], coverage: float = 0.0) -> None:
        """Make the model from rows and their class indices, or numbers."""
        members = _checked_number(BuildOptions, "members", self.members)
        if self.teacher is not None and self.one_pass:
            raise UsageError(
                "teacher takes cross-validation, and one_pass does without.", hint="Leave out one of them."
            )
        epochs = _checked_number(TuneOptions, "epochs", self.tune_epochs or None, "tune_epochs")
        frame, columns = self._training_frame(X, y, labels)
        used = tuple(c for c in columns if c.used)
        if not used:
            raise ModelGPTError("There is nothing to learn from.", "No column varies, or all are identifiers.")
        preprocessor = make_preprocessor(used, frame, many_levels=True)
        x, codes = preprocessor.arrays(frame)
        targets = y if labels else y.astype(np.float64)
        table = TableArrays(x, codes, targets, len(labels), tuple(len(names) for names in preprocessor.levels))
        table = replace(table, split=find_copies(table)[0])
        preprocessor, table = add_statistics(preprocessor, table)
        generator, _ = shared_generator(generator_file(self.generator, "tabular"))
        trees, kernel = (members is None if own is None else own for own in (self.trees, self.kernel))
        members = members or (1 if self.one_pass else DEFAULT_MEMBERS)
        blueprint = Blueprint(
            task=self._task,
            target=TARGET,
            labels=labels,
            columns=used,
            requirement="",
            architecture=Architecture(members=members),
        )
        device = pick_device(self.device)
        seed = self.random_state if isinstance(self.random_state, int) else _drawn_seed(self.random_state)
        fitted = fit_model(
            generator,
            table,
            preprocessor,
            blueprint,
            seed=seed,
            device=device,
            validate=not self.one_pass,
            coverage=coverage,
            trees=trees and not self.one_pass,
            kernel=kernel and not self.one_pass,
            teacher=None if self.teacher is None else Teacher(self.teacher, self._task, seed),
        )
        self.model_: TabularModel = fitted.model
        if epochs is not None:
            from modelgpt_cli.domains.tabular.rebuild import by_generator
            from modelgpt_cli.domains.tabular.tune import tune_arrays
            from modelgpt_cli.training.tune import TuneSettings

            rebuild = by_generator(self.model_, generator, seed=seed, device=device)
            tune_arrays(self.model_, table, TuneSettings(epochs, seed=seed, device=device), rebuild)
        self.metrics_ = blueprint.metrics
        state = self.model_.state()
        kept = [v for k, v in state.items() if k in PARAMETERS or k.startswith((PREFIX, KERNEL))]
        self.n_bytes_ = sum(v.numel() * v.element_size() for v in kept)

    def _training_frame(
        self, X: Any, y: np.ndarray, labels: tuple[str, ...]
    ) -> tuple[pd.DataFrame, tuple[Column, ...]]:
        """Return typed rows with their columns; those of a DataFrame are found as a build finds them."""
        if not isinstance(X, pd.DataFrame):
            names = [f"x{i}" for i in range(X.shape[1])]
            return pd.DataFrame(X, columns=names), tuple(Column(name, "numeric") for name in names)
        raw = _named(X)
        if self.columns is not None:
            return raw, tuple(self.columns)
        target = TARGET
        while target in raw.columns:
            target += "_"
        # By number: a class may be called what a table's cell is when it is missing.
        cells = np.array([f"class {k}" for k in range(len(labels))], dtype=object)[y] if labels else y
        found = load_dataset(
            raw.assign(**{target: cells}),
            target=target,
            task=self._task,
            sample_rows=len(raw),
            domain="tabular",
            multi_label=False,
        )
        columns = found.schema.columns
        return typed(raw, [c for c in columns if c.used]), columns

    def _rows(self, X: Any) -> pd.DataFrame:
        """Return new rows as the model takes them."""
        check_is_fitted(self, "model_")
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=False, skip_check_array=True)
            return _named(X) if self.columns is not None else typed(_named(X), self.model_.blueprint.used)
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        frame: pd.DataFrame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
        return frame

    def export(self, path: str | Path, *, quantize: str = "none", force: bool = False) -> Path:
        """Write the model as a verified ``model.onnx`` that takes the columns by name and needs onnxruntime alone.

        Parameters
        ----------
        path : str or Path
            Ends in ``.onnx``. Columns of an array are called ``x0``, ``x1``, …
        quantize : {"none", "fp16", "int8"}
        force : bool
            Replace a file that is there.

        Raises
        ------
        VerificationError
            The file's answers differ from the estimator's.
        """
        from modelgpt_cli.artifacts.export import write_model

        check_is_fitted(self, "model_")
        return write_model(self.model_, path, quantize=quantize, force=force).path


class ModelGPTClassifier(ClassifierMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Classify the rows of a table with a network that is generated, not trained.

    Parameters
    ----------
    members : int, optional
        Networks merged into one, 1 to 1,000; 8 by default, one with `one_pass`.
    one_pass : bool
        No cross-fitting: several times faster, and the heads are not chosen by what they do on held-out rows.
    trees : bool, optional
        Mix boosted trees (LightGBM) in where held-out rows gain by it; by default where no `members` are given, as a
        build does. Never with `one_pass`.
    kernel : bool, optional
        Mix a kernel machine in likewise.
    tune_epochs : int
        Epochs of all-parameter finetuning (ModelGPT-F) afterwards; its result is kept only where it is better on rows
        held out from it.
    teacher : str, class or object, optional
        A classifier with scikit-learn's methods to learn from, where held-out rows gain by it: ``MODULE:CLASS``, the
        class, or an unfitted object of it. See `domains.tabular.teacher.Teacher`.
    columns : sequence of Column, optional
        What the columns of a DataFrame are, which then is a typed frame (see `core.schema.Column`); found where absent.
    generator : str, optional
        A checkpoint, or a run directory of ``modelgpt meta-train``; the shipped one by default.
    device : {"cpu", "cuda", "mps", "auto"}
        Where the generator runs.
    random_state : int, RandomState or None
        Same seed, same model; None for another one at each fit.

    Attributes
    ----------
    classes_ : ndarray (C,)
    model_ : TabularModel
        The torch model.
    metrics_ : dict
        "model", "without teacher" and "teacher" where there is one, "network alone", "kernel alone" and "trees alone"
        where they are mixed, "linear" and "majority" → metric → value, cross-validated, copies of a row in one fold;
        empty with `one_pass` or too few rows.
    n_bytes_ : int
        Bytes of the fp32 weights, of the kernel and of the trees.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from modelgpt_cli import ModelGPTClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = ModelGPTClassifier(members=1).fit(X[::2], y[::2])
    >>> bool(model.score(X[1::2], y[1::2]) > 0.9)
    True
    """

    _task: TaskType = "classification"

    def fit(self, X: Any, y: Any) -> ModelGPTClassifier:
        """Make the model.

        Parameters
        ----------
        X : DataFrame or array-like (N, d)
            Of a DataFrame, numbers, categories, booleans, dates and missing cells are told apart as a build does; of
            an array all columns are numbers, NaN where missing.
        y : array-like (N,)
            Classes.
        """
        X, y = _checked(self, X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"There is one class only, {self.classes_[0]!r}: nothing to tell apart.")
        self._fit(X, codes.astype(np.int64), tuple(str(c) for c in self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (N, C) float32, in the order of `classes_`."""
        rows = self._rows(X)
        return self.model_.predict(rows)

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row, (N,)."""
        best = self.predict_proba(X).argmax(1)
        found: np.ndarray = self.classes_[best]
        return found


class ModelGPTRegressor(RegressorMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predict a number for the rows of a table with a network that is generated, not trained.

    Parameters
    ----------
    coverage : float
        Share of true values that `predict_interval` shall hold; 0 for no interval.
    members, one_pass, trees, kernel, tune_epochs, teacher, columns, generator, device, random_state
        As of `ModelGPTClassifier`.

    Attributes
    ----------
    model_, metrics_, n_bytes_
        As of `ModelGPTClassifier`; the simplest model of `metrics_` is the "mean".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from modelgpt_cli import ModelGPTRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ModelGPTRegressor(members=1).fit(X[::2], y[::2])
    >>> bool(model.score(X[1::2], y[1::2]) > 0.3)
    True
    """

    _task: TaskType = "regression"

    def __init__(
        self,
        *,
        members: int | None = None,
        one_pass: bool = False,
        trees: bool | None = None,
        kernel: bool | None = None,
        tune_epochs: int = 0,
        teacher: Any = None,
        coverage: float = DEFAULT_COVERAGE,
        columns: Sequence[Column] | None = None,
        generator: str | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        super().__init__(
            members=members,
            one_pass=one_pass,
            trees=trees,
            kernel=kernel,
            tune_epochs=tune_epochs,
            teacher=teacher,
            columns=columns,
            generator=generator,
            device=device,
            random_state=random_state,
        )
        self.coverage = coverage

    def fit(self, X: Any, y: Any) -> ModelGPTRegressor:
        """Make the model; X as for `ModelGPTClassifier.fit`, y numbers (N,)."""
        check_coverage(self.coverage)
        X, y = _checked(self, X, y, numeric=True)
        self._fit(X, y.astype(np.float64), (), self.coverage)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions, (N,): float32, or float64 where the target lies too far from zero for that."""
        rows = self._rows(X)
        return self.model_.predict(rows)[:, 0]

    def predict_interval(self, X: Any) -> np.ndarray:
        """Return lower and upper bounds of the predictions, (N, 2).

        Raises
        ------
        ModelGPTError
            The model has none.
        """
        rows = self._rows(X)
        if not self.model_.has_interval:
            raise ModelGPTError(
                "This model has no prediction interval.",
                "It was fitted with one_pass or coverage=0, or had too few rows.",
            )
        return self.model_.predict(rows, interval=True)[:, 1:]


def _checked(estimator: BaseEstimator, X: Any, y: Any, numeric: bool = False) -> tuple[Any, np.ndarray]:
    """Check rows and targets as scikit-learn does; a DataFrame stays one."""
    if not isinstance(X, pd.DataFrame):
        checked: tuple[Any, np.ndarray] = validate_data(
            estimator, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=numeric
        )
        return checked
    validate_data(estimator, X, skip_check_array=True)
    if not X.shape[0] or not X.shape[1]:
        raise ValueError(f"Found an array with shape {X.shape}: rows and columns are needed.")
    y = _check_y(y, y_numeric=numeric, estimator=estimator)
    if len(y) != len(X):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(X), len(y)]}")
    return X, y


def _checked_number(kind: type[Options], option: str, value: Any, name: str = "") -> int | None:
    """Return a number within the bounds that the option of that name has; NumPy's whole numbers are some."""
    plain = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
    number: int | None = options_of(kind)[option].check(plain, name or option)
    return number


def _drawn_seed(random_state: np.random.RandomState | np.integer | None) -> int:
    """Return a seed drawn from what scikit-learn takes for a random state."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _named(X: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose columns are called by texts."""
    named: pd.DataFrame = X.set_axis([str(name) for name in X.columns], axis=1).reset_index(drop=True)
    return named
