"""Folders for servers, phones and other runtimes: what they hold, that they answer as the model, what is refused."""

from __future__ import annotations

import configparser
import json
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from conftest import ROOT
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tiny_models import tiny_model

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.deployment import probe
from modelgpt_cli.deployment.mobile import folder as mobile
from modelgpt_cli.deployment.numeric import numeric_core
from modelgpt_cli.deployment.server import folder as server
from modelgpt_cli.deployment.targets import export_for
from modelgpt_cli.deployment.trees import write_out_trees
from modelgpt_cli.domains.tabular.measure import dummy_trees
from modelgpt_cli.domains.tabular.onnx_trees import tree_scores
from modelgpt_cli.runtime.session import Model

COLUMNS = {"size": "numeric", 'the "colour" $': "categorical", "seen": "datetime"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of numbers and strings."""
    return _tiny(tmp_path_factory.mktemp("table") / "My shop.onnx")


def need(library: str) -> None:
    """Skip a test whose library isn't here; importing it is for us to do, who know what it says to whom."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def _tiny(path: Path, **more: Any) -> Path:
    return tiny_model(
        path,
        COLUMNS,
        labels=("no", "yes"),
        weight={"size": (0.5, -0.5), 'the "colour" $': (2.0, -1.0), "seen": (1e-4, 0.0)},
        bias=(0.1, 0.2),
        levels={'the "colour" $': ["red"]},
        **more,
    )


# Servers -------------------------------------------------------------------------------------------------------------


def triton_config() -> Any:
    """The part of Triton's ModelConfig that is written, to be parsed by protobuf itself."""
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", syntax="proto3")
    types = file.enum_type.add(name="DataType")
    names = "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING"
    for k, name in enumerate(names.split()):
        types.value.add(name=f"TYPE_{name}", number=k)
    kinds = file.enum_type.add(name="Kind")
    for k, name in enumerate(("KIND_AUTO", "KIND_GPU", "KIND_CPU")):
        kinds.value.add(name=name, number=k)
    tensor = file.message_type.add(name="Tensor")
    tensor.field.add(name="name", number=1, type=9, label=1)
    tensor.field.add(name="data_type", number=2, type=14, label=1, type_name=".DataType")
    tensor.field.add(name="dims", number=3, type=3, label=3)
    group = file.message_type.add(name="Group")
    group.field.add(name="kind", number=1, type=14, label=1, type_name=".Kind")
    group.field.add(name="count", number=2, type=5, label=1)
    value = file.message_type.add(name="Value")
    value.field.add(name="string_value", number=1, type=9, label=1)
    entry = file.message_type.add(name="Entry")
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".Value")
    config = file.message_type.add(name="ModelConfig")
    config.field.add(name="name", number=1, type=9, label=1)
    config.field.add(name="backend", number=2, type=9, label=1)
    config.field.add(name="max_batch_size", number=3, type=5, label=1)
    for number, name in ((4, "input"), (5, "output")):
        config.field.add(name=name, number=number, type=11, label=3, type_name=".Tensor")
    config.field.add(name="instance_group", number=6, type=11, label=3, type_name=".Group")
    config.field.add(name="parameters", number=7, type=11, label=3, type_name=".Entry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ModelConfig"))


