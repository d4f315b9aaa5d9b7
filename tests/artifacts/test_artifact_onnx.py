"""The exported graph: what it is called with, what it answers, and that it says the same as torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from artifact_models import random_model, random_table
from conftest import ROOT

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import read_onnx_state
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.names import input_names
from modelgpt_cli.domains.tabular.model import PARAMETERS, TabularModel
from modelgpt_cli.domains.tabular.onnx import to_onnx
from modelgpt_cli.domains.tabular.verify import verify
from modelgpt_cli.runtime.session import Model

LABELS = ("low", "mid", "high")


@pytest.fixture(scope="module")
def table() -> tuple[list[Column], pd.DataFrame]:
    return random_table()


@pytest.fixture(scope="module")
def classifier(table) -> TabularModel:
    return random_model(*table, labels=LABELS)


@pytest.fixture(scope="module")
def regressor(table) -> TabularModel:
    return random_model(*table, target=(50.0, 7.0))


def graph(model: TabularModel, **options) -> bytes:
    return to_onnx(model, **options).SerializeToString(deterministic=True)


def _session(model: TabularModel, **options) -> ort.InferenceSession:
    return ort.InferenceSession(graph(model, **options), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("opset", range(13, 21))
def test_every_opset_agrees_with_torch(classifier, regressor, table, opset):
    for model in (classifier, regressor):
        proto = to_onnx(model, opset=opset)
        assert proto.opset_import[0].version == opset
        assert proto.ir_version <= 10
        assert verify(model, proto.SerializeToString(), table[1]) < 1e-5


def test_other_opsets_and_quantisations_are_refused(classifier, tmp_path):
    with pytest.raises(UsageError, match=r"--opset can't be 21"):
        write_model(classifier, tmp_path / "m.onnx", opset=21)
    with pytest.raises(UsageError, match=r"--quantize can't be 'int4'"):
        write_model(classifier, tmp_path / "m.onnx", quantize="int4")


def test_an_option_of_another_domain_is_refused(classifier, tmp_path):
    with pytest.raises(UsageError, match=r"--tokenizer-in-graph is for texts") as caught:
        write_model(classifier, tmp_path / "m.onnx", tokenizer_in_graph=True)
    assert "tables" in caught.value.cause
    write_model(classifier, tmp_path / "m.onnx", tokenizer_in_graph=False)
    with pytest.raises(UsageError, match="no option 'wibble'"):
        write_model(classifier, tmp_path / "n.onnx", wibble=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_runtime_answers_as_torch_does(classifier, regressor, table, tmp_path):
    frame = table[1]
    columns = {name: frame[name].to_numpy() for name in frame}
    write_model(classifier, tmp_path / "c.onnx")
    write_model(regressor, tmp_path / "r.onnx")
    answers = Model(tmp_path / "c.onnx").run(columns)
    expected = classifier.predict(frame)
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
    assert answers["label"].tolist() == [LABELS[k] for k in expected.argmax(1)]
    assert len(set(answers["label"])) > 1
    prediction = Model(tmp_path / "r.onnx").run(columns)["prediction"]
    np.testing.assert_allclose(prediction, regressor.predict(frame), rtol=1e-5)
    assert prediction.shape == (len(frame), 1)


def test_inputs_and_outputs(classifier):
    session = _session(classifier)
    types = {i.name: i.type for i in session.get_inputs()}
    assert types == {
        "age": "tensor(float)",
        "income": "tensor(float)",
        "rooms": "tensor(float)",
        "flag": "tensor(float)",
        "seen on": "tensor(float)",
        "colour": "tensor(string)",
        "label_": "tensor(string)",
        "same": "tensor(string)",
    }
    assert all(i.shape == ["N", 1] for i in session.get_inputs())
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("label", ["N"]), ("probabilities", ["N", 3])]


def test_no_rows_give_no_answers(classifier):
    session = _session(classifier)
    feed = {i.name: np.zeros((0, 1), np.float32 if i.type == "tensor(float)" else object) for i in session.get_inputs()}
    label, probabilities = session.run(None, feed)
    assert label.shape == (0,)
    assert probabilities.shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (("0", "1"), "tensor(int64)"),
        (("-3", "9223372036854775807"), "tensor(int64)"),
        (("1", "9223372036854775808"), "tensor(string)"),
        (("01", "1"), "tensor(string)"),
        (("1.0", "2.0"), "tensor(string)"),
        (("ja", "nein, öfter"), "tensor(string)"),
    ],
)
def test_label_type(table, labels, kind):
    model = random_model(*table, labels=labels)
    verify(model, graph(model))
    session = _session(model)
    assert session.get_outputs()[0].type == kind


def test_dates_far_and_near(table):
    columns = [Column("when", "datetime"), Column("x", "numeric")]
    rng = np.random.default_rng(1)
    days = np.concatenate([rng.uniform(-200_000, 200_000, 300), np.arange(-400, 400), np.arange(-30, 30) / 24])
    frame = pd.DataFrame({"when": days, "x": rng.normal(size=len(days))})
    model = random_model(columns, frame, labels=LABELS)
    session = _session(model)
    feed = {name: frame[name].to_numpy(np.float32)[:, None] for name in frame}
    np.testing.assert_allclose(session.run(None, feed)[1], model.predict(frame), atol=1e-5)


def test_columns_without_information_need_no_features(table):
    columns = [Column("a", "categorical"), Column("b", "numeric")]
    frame = pd.DataFrame({"a": pd.Series([None] * 20, dtype=object), "b": np.full(20, np.nan)})
    for kind in ({"labels": LABELS}, {"target": (2.0, 3.0)}):
        model = random_model([columns[0]], frame[["a"]], **kind)
        assert model.weight("layers.0.weight").shape[1] == 0
        assert verify(model, graph(model)) < 1e-5
        model = random_model(columns, frame, **kind)
        assert verify(model, graph(model)) < 1e-5


def test_a_target_far_from_zero_passes(table):
    """Float32 can't tell 2,000,000,000 from 2,000,000,001: such steps are no difference."""
    model = random_model(*table, target=(2e9, 1.0))
    assert verify(model, graph(model), table[1]) < 1e-4


