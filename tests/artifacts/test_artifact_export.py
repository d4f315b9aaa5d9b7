"""Verification finds what is wrong, a failed export leaves what was there, and files of others are told so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from artifact_models import random_model, random_table
from onnx import helper, numpy_helper
from tiny_models import tiny_model

from modelgpt_cli.artifacts.backends import Contents, format_of, load_backend
from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.artifacts.onnx_state import read_onnx_state
from modelgpt_cli.core.deploy import FORMATS, Deploy, Format
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.domains.tabular import onnx as onnx_part
from modelgpt_cli.domains.tabular.generator import make_generator
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.onnx import to_onnx
from modelgpt_cli.domains.tabular.verify import TOLERANCES, verify
from modelgpt_cli.parameter_generator.checkpoint import save_generator
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.runtime.session import Model


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return random_model(*random_table(), labels=("a", "b", "c"), hidden=64)


def _set_constant(old: float, new: float) -> Callable[[onnx.ModelProto], None]:
    """A change of the graph: another value for every scalar constant `old`."""

    def change(proto: onnx.ModelProto) -> None:
        hits = 0
        for tensor in proto.graph.initializer:
            if tensor.name.startswith("const.") and tensor.data_type == 1 and not tensor.dims:
                value = numpy_helper.to_array(tensor)
                if value == np.float32(old):
                    tensor.CopyFrom(numpy_helper.from_array(np.float32(new), tensor.name))
                    hits += 1
        assert hits

    return change


def _set_levels(default: int | None, missing: int | None) -> Callable[[onnx.ModelProto], None]:
    """A change of the graph: other codes for unseen or missing levels."""

    def change(proto: onnx.ModelProto) -> None:
        for node in proto.graph.node:
            if node.op_type == "LabelEncoder":
                found = {a.name: a for a in node.attribute}
                if default is not None:
                    found["default_int64"].CopyFrom(helper.make_attribute("default_int64", default))
                if missing is not None:
                    found["values_int64s"].ints[-1] = missing

    return change


def _set_op(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    """A change of the graph: the first node of one kind becomes another kind."""

    def change(proto: onnx.ModelProto) -> None:
        next(node for node in proto.graph.node if node.op_type == old).op_type = new

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set_constant(6.0, 60.0),
        _set_constant(-6.0, -60.0),
        _set_constant(365.2425, 365.0),
        _set_constant(7.0, 7.01),
        _set_constant(1e37, 3e38),
        _set_constant(1.5, 1.6),
        _set_levels(default=0, missing=None),
        _set_levels(default=None, missing=0),
        _set_op("IsNaN", "IsInf"),
        _set_op("Cos", "Sin"),
        _set_op("Relu", "Abs"),
        _set_op("ArgMax", "ArgMin"),
        _set_op("Relu", "NoSuchOperator"),
    ],
)
def test_verification_finds_a_wrong_graph(model, change):
    proto = to_onnx(model)
    change(proto)
    with pytest.raises(VerificationError) as caught:
        verify(model, proto.SerializeToString())
    assert caught.value.exit_code == 3


def test_verification_finds_a_wrong_number(model):
    proto = to_onnx(model)
    bias = next(t for t in proto.graph.initializer if t.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([2e-3, 0, 0]), "head.bias"))
    with pytest.raises(VerificationError, match="differs from the original by"):
        verify(model, proto.SerializeToString())


def test_verification_refuses_answers_that_are_no_numbers():
    broken = random_model(*random_table(), labels=("a", "b"))
    with torch.no_grad():
        broken.weight("head.bias")[0] = torch.nan
    with pytest.raises(VerificationError, match="no numbers"):
        verify(broken, to_onnx(broken).SerializeToString())


def test_verification_uses_the_given_rows(model):
    """A difference that only real rows show is found where they are given."""
    _, frame = random_table()
    rows = frame.iloc[:3].assign(age=77.125)
    proto = to_onnx(model)
    graph = proto.graph
    spike = [
        helper.make_node("Equal", ["age", "spike.at"], ["spike.hit"]),
        helper.make_node("Where", ["spike.hit", "spike.to", "age"], ["spike.age"]),
    ]
    for node in graph.node:
        node.input[:] = ["spike.age" if name == "age" else name for name in node.input]
    nodes = [*spike, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.float32(77.125), "spike.at"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "spike.to"))
    assert verify(model, proto.SerializeToString()) < 1e-4
    with pytest.raises(VerificationError):
        verify(model, proto.SerializeToString(), rows)


def test_a_failed_verification_leaves_what_was_there(model, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def wrong(*args, **kwargs):
        proto = to_onnx(*args, **kwargs)
        _set_constant(6.0, 60.0)(proto)
        return proto

    monkeypatch.setattr(onnx_part, "to_onnx", wrong)
    with pytest.raises(VerificationError):
        write_model(model, path, force=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_accepted_does_not_appear(model, tmp_path):
    seen = []

    def refuse(path):
        seen.append(len(Model(path).labels))
        raise VerificationError("too large")

    with pytest.raises(VerificationError, match="too large"):
        write_model(model, tmp_path / "model.onnx", accept=refuse)
    assert seen == [3]
    assert list(tmp_path.iterdir()) == []


def test_export_from_safetensors_and_from_onnx(model, tmp_path):
    write_model(model, tmp_path / "model.safetensors")
    report = export(tmp_path / "model.safetensors", output=tmp_path / "one.onnx")
    export(tmp_path / "one.onnx", output=tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    assert report.to_dict() == {
        "path": str(tmp_path / "one.onnx"),
        "size_bytes": (tmp_path / "one.onnx").stat().st_size,
        "opset": 17,
        "quantize": "none",
        "max_difference": report.max_difference,
        "seconds": report.seconds,
        "before": {},
        "after": {},
    }
    with pytest.raises(UsageError, match="already exists"):
        export(tmp_path / "model.safetensors", output=tmp_path / "one.onnx")
    export(tmp_path / "model.safetensors", output=tmp_path / "one.onnx", opset=13, force=True)
    assert onnx.load(tmp_path / "one.onnx").opset_import[0].version == 13


def test_the_ending_decides_the_format(model, tmp_path):
    with pytest.raises(UsageError, match="Can't tell what to write"):
        write_model(model, tmp_path / "m.pt")
    for given in ({"quantize": "int8"}, {"opset": 17}):
        with pytest.raises(UsageError, match="float32 weights"):
            write_model(model, tmp_path / "m.safetensors", **given)
    assert not list(tmp_path.iterdir())
    for name in ("m.safetensors", "m.onnx"):
        write_model(model, tmp_path / name, entries={"size": 5})
        found = load_backend(format_of(tmp_path / name)).read(tmp_path / name)
        assert found.model_card["size"] == 5
        assert found.state.keys() == model.state().keys()
        with pytest.raises(UsageError, match="Can't export"):
            export(tmp_path / name, output=tmp_path / "n.safetensors")


def test_another_format_is_a_module_and_a_line(model, tmp_path, monkeypatch):
    class Toy(ModuleType):
        def complete(self, model, settings):
            return settings

        def write(self, model, settings, rows=None):
            return json.dumps(model.blueprint.to_dict()).encode()

        def verify(self, model, raw, settings, rows=None):
            return 0.25

        def read(self, path):
            return Contents({"blueprint": json.loads(path.read_bytes())}, model.state(), {})

    monkeypatch.setitem(sys.modules, "toy_file", Toy("toy_file"))
    monkeypatch.setitem(FORMATS, "toy", Format("toy_file", deployable=True))
    assert Deploy(format="toy").format == "toy"
    assert write_model(model, tmp_path / "m.toy").max_difference == 0.25
    assert load_model(tmp_path / "m.toy").blueprint == model.blueprint
    export(tmp_path / "m.toy", output=tmp_path / "n.toy")
    assert (tmp_path / "n.toy").read_bytes() == (tmp_path / "m.toy").read_bytes()


def test_a_model_of_an_unknown_domain_is_refused(model, tmp_path):
    blueprint = model.blueprint.to_dict() | {"domain": "smells"}
    for name in ("m.safetensors", "m.onnx"):
        write_model(model, tmp_path / name, entries={"blueprint": blueprint})
        with pytest.raises(ModelGPTError, match="is damaged") as caught:
            load_model(tmp_path / name)
        assert "smells" in caught.value.cause


@pytest.mark.parametrize(("quantize", "smaller"), [("fp16", 0.6), ("int8", 0.4)])
def test_quantised_models(quantize, smaller, tmp_path):
    model = random_model(*random_table(), labels=("a", "b", "c"), hidden=128, members=4)
    _, frame = random_table()
    plain = write_model(model, tmp_path / "plain.onnx", rows=frame)
    report = write_model(model, tmp_path / "small.onnx", quantize=quantize, rows=frame)
    assert report.size_bytes < smaller * plain.size_bytes
    assert plain.max_difference < report.max_difference < TOLERANCES[quantize]

    columns = {name: frame[name].to_numpy() for name in frame}
    small = Model(tmp_path / "small.onnx")
    together = small.run(columns)["probabilities"]
    alone = np.concatenate(
        [small.run({k: v[i : i + 1] for k, v in columns.items()})["probabilities"] for i in range(9)]
    )
    np.testing.assert_allclose(together[:9], alone, atol=1e-6)
    with pytest.raises(ModelGPTError, match=f"quantised \\({quantize}\\)"):
        load_model(tmp_path / "small.onnx")


def test_files_that_cannot_be_read_back(model, tmp_path):
    path = tmp_path / "model.onnx"
    write_model(model, path)
    whole = path.read_bytes()
    cases = {
        "There is no file": None,
        "is empty": b"",
        "can't be read": b"\xff" * 100,
        "not made by modelgpt": onnx.load_model(tiny_model(tmp_path / "t.onnx", {"x": "numeric"})),
    }
    cases["not made by modelgpt"].metadata_props.clear()
    for words, content in cases.items():
        file = tmp_path / f"{words.split()[-1]}.onnx"
        if isinstance(content, onnx.ModelProto):
            onnx.save(content, file)
        elif content is not None:
            file.write_bytes(content)
        with pytest.raises(ModelGPTError, match=words):
            read_onnx_state(file)
    for cut in (10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelGPTError):
            read_onnx_state(path)


def test_a_card_without_its_tensors_is_damaged(model, tmp_path):
    proto = to_onnx(model)
    kept = [t for t in proto.graph.initializer if t.name != "layers.1.weight"]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(ModelGPTError, match=r"layers\.1\.weight"):
        read_onnx_state(tmp_path / "model.onnx")
    tiny_model(tmp_path / "tiny.onnx", {"x": "numeric"})
    with pytest.raises(ModelGPTError, match="blueprint"):
        read_onnx_state(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_bound_of_a_quantised_file_holds_on_the_rows_given(task, tmp_path):
    labels = ("a", "b", "c") if task == "classification" else ()
    model = random_model(*random_table(), labels=labels, hidden=64, target=(5.0, 20.0))
    write_model(model, tmp_path / "plain.onnx")
    _, frame = random_table(n_rows=2000, seed=5)
    rng = np.random.default_rng(0)
    frame["y"] = rng.choice(labels, 2000) if labels else rng.normal(5, 20, 2000)
    written = frame.assign(**{"seen on": pd.to_datetime(frame["seen on"], unit="D")})
    written.to_parquet(tmp_path / "rows.parquet")
    alone = export(tmp_path / "plain.onnx", output=tmp_path / "alone.onnx", quantize="int8")
    report = export(
        tmp_path / "plain.onnx", output=tmp_path / "s.onnx", quantize="int8", data=tmp_path / "rows.parquet"
    )
    columns = {name: frame[name].to_numpy() for name in frame if name != "y"}
    key = "probabilities" if labels else "prediction"
    first, second = (Model(tmp_path / name).run(columns)[key] for name in ("plain.onnx", "s.onnx"))
    found = float(np.abs(first.astype(np.float64) - second).max()) / (1.0 if labels else 20.0)
    assert report.max_difference == pytest.approx(max(found, alone.max_difference), rel=1e-3)
    assert report.max_difference >= alone.max_difference


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_weights_that_are_no_numbers_are_refused(value, ending, tmp_path):
    model = random_model(*random_table(), labels=("a", "b", "c"))
    with torch.no_grad():
        model.weight("layers.1.bias")[0, 0, 0] = value
    with pytest.raises(VerificationError, match="no finite numbers") as caught:
        write_model(model, tmp_path / f"m.{ending}")
    assert "layers.1.bias" in caught.value.cause
    assert not list(tmp_path.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _save_generator(path: Path) -> None:
    save_generator(path, make_generator(GeneratorConfig(width=32, blocks=1)), {}, domain="tabular")


@pytest.mark.parametrize("name", ["m.onnx", "m.safetensors", "generator.safetensors"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_full_disk_is_one_error_and_leaves_what_was_there(
    name: str, old: bytes | None, model: TabularModel, tmp_path: Path
) -> None:
    path = tmp_path / name
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(ModelGPTError, match=r"Can't write .*" + name) as caught, files_of_at_most(20_000):
        _save_generator(path) if name.startswith("g") else write_model(model, path, force=True)
    assert "too large" in caught.value.cause
    assert "Free some space" in caught.value.hint
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({} if old is None else {name: old})