def test_a_server_has_its_container_its_service_and_tritons_repository(table: Path, tmp_path: Path) -> None:
    report = export_for(table, "server", output=tmp_path / "server")
    place = tmp_path / "server"
    assert (place / "models/my-shop/1/model.onnx").read_bytes() == table.read_bytes()
    assert "docker build -t my-shop" in report.next
    found = text_format.Parse((place / "models/my-shop/config.pbtxt").read_text(encoding="utf-8"), triton_config()())
    types = found.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
    told = {one.name: (types[one.data_type].name, list(one.dims)) for one in (*found.input, *found.output)}
    assert told == {
        "size": ("TYPE_FP32", [-1, 1]),
        'the "colour" $': ("TYPE_STRING", [-1, 1]),
        "seen": ("TYPE_FP32", [-1, 1]),
        "label": ("TYPE_STRING", [-1]),
        "probabilities": ("TYPE_FP32", [-1, 2]),
    }
    assert (found.name, found.backend, found.max_batch_size) == ("my-shop", "onnxruntime", 0)
    service = yaml.safe_load((place / "inference-service.yaml").read_text(encoding="utf-8"))
    container = service["spec"]["predictor"]["containers"][0]
    assert service["kind"] == "InferenceService"
    assert container["ports"][0]["containerPort"] == server.PORT
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    docker = (place / "Dockerfile").read_text(encoding="utf-8")
    command = json.loads(docker.splitlines()[-1].removeprefix("CMD "))
    assert command[:3] == ["modelgpt", "serve", "my-shop=models/my-shop/1/model.onnx"]
    assert (place / command[2].partition("=")[2]).is_file()
    assert "USER 10001" in docker
    assert "HEALTHCHECK" in docker