def test_column_names_that_the_graph_needs_itself():
    names = ["label", "label_", "probabilities", "", "prediction", "head.bias", "constants.sources.mean"]
    names += ["concat.0", "const.0", "node.0", "N", "a b/c\n\"'"]
    given = input_names(names, PARAMETERS)
    assert given[:4] == ["label__", "label_", "probabilities_", "_"]
    assert len(set(given)) == len(names)
    assert given[-5:] == names[-5:]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=50) for name in names})
    model = random_model([Column(name, "numeric") for name in names], frame, labels=LABELS)
    assert verify(model, graph(model), frame) < 1e-5


def test_many_columns_and_classes_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    columns = [Column(f"n{i}", "numeric") for i in range(300)] + [Column(f"c{i}", "categorical") for i in range(300)]
    words = np.array([f"level {k}" for k in range(12)], dtype=object)
    cells = {c.name: rng.normal(size=100) if c.is_float else words[rng.integers(0, 12, 100)] for c in columns}
    frame = pd.DataFrame(cells)
    model = random_model(columns, frame, labels=[f"class {k}" for k in range(200)], hidden=32)
    start = time.process_time()
    report = write_model(model, tmp_path / "wide.onnx", rows=frame)
    assert time.process_time() - start < 9
    assert report.max_difference < 1e-5


def test_the_way_back_is_exact(classifier, regressor, tmp_path):
    for model in (classifier, regressor):
        path = tmp_path / f"{model.blueprint.task}.onnx"
        write_model(model, path)
        found = read_onnx_state(path)
        card, state = found.model_card, found.state
        assert Blueprint.from_dict(card["blueprint"]) == model.blueprint
        assert state.keys() == model.state().keys()
        for name, tensor in model.state().items():
            assert state[name].dtype == tensor.dtype
            assert torch.equal(state[name], tensor), name
        again = TabularModel(Blueprint.from_dict(card["blueprint"]), state)
        assert to_onnx(again).SerializeToString(deterministic=True) == path.read_bytes()


def test_bytes_are_reproducible_and_tell_nothing_local(table, classifier, tmp_path):
    write_model(classifier, tmp_path / "model.onnx", rows=table[1])
    raw = (tmp_path / "model.onnx").read_bytes()
    write_model(random_model(*table, labels=LABELS), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == raw
    for word in (str(tmp_path), str(Path.home()), str(ROOT), "site-packages", ".py"):
        assert word.encode() not in raw
    proto = onnx.load_model_from_string(raw)
    assert not proto.graph.doc_string
    assert not any(node.doc_string or node.metadata_props for node in proto.graph.node)
    assert (proto.producer_name, proto.graph.name) == ("modelgpt", "modelgpt")


def test_card(classifier, table, tmp_path):
    blueprint = replace(classifier.blueprint, metrics={"modelgpt": {"accuracy": np.float32(0.5), "auc": float("nan")}})
    blueprint.columns = (replace(blueprint.columns[0], description="in years"), *blueprint.columns[1:])
    model = TabularModel(blueprint, classifier.state())
    write_model(model, tmp_path / "model.onnx")
    card = Model(tmp_path / "model.onnx").metadata
    assert card == json.loads(json.dumps(model_card(blueprint))) | {"export": {"opset": 17, "quantize": "none"}}
    inputs = {i["name"]: i for i in card["inputs"]}
    assert inputs["age"] == {"name": "age", "input": "age", "type": "numeric", "description": "in years"}
    assert inputs["seen on"]["unit"] == "days since 1970-01-01"
    assert sorted(inputs["colour"]["levels"]) == ["blue, or so", "grün", "red"]
    assert inputs["label"]["input"] == "label_"
    assert card["dropped"] == [{"name": "id", "type": "identifier", "note": "every row has another value"}]
    assert card["metrics"] == {"modelgpt": {"accuracy": 0.5, "auc": None}}


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_plain_onnxruntime_loads_it_without_a_word(classifier, tmp_path, quantize):
    """In a fresh process, at onnxruntime's own settings: no warning, and no modelgpt or torch needed."""
    write_model(classifier, tmp_path / "model.onnx", quantize=quantize)
    script = (
        "import numpy as np, onnxruntime as ort, sys\n"
        "s = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "feed = {i.name: np.array([[1.5], [float('nan')]], np.float32) if i.type == 'tensor(float)'\n"
        "        else np.array([['red'], ['']], object) for i in s.get_inputs()}\n"
        "label, p = s.run(None, feed)\n"
        "assert not {'torch', 'modelgpt_cli', 'onnx'} & set(sys.modules)\n"
        "print(label.tolist(), np.round(p.sum(1), 5).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model.onnx")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.stdout.endswith("[1.0, 1.0]\n")
