"""The image domain's networks: weights from files, LoRA and its merge, BatchNorm left alone, Pillow's pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_models import LABELS, TINY, image, image_model, random_trunk
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.domains.image.architectures import CARDS, DEFAULT_CARD, find_card
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.fit import MANY, Adapted, ImageHead, LinearModel
from modelgpt_cli.domains.image.preprocess import View, normalise, pixels
from modelgpt_cli.domains.image.trunks import folded, make_trunk, norms, trunk_state
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.head import HeadSource, solve
from modelgpt_cli.domains.shared.scaling import spread
from modelgpt_cli.parameter_generator.adapter import HeadPrior, Words

VIEW = View(48, 40, (0.5,) * 3, (0.25,) * 3)


def factors(backbone: Backbone, scale: float = 0.05) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {p.name: scale * torch.randn(p.sizes, generator=generator) for p in lora_spec(backbone)}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite0"])
def test_merged_factors_give_what_the_adapted_network_gives(name: str) -> None:
    card = CARDS[name]
    backbone = Backbone(card, random_trunk(card.network))
    x = torch.randn(2, 3, 64, 64)
    lora = factors(backbone)
    with torch.no_grad():
        before, adapted = backbone(x), backbone(x, lora)
        merged = backbone.merge(lora)
        after = merged(x)
    assert before.shape == (2, card.features)
    assert (adapted - before).norm() > 1e-3 * before.norm()
    assert (after - adapted).norm() < 1e-4 * adapted.norm()
    assert not any("lora" in part for part, _ in merged.named_modules())
    assert trunk_state(merged).keys() == trunk_state(make_trunk(card.network)).keys()


def test_the_default_network_is_for_an_ordinary_processor() -> None:
    assert sum(p.numel() for p in make_trunk(CARDS[DEFAULT_CARD].network).parameters()) <= 3_500_000


def test_training_leaves_batchnorm_as_it_was() -> None:
    backbone = Backbone(replace(CARDS[TINY], dropout=0.5), random_trunk(TINY))
    lora = {name: value.requires_grad_() for name, value in factors(backbone).items()}
    backbone(torch.randn(1, 3, 32, 32), lora)
    before = {name: value.clone() for name, value in backbone.state_dict().items() if "lora" not in name}
    assert any("base_model" in name for name in before), "what is trained is peft's"
    head = nn.Linear(backbone.size, 3)
    optimizer = torch.optim.SGD([*lora.values(), *head.parameters()], lr=0.1)
    backbone.train()
    x, y = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2])
    assert not torch.equal(backbone(x, lora), backbone(x, lora))  # LoRA's dropout acts
    first = {name: value.detach().clone() for name, value in lora.items()}
    for _ in range(3):
        loss = nn.functional.cross_entropy(head(backbone(x, lora)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(not torch.equal(value, first[name]) for name, value in lora.items())
    after = backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(p.requires_grad for _, norm in norms(backbone) for p in norm.parameters())


def test_the_precision_is_of_features_as_these_images_vary() -> None:
    rng = torch.Generator().manual_seed(0)
    target = torch.eye(3).repeat(40, 1)  # (120, 3)
    usual = (torch.randn(120, 60, generator=rng) + target @ torch.randn(3, 60, generator=rng)) / 60**0.5
    scale = torch.ones(60)
    scale[:30] = 0.3  # here they vary less than elsewhere
    words = Words(torch.zeros(4), torch.zeros(3, 4), False, False)
    shift = {}
    for source in (HeadSource(words=words), Adapted(words=words, trunk=nn.Identity(), view=VIEW)):
        heads = [solve(phi, target, source.prior(phi, target, 60), False)[:-1] for phi in (usual, usual * scale)]
        answers = [phi @ head for phi, head in zip((usual, usual * scale), heads, strict=True)]
        shift[type(source)] = float((answers[0] - answers[1]).norm() / answers[0].norm())
    assert shift[Adapted] < 0.6 * shift[HeadSource]
    assert spread(usual[:1]).min() > 0.9, "one image says nothing of how they vary"
    assert spread(usual * scale)[:30].mean() < 0.3


class Told:
    """A generator that asks for twice the usual precision."""

    def head(self, *_: object) -> HeadPrior:
        return HeadPrior(torch.zeros(7, 3), torch.full((7,), 2.0))

    def usual_precision(self, pair: bool) -> torch.Tensor:
        return torch.ones(7)


def test_of_many_images_the_precision_is_the_usual_one() -> None:
    source = ImageHead(words=Words(torch.zeros(4), torch.zeros(3, 4), False, False), tokens=torch.zeros(4, 8))
    source.generator = Told()  # type: ignore[assignment]
    bias = {}
    for each in (1, MANY - 1, MANY, 40):
        target = torch.eye(3).repeat(each, 1)
        bias[each] = float(source.prior(torch.randn(len(target), 6), target, 6).precision[-1])
    assert bias == {1: 2.0, MANY - 1: 2.0, MANY: 1.0, 40: 1.0}


@pytest.mark.parametrize("name", [DEFAULT_CARD, TINY])
def test_training_on_kept_maps_is_training_on_images(name: str) -> None:
    backbone = Backbone(CARDS[name], random_trunk(CARDS[name].network))
    x, head = torch.randn(3, 3, 64, 64), torch.randn(backbone.size)
    with torch.no_grad():
        maps = backbone.maps(x)
        assert torch.equal(backbone.from_maps(maps), backbone(x))
    lora = {key: value.requires_grad_() for key, value in factors(backbone).items()}
    seen, from_maps = backbone(x, lora), backbone.from_maps(maps, lora)
    found = [torch.autograd.grad((y @ head).sum(), list(lora.values())) for y in (seen, from_maps)]
    for whole, part in zip(*found, strict=True):
        torch.testing.assert_close(whole, part)
        assert whole.any(), "no factors lie before the maps"
    with torch.no_grad():
        rounded = backbone.from_maps(maps.half().float(), lora)
        assert (rounded - seen).norm() < 2e-3 * seen.norm()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone.train()
    assert not torch.equal(backbone.from_maps(maps, lora), from_maps), "LoRA's dropout acts"
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items()), "BatchNorm too"


def test_finetuning_the_model_leaves_batchnorm_as_it_was() -> None:
    model = image_model()
    before = {f"{n}.{k}": v.clone() for n, norm in norms(model) for k, v in norm.state_dict().items()}
    conv = model.trunk._conv_stem.weight.detach().clone()
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(torch.randn(3, 3, 64, 64)), torch.tensor([0, 1, 2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = {f"{n}.{k}": v for n, norm in norms(model) for k, v in norm.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not torch.equal(model.trunk._conv_stem.weight, conv)


def test_weights_from_files(tmp_path: Path) -> None:
    trunk = random_trunk("resnet18")
    state = trunk_state(trunk) | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    x = torch.randn(1, 3, 64, 64)
    for name in ("w.safetensors", "w.pth"):
        with torch.no_grad():
            got = load_backbone(CARDS["resnet18"], tmp_path / name)(x)
            torch.testing.assert_close(got, trunk(x), rtol=1e-4, atol=1e-5)


def test_weights_with_batchnorm_folded_in(tmp_path: Path) -> None:
    trunk = random_trunk("mobilenet_v2_same")
    folded: dict[str, torch.Tensor] = {}
    conv = ""
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Conv2d):
            conv = name
        if isinstance(module, nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            folded[f"{conv}.weight"] = (trunk.get_submodule(conv).weight * scale[:, None, None, None]).detach()
            folded[f"{conv}.bias"] = (module.bias - module.running_mean * scale).detach()
    save_file(folded, tmp_path / "folded.safetensors")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        got = load_backbone(CARDS["mobilenet_v2_tf"], tmp_path / "folded.safetensors")(x)
        torch.testing.assert_close(got, trunk(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "network", ["efficientnet_lite0", "resnet18_layer3", "mobilenet_v2_same", "mobilenet_v3_small"]
)
def test_a_folded_network_gives_the_same_features(network: str) -> None:
    trunk = random_trunk(network)
    state = {name: value.clone() for name, value in trunk_state(trunk).items()}
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(folded(trunk)(x), trunk(x), rtol=1e-3, atol=1e-3)
    assert not any(True for _ in norms(folded(trunk)))
    assert all(torch.equal(value, state[name]) for name, value in trunk_state(trunk).items()), "the trunk stays"


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    save_file(trunk_state(make_trunk("resnet18_layer3")), tmp_path / "part.safetensors")
    with pytest.raises(UsageError, match="doesn't fit the backbone 'resnet18'") as raised:
        load_backbone(CARDS["resnet18"], tmp_path / "part.safetensors")
    assert "It lacks layer4.0" in raised.value.cause
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match="can't be read as weights"):
        load_backbone(CARDS["resnet18"], tmp_path / "bad.pth")
    torch.save({"model": nn.ReLU()}, tmp_path / "code.pth")  # a pickle of more than tensors
    with pytest.raises(UsageError, match="can't be read as weights"):
        load_backbone(CARDS["resnet18"], tmp_path / "code.pth")
    with pytest.raises(UsageError, match="no weights of its own"):
        load_backbone(CARDS["resnet18_layer3"])
    with pytest.raises(UsageError, match="There is no file"):
        load_backbone(CARDS["resnet18"], tmp_path / "absent.pth")
    with pytest.raises(UsageError, match="no image backbone 'vgg'"):
        find_card("vgg")


def test_a_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError) as raised:
        load_backbone(CARDS["resnet18"])
    assert raised.value.exit_code == 4
    assert "--backbone-weights" in raised.value.hint


@pytest.mark.parametrize("size", [(90, 120), (48, 48), (31, 77), (1, 1), (60, 45), (3, 20), (96, 48)])
def test_pixels_are_pillows(size: tuple[int, int]) -> None:
    array = image(*size)
    height, width = size
    short = min(size)
    resized = Image.fromarray(array).resize((48 * width // short, 48 * height // short), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 40) / 2), round((resized.height - 40) / 2)
    expected = np.asarray(resized.crop((left, top, left + 40, top + 40)))
    got = pixels([array], VIEW)
    np.testing.assert_array_equal(got[0].permute(1, 2, 0).numpy(), expected)
    torch.testing.assert_close(normalise(got, VIEW), (got.float() / 255 - 0.5) / 0.25)


def test_long_images_show_their_middle() -> None:
    array = np.zeros((4, 4000, 3), dtype=np.uint8)
    array[:, 1999:2001] = 255
    seen = pixels([array], VIEW)[0, 0].numpy()
    assert seen[:, 18:22].min() > 200
    assert seen[:, 0].max() == 0


def test_predict_takes_images_of_any_size() -> None:
    model = image_model(size=48)
    together = model.predict([image(60, 80), image(30, 200, 1), image(60, 80, 2)])
    assert together.shape == (3, len(LABELS))
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.predict(image(60, 80)[None]), together[:1], atol=1e-5)
    assert model.predict([]).shape == (0, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_baseline_is_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % classes
    inputs = (rng.normal(size=(90, 4)) + 0.7 * np.eye(4)[y]).astype(np.float32)
    expected = LogisticRegression().fit(inputs, y).predict_proba(inputs)
    found = LinearModel().fit(inputs, y).predict_proba(inputs)
    np.testing.assert_allclose(found, expected, atol=0.01)
    with pytest.raises(ValueError, match="one class"):
        LinearModel().fit(inputs, np.zeros(90, np.int64))