def test_a_container_installs_what_a_machine_that_only_predicts_needs(table: Path) -> None:
    lines = (ROOT / "requirements-runtime.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == set(server.RUNS)
    assert any(line.startswith(f"# {server.IMAGES} ") for line in lines)
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = declared["options.extras_require"]
    assert set(server.SERVES) == set(extras["serve"].split())
    assert extras["tokenizer"] == server.TOKENIZES
    assert server.requirements(Model(table)) == sorted([*server.RUNS, *server.SERVES])


def test_a_bundle_is_exported_as_the_model_in_it(table: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.write(table, "model.onnx")
    export_for(tmp_path / "shop.zip", "server", output=tmp_path / "server")
    assert (tmp_path / "server/models/model/1/model.onnx").read_bytes() == table.read_bytes()


# Phones --------------------------------------------------------------------------------------------------------------


def test_a_phone_gets_onnxruntimes_own_format_and_snippets_for_its_inputs(table: Path, tmp_path: Path) -> None:
    report = export_for(table, "mobile", output=tmp_path / "app")
    assert "Verified on 48 rows" in report.next
    session = ort.InferenceSession(tmp_path / "app" / "model.ort", providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(COLUMNS)
    operators = (tmp_path / "app" / mobile.OPERATORS).read_text(encoding="utf-8")
    assert operators.startswith("ai.onnx;")
    assert "LabelEncoder" in operators
    readme = (tmp_path / "app" / "README.md").read_text(encoding="utf-8")
    assert r'"the \"colour\" \$" to OnnxTensor.createTensor(env, arrayOf(' in readme
    assert r'"the \"colour\" $": try ORTValue(tensorStringData: [' in readme
    assert "have not been run" in readme


def test_a_file_that_answers_otherwise_never_appears(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_model(tmp_path / "other.onnx", COLUMNS, labels=("no", "yes"), bias=(0.0, 3.0))
    convert = mobile.convert
    monkeypatch.setattr(mobile, "convert", lambda path, folder: convert(other, folder))
    with pytest.raises(VerificationError, match="doesn't follow"):
        export_for(table, "mobile", output=tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_verification_takes_a_users_rows_too(table: Path, tmp_path: Path) -> None:
    rows = {"size": [1.0, None], 'the "colour" $': ["red", "blue"], "seen": ["2024-01-01", None]}
    assert sum(len(feed["size"]) for feed in probe.probe_feeds(Model(table), rows)) == probe.ROWS + 2
    with pytest.raises(UsageError, match="no use for server"):
        export_for(table, "server", output=tmp_path / "server", data=rows)


# Numbers alone -------------------------------------------------------------------------------------------------------


def test_the_numeric_core_takes_codes_and_answers_as_the_model_does(table: Path) -> None:
    model = Model(table)
    core = numeric_core(model, "Here", networks=False)
    assert core.dropped == ("label",)
    assert core.preprocessing == [
        {"input": 'the "colour" $ code', "from": 'the "colour" $', "kind": "codes", "codes": {"red": 1.0}, "other": 0.0}
    ]
    onnx.checker.check_model(core.proto)
    session = ort.InferenceSession(core.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = probe.probe_feeds(model)
    got = [{"probabilities": session.run(["probabilities"], core.feed(feed))[0]} for feed in feeds]
    assert probe.compare(probe.answers(model, feeds), got, 1e-6).max_difference < 1e-6


def test_trees_are_written_as_products(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    trees = dummy_trees(5, 3)
    missing_left = rng.random(len(trees.value)) < 0.5
    g = GraphWriter({}, ["x", "y"])
    scores = tree_scores(g, replace(trees, missing_left=missing_left), "x", 3)
    g.op("Identity", scores, output="y")
    sides = [onnx.helper.make_tensor_value_info(name, 1, ["N", n]) for name, n in (("x", 5), ("y", 3))]
    proto = g.model(sides[:1], sides[1:], {})
    x = rng.normal(size=(200, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[:9, 0] = trees.value[:9]  # on the edge
    wanted = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    assert write_out_trees(proto.graph)
    assert not any(node.domain for node in proto.graph.node)
    onnx.checker.check_model(proto)
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(wanted) > 0.01


def test_what_has_other_trees_or_texts_inside_says_so(table: Path, tmp_path: Path) -> None:
    proto = onnx.load(table)
    trees = onnx.helper.make_node("TreeEnsembleClassifier", ["size"], ["more"], domain="ai.onnx.ml", name="trees")
    proto.graph.node.append(trees)
    model = Model(table)
    model.path = tmp_path / "trees.onnx"
    onnx.save(proto, model.path)
    with pytest.raises(ModelGPTError, match="trees of another kind"):
        numeric_core(model, "Here", networks=False)
    proto = onnx.load(table)
    next(n for n in proto.graph.node if n.op_type == "LabelEncoder").op_type = "StringNormalizer"
    onnx.save(proto, model.path)
    with pytest.raises(ModelGPTError, match="works on texts inside the graph"):
        numeric_core(model, "Here", networks=False)


def test_an_image_network_begins_at_pixels_of_one_size(image: Path) -> None:
    model = Model(image)
    core = numeric_core(model, "Here", networks=True)
    assert core.inputs == ["image.pixels"]
    assert [one["shape"] for one in core.described()["inputs"]] == [["N", 3, 64, 64]]
    session = ort.InferenceSession(core.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = probe.probe_feeds(model)
    got = [dict(zip(core.outputs, session.run(core.outputs, core.feed(feed)), strict=True)) for feed in feeds]
    verified = probe.compare(probe.answers(model, feeds), got, 1e-5)
    assert verified.rows == probe.IMAGES


def test_openvino_answers_as_the_model_does(table: Path, tmp_path: Path) -> None:
    need("openvino")
    report = export_for(table, "openvino", output=tmp_path / "ov")
    assert {"model.xml", "model.bin", "preprocessing.json", "labels.json"} <= set(report.files)
    made = json.loads((tmp_path / "ov" / "schema.json").read_text(encoding="utf-8"))
    assert made["verified"]["max_difference"] < 1e-3
    assert [one["name"] for one in made["outputs"]] == ["probabilities"]
    assert sys.modules["openvino_telemetry"] is None, "Intel isn't told"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of images with a network that is small, and a random head."""
    from image_models import image_model

    path = tmp_path_factory.mktemp("image") / "image.onnx"
    write_model(image_model(), path)
    return path


@pytest.mark.parametrize(
    ("place", "library", "file"),
    [
        ("openvino", "openvino", "model.xml"),
        ("ncnn", "ncnn", "model.ncnn.param"),
        pytest.param("tflite", "litert_torch", "model.tflite", marks=pytest.mark.slow),
    ],
)
def test_networks_of_images_answer_as_the_model_does(
    place: str, library: str, file: str, image: Path, tmp_path: Path
) -> None:
    need(library)
    report = export_for(image, place, output=tmp_path / place)
    assert "Verified on 4 rows" in report.next
    assert {file, "labels.json", "README.md"} <= set(report.files)
    made = json.loads((tmp_path / place / "schema.json").read_text(encoding="utf-8"))
    assert made["verified"]["max_difference"] < 2e-3
    if "preprocessing.json" in report.files:
        how = json.loads((tmp_path / place / "preprocessing.json").read_text(encoding="utf-8"))
        assert [(one["from"], one["resize"]["short_side"], one["crop"]["size"]) for one in how] == [("image", 64, 64)]


def test_core_ml_is_written_where_it_can_be_verified(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What coremltools does is done by torch here; it runs its files on macOS alone."""
    import torch

    class Converted:
        def __init__(self, network: Any) -> None:
            self.network = network

        def save(self, path: str) -> None:
            Path(path).mkdir()
            Path(path, "network").touch()
            saved.append(self.network)

    class Loaded:
        def __init__(self, path: str) -> None:
            assert Path(path, "network").is_file()

        def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            (pixels,) = inputs.values()
            return {"probabilities": saved[-1](torch.from_numpy(pixels)).detach().numpy() + off}

    def convert(network: Any, **given: Any) -> Converted:
        assert (given["outputs"], given["convert_to"]) == (["probabilities"], "mlprogram")
        return Converted(network)

    saved: list[Any] = []
    monkeypatch.setattr(torch.jit, "trace", lambda network, pixels: network)  # which takes a second
    names = SimpleNamespace(iOS15=15, FLOAT32=32)
    fake = SimpleNamespace(
        convert=convert, TensorType=lambda name, shape=None: name, target=names, precision=names,
        models=SimpleNamespace(MLModel=Loaded),
    )  # fmt: skip
    with pytest.raises(ModelGPTError, match="are written on a Mac") as raised:
        export_for(image, "coreml", output=tmp_path / "here")
    assert "--for mobile" in raised.value.hint
    monkeypatch.setitem(sys.modules, "coremltools", fake)
    monkeypatch.setattr("modelgpt_cli.deployment.coreml.folder.sys", SimpleNamespace(platform="darwin"))
    off = 0.0
    report = export_for(image, "coreml", output=tmp_path / "made")
    assert "Verified on 4 rows" in report.next
    assert {"model.mlpackage/network", "labels.json", "preprocessing.json", "README.md"} <= set(report.files)
    off = 0.1
    with pytest.raises(VerificationError):
        export_for(image, "coreml", output=tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("place", ["coreml", "ncnn", "tflite"])
def test_runtimes_of_networks_on_images_take_no_tables(
    place: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"modelgpt_cli.deployment.{place}.folder.check", lambda: None)
    with pytest.raises(ModelGPTError, match="can't run models of tables") as raised:
        export_for(table, place, output=tmp_path / place)
    assert "--for mobile" in raised.value.hint


def test_a_library_that_is_absent_is_named(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelGPTError, match="OpenVINO is not installed") as raised:
        export_for(table, "openvino", output=tmp_path / "ov")
    assert 'pip install "modelgpt-cli[openvino]"' in raised.value.hint


def test_answers_are_compared_by_what_they_mean() -> None:
    own = [{"prediction": np.array([[1000.0], [3000.0]]), "label": np.array(["a", "b"])}]
    assert probe.compare(own, [{"prediction": np.array([[1000.0], [3002.0]])}], 0.01).max_difference == pytest.approx(
        1e-3
    )
    dull = [{"probabilities": np.array([[0.5001, 0.4999], [0.4999, 0.5001]], dtype=np.float32)}]
    with pytest.raises(VerificationError, match="doesn't follow"):
        probe.compare(dull, [{"probabilities": dull[0]["probabilities"][::-1]}], 1e-3)
    with pytest.raises(VerificationError, match="shape"):
        probe.compare(own, [{"prediction": np.zeros((1, 1))}], 1)
    with pytest.raises(VerificationError, match="missing numbers"):
        probe.compare(own, [{"prediction": np.array([[1000.0], [np.nan]])}], 1)
    with pytest.raises(VerificationError, match=r"0\.01 is allowed"):
        probe.compare(own, [{"label": np.array(["a", "c"])}], 0.01)
