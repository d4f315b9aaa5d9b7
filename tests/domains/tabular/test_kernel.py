"""A kernel machine beside the network: there where a smooth target asks for it, and exact in the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from modelgpt_cli import ModelGPTClassifier, ModelGPTRegressor, build, inspect, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.tabular import mixing
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.generator import shared_generator
from modelgpt_cli.domains.tabular.kernel import relevance
from modelgpt_cli.domains.tabular.kernel_model import Kernel, read_kernel
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.rebuild import by_generator
from modelgpt_cli.domains.tabular.tune import network_weight
from modelgpt_cli.model_generator.measure import measure_flops
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.runtime.session import Model

INPUTS = list("abcde")


def waves(n: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose target is a smooth function of three columns together, and not of the other two."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.uniform(-1, 1, n) for name in INPUTS})
    number = np.sin(3 * frame["a"] * frame["b"]) + np.cos(2 * (frame["b"] + frame["c"])) + 0.1 * rng.normal(size=n)
    frame.loc[rng.random(n) < 0.03, "e"] = np.nan
    return frame.assign(number=number, label=np.where(number > number.median(), "high", "low"))


ROWS, NEW = waves(400), waves(500, seed=1)


@pytest.fixture(scope="module")
def regressor() -> ModelGPTRegressor:
    return ModelGPTRegressor(members=1, kernel=True).fit(ROWS[INPUTS], ROWS["number"])


def kernel_of(model: TabularModel) -> Kernel:
    assert model.kernel is not None
    return model.kernel


# What a user sees ----------------------------------------------------------------------------------------------------


def test_a_build_mixes_a_kernel_in_and_says_what_it_is_worth(tmp_path: Path) -> None:
    data = ROWS.drop(columns="label")
    report = build(data, target="number", output=tmp_path / "m.onnx", card="tabular-1+kernel+trees", offline=True)
    assert report.card.startswith("tabular-1+kernel")
    assert list(report.metrics)[:3] == ["model", "network alone", "kernel alone"]
    assert report.metrics["model"]["rmse"] < 0.8 * report.metrics["network alone"]["rmse"]
    assert any("A kernel machine on 400 points has" in note for note in report.notes)
    card = inspect(tmp_path / "m.onnx")
    assert card["blueprint"]["architecture"]["kernel"] == 400
    assert card["provenance"]["kernel"]["share"] > 0.5
    answers = predict(tmp_path / "m.onnx", NEW[INPUTS])
    assert np.corrcoef(answers.prediction, NEW["number"])[0, 1] ** 2 > 0.9
    domains = {node.domain for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert domains <= {"", "ai.onnx.ml"}


def test_new_rows_gain_and_the_interval_is_of_the_mix(regressor: ModelGPTRegressor) -> None:
    alone = ModelGPTRegressor(members=1).fit(ROWS[INPUTS], ROWS["number"])
    assert alone.model_.kernel is None
    better, worse = (1 - one.score(NEW[INPUTS], NEW["number"]) for one in (regressor, alone))
    assert better < 0.6 * worse
    lower, upper = regressor.predict_interval(NEW[INPUTS]).T
    assert 0.82 < ((lower <= NEW["number"]) & (NEW["number"] <= upper)).mean() < 0.97
    assert np.mean(upper - lower) < 0.8 * np.ptp(alone.predict_interval(NEW[INPUTS]), axis=1).mean()


def test_classes_gain_too() -> None:
    both = [ModelGPTClassifier(members=1, kernel=on).fit(ROWS[INPUTS], ROWS["label"]) for on in (True, False)]
    found = [
        -np.log(one.predict_proba(NEW[INPUTS])[np.arange(len(NEW)), (NEW["label"] == "low").astype(int)]).mean()
        for one in both
    ]
    assert kernel_of(both[0].model_).weight.shape[1] == 2
    assert found[0] < 0.9 * found[1]


def test_there_is_none_where_it_pays_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ModelGPTRegressor(members=1, kernel=True).fit(ROWS[INPUTS][:50], ROWS["number"][:50])
    assert few.model_.kernel is None
    assert "kernel" not in few.model_.blueprint.provenance
    monkeypatch.setattr(mixing, "LEAST_GAIN", 1000.0)
    model = ModelGPTRegressor(members=1, kernel=True).fit(ROWS[INPUTS][:150], ROWS["number"][:150])
    assert model.model_.kernel is None
    assert 0 < model.model_.blueprint.provenance["kernel"]["gain_nats"] < 1000
    assert "kernel alone" not in model.metrics_


@pytest.mark.parametrize("options", [{"card": "tabular-1"}, {"card": "tabular-1+trees"}, {"one_pass": True}])
def test_other_cards_and_one_pass_have_none(options: dict[str, Any], tmp_path: Path) -> None:
    data = ROWS.drop(columns="label")
    build(data, target="number", output=tmp_path / "m.onnx", offline=True, **options)
    assert "kernel" not in inspect(tmp_path / "m.onnx")["blueprint"]["architecture"]


def test_rows_of_later_days_are_predicted_from_earlier_ones(tmp_path: Path) -> None:
    days = pd.date_range("2025-01-01", periods=len(ROWS)).strftime("%Y-%m-%d")
    data = ROWS.drop(columns="label").assign(day=days)
    build(data, target="number", output=tmp_path / "m.onnx", card="tabular-1+kernel", offline=True, time="day")
    assert inspect(tmp_path / "m.onnx")["provenance"]["kernel"]["gain_nats"] > 0


# In the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_the_graph_answers_as_the_model_does(regressor: ModelGPTRegressor, quantize: str, tmp_path: Path) -> None:
    path = regressor.export(tmp_path / "m.onnx", quantize=quantize)
    odd = pd.concat([NEW[INPUTS], pd.DataFrame({name: [np.nan, np.inf, -1e30, 0.0] for name in INPUTS})])
    cells = {name: odd[name].to_numpy(np.float32)[:, None] for name in INPUTS}
    found = Model(path).run(cells)["prediction"][:, 0]
    assert np.abs(found - regressor.predict(odd)).max() < (1e-5 if quantize == "none" else 0.05)


def test_it_costs_what_is_measured(regressor: ModelGPTRegressor, tmp_path: Path) -> None:
    model = regressor.model_
    kernel = kernel_of(model)
    alone = TabularModel(
        replace(model.blueprint, architecture=replace(model.blueprint.architecture, kernel=0)), model.state()
    )
    paths = [write_model(one, tmp_path / name).path for one, name in ((model, "a.onnx"), (alone, "b.onnx"))]
    d, P = kernel.points.shape[1], len(kernel)
    assert measure_flops(paths[0]) - measure_flops(paths[1]) == 2 * P * (d + 1)
    assert 0 < paths[0].stat().st_size - paths[1].stat().st_size - 4 * kernel.numel() < 8000


@pytest.mark.parametrize("ending", ["safetensors", "onnx"])
def test_both_files_give_the_model_back(regressor: ModelGPTRegressor, ending: str, tmp_path: Path) -> None:
    again = load_model(write_model(regressor.model_, tmp_path / f"m.{ending}").path)
    assert isinstance(again, TabularModel)
    for name, tensor in kernel_of(regressor.model_).state().items():
        assert torch.equal(again.state()[name], tensor)


def test_tensors_that_contradict_each_other_are_no_kernel(regressor: ModelGPTRegressor) -> None:
    state = kernel_of(regressor.model_).state()
    with pytest.raises(ValueError, match="contradict"):
        read_kernel(state | {"kernel.weight": state["kernel.weight"][:-1]})
    with pytest.raises(KeyError):
        read_kernel({name: tensor for name, tensor in state.items() if name != "kernel.bias"})


def test_no_row_of_the_build_stands_in_it(regressor: ModelGPTRegressor) -> None:
    model, kernel = regressor.model_, kernel_of(regressor.model_)
    x, codes = model.preprocessor.arrays(ROWS[INPUTS])
    linear = model.encode(torch.from_numpy(x), torch.from_numpy(codes))[1]
    assert float(torch.cdist(kernel.points, linear * kernel.scale).min()) > 1e-4


def test_tuning_knows_the_share_of_the_network(regressor: ModelGPTRegressor) -> None:
    model = regressor.model_
    assert network_weight(model) == pytest.approx(model.blueprint.provenance["kernel"]["network"])


def test_it_may_be_absent_when_the_model_is_built_again_from_some_rows(
    regressor: ModelGPTRegressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = regressor.model_
    x, codes = model.preprocessor.arrays(ROWS[INPUTS][:60])
    table = TableArrays(x, codes, ROWS["number"].to_numpy()[:60], 0, ())
    monkeypatch.setattr(mixing, "LEAST_GAIN", 1000.0)
    generator, _ = shared_generator(generator_file(None, "tabular"))
    again = by_generator(model, generator)(table)
    assert again.kernel is None
    assert again.blueprint.architecture.kernel == 0
    assert kernel_of(model) is not None


# How it is fitted ----------------------------------------------------------------------------------------------------


def test_relevant_inputs_weigh_more(regressor: ModelGPTRegressor) -> None:
    x = torch.from_numpy(ROWS[INPUTS[:4]].to_numpy(np.float32, copy=True))
    a, b, c, d = relevance(x, torch.from_numpy(ROWS["number"].to_numpy(np.float32))[:, None]).tolist()
    assert min(a, b, c) > 3 * d
    nothing = relevance(torch.zeros(20, 2), torch.randn(20, 1, generator=torch.Generator().manual_seed(0)))
    assert bool(nothing.isfinite().all())
