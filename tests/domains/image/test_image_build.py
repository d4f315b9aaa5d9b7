"""From a folder of images to a model that tells them apart: builds with random trunks, and meta-training on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from bad_input import Bench
from conftest import ROOT
from image_models import random_trunk
from safetensors.torch import load_file, save_file
from tiny_images import folder_of, zip_of

from modelgpt_cli.domains.image import train
from modelgpt_cli.domains.image.architectures import DEFAULT_CARD
from modelgpt_cli.domains.image.tasks import split_rows
from modelgpt_cli.domains.image.trunks import trunk_state
from modelgpt_cli.domains.shared.scaling import Scaling

CARD = "efficientnet_lite0_15"
"""The card of a small network."""


def saved(path: Path, card: str) -> Path:
    """A file of random weights for the network of a card."""
    save_file({k: v.contiguous() for k, v in trunk_state(random_trunk(card)).items()}, str(path))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "trunk.safetensors", CARD)


def test_a_folder_of_images_becomes_a_model(bench: Bench, weights: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "things", n=8)
    (folder / sorted(p.name for p in folder.iterdir())[0] / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    assert bench.run("describe", folder, "-o", "req.txt").code == 0
    line = ["build", "--req", "req.txt", "--backbone", CARD, "--backbone-weights", weights, "-o", "model.onnx"]
    built = bench.run(*line, "--json")
    assert built.code == 0, built.err
    assert "broken.jpg" in built.err
    report = json.loads(built.out)
    assert report["metrics"]["model"]["accuracy"] > report["metrics"]["majority"]["accuracy"] + 0.3
    answered = bench.run("predict", "model.onnx", folder)
    assert answered.code == 0, answered.err
    lines = answered.out.splitlines()
    assert lines[0] == "file,label,probability,novelty"
    assert len(lines) == 1 + 17
    assert sum(line.endswith(",,,") for line in lines) == 1, "the one that can't be read"
    scored = bench.run("evaluate", "model.onnx", folder, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["metrics"]["accuracy"] > 0.8
    content = (bench.folder / "model.onnx").read_bytes()
    assert b"lora" not in content
    assert str(tmp_path).encode() not in content


@pytest.mark.slow
def test_same_seed_same_model(bench: Bench, weights: Path, tmp_path: Path) -> None:
    archive = zip_of(folder_of(tmp_path / "things", n=4), tmp_path / "things.zip")
    assert bench.run("describe", archive, "-o", "req.txt").code == 0
    for name in ("a.safetensors", "b.safetensors"):
        line = ["build", "--req", "req.txt", "--backbone", CARD, "--backbone-weights", weights, "-o", name]
        assert bench.run(*line).code == 0
    assert (bench.folder / "a.safetensors").read_bytes() == (bench.folder / "b.safetensors").read_bytes()


def test_the_shipped_network_and_generator_build_from_words_alone(bench: Bench) -> None:
    (bench.folder / "req.txt").write_text("Which is it?\n---\ndomain: image\nclasses: [sunset, tabby cat, pizza]\n")
    built = bench.run("build", "--req", "req.txt", "-o", "model.onnx")
    assert built.code == 0, built.err
    assert "zero-shot" in built.err
    assert "No generator was trained" not in built.err
    card = json.loads(bench.run("inspect", "model.onnx", "--json").out)
    assert card["labels"] == ["sunset", "tabby cat", "pizza"]


def test_the_shipped_network_tells_made_images_apart(bench: Bench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "things", n=8)
    assert bench.run("describe", folder, "-o", "req.txt").code == 0
    built = bench.run("build", "--req", "req.txt", "-o", "model.onnx", "--json")
    assert built.code == 0, built.err
    assert json.loads(built.out)["metrics"]["model"]["accuracy"] > 0.9


def test_a_generator_fits_the_weights_that_it_was_trained_with(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "req.txt").write_text("Tell cats from dogs.\n---\ndomain: image\nclasses: [cat, dog]\n")
    weights, shipped = saved(tmp_path / "lite0.safetensors", DEFAULT_CARD), ROOT / "weights" / "image"
    line = ["build", "--req", "req.txt", "--backbone-weights", weights, "--generator", shipped, "-o", "model.onnx"]
    told = bench.run(*line)
    assert told.code == 2
    assert f"trained for other weights of {DEFAULT_CARD!r}" in told.err


def test_without_images_a_generator_is_needed(bench: Bench, weights: Path) -> None:
    (bench.folder / "req.txt").write_text("Tell cats from dogs.\n---\ndomain: image\nclasses: [cat, dog]\n")
    line = ["build", "--req", "req.txt", "--backbone", CARD, "--backbone-weights", weights, "-o", "model.onnx"]
    told = bench.run(*line)
    assert told.code == 2
    assert "needs a generator trained for it" in told.err
    (bench.folder / "req.txt").write_text("Which animal is it?\n---\ndomain: image\n")
    assert "names no classes" in bench.run(*line).err


@pytest.mark.slow
def test_meta_training_learns_factors_for_images(
    bench: Bench, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SCALING_IMAGES", 12)  # as many as a set has
    tasks = tmp_path / "sets"
    tasks.mkdir()
    for name, domains in (("things", ("",)), ("views", ("day", "night"))):
        zip_of(folder_of(tmp_path / name, n=6, domains=domains), tasks / f"{name}.zip")
        card = {"title": f"Set {name}", "description": f"Tell the {name} apart."}
        card |= {"domains": {d: {"description": f"images taken by {d}"} for d in domains if d}}
        (tasks / f"{name}.yaml").write_text(yaml.safe_dump(card))
    config = {"query": 4, "max_support": 6, "batch": 1, "width": 32, "blocks": 1, "validation_query": 4}
    config |= {"holdout": 0.0, "judged": ["views/night"], "validate_every": 2}
    (bench.folder / "config.yaml").write_text(yaml.safe_dump(config))
    network = ["--backbone", CARD, "--backbone-weights", weights]
    line = ["meta-train", "--domain", "image", "--tasks", tasks, *network]
    trained = bench.run(*line, "--config", "config.yaml", "--steps", "2", "--out", "run", "--json")
    assert trained.code == 0, trained.err
    log = [json.loads(text) for text in (bench.folder / "run" / "log.jsonl").read_text().splitlines()]
    assert list(log[-1]["validation"]["scores"]) == ["views/night"]
    # On kept maps all goes on at a fraction of the time.
    turn = config | {"init": "run/generator.safetensors", "views": 2, "keep": "maps"}
    (bench.folder / "maps.yaml").write_text(yaml.safe_dump(turn))
    gone_on = bench.run(*line, "--config", "maps.yaml", "--steps", "2", "--out", "kept", "--json")
    assert gone_on.code == 0, gone_on.err
    maps = load_file(bench.folder / "kept" / "maps.safetensors")
    assert {name: value.shape[1:] for name, value in maps.items() if "night" not in name} == {
        f"{name}/train": (2, 112, 8, 8) for name in ("things", "views/day")
    }
    begun, then = (load_file(bench.folder / name / "generator.safetensors") for name in ("run", "kept"))
    factors = [name for name in begun if name.startswith("factors.base")]
    assert factors
    assert not any(torch.equal(begun[name], then[name]) for name in factors), "the factors are trained"
    turn["views"] = 0
    (bench.folder / "maps.yaml").write_text(yaml.safe_dump(turn))
    assert "Give views" in bench.run(*line, "--config", "maps.yaml", "--steps", "1", "--out", "none").err
    # What was trained builds, from images and from words alone.
    assert bench.run("describe", tmp_path / "things", "-o", "req.txt").code == 0
    build = ["build", "--req", "req.txt", *network, "--generator", "kept", "-o", "model.onnx"]
    assert bench.run(*build).code == 0
    (bench.folder / "req.txt").write_text("Tell cats from dogs.\n---\ndomain: image\nclasses: [cat, dog]\n")
    told = bench.run(*build, "--force")
    assert told.code == 0, told.err
    assert "zero-shot" in told.err


def test_scaling_folds_into_the_head() -> None:
    torch.manual_seed(0)
    features = torch.randn(40, 6) * torch.tensor([1.0, 5.0, 0.3, 2.0, 1.0, 0.0]) + 3
    scaling = Scaling.of(features)
    phi = scaling.inputs(features)
    assert phi[:, :5].norm(dim=1).mean() == pytest.approx((5 / 6) ** 0.5, rel=0.1)
    assert torch.isfinite(phi).all(), "a feature that never differs"
    weight, bias = torch.randn(6, 3), torch.randn(3)
    raw, offset = scaling.folded(weight, bias)
    torch.testing.assert_close(features @ raw + offset, phi @ weight + bias, atol=1e-3, rtol=1e-3)


def test_every_class_is_on_both_sides_of_a_split() -> None:
    y = np.array([0] * 10 + [1] * 3 + [2] * 2)
    train, test = split_rows(y, seed=3)
    assert sorted([*train, *test]) == list(range(15))
    assert set(y[train]) == set(y[test]) == {0, 1, 2}
    assert [int((y[test] == k).sum()) for k in range(3)] == [4, 1, 1]
