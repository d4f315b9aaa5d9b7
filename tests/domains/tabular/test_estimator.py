"""The scikit-learn estimators: scikit-learn's own checks, frames of mixed columns, and the exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from modelgpt_cli import ModelGPTClassifier, ModelGPTRegressor, predict
from modelgpt_cli.core.errors import ModelGPTError, UsageError


@pytest.mark.slow
@parametrize_with_checks([ModelGPTClassifier(one_pass=True), ModelGPTRegressor(one_pass=True)])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)  # all of them hold


def mixed(n: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a number, a category, a yes or no, a date and missing cells, and what follows from them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "sold": rng.random(n) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
        }
    )
    y = np.where(frame["size"] + (frame["colour"] == "red") > 0.4, "high", "low")
    frame.loc[::10, "size"] = np.nan
    return frame, y


def test_a_frame_of_mixed_columns_is_read_as_a_build_reads_it(tmp_path: Path) -> None:
    frame, y = mixed()
    model = ModelGPTClassifier(members=1).fit(frame[:80], y[:80])
    assert [c.type for c in model.model_.blueprint.used] == ["numeric", "categorical", "boolean", "datetime"]
    assert model.classes_.tolist() == ["high", "low"]
    assert model.score(frame[80:], y[80:]) > 0.7
    assert model.metrics_["model"]["accuracy"] > model.metrics_["majority"]["accuracy"]
    path = model.export(tmp_path / "m.onnx")
    answers = predict(path, frame[80:])
    assert answers.label is not None
    assert answers.probabilities is not None
    assert answers.label.tolist() == model.predict(frame[80:]).tolist()
    np.testing.assert_allclose(answers.probabilities, model.predict_proba(frame[80:]), atol=1e-4)


def test_arrays_of_numbers_are_scored_by_scikit_learns_tools() -> None:
    X, y = load_iris(return_X_y=True)
    model = ModelGPTClassifier(members=1, one_pass=True)
    assert cross_val_score(clone(model), X, y, cv=3).mean() > 0.9
    assert model.get_params()["members"] == 1


def test_a_regressor_has_bounds(tmp_path: Path) -> None:
    X, y = load_diabetes(return_X_y=True)
    model = ModelGPTRegressor(members=1).fit(X[:300], y[:300])
    bounds = model.predict_interval(X[300:])
    inside = ((bounds[:, 0] <= y[300:]) & (y[300:] <= bounds[:, 1])).mean()
    assert 0.8 < inside < 0.99
    assert model.score(X[300:], y[300:]) > 0.3
    with pytest.raises(ModelGPTError, match="no prediction interval"):
        ModelGPTRegressor(one_pass=True).fit(X, y).predict_interval(X)


def test_same_seed_same_model() -> None:
    X, y = load_iris(return_X_y=True)
    first, second = (ModelGPTClassifier(one_pass=True, random_state=3).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_classes_may_be_called_as_missing_cells_are() -> None:
    frame, y = mixed()
    model = ModelGPTClassifier(one_pass=True).fit(frame, np.where(y == "high", "NA", "na"))
    assert model.classes_.tolist() == ["NA", "na"]
    assert set(model.predict(frame)) == {"NA", "na"}


def test_a_model_of_an_array_predicts_arrays(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    model = ModelGPTClassifier(one_pass=True).fit(X, y)
    answers = predict(model.export(tmp_path / "m.onnx"), X)  # its columns are called x0, x1, …
    assert answers.probabilities is not None
    np.testing.assert_allclose(answers.probabilities, model.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("random_state", [None, np.int64(3), np.random.RandomState(0)])
def test_random_states_are_scikit_learns(random_state: Any) -> None:
    X, y = load_iris(return_X_y=True)
    assert ModelGPTClassifier(one_pass=True, random_state=random_state).fit(X, y).score(X, y) > 0.9


def test_errors_on_arrays_are_value_errors() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="one class only"):
        ModelGPTClassifier(one_pass=True).fit(X, np.zeros_like(y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ModelGPTClassifier(one_pass=True).fit(pd.DataFrame(X), y[:-1])
    with pytest.raises(ValueError, match="features"):
        ModelGPTClassifier(one_pass=True).fit(X, y).predict(X[:, :2])


@pytest.mark.parametrize("members", [0, 1001, 10**9, 2.5, True, "two"])
def test_numbers_have_the_bounds_of_the_command(members: Any) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UsageError, match="members can't be"):
        ModelGPTClassifier(members=members).fit(X, y)
    with pytest.raises(UsageError, match="tune_epochs can't be"):
        ModelGPTClassifier(tune_epochs=-1).fit(X, y)


def test_copies_of_a_row_stay_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6)), rng.permutation([0, 1] * 30)  # there is nothing to learn but the rows by heart
    model = ModelGPTClassifier(members=np.int64(1)).fit(np.repeat(X, 3, axis=0), np.repeat(y, 3))
    assert model.metrics_["model"]["accuracy"] < 0.7
