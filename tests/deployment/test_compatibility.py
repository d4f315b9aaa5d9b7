"""Older versions of onnxruntime: files written for them, and what a file says of where it runs."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from bad_input import Bench
from onnx import TensorProto, helper
from tiny_models import tiny_model

from modelgpt_cli import build, predict
from modelgpt_cli.artifacts.export import export
from modelgpt_cli.artifacts.lowering import lowered
from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.runtimes import check_runtime, loads, oldest
from modelgpt_cli.deployment.compatibility import check_file
from modelgpt_cli.runtime.session import Model


def stamped(path: Path) -> tuple[dict[str, int], int]:
    proto = onnx.load(path)
    return {one.domain: one.version for one in proto.opset_import}, proto.ir_version


def test_a_file_is_written_for_an_old_onnxruntime(iris_model: Path, tmp_path: Path) -> None:
    assert stamped(iris_model / "model.onnx") == ({"": 17, "ai.onnx.ml": 3}, 8)
    report = export(iris_model / "model.onnx", output=tmp_path / "old.onnx", runtime="ort-1.8")
    assert report.opset == 14
    assert stamped(tmp_path / "old.onnx") == ({"": 14}, 7), "iris has no strings: nothing of ai.onnx.ml is in use"
    rows = iris_model / "iris.csv"
    assert (predict(tmp_path / "old.onnx", rows).label == predict(iris_model / "model.onnx", rows).label).all()
    with pytest.raises(UsageError, match="--opset 17 and --runtime ort-1"):
        export(iris_model / "model.onnx", output=tmp_path / "no.onnx", opset=17, runtime="ort-1.8")


def test_a_build_writes_for_the_version_that_its_requirement_names(iris_model: Path, tmp_path: Path) -> None:
    wanted = (iris_model / "req.txt").read_text(encoding="utf-8") + "deploy: {runtime: ort-1.10}\n"
    (tmp_path / "req.txt").write_text(wanted, encoding="utf-8")
    build(tmp_path / "req.txt", data=iris_model / "iris.csv", output=tmp_path / "model.onnx", one_pass=True)
    assert stamped(tmp_path / "model.onnx") == ({"": 15}, 8)
    assert Model(tmp_path / "model.onnx").metadata["deploy"] == {"runtime": "ort-1.10"}


@pytest.mark.parametrize(
    ("value", "words"), [("1.15", "such as ort-1.15"), ("ort-1.3", "1.7 is the first"), ("ort-2.0", "such as ort-1.15")]
)
def test_what_is_wrong_with_a_version_is_named(value: str, words: str, iris_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--runtime can't be .*{value}") as raised:
        export(iris_model / "model.onnx", output=tmp_path / "a.onnx", runtime=value)
    assert words in raised.value.cause


def test_operators_that_a_version_lacks_are_an_error(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    scale = helper.make_tensor("s", TensorProto.FLOAT, [4], [1.0] * 4)
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [scale])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert lowered(proto, "ort-1.12").opset_import[0].version == 17
    with pytest.raises(UsageError, match="needs operator set 17"):
        lowered(proto, "ort-1.11")


def test_versions_are_read_and_ordered() -> None:
    assert check_runtime("--runtime", "ort-1.15.1") == "ort-1.15"
    assert loads("ort-1.32") == loads("ort-1.18")
    assert oldest(17, 3, 8) == (1, 12)
    assert oldest(13, 2, 7) == (1, 7)
    assert oldest(21, 5, 10) is None
    assert Deploy(runtime="ort-1.10.2").version == "ort-1.10"
    assert Deploy(runtime="onnxruntime-web").version is None
    with pytest.raises(UsageError, match="deploy: runtime can't be 'ort-9'"):
        Deploy(runtime="ort-9")


def test_doctor_says_where_a_file_runs(bench: Bench, tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx", {"a": "numeric", "b": "categorical"}, labels=("x", "y"))
    done = bench.run("doctor", "--model", path, "--json")
    assert done.code == 0, done.err
    found = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert found["onnxruntime"]["detail"] == "1.12 or newer (operator set 17, ai.onnx.ml 3, IR 8)"
    assert "--runtime ort-1.7" in found["onnxruntime"]["hint"]
    assert found["onnxruntime-web"]["status"] == "ok"
    assert "float32" in found["file"]["detail"]
    assert any("nodes" in check["detail"] for check in found.values())


def test_foreign_operators_and_files_are_named(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=("x", "y"))
    proto = onnx.load(path)
    proto.graph.node.append(helper.make_node("BertTokenizer", ["a"], ["more"], domain="ai.onnx.contrib"))
    proto.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))
    onnx.save(proto, path)
    found = {check.name: check for check in check_file(path)}
    assert found["onnxruntime-web"].status == "warning"
    assert "ai.onnx.contrib" in found["onnxruntime-web"].detail
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelGPTError, match="not an ONNX file"):
        check_file(tmp_path / "text.onnx")
