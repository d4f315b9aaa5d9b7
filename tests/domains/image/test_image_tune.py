"""Tuning of image models (ModelGPT-F): the better of before and after is kept, and BatchNorm stays as it is."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from bad_input import Bench
from image_models import image_model
from tiny_images import KINDS, blot, encoded, folder_of, zip_of

from modelgpt_cli import tune
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image import tune as tuning
from modelgpt_cli.domains.image.efficientnet_lite import EfficientNetLite
from modelgpt_cli.domains.image.finetune import LAST_BLOCKS, Finetuning
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.trunks import norms
from modelgpt_cli.domains.image.tune import ImageTuning, head_source, read_images
from modelgpt_cli.training.tune import Tuned, TuneSettings

SIDE = 32
LABELS = tuple(KINDS)


@cache
def _cats_and_dogs() -> ImageModel:
    return image_model(labels=LABELS, size=SIDE, resize=36)


def model_of(target: str = "label") -> ImageModel:
    """A model of cats and dogs with a random head."""
    made = _cats_and_dogs()
    return ImageModel(replace(made.blueprint, target=target), made.state())


def saved(model: ImageModel, path: Path) -> Path:
    write_model(model, path)
    return path


def lit(n: int, seed: int) -> tuple[Images, np.ndarray]:
    """Images of three things under lamps of any strength, and which of the three each is, (n,)."""
    rng = np.random.default_rng(seed)
    colours = ((190, 120, 60), (60, 110, 180), (80, 170, 80))
    y = np.arange(n, dtype=np.int64) % 3
    shots = [blot(i, colours[k], SIDE) * rng.uniform(0.4, 1.0) for i, k in enumerate(y)]
    return Images(torch.from_numpy(np.stack(shots).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()), y


def run(model: ImageModel, rows: Images, y: np.ndarray, *, built: bool = False, **settings: Any) -> Tuned:
    """Finetune a model, which may have been built from these images."""
    return ImageTuning(model).run(rows, y, TuneSettings(**settings), known={} if built else None)


def norm_tensors(model: ImageModel) -> dict[str, torch.Tensor]:
    """Running statistics and affine parameters of every BatchNorm."""
    parts = ("running_mean", "running_var", "weight", "bias")
    return {f"{name}.{part}": getattr(norm, part).detach() for name, norm in norms(model) for part in parts}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``things``, a model as ``model.onnx`` and ``model.safetensors``, and the latter tuned on them."""
    folder = tmp_path_factory.mktemp("tuned")
    things = folder_of(folder / "things", n=15)
    write_model(model_of(), folder / "model.onnx")
    path = saved(model_of(), folder / "model.safetensors")
    tune(path, data=things, output=folder / "tuned.safetensors", epochs=2, lr=1e-3, batch_size=4, device="cpu")
    return folder


@pytest.mark.slow
def test_a_folder_of_images_tunes_a_model(bench: Bench, tuned: Path) -> None:
    line = ["tune", tuned / "model.onnx", "--data", tuned / "things", "-o", "tuned.onnx"]
    done = bench.run(*line, "--epochs", "2", "--lr", "1e-3", "--batch-size", "4", "--device", "cpu")
    assert (done.code, done.out) == (0, "tuned.onnx\n"), done.err
    assert "Kept the model from after tuning (30 rows" in done.err
    accuracy = {}
    for path in (tuned / "model.onnx", bench.folder / "tuned.onnx"):
        scored = bench.run("evaluate", path, tuned / "things", "--json")
        accuracy[path.name] = json.loads(scored.out)["metrics"]["accuracy"]
    assert accuracy["tuned.onnx"] > max(0.8, accuracy["model.onnx"])
    one, two = load_model(bench.folder / "tuned.onnx").state(), load_model(tuned / "tuned.safetensors").state()
    assert all(torch.equal(one[name], two[name]) for name in two), "from either file, and at the same seed"


@pytest.fixture(scope="module")
def taught() -> tuple[ImageModel, ImageModel, Tuned]:
    """A model of three colours, the same tuned on images that teach its network something, and what tuning says."""
    rows, y = lit(60, seed=1)
    before = image_model(labels=("red", "blue", "green"), size=SIDE)
    after = ImageModel(replace(before.blueprint), before.state())
    return before, after, run(after, rows, y, built=True, epochs=2, lr=1e-3)


@pytest.mark.slow
def test_batchnorm_is_left_as_it_was(taught: tuple[ImageModel, ImageModel, Tuned]) -> None:
    before, after, _ = taught
    kept = norm_tensors(before)
    assert len(kept) > 100
    assert all(torch.equal(norm_tensors(after)[name], value) for name, value in kept.items())
    state, found = before.state(), after.state()
    assert isinstance(before.trunk, EfficientNetLite)
    first = ("backbone._conv_stem.", *(f"backbone._blocks.{i}." for i in range(before.trunk.n_blocks - LAST_BLOCKS)))
    frozen = {name.replace("trunk.", "backbone.") for name in kept} | {name for name in state if name.startswith(first)}
    assert {name for name in state if torch.equal(state[name], found[name])} == frozen, (
        "all of the last blocks is tuned"
    )


