"""Segmentation finetuned: network and head are trained together on crops, and kept where images held out say so."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_scenes import png, scene, split_scenes, write_scenes
from tiny_tuning import check_network_tuned

from modelgpt_cli import build, evaluate, inspect, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.dense import fit, joint
from modelgpt_cli.domains.image.dense.finetune import MapTuning, load_marked
from modelgpt_cli.domains.image.dense.joint import Crops, JointTuning
from modelgpt_cli.domains.image.dense.maps import N_INPUTS, View
from modelgpt_cli.domains.image.dense.masks import IGNORE
from modelgpt_cli.domains.image.dense.model import SegmentationModel
from modelgpt_cli.domains.image.dense.tune import SegmentationTuning
from modelgpt_cli.domains.image.dense.tune import tune as tune_scenes
from modelgpt_cli.training.tune import TuneSettings

CARD = "efficientnet_lite0-dense-320"
VIEW = View(320, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images to learn from and three to test on."""
    return split_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def made(world: Path) -> Path:
    """A model built from them; one precision is tried, as to solve others takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "PRECISIONS", (1.0,))
        patch.setattr(fit, "FIRST", 0)
        build(world, output=world.parent / "m.onnx", card=CARD, offline=True)
    return world.parent / "m.onnx"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch of few crops."""
    monkeypatch.setattr(joint, "LEAST_CROPS", 12)
    monkeypatch.setattr(fit, "PRECISIONS", (1.0,))
    monkeypatch.setattr(fit, "FIRST", 0)


def test_crops_of_masks_stay_with_their_images() -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (3, 5), np.uint8).repeat(24, 0).repeat(24, 1)
    crops = Crops(lambda _: (np.stack([mask * 200] * 3, 2), mask), VIEW, rng)
    assert crops.side == 160
    for _ in range(6):
        drawn = crops.draw(0)
        assert drawn is not None
        image, found = drawn
        assert image.shape == (160, 160, 3)
        assert ((image[..., 0] > 60) == found).mean() > 0.95  # but for the edges, and whatever the light


def test_an_image_that_cannot_be_read_has_no_crops() -> None:
    asked = []

    def read(k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(k)
        raise ImageError("broken")

    crops = Crops(read, VIEW, np.random.default_rng(0))
    assert [crops.draw(3), crops.draw(3), asked] == [None, None, [3]]


def test_large_images_are_kept_small_and_only_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read(k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(k)
        return np.zeros((1280, 960, 3), np.uint8), np.zeros((1280, 960), np.uint8)

    monkeypatch.setattr(joint, "MOST_BYTES", 4 * 640 * 480)  # of one image
    crops = Crops(read, VIEW, np.random.default_rng(0))
    for k in (0, 1, 0, 1):
        crops.draw(k)
    assert asked == [0, 1, 1]


def test_crops_lower_the_loss_of_network_and_head(made: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    image, mask = scene(1)
    crops = Crops(lambda _: (image, mask), model.view, np.random.default_rng(0))
    tuning = JointTuning(model.trunk, torch.ones(3), crops, TuneSettings(lr=3e-4, batch_size=2))
    tuning.begin((4 * model.head_weight.detach(), 4 * model.head_bias.detach()), torch.ones(N_INPUTS))
    lost = []
    for steps in (0, 8):
        if steps:
            assert tuning.run(np.zeros(1, np.int64), np.zeros(1, np.int64), steps, lambda: True)
        crops._rng = np.random.default_rng(1)  # the same crops before and after
        lost.append(float(tuning._loss([0, 0, 0, 0]).detach()))  # type: ignore[union-attr]
    assert lost[1] < lost[0]
    trunk, weight, bias = tuning.trained(0.0)  # nothing of the way
    assert torch.equal(weight, 4 * model.head_weight.detach())
    assert torch.equal(bias, 4 * model.head_bias.detach())
    assert all(torch.equal(value, model.trunk.state_dict()[name]) for name, value in trunk.state_dict().items())
    nothing = Crops(lambda _: (image, np.full_like(mask, IGNORE)), model.view, np.random.default_rng(0))
    unlabelled = JointTuning(model.trunk, torch.ones(3), nothing, TuneSettings(batch_size=1))
    assert float(unlabelled._loss([0]).detach()) == 0  # type: ignore[union-attr]


def test_few_images_are_trained_on_for_as_long_as_many(made: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    crops = Crops(lambda _: scene(0), model.view, np.random.default_rng(0))
    tuning = JointTuning(model.trunk, torch.ones(3), crops, TuneSettings())
    assert tuning.steps(5) == tuning.steps(50) == 150
    assert tuning.steps(100) == 300
    assert tuning.steps(250) == tuning.steps(1000) == 750
    assert tuning.steps(2000) == 1500
    eight = JointTuning(model.trunk, torch.ones(3), crops, TuneSettings(batch_size=8))
    assert eight.steps(5) == 75


@pytest.mark.slow
def test_tuning_trains_network_and_head(
    made: Path, world: Path, tmp_path: Path, few: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="modelgpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MapTuning, "_better", lambda *_: True)
        done = tune(made, data=world, output=tmp_path / "tuned.onnx", device="cpu", epochs=2)
    assert "Finetuning on 4 images, 1 held out: about" in caplog.text
    assert (done.rows, done.kept, set(done.before)) == (5, "after", {"miou", "pixel_accuracy"})
    check_network_tuned(made, tmp_path / "tuned.onnx")
    assert evaluate(tmp_path / "tuned.onnx", world)["miou"] > 0.8
    assert (tmp_path / "tuned.onnx").stat().st_size == pytest.approx(made.stat().st_size, rel=0.01)
    card = inspect(tmp_path / "tuned.onnx")
    assert card["provenance"]["head"] == {"trained": True}
    assert card["metrics"]["model"] == done.after


@pytest.mark.slow
def test_other_images_begin_with_the_better_head(made: Path, tmp_path: Path, few: None) -> None:
    """The model's own, which knows these shapes, where the images to tune on are hardly labelled; the same seed gives
    the same model."""
    folder = write_scenes(tmp_path / "shapes", 3)
    for k in range(2):  # but for the one that judges
        _, mask = scene(k)
        mask[20:] = IGNORE
        (folder / "masks" / f"{k:02d}.png").write_bytes(png(mask))
    heads = []
    for _ in range(2):
        model = load_model(made)
        assert isinstance(model, SegmentationModel)
        task = SegmentationTuning(model, load_marked(model.blueprint, folder, 0), TuneSettings())
        begun: list[torch.Tensor] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task.tuning, "begin", lambda head, _, begun=begun: begun.append(head[0]))
            patch.setattr(task.tuning, "run", lambda *_: False)
            done = task.run()
        assert torch.equal(begun[-1], 8 * model.head_weight.detach())
        heads.append((done.before, done.kept))
    assert heads[0] == heads[1]
    assert heads[0][0]["miou"] > 0.8


def test_what_is_refused(made: Path, world: Path, tmp_path: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    with pytest.raises(ModelGPTError, match="Too few images to tune on"):
        tune_scenes(model, write_scenes(tmp_path / "shapes", 2), TuneSettings())
    model.named = torch.nn.ParameterDict()  # as of a model from words alone
    with pytest.raises(UsageError, match="from words alone can't be tuned"):
        tune_scenes(model, world, TuneSettings())
