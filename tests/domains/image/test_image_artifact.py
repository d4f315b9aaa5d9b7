"""Image models as files: the graph gives the original's answers from raw images, is read back exactly, is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from image_models import CARD_OF_EACH, LABELS, image, image_folder, image_model
from safetensors import safe_open
from safetensors.torch import save_file

from modelgpt_cli.artifacts.export import export, write_model
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.onnx import to_onnx
from modelgpt_cli.domains.image.verify import verify
from modelgpt_cli.model_generator.measure import measure_latency
from modelgpt_cli.runtime.session import Model

IMAGES = [
    image(64, 64),
    image(160, 200, 1),
    image(77, 133, 2),
    image(3, 300, 3),
    image(1, 1),
    image(300, 90),
]


@pytest.fixture(scope="module")
def model() -> ImageModel:
    return image_model()


def answers(path: Path) -> np.ndarray:
    return Model(path, threads=1).run({IMAGE: IMAGES})["probabilities"]


@pytest.mark.parametrize("card", CARD_OF_EACH)
def test_every_network_gives_the_originals_answers(card: str, tmp_path: Path) -> None:
    original = image_model(card, size=64, resize=72)
    report = write_model(original, tmp_path / "m.onnx", rows=IMAGES[:2])
    assert report.max_difference < 3e-4  # square roots of numbers near zero tell roundings apart
    np.testing.assert_allclose(answers(tmp_path / "m.onnx"), original.predict(IMAGES), atol=3e-4)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize("quantize", ["none", "fp16"])
def test_operator_sets(model: ImageModel, tmp_path: Path, opset: int, quantize: str) -> None:
    report = write_model(model, tmp_path / "m.onnx", opset=opset, quantize=quantize)
    proto = onnx.load(tmp_path / "m.onnx")
    assert (proto.opset_import[0].version, report.opset) == (opset, opset)
    assert proto.ir_version <= 10
    assert [(i.name, i.type.tensor_type.elem_type) for i in proto.graph.input] == [("image", onnx.TensorProto.UINT8)]
    limit = 1e-4 if quantize == "none" else 0.02
    np.testing.assert_allclose(answers(tmp_path / "m.onnx"), model.predict(IMAGES), atol=limit)


def test_eight_bits_are_measured_on_images(tmp_path: Path) -> None:
    model = image_model("resnet18_layer3")
    with pytest.raises(UsageError, match="int8 needs images"):
        write_model(model, tmp_path / "m.onnx", quantize="int8")
    calibration = [image(70, 80, seed) for seed in range(12)]
    exact = write_model(model, tmp_path / "exact.onnx").size_bytes
    report = write_model(model, tmp_path / "m.onnx", quantize="int8", rows=calibration)
    assert report.size_bytes < 0.35 * exact
    loaded = Model(tmp_path / "m.onnx", threads=1)
    together = loaded.run({IMAGE: np.stack(calibration)})["probabilities"]
    alone = np.concatenate([loaded.run({IMAGE: [one]})["probabilities"] for one in calibration])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together - model.predict(calibration)).mean() < 0.05
    with pytest.raises(ModelGPTError, match="is quantised"):
        load_model(tmp_path / "m.onnx")


def test_the_way_back_is_exact(model: ImageModel, tmp_path: Path) -> None:
    write_model(model, tmp_path / "m.onnx")
    write_model(model, tmp_path / "m.safetensors")
    for name in ("m.onnx", "m.safetensors"):
        again = load_model(tmp_path / name)
        assert isinstance(again, ImageModel)
        assert again.blueprint == model.blueprint
        assert again.state().keys() == model.state().keys()
        assert all(torch.equal(again.state()[key], value) for key, value in model.state().items())
    export(tmp_path / "m.safetensors", output=tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()


@pytest.mark.slow
def test_export_tells_what_quantisation_costs(model: ImageModel, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images")
    write_model(model, tmp_path / "m.safetensors")
    report = export(tmp_path / "m.safetensors", output=tmp_path / "m.onnx", quantize="int8", data=folder)
    assert set(report.before) == set(report.after) >= {"accuracy"}
    written = (tmp_path / "m.onnx").read_bytes()
    assert str(tmp_path).encode() not in written


def test_a_graph_that_differs_is_refused(model: ImageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = to_onnx(model).SerializeToString()
    assert verify(model, raw) < 1e-4
    other = image_model(seed=1)
    with pytest.raises(VerificationError, match="differs from the original"):
        verify(other, raw)
    smaller = image_model(size=60, resize=64)
    with pytest.raises(VerificationError):
        verify(smaller, raw)


def test_damaged_files(model: ImageModel, tmp_path: Path) -> None:
    write_model(image_model(), tmp_path / "nan.safetensors")
    with safe_open(tmp_path / "nan.safetensors", "pt") as file:
        tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["head.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors", header)
    with pytest.raises(ModelGPTError, match="damaged"):
        load_model(tmp_path / "nan.safetensors")
    blueprint = model_card(model.blueprint)["blueprint"]
    blueprint["architecture"]["encoder"]["network"] = "resnet18"
    write_model(model, tmp_path / "other.safetensors", entries={"blueprint": blueprint})
    with pytest.raises(ModelGPTError, match="network can't be rebuilt"):
        load_model(tmp_path / "other.safetensors")


def test_latency_is_measured(model: ImageModel, tmp_path: Path) -> None:
    write_model(model, tmp_path / "m.onnx")
    assert measure_latency(tmp_path / "m.onnx", 2, 1)[0] > 0
    assert measure_latency(tmp_path / "m.onnx", 2, 1, IMAGES[:1])[0] > 0


def test_labels_that_are_numbers(tmp_path: Path) -> None:
    write_model(image_model(labels=("0", "1", "2")), tmp_path / "m.onnx")
    outputs = Model(tmp_path / "m.onnx").run({IMAGE: IMAGES})
    assert outputs["label"].dtype == np.int64
    assert outputs["label"].tolist() == outputs["probabilities"].argmax(1).tolist()
    assert len(LABELS) == 3
