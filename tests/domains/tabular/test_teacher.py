"""A teacher: taken where it helps, left out where it doesn't, never shown the rows that judge it, and told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from modelgpt_cli import ModelGPTClassifier, ModelGPTRegressor, build, build_batch, inspect, predict
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.shared.folds import ALIKE, Folds, Split
from modelgpt_cli.domains.tabular import boosting, lessons
from modelgpt_cli.domains.tabular.crossfit import HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.grown_trees import grown_trees
from modelgpt_cli.domains.tabular.lessons import draw_between, joined
from modelgpt_cli.domains.tabular.teacher import Teacher, row_folds


def rule(frame: pd.DataFrame) -> np.ndarray:
    """A target that takes more rows than there are: parity of three thresholds."""
    found: np.ndarray = ((frame["a"] > 0) ^ (frame["b"] > 0.3) ^ (frame["c"] > -0.3)).to_numpy()
    return found


def rows(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(size=n) for name in "abcd"})
    frame["kind"] = rng.choice(["x", "y"], n).astype(object)
    flip = rng.random(n) < 0.1
    return frame.assign(label=np.where(rule(frame) ^ flip, "yes", "no"), number=rule(frame) + 0.1 * rng.normal(size=n))


class Oracle:
    """Knows the rule, whatever rows it is shown, and keeps these; says .9 of what it takes for right."""

    seen: ClassVar[list[np.ndarray]] = []

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Oracle:
        self.classes_ = np.unique(y)
        type(self).seen.append(X["a"].to_numpy())
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        yes = np.where(rule(X), 0.9, 0.1)
        return np.stack([1 - yes, yes], 1)


class Blind(Oracle):
    """Says the same of every row."""

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


class Number(Oracle):
    """The rule as a number."""

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return rule(X).astype(float)


class Broken(Oracle):
    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Oracle:
        print("this must not reach the standard output")
        raise RuntimeError("no licence")


class Wrong(Oracle):
    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return np.full((len(X), 2), np.nan)


INPUTS = ["a", "b", "c", "d", "kind"]
TRAIN, TEST = rows(240), rows(600, 1)


@pytest.fixture(scope="module", autouse=True)
def _fast() -> Iterator[None]:
    """Fewer trees and drawn rows: a second for each model instead of several."""
    with pytest.MonkeyPatch.context() as changes:
        changes.setattr(boosting, "TAUGHT_ROUNDS", (20, 50))
        changes.setattr(lessons, "PER_ROW", 4)
        yield


@pytest.fixture(scope="module")
def taught() -> ModelGPTClassifier:
    return ModelGPTClassifier(members=1, trees=True, teacher=Oracle()).fit(TRAIN[INPUTS], TRAIN["label"])


@pytest.fixture(scope="module")
def plain() -> ModelGPTClassifier:
    return ModelGPTClassifier(members=1, trees=True).fit(TRAIN[INPUTS], TRAIN["label"])


def test_a_model_learns_what_its_teacher_knows(taught: ModelGPTClassifier, plain: ModelGPTClassifier) -> None:
    assert taught.score(TEST[INPUTS], TEST["label"]) > plain.score(TEST[INPUTS], TEST["label"]) + 0.05
    found = taught.model_.blueprint.provenance["teacher"]
    losses = found["log_loss"]
    assert losses["teacher"] < losses["with"] < losses["without"]
    assert found["lead_kept"] == pytest.approx(
        (losses["without"] - losses["with"]) / (losses["without"] - losses["teacher"])
    )
    assert list(taught.metrics_)[:3] == ["model", "without teacher", "teacher"]
    assert taught.metrics_["model"]["log_loss"] == pytest.approx(losses["with"])


def test_heads_learn_where_there_are_no_trees() -> None:
    made = ModelGPTClassifier(members=1, trees=False, teacher=Oracle()).fit(TRAIN[INPUTS], TRAIN["label"])
    found = made.model_.blueprint.provenance
    assert found["teacher"]["used"]
    assert made.model_.trees is None
    assert any(choice["taught"] for choice in found["head"])


def test_a_regression_learns_from_a_regressor() -> None:
    plain = ModelGPTRegressor(members=1, trees=True).fit(TRAIN[INPUTS], TRAIN["number"])
    made = ModelGPTRegressor(members=1, trees=True, teacher=Number()).fit(TRAIN[INPUTS], TRAIN["number"])
    assert made.model_.blueprint.provenance["teacher"]["used"]
    assert made.score(TEST[INPUTS], TEST["number"]) > plain.score(TEST[INPUTS], TEST["number"]) + 0.05
    assert made.model_.has_interval


def test_several_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({name: rng.normal(size=120) for name in "abc"})
    y = rng.permutation(120) % 3
    frame["a"] += 3 * (y == 1)
    frame["b"] += 3 * (y == 2)
    made = ModelGPTClassifier(members=1, trees=True, teacher=RandomForestClassifier(20)).fit(frame, y)
    assert set(made.metrics_["teacher"]) == set(made.metrics_["model"])
    assert made.score(frame, y) > 0.8
    made.export(tmp_path / "m.onnx")  # verified


def test_trees_of_soft_labels_answer_as_lightgbm_has_them() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2)).astype(np.float32)
    soft = rng.dirichlet([1, 2, 6], 90).astype(np.float32)
    data = lightgbm.Dataset(x, np.zeros(90), params=boosting.PARAMETERS, free_raw_data=False).construct()
    parameters, start = lessons.teach_trees(data, boosting.PARAMETERS | {"num_class": 3}, soft)
    booster = lightgbm.train(parameters, data, 4, keep_training_booster=True)
    grown = grown_trees(booster.model_to_string(), 3, start=start)
    assert start is not None
    raw = booster.predict(x, raw_score=True) + start
    np.testing.assert_allclose(grown(torch.from_numpy(x), 3).numpy(), raw, rtol=1e-5, atol=1e-5)
    p = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    np.testing.assert_allclose(p.mean(0), soft.mean(0), atol=0.02)


def test_a_useless_teacher_changes_nothing(plain: ModelGPTClassifier) -> None:
    made = ModelGPTClassifier(members=1, trees=True, teacher=Blind).fit(TRAIN[INPUTS], TRAIN["label"])
    assert not made.model_.blueprint.provenance["teacher"]["used"]
    np.testing.assert_array_equal(made.predict_proba(TEST[INPUTS]), plain.predict_proba(TEST[INPUTS]))
    assert "without teacher" not in made.metrics_


def test_no_teacher_sees_the_rows_it_is_judged_by() -> None:
    Oracle.seen.clear()
    ModelGPTClassifier(members=1, trees=False, teacher=Oracle()).fit(TRAIN[INPUTS], TRAIN["label"])
    cells = TRAIN["a"].to_numpy(np.float32)
    folds, whole = [set(seen.tolist()) for seen in Oracle.seen[:-1]], Oracle.seen[-1]
    assert len(folds) == 4
    for cell in cells.tolist():  # each row is hidden from one of the four
        assert sum(cell not in seen for seen in folds) == 1
    assert sorted(whole.tolist()) == sorted(cells.tolist())


def test_drawn_rows_lie_between_rows_of_one_fold() -> None:
    rng = np.random.default_rng(0)
    fold = np.arange(80) % 4
    x = (fold[:, None] * 100 + rng.normal(size=(80, 3))).astype(np.float32)
    table = TableArrays(x, fold[:, None], np.zeros(80, np.int64), 2, (4,), split=Split(ALIKE, np.arange(80)))
    drawn = draw_between(table, torch.from_numpy(x), fold, rng)
    assert len(drawn.fold) == 4 * 80
    assert (np.round(drawn.x / 100) == drawn.fold[:, None]).all()
    assert (drawn.codes[:, 0] == drawn.fold).all()
    assert not np.isin(drawn.x.sum(1), x.sum(1)).all()  # they are no copies
    both = joined(table, drawn)
    assert (both.split.keys[80:] == -1).all()


def test_rows_that_are_tied_are_of_one_fold() -> None:
    keys = np.repeat(np.arange(10), 4)
    fold = np.arange(20) // 4 % 4
    shown = HeldOut(np.arange(20), Folds(fold, fold != np.arange(4)[:, None]), torch.zeros(20, 2))
    table = TableArrays(np.zeros((40, 1)), np.zeros((40, 0)), np.zeros(40), 2, (), split=Split("group", keys, "g"))
    found = row_folds(table, shown)
    assert (found[:20] == fold).all()
    assert all(len(np.unique(found[keys == key])) == 1 for key in range(10))


def test_a_build_tells_what_a_teacher_was_worth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "modelgpt")
    data = TRAIN[[*INPUTS, "label"]]
    report = build(data, target="label", output=tmp_path / "m.onnx", members=1, teacher=Oracle, seed=0)
    words = next(note for note in report.notes if "teacher" in note)
    assert words.startswith("Held-out log loss: the teacher")
    assert "of the lead is kept" in words
    assert words in caplog.text
    assert report.to_dict()["metrics"]["teacher"]["log_loss"] < report.metrics["without teacher"]["log_loss"]
    card = inspect(tmp_path / "m.onnx")
    assert card["provenance"]["teacher"]["name"].endswith(":Oracle")
    json.dumps(card["provenance"]["teacher"], allow_nan=False)
    answers = predict(tmp_path / "m.onnx", TEST[INPUTS])
    assert (np.asarray(answers.label) == TEST["label"].to_numpy()).mean() > 0.6


def test_a_class_by_its_name_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_teacher_of_tests.py").write_text(
        "from sklearn.ensemble import RandomForestClassifier\n"
        "class Few(RandomForestClassifier):\n"
        "    def __init__(self, n_estimators=7, random_state=None):\n"
        "        super().__init__(n_estimators=n_estimators, random_state=random_state)\n"
    )
    monkeypatch.chdir(tmp_path)
    teacher = Teacher("my_teacher_of_tests:Few", "classification", seed=5)
    assert teacher.name == "my_teacher_of_tests:Few"
    assert teacher._made.get_params() == {"n_estimators": 7, "random_state": 5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nosuchmodule:X", "there is no module 'nosuchmodule'"),
        ("sklearn.ensemble:Nope", "has no 'Nope'"),
        ("sklearn.ensemble", "It is MODULE:CLASS"),
        ("sklearn.ensemble:RandomForestRegressor", "is a regressor, and the target is classes"),
        ("sklearn.svm:LinearSVC", "has no method predict_proba"),
        ("sklearn.ensemble:VotingClassifier", "can't be made without arguments"),
        ("pathlib:Path", "has no method fit"),
    ],
)
def test_what_is_no_teacher_is_refused(given: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        build(TRAIN[[*INPUTS, "label"]], target="label", output=tmp_path / "m.onnx", teacher=given)
    assert not list(tmp_path.iterdir())


def test_a_classifier_teaches_no_numbers() -> None:
    with pytest.raises(UsageError, match="is a classifier, and the target is a number"):
        Teacher(RandomForestClassifier(), "regression")


def test_a_teacher_that_fails_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelGPTError, match=r"Broken failed on 180 rows of 5 columns(.|\n)*no licence"):
        ModelGPTClassifier(members=1, trees=False, teacher=Broken()).fit(TRAIN[INPUTS], TRAIN["label"])
    assert not capsys.readouterr().out
    with pytest.raises(ModelGPTError, match="answers that are no probabilities"):
        ModelGPTClassifier(members=1, trees=False, teacher=Wrong()).fit(TRAIN[INPUTS], TRAIN["label"])


def test_what_does_not_go_together(tmp_path: Path) -> None:
    data, path = TRAIN[[*INPUTS, "label"]], tmp_path / "m.onnx"
    with pytest.raises(UsageError, match="--teacher takes cross-validation"):
        build(data, target="label", output=path, one_pass=True, teacher=Oracle)
    with pytest.raises(UsageError, match="--teacher and --time don't go together"):
        build(data.assign(day=range(240)), target="label", output=path, members=1, time="day", teacher=Oracle)
    with pytest.raises(UsageError, match="one_pass does without"):
        ModelGPTClassifier(one_pass=True, teacher=Oracle()).fit(TRAIN[INPUTS], TRAIN["label"])
    request: dict[str, Any] = {"id": "a", "data": "x.csv", "target": "label"}
    (tmp_path / "r.jsonl").write_text(json.dumps(request))
    with pytest.raises(UsageError, match="In a batch it is a text"):
        build_batch(tmp_path / "r.jsonl", output=tmp_path / "o", teacher=Oracle())


def test_few_rows_are_told(tmp_path: Path) -> None:
    report = build(
        TRAIN[[*INPUTS, "label"]][:40], target="label", output=tmp_path / "m.onnx", members=1, teacher=Oracle
    )
    assert any("--teacher was left out" in note for note in report.notes)


def test_an_estimator_with_a_teacher_can_be_cloned() -> None:
    made = ModelGPTRegressor(teacher=RandomForestRegressor(7))
    assert clone(made).teacher.n_estimators == 7


def test_missing_cells_and_categories_reach_a_teacher_as_it_takes_them() -> None:
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

    frame = TRAIN[INPUTS].copy()
    frame.loc[:20, "a"] = np.nan
    frame.loc[10:30, "kind"] = None
    for teacher in (GradientBoostingClassifier(n_estimators=3), HistGradientBoostingClassifier(max_iter=3)):
        made = ModelGPTClassifier(members=1, trees=False, teacher=teacher).fit(frame, TRAIN["label"])
        assert "teacher" in made.metrics_