def test_images_that_teach_the_network_are_told_apart_better(taught: tuple[ImageModel, ImageModel, Tuned]) -> None:
    _, model, done = taught
    assert done.kept == "after"
    assert done.share > 0
    assert done.after["log_loss"] < 0.9 * done.before["log_loss"]
    unseen, truth = lit(60, seed=9)
    answers = model.predict_seen(unseen.values)
    assert -np.log(answers[np.arange(60), truth]).mean() < 1.5 * done.after["log_loss"], "as the images held out said"


def test_an_image_speaks_through_a_head_that_has_not_seen_it() -> None:
    rows, y = lit(30, seed=1)
    wrong = y.copy()
    wrong[7] = (y[7] + 1) % 3
    found = []
    for labels in (y, wrong):
        model = image_model(labels=("red", "blue", "green"), size=SIDE)
        tuning = Finetuning(model, head_source(model, learned=True), rows, y, TuneSettings(), None)
        tuning.target = F.one_hot(torch.from_numpy(labels), 3).float()
        found.append(tuning._heads(np.arange(30), 0))
    (fold, heads), (same, others) = found
    assert fold.tolist() == same.tolist()
    assert [bool(torch.equal(*pair)) for pair in zip(heads, others, strict=True)] == [k == fold[7] for k in range(5)]


@pytest.mark.slow
def test_what_was_better_before_is_restored_exactly() -> None:
    model = model_of()
    rows, y = lit(24, seed=2)
    expected = model.predict_seen(rows.values)
    done = run(model, rows, y % 2, built=True, lr=1.0, batch_size=4)
    assert done.kept == "before"
    assert not done.after["log_loss"] < done.before["log_loss"]
    assert all(torch.equal(value, _cats_and_dogs().state()[name]) for name, value in model.state().items())
    np.testing.assert_array_equal(model.predict_seen(rows.values), expected)


def test_a_new_head_alone_may_be_all_that_is_gained() -> None:
    model = model_of()
    rows, y = lit(24, seed=2)
    done = run(model, rows, y % 2, lr=1.0, batch_size=4)
    assert (done.kept, done.share) == ("after", 0.0)
    assert done.after["log_loss"] < done.before["log_loss"]
    first, found = _cats_and_dogs().state(), model.state()
    assert all(torch.equal(found[name], value) for name, value in first.items() if not name.startswith("head."))


def test_folders_archives_and_tables_are_read_alike(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "things", n=4)
    archive = zip_of(folder, tmp_path / "things.zip")
    places = sorted(folder.rglob("*.jpg"))
    table = pd.DataFrame({"n": range(8), "path": places, "animal": [p.parent.name for p in places], "x": 1.0})
    table.to_csv(tmp_path / "things.csv", index=False)
    model = model_of("animal")
    found = [read_images(model, path, TuneSettings()) for path in (folder, archive, tmp_path / "things.csv")]
    first = found[0][0]
    for read, y, *_ in found:
        values = read.rows.values
        assert y.tolist() == [0] * 4 + [1] * 4
        assert torch.equal(values, first.rows.values)
        assert (values.shape, values.dtype) == ((8, 3, SIDE, SIDE), torch.uint8)
        assert len(read.shown) == 8
    seen = model.predict_seen(first.rows.values)
    np.testing.assert_allclose(model.predict(first.shown), seen, atol=1e-6)
    with pytest.raises(UsageError, match="no target column 'label'"):
        read_images(model_of(), tmp_path / "things.csv", TuneSettings())


def test_images_that_cannot_be_read_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path / "things", n=4)
    half = encoded(blot(9))
    (folder / "cat" / "half.jpg").write_bytes(half[: len(half) // 2])
    (folder / "dog" / "empty.jpg").write_bytes(b"")
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        read, y, *_ = read_images(model_of(), folder, TuneSettings())
    assert (len(read.rows), y.tolist()) == (8, [0] * 4 + [1] * 4)
    assert "cat/half.jpg (" in caplog.text
    assert "dog/empty.jpg (" in caplog.text
    for path in (folder / "dog").iterdir():
        path.write_bytes(half[: len(half) // 2])
    with pytest.raises(ModelGPTError, match="No image of the class 'dog' can be read"):
        read_images(model_of(), folder, TuneSettings())


def test_what_cannot_be_tuned_on_is_refused(bench: Bench, tmp_path: Path) -> None:
    model = saved(model_of(), tmp_path / "model.safetensors")
    folder = folder_of(tmp_path / "things", n=2)
    line = ["tune", model, "--data", folder, "-o", "tuned.onnx"]
    (folder / "dog").rename(folder / "wolf")
    told = bench.refuse(2, "a class that the model doesn't know: 'wolf'", *line)
    assert "cat, dog" in told.err
    texts = bench.write("texts.csv", "label,text\ncat,It purrs.\ndog,It barks.\n" * 4)
    bench.refuse(2, "has no column of images", "tune", model, "--data", texts, "-o", "tuned.onnx")
    with pytest.raises(ModelGPTError, match="Too few rows to tune on"):
        run(model_of(), lit(1, 0)[0], np.zeros(1, np.int64))


def test_tuning_takes_a_sample_of_many_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(tmp_path / "things", n=12)
    monkeypatch.setattr(tuning, "SAMPLE_ROWS", 18)
    with caplog.at_level(logging.WARNING, logger="modelgpt"):
        read, y, *_ = read_images(model_of(), folder, TuneSettings())
    assert len(read.rows) == len(y) == 18
    assert np.bincount(y).min() >= 8
    assert "sample of 18 of 24 images" in caplog.text
