"""Metrics against scikit-learn's and by hand; build, tune and evaluate say the same of the same predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from tiny_models import tiny_model

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.quality import CLASSIFICATION, REGRESSION
from modelgpt_cli.domains.shared.head import head_scores
from modelgpt_cli.runtime.evaluate import evaluate
from modelgpt_cli.runtime.predict import predict


def draw(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes and float32 probabilities that know something of them, with many ties."""
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, n, p=rng.dirichlet(np.full(classes, 5.0)))
    probabilities = rng.dirichlet(np.ones(classes), n).round(2) + 1e-3
    probabilities[np.arange(n), true] += 0.3
    return true, (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_metrics_of_classes_are_those_of_scikit_learn(classes: int) -> None:
    true, p = draw(600, classes)
    predicted = p.argmax(1)
    found = m.classification_metrics(true, predicted, p)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(true, predicted))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, predicted))
    assert found["f1"] == pytest.approx(sk.f1_score(true, predicted, average="macro"))
    p64 = p.astype(float) / p.astype(float).sum(1, keepdims=True)
    assert found["log_loss"] == pytest.approx(sk.log_loss(true, p64))
    p64 = p.astype(float)  # as it is: dividing would part probabilities that are equal
    area = sk.roc_auc_score(true, p64[:, 1] if classes == 2 else p64, multi_class="ovo", average="macro")
    assert found["roc_auc"] == pytest.approx(area)


def test_the_roc_auc_of_many_classes_is_one_vs_rest() -> None:
    classes = m.PAIRED_CLASSES + 1
    true, p = draw(3000, classes)
    assert m.roc_auc_kind(true, classes) == "one-vs-rest, macro"
    assert m.roc_auc_kind(true[true < 5], classes) == "one-vs-one, macro"
    area = sk.roc_auc_score(true, p.astype(float), multi_class="ovr", average="macro")
    assert m.roc_auc(true, p) == pytest.approx(area)


def test_classes_without_rows_and_labels_that_the_model_does_not_know() -> None:
    true, p = draw(300, 5)
    some = true != 2  # the third class has no rows, but is predicted
    true, p = true[some], p[some]
    assert 0.5 < m.roc_auc(true, p) < 1  # type: ignore[operator]
    predicted = p.argmax(1)
    assert m.macro_f1(true, predicted) == pytest.approx(sk.f1_score(true, predicted, average="macro", zero_division=0))
    unknown = np.where(np.arange(len(true)) < 30, 7, true)
    found = m.classification_metrics(unknown, predicted, p)
    assert found["log_loss"] == m.log_loss(true[30:], p[30:])
    assert found["accuracy"] == pytest.approx((unknown == predicted).mean())
    assert found["f1"] == pytest.approx(sk.f1_score(unknown, predicted, average="macro", zero_division=0))


def test_metrics_without_a_value() -> None:
    p = np.array([[0.5, 0.5], [0.4, 0.6]])
    assert m.roc_auc(np.array([1, 1]), p) is None
    assert m.log_loss(np.array([], int), p[:0]) is None
    flat = np.array([2.0, 2.0])
    assert m.r2(flat, np.array([1.0, 2.0])) is None
    assert m.pearson(flat, np.array([1.0, 2.0])) is None
    assert "roc_auc" not in m.class_scores(p, np.array([1, 1]))


def test_binary_roc_auc_takes_the_second_class_as_positive() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    assert m.roc_auc(np.array([0, 0, 1, 1]), p) == pytest.approx(0.75)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 1.0])
    correct = np.array([1, 1, 1, 0, 0, 1, 1])
    assert m.calibration_error(correct, confidence) == pytest.approx((4 * 0.15 + 0 + 0) / 7)


def test_the_log_loss_of_a_sure_mistake_is_bounded() -> None:
    assert m.log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_top_accuracy() -> None:
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    assert m.top_accuracy(np.array([1, 0]), p, 3) == 1
    assert m.top_accuracy(np.array([1, 0]), p, 2) == 0.5
    assert "top_3_accuracy" in m.classification_metrics(np.array([1, 0]), np.array([3, 0]), p, tops=True)
    assert "top_5_accuracy" not in m.classification_metrics(np.array([1, 0]), np.array([3, 0]), p, tops=True)


def test_directions() -> None:
    assert set(m.ERRORS) == {"log_loss", "calibration_error", "rmse", "mae", "interval_width", "nme"}
    assert m.worse_by("log_loss", 0.3, 0.5) == pytest.approx(0.2)
    assert m.worse_by("accuracy", 0.7, 0.5) == pytest.approx(0.2)
    assert set(CLASSIFICATION) == set(m.BUILT["classification"])
    assert set(REGRESSION) == set(m.BUILT["regression"])


def test_build_tune_and_evaluate_agree_on_classes(tmp_path: Path) -> None:
    """One model far too sure of itself, so that saturated probabilities count."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "target": rng.choice(["x", "y", "z"], 300)})
    model = tiny_model(
        tmp_path / "m.onnx", {"a": "numeric"}, labels=["x", "y", "z"], weight={"a": [40.0, 0, -40]}, bias=[0, 0, 0]
    )
    p = predict(model, frame).probabilities
    assert p is not None
    y = np.searchsorted(["x", "y", "z"], frame.target)
    built = head_scores(p, torch.nn.functional.one_hot(torch.from_numpy(y)).float(), False, (0.0, 1.0))
    evaluated = evaluate(model, frame).metrics
    assert built == m.class_scores(p, y)  # which tune calls
    assert built == pytest.approx({name: evaluated[name] for name in built})
    assert built["log_loss"] > 5


def test_build_tune_and_evaluate_agree_on_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300)})
    frame["y"] = 3 * frame["a"] + rng.normal(size=300)
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, weight={"a": [2]}, target="y")
    answers = (2 * frame["a"].to_numpy(np.float32)).astype(np.float64)
    built = head_scores(answers[:, None], torch.tensor(frame["y"])[:, None], True, (0.0, 1.0))
    evaluated = evaluate(model, frame).metrics
    assert built == m.regression_scores(answers, frame["y"].to_numpy())
    assert built == pytest.approx({name: evaluated[name] for name in built}, rel=1e-6)
    assert evaluated["spearman"] == pytest.approx(frame["a"].rank().corr(frame["y"].rank()))
