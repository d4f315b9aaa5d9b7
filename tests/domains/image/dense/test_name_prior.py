"""A segmentation's head solved around what the names of its classes tell: images teach what the names leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from tiny_images import encoded
from tiny_scenes import add_pair, png

from modelgpt_cli import build, inspect, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.image.dense import fit
from modelgpt_cli.domains.image.dense.maps import NamePrior
from modelgpt_cli.domains.image.dense.model import SegmentationModel
from modelgpt_cli.domains.image.dense.ridge import Standardised, Sums
from modelgpt_cli.domains.image.dense.words import name_prior

CARD = "efficientnet_lite0-dense-320"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one photograph of a palace, in which there is neither the flower nor the dog that its list names."""
    root = tmp_path_factory.mktemp("named")
    palace = np.asarray(load_sample_image("china.jpg"))
    mask = np.zeros(palace.shape[:2], np.uint8)
    mask[170:330, 60:560] = 1
    add_pair(root / "photos", "palace", palace, png(mask))
    (root / "photos" / "classes.txt").write_text("background\npalace\nflower\ndog\n")
    build(root / "photos", output=root / "m.onnx", card=CARD, offline=True)
    return root / "m.onnx"


def test_classes_that_no_image_shows_are_found_by_their_names(made: Path, tmp_path: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    flower, palace = (np.asarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg"))
    found, learned = model.masks([flower, palace])
    assert (found[150:330, 250:420] == 2).mean() > 0.6
    assert (learned[190:310, 100:520] == 1).mean() > 0.7
    assert not (learned == 2).any()
    (tmp_path / "f.png").write_bytes(encoded(flower, "PNG"))
    assert (predict(made, tmp_path / "f.png").answers["mask"][0] == found).mean() > 0.999
    card = inspect(made)
    assert card["nearest"]["flower"] == {"concept": "flower", "likeness": 1.0}
    write_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert isinstance(again, SegmentationModel)
    assert (again.masks([flower])[0] == found).all()


def test_names_that_mean_nothing_to_the_network_have_no_prior() -> None:
    assert name_prior(["colour #ff0000", "crazing", "background"], "efficientnet_lite0") is None


def test_the_head_is_the_ridge_around_what_names_tell() -> None:
    rng = np.random.default_rng(0)
    inputs, shares, told = (rng.random((200, n)).astype(np.float32) for n in (5, 3, 3))
    sums = Sums.empty(5, 6)
    sums.add(inputs, np.concatenate([shares, told], 1))
    both = Standardised(sums, np.zeros(5, np.float32)).solve(0.1)
    prior = NamePrior(torch.zeros(1280, 4), torch.zeros(4), torch.ones(4, 4), torch.zeros(4))
    images = fit.SegmentationSums(np.ones(3), 1, 0, prior)
    weight, bias, strength = fit.weighed(images, both, fit.Chosen(0.1, 0.0, 2.0))
    z, left = (inputs - inputs.mean(0)) / inputs.std(0), shares - 2 * told
    expected = z @ np.linalg.solve(z.T @ z + 0.1 * 200 * np.eye(5), z.T @ (left - left.mean(0))) + left.mean(0)
    assert np.allclose(inputs @ weight.numpy() + bias.numpy(), expected, atol=1e-4)
    assert strength is not None
    assert strength.tolist() == [2.0, 2.0, 2.0]
    assert fit.weighed(images, both, fit.Chosen(0.1, 0.0, 0.0))[2] is None


@pytest.mark.parametrize("telling", [True, False])
def test_held_out_images_say_whether_names_count(telling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last class is in the held-out image alone: only the names know it, where they tell classes apart."""
    monkeypatch.setattr(fit, "PRECISIONS", (1.0,))
    monkeypatch.setattr(fit, "FIRST", 0)
    rng = np.random.default_rng(0)
    means = torch.from_numpy(rng.random((3, 1280)).astype(np.float32)) * 6
    share = torch.zeros(3, 4)
    share[torch.arange(3), torch.arange(3) if telling else 0] = 1.0
    prior = NamePrior(means.T, -means.square().sum(1) / 2, share, torch.zeros(4))
    sums = fit.SegmentationSums(np.ones(3), 2, 0, prior)
    for fold, classes in enumerate((2, 3)):
        places = rng.integers(0, classes, (4, 6))
        last = means[places.reshape(-1)].T.reshape(1, 1280, 4, 6).sqrt()
        maps = [torch.rand(1, 240, 16, 24), torch.rand(1, 672, 8, 12), last]
        sums.add(maps, places.astype(np.uint8).repeat(32, 0).repeat(32, 1), fold, 8, held=fold == 1)
    chosen = fit.fit_segmentation(sums, ["a", "b", "c"]).chosen
    assert (chosen.strength > 0) is telling
