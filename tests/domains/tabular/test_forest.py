"""A forest of random trees beside the network: exact in the graph, there where it pays, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

from modelgpt_cli import ModelGPTClassifier, ModelGPTRegressor, build, inspect
from modelgpt_cli.domains.tabular import forest
from modelgpt_cli.domains.tabular.mixing import LEAST_GAIN
from modelgpt_cli.domains.tabular.tree_model import PREFIX, read_trees
from modelgpt_cli.runtime.session import Model

INPUTS = ["a", "b", "kind"]


def patches(n: int, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Rows whose class is that of the nearest of forty places: what rows nearby tell, and nothing smooth."""
    rng = np.random.default_rng(7)
    places, of_place = rng.random((40, 2)), rng.integers(classes, size=40)
    rng = np.random.default_rng([7, seed])
    cells = rng.random((n, 2))
    nearest = np.square(cells[:, None] - places).sum(-1).argmin(1)
    frame = pd.DataFrame(cells, columns=["a", "b"])
    frame["kind"] = rng.choice(["x", "y", None], n).astype(object)
    frame.loc[rng.random(n) < 0.05, "b"] = np.nan
    names = np.array([f"class {k}" for k in range(classes)], dtype=object)
    return frame.assign(label=names[of_place[nearest]], number=of_place[nearest] + nearest / 40)


@pytest.fixture(scope="module", params=[2, 4])
def classifier(request: pytest.FixtureRequest) -> ModelGPTClassifier:
    rows = patches(400, request.param)
    return ModelGPTClassifier(members=1, trees=True).fit(rows[INPUTS], rows["label"])


@pytest.fixture(scope="module")
def regressor() -> ModelGPTRegressor:
    rows = patches(300, 4)
    return ModelGPTRegressor(members=1, trees=True).fit(rows[INPUTS], rows["number"])


def test_a_build_tells_what_a_forest_is_worth(tmp_path: Path) -> None:
    data = patches(300).drop(columns="number")
    report = build(data, target="label", output=tmp_path / "m.onnx", card="tabular-1+trees", offline=True)
    assert report.card == "tabular-1+trees"
    assert report.metrics["model"]["log_loss"] < report.metrics["network alone"]["log_loss"]
    assert "forest alone" in report.metrics
    card = inspect(tmp_path / "m.onnx")
    worth = card["provenance"]["forest"]
    assert worth["gain_nats"] > LEAST_GAIN
    assert any(
        f"A forest of {worth['trees']} random trees has {worth['share']:.0%} of the mix" in n for n in report.notes
    )
    boosted = card["provenance"]["trees"].get("trees", 0)
    assert card["blueprint"]["architecture"]["trees"] == worth["trees"] + boosted


def test_classes_in_the_file_are_those_in_torch(classifier: ModelGPTClassifier, tmp_path: Path) -> None:
    assert classifier.model_.blueprint.provenance["forest"]["share"] > 0.1
    new = patches(500, len(classifier.classes_), seed=1)
    model = Model(classifier.export(tmp_path / "m.onnx"))
    found = model.run({name: new[name].to_numpy() for name in INPUTS})["probabilities"]
    np.testing.assert_allclose(found, classifier.predict_proba(new[INPUTS]), atol=1e-5)
    assert classifier.score(new[INPUTS], new["label"]) > 0.8


def test_numbers_in_the_file_are_those_in_torch(regressor: ModelGPTRegressor, tmp_path: Path) -> None:
    assert regressor.model_.blueprint.provenance["forest"]["share"] > 0.05
    new = patches(300, 4, seed=1)
    found = Model(regressor.export(tmp_path / "m.onnx")).run({name: new[name].to_numpy() for name in INPUTS})
    np.testing.assert_allclose(found["prediction"][:, 0], regressor.predict(new[INPUTS]), atol=1e-4)


def test_the_same_seed_gives_the_same_forest(regressor: ModelGPTRegressor) -> None:
    rows = patches(300, 4)
    again = ModelGPTRegressor(members=1, trees=True).fit(rows[INPUTS], rows["number"])
    assert regressor.model_.trees is not None
    assert again.model_.trees is not None
    np.testing.assert_array_equal(again.model_.trees.value, regressor.model_.trees.value)


@pytest.mark.parametrize("bound", ["rows", "leaves"])
def test_there_is_none_where_few_trees_would_fit(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bound == "rows":
        monkeypatch.setattr(forest, "MOST_ROWS", 100)
    else:
        monkeypatch.setattr(forest, "LEAVES", 50)
    rows = patches(200)
    model = ModelGPTClassifier(members=1, trees=True).fit(rows[INPUTS], rows["label"]).model_
    assert "forest" not in model.blueprint.provenance


def test_leaves_vote_as_the_library_says() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    x[::9, 1] = np.nan
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 2] > 0.5)
    table = SimpleNamespace(x=x, codes=np.zeros((200, 0), dtype=np.int64), levels=(), y=y, n_classes=3)
    fitted = SimpleNamespace(target_mean=0.0, target_std=1.0)
    scaled: Any = SimpleNamespace(table=table, cross=SimpleNamespace(fitted=fitted))
    task = forest._Task(scaled, 0)
    trees = task.grow(np.arange(200), 7, seed=0)
    library = ExtraTreesClassifier(7, random_state=1).fit(task.features, y)
    shares = (np.bincount(y) + 0.5) / (np.bincount(y) + 0.5).sum()
    expected = np.log(shares) + forest.SLOPE * (library.predict_proba(task.features) - shares)
    np.testing.assert_allclose(trees(torch.from_numpy(task.raw), 3), expected, atol=1e-5)


def test_files_whose_trees_have_a_sum_each_are_read(regressor: ModelGPTRegressor) -> None:
    trees = regressor.model_.trees
    assert trees is not None
    state = trees.state()
    state[PREFIX + "sums"] = torch.zeros(len(trees), dtype=torch.int16)
    old = read_trees(state, len(trees.orders))
    np.testing.assert_array_equal(old.sums, np.zeros(len(trees.value)))
