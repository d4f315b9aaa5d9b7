"""Boosted trees beside the network: exact in the graph, there where they pay, and nowhere else."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from modelgpt_cli import ModelGPTClassifier, ModelGPTRegressor, build, inspect, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.shared.folds import ALIKE, TIME, Folds, Split
from modelgpt_cli.domains.tabular.boosting import LEAVES, Boosting
from modelgpt_cli.domains.tabular.boosting import PARAMETERS as PARAMETERS_OF_TREES
from modelgpt_cli.domains.tabular.crossfit import HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.grown_trees import grown_trees
from modelgpt_cli.domains.tabular.measure import dummy_trees
from modelgpt_cli.domains.tabular.mixing import LEAST_GAIN
from modelgpt_cli.domains.tabular.model import PARAMETERS, TabularModel
from modelgpt_cli.domains.tabular.tree_model import join, read_trees
from modelgpt_cli.domains.tabular.tree_rows import training_rows
from modelgpt_cli.model_generator.measure import measure_flops
from modelgpt_cli.runtime.session import Model


def stepped(n: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose target jumps where two columns pass a bound, or a city is one of two: what trees find."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(size=n) for name in "abc"})
    frame["city"] = rng.choice(["Aachen", "Berlin", "Celle", "Dresden"], n).astype(object)
    odd = (frame["a"] > 0.2) ^ (frame["b"] > -0.3) ^ frame["city"].isin(["Berlin", "Dresden"])
    frame.loc[rng.random(n) < 0.1, "c"] = np.nan
    frame.loc[rng.random(n) < 0.1, "city"] = None
    return frame.assign(number=odd + 0.1 * rng.normal(size=n), label=np.where(odd, "yes", "no"))


ROWS = stepped(500)
INPUTS = ["a", "b", "c", "city"]


@pytest.fixture(scope="module")
def classifier() -> ModelGPTClassifier:
    return ModelGPTClassifier(members=1, trees=True).fit(ROWS[INPUTS], ROWS["label"])


@pytest.fixture(scope="module")
def regressor() -> ModelGPTRegressor:
    return ModelGPTRegressor(members=1, trees=True).fit(ROWS[INPUTS], ROWS["number"])


def edge_frame(model: TabularModel) -> pd.DataFrame:
    """Rows with every threshold of the trees in every numeric column, just above it, and what else is odd."""
    assert model.trees is not None
    at = np.unique(model.trees.value[model.trees.right > 0])
    cells = np.concatenate([at, np.nextafter(at, np.float32(np.inf)), [np.nan, np.inf, -np.inf, 1e300, 0.0, -0.0]])
    cities = np.resize(np.array([None, "", "Aachen", "Berlin", "Celle", "Dresden", "Essen"], dtype=object), len(cells))
    return pd.DataFrame({"a": cells, "b": cells[::-1], "c": np.roll(cells, 5), "city": cities})


# What a user sees ----------------------------------------------------------------------------------------------------


def test_a_build_mixes_trees_in_and_says_what_each_part_is_worth(tmp_path: Path) -> None:
    report = build(
        ROWS.drop(columns="number"), target="label", output=tmp_path / "m.onnx", card="tabular-2+trees", offline=True
    )
    assert report.card == "tabular-2+trees"
    scores = {name: values["log_loss"] for name, values in report.metrics.items()}
    assert list(scores)[:2] == ["model", "network alone"]
    assert "trees alone" in scores
    assert scores["model"] < scores["network alone"] - 0.1
    card = inspect(tmp_path / "m.onnx")
    assert card["blueprint"]["architecture"]["trees"] > 0
    assert card["provenance"]["trees"]["share"] > 0.3
    assert any("boosted trees have" in note for note in report.notes)
    new = stepped(300, seed=1)
    answers = predict(tmp_path / "m.onnx", new[INPUTS])
    assert (answers.label == new["label"]).mean() > 0.9
    domains = {node.domain for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert domains <= {"", "ai.onnx.ml"}  # what onnxruntime runs by itself, in a browser too


@pytest.mark.parametrize("options", [{"card": "tabular-1"}, {"members": 1}, {"one_pass": True}])
def test_a_card_without_trees_and_one_pass_are_the_network_alone(options: dict[str, Any], tmp_path: Path) -> None:
    data = ROWS.drop(columns="number")
    report = build(data, target="label", output=tmp_path / "m.onnx", offline=True, **options)
    assert report.card == "tabular-1"
    assert "trees" not in inspect(tmp_path / "m.onnx")["blueprint"]["architecture"]
    assert "trees alone" not in report.metrics


@pytest.mark.slow
def test_trees_are_left_out_where_the_file_would_be_too_large(tmp_path: Path) -> None:
    data = ROWS[:150].drop(columns="number")
    alone = build(data, target="label", output=tmp_path / "8.onnx", card="tabular-8", offline=True)
    requirement = tmp_path / "r.txt"
    blocks = f"limits: {{size: {alone.size_bytes + 10_000}}}\ndeploy: {{quantize: none}}\ntarget: label"
    requirement.write_text(f"Tell yes from no.\n---\n{blocks}\n")
    report = build(requirement, data=data, output=tmp_path / "m.onnx")
    assert (report.card, report.storage) == ("tabular-8", "fp32")
    assert "trees alone" not in report.metrics


def test_there_are_none_where_they_pay_nothing() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    y = X @ [1.0, -2.0, 0.5, 0.0, 1.0] + 0.5 * rng.normal(size=400)
    linear = ModelGPTRegressor(members=1, trees=True).fit(X, y)
    assert linear.model_.trees is None
    assert linear.model_.blueprint.provenance["trees"]["gain_nats"] < LEAST_GAIN
    few = ModelGPTClassifier(members=1, trees=True).fit(ROWS[INPUTS][:40], ROWS["label"][:40])
    assert few.model_.trees is None
    assert ModelGPTClassifier(members=1).fit(ROWS[INPUTS], ROWS["label"]).model_.trees is None


def test_intervals_are_of_the_mix_and_cover(regressor: ModelGPTRegressor) -> None:
    new = stepped(1000, seed=2)
    lower, upper = regressor.predict_interval(new[INPUTS]).T
    assert 0.85 < ((lower <= new["number"]) & (new["number"] <= upper)).mean() < 0.95
    alone = ModelGPTRegressor(members=1, trees=False).fit(ROWS[INPUTS], ROWS["number"])
    assert np.mean(upper - lower) < 0.7 * np.ptp(alone.predict_interval(new[INPUTS]), axis=1).mean()


@pytest.mark.slow
def test_tuning_keeps_the_trees_and_is_judged_with_them(tmp_path: Path) -> None:
    from modelgpt_cli import tune

    rows = ROWS[[*INPUTS, "label"]]
    build(rows, target="label", output=tmp_path / "m.safetensors", card="tabular-1+trees", offline=True)
    report = tune(tmp_path / "m.safetensors", data=rows, output=tmp_path / "t.onnx", epochs=2, lr=3e-3)
    built, tuned = load_model(tmp_path / "m.safetensors"), load_model(tmp_path / "t.onnx")
    assert isinstance(built, TabularModel)
    assert isinstance(tuned, TabularModel)
    assert built.trees is not None
    assert tuned.trees is not None
    np.testing.assert_array_equal(tuned.trees.value, built.trees.value)
    assert built.blueprint.metrics["model"]["log_loss"] < 0.6
    assert abs(report.before["log_loss"] - built.blueprint.metrics["model"]["log_loss"]) < 0.15, "trees grown anew"
    moved = any((tuned.weight(name) != built.weight(name)).any() for name in PARAMETERS)
    assert moved == (report.kept == "after")


def test_where_trees_say_it_all_there_is_nothing_to_tune(classifier: ModelGPTClassifier, tmp_path: Path) -> None:
    from modelgpt_cli import tune

    blueprint = classifier.model_.blueprint
    worth = blueprint.provenance["trees"]
    assert 0 < worth["network"] < 2
    changed = replace(blueprint, provenance=blueprint.provenance | {"trees": worth | {"network": 0.0}})
    write_model(TabularModel(changed, classifier.model_.state()), tmp_path / "m.safetensors")
    data = ROWS[INPUTS].assign(target=ROWS["label"])
    with pytest.raises(UsageError, match="stands beside its network") as error:
        tune(tmp_path / "m.safetensors", data=data, output=tmp_path / "t.safetensors")
    assert "--card tabular-1" in str(error.value.hint)


# The graph and the files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_the_graph_takes_the_same_branches(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(kind).model_
    frame = edge_frame(model)
    write_model(model, tmp_path / "m.onnx")
    columns = {name: frame[name].to_numpy() for name in INPUTS}
    answers = Model(tmp_path / "m.onnx", threads=1).run(columns)
    got = answers["probabilities"] if kind == "classifier" else answers["prediction"]
    typed = frame.assign(city=frame["city"].replace("", None))
    np.testing.assert_allclose(got, model.predict(typed), atol=2e-5)


@pytest.mark.parametrize("name", ["m.onnx", "m.safetensors"])
def test_files_give_the_trees_back(classifier: ModelGPTClassifier, name: str, tmp_path: Path) -> None:
    model = classifier.model_
    write_model(model, tmp_path / name)
    again = load_model(tmp_path / name)
    assert isinstance(again, TabularModel)
    np.testing.assert_array_equal(again.predict(edge_frame(model)), model.predict(edge_frame(model)))


def test_what_is_damaged_is_refused(classifier: ModelGPTClassifier, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(classifier.model_, path)
    with safe_open(str(path), "pt") as file:
        header, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    looped = dict(state) | {"trees.right": torch.ones_like(state["trees.right"])}
    without = {name: tensor for name, tensor in state.items() if name != "trees.value"}
    for damaged, words in ((looped, "are no trees"), (without, "trees.value")):
        save_file(damaged, str(path), header)
        with pytest.raises(ModelGPTError, match="damaged") as error:
            load_model(path)
        assert words in str(error.value.cause)
    card = json.loads(header["modelgpt"])
    card["blueprint"]["format"] = 1
    save_file(state, str(path), header | {"modelgpt": json.dumps(card)})
    with pytest.raises(ModelGPTError, match="format 1"):
        load_model(path)


def test_trees_count_in_what_a_model_costs(classifier: ModelGPTClassifier, tmp_path: Path) -> None:
    from modelgpt_cli.domains.tabular.measure import parameters

    model = classifier.model_
    assert model.trees is not None
    alone = ModelGPTClassifier(members=1, trees=False).fit(ROWS[INPUTS], ROWS["label"]).model_
    assert parameters(model) == parameters(alone) + len(model.trees.value)
    flops = []
    for i, one in enumerate((model, alone)):
        write_model(one, tmp_path / f"{i}.onnx")
        flops.append(measure_flops(tmp_path / f"{i}.onnx"))
    assert flops[0] - flops[1] == model.trees.depths.sum() > len(model.trees)


# The parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 3])
def test_grown_trees_are_those_of_lightgbm(classes: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    x[rng.random(300) < 0.2, 1] = np.nan
    x[:, 2] = np.round(x[:, 2]) * 1e30
    y = (x[:, 0] > 0) + (np.nan_to_num(x[:, 1]) > 0.3)
    parameters = {"objective": "multiclass", "num_class": 3} if classes else {"objective": "regression"}
    booster = lightgbm.train(parameters | {"verbosity": -1, "num_leaves": 8}, lightgbm.Dataset(x, y), 10)
    trees = join([grown_trees(booster.model_to_string(), max(classes, 1))])
    thresholds = trees.value[trees.right > 0]
    at = np.repeat(np.concatenate([thresholds, np.nextafter(thresholds, np.float32(np.inf))])[:, None], 4, 1)
    rows = np.concatenate([x, at])
    expected = booster.predict(rows, raw_score=True).reshape(len(rows), -1)
    np.testing.assert_allclose(trees(torch.from_numpy(rows), max(classes, 1)).numpy(), expected, atol=1e-5)
    halved = join([grown_trees(booster.model_to_string(), max(classes, 1), weight=0.5)])
    np.testing.assert_allclose(halved(torch.from_numpy(rows), max(classes, 1)).numpy(), expected / 2, atol=1e-5)


def test_a_missing_cell_that_no_row_had_goes_with_most_rows() -> None:
    x = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), [90, 30], axis=0)
    parameters = {"objective": "regression", "verbosity": -1, "learning_rate": 1.0, "min_data_in_leaf": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, x[:, 0] * 2), 1)
    trees = grown_trees(booster.model_to_string(), 1)
    answers = trees(torch.tensor([[np.nan], [0.0], [1.0]], dtype=torch.float32), 1)[:, 0].tolist()
    assert answers == pytest.approx([0, 0, 2], abs=1e-5)


def test_dummy_trees_are_trees() -> None:
    trees = dummy_trees(3, 4)
    again = read_trees(trees.state(), 0)
    assert set(again.depths) == {3}
    assert set(again.sums) == {0, 1, 2, 3}


def test_rows_that_are_tied_to_unseen_ones_are_not_learned_from() -> None:
    fold = np.array([0, 0, 1, 1])
    folds = Folds(fold, fold != np.arange(2)[:, None])
    shown = HeldOut(np.arange(4), folds, torch.zeros(4, 2))
    arrays = (np.zeros((7, 1), dtype=np.float32), np.zeros((7, 0), dtype=np.int64), np.zeros(7, dtype=np.int64))

    def rows(split: Split | None) -> list[int]:
        table = TableArrays(*arrays, 2, (), split=split)
        found = training_rows(table, shown, folds.used[0], folds.held_out[0])
        return sorted(found.tolist())

    assert rows(None) == [2, 3, 4, 5, 6]
    keys = np.array([0, -1, 1, -1, 0, 1, -1])
    assert rows(Split(ALIKE, keys)) == [2, 3, 5, 6]
    assert rows(Split(TIME, np.arange(7.0), "day")) == [2, 3]


def boosting(rows: pd.DataFrame) -> Boosting:
    """What trees of `label` learn from."""
    features = rows[["a", "b"]].to_numpy(dtype=np.float32)
    y = (rows["label"] == "yes").to_numpy(dtype=np.int64)
    parameters = PARAMETERS_OF_TREES | {"objective": "binary", "seed": 0, "num_threads": 1}
    dataset = lightgbm.Dataset(features, y, params=parameters, free_raw_data=False).construct()
    return Boosting(features, y, 2, (8,), (10, 20), parameters, dataset)


def test_trees_that_grow_on_are_those_grown_at_once() -> None:
    learned = boosting(ROWS)
    rows = np.arange(300)
    grower = learned.grower(rows, 8)
    at_once, in_steps = learned.grower(rows, 8).grow(20), [grower.grow(10), grower.grow(20)]
    assert [len(trees) for trees in in_steps] == [10, 10]
    features = torch.from_numpy(learned.features.copy())
    expected = lightgbm.train(
        learned.parameters | {"num_leaves": 8}, learned.dataset.subset(rows), 20, keep_training_booster=True
    ).predict(learned.features, raw_score=True)
    for found in (at_once, join(in_steps)):
        logits = found(features, 2)
        np.testing.assert_allclose((logits[:, 1] - logits[:, 0]).numpy(), expected, atol=1e-4)


def test_rules_without_noise_take_more_leaves() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (900, 5))
    rules = (X[:, 0] > X[:, 1]) ^ (X[:, 2] == X[:, 3]) ^ (X[:, 4] > 1)
    fitted = ModelGPTClassifier(members=1, trees=True, kernel=False).fit(X, rules)
    assert fitted.model_.blueprint.provenance["trees"]["leaves"] > LEAVES


def test_a_library_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    fitted = ModelGPTClassifier(members=1, trees=True).fit(ROWS[INPUTS], ROWS["label"])
    made, trees = fitted.model_.blueprint.provenance, fitted.model_.trees
    assert "unavailable" in made["trees"]
    assert (0 if trees is None else len(trees)) == made["forest"].get("trees", 0)


def test_the_same_seed_gives_the_same_trees(classifier: ModelGPTClassifier) -> None:
    again = ModelGPTClassifier(members=1, trees=True).fit(ROWS[INPUTS], ROWS["label"]).model_
    assert again.trees is not None
    assert classifier.model_.trees is not None
    np.testing.assert_array_equal(again.trees.value, classifier.model_.trees.value)
