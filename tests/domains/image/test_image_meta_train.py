"""Meta-training of image generators with a classifier's concepts, in two turns: heads on kept features, then all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from bad_input import Bench
from image_models import random_trunk
from safetensors.torch import load_file, save_file
from tiny_images import folder_of, zip_of

from modelgpt_cli.domains.image import train
from modelgpt_cli.domains.image.trunks import trunk_state

SETTINGS = {"query": 4, "max_support": 6, "batch": 1, "width": 32, "blocks": 1, "validation_query": 4, "holdout": 0.0}


@pytest.fixture
def line(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A command that meta-trains on two small sets."""
    monkeypatch.setattr(train, "SCALING_IMAGES", 12)  # as many as a set has
    state = trunk_state(random_trunk("resnet18_layer3"))
    torch.manual_seed(5)
    head = {"fc.weight": torch.randn(1000, 256), "fc.bias": torch.zeros(1000)}
    save_file({k: v.contiguous() for k, v in (state | head).items()}, str(tmp_path / "trunk.safetensors"))
    tasks = tmp_path / "sets"
    tasks.mkdir()
    for name in ("things", "others"):
        zip_of(folder_of(tmp_path / name, n=6), tasks / f"{name}.zip")
        (tasks / f"{name}.yaml").write_text(yaml.safe_dump({"title": name, "description": f"Tell the {name} apart."}))
    settings = SETTINGS | {"judged": ["others"], "concepts": {"dog": ["151-268"]}, "validate_every": 2}
    (bench.folder / "heads.yaml").write_text(yaml.safe_dump(settings | {"views": 2}))
    (bench.folder / "all.yaml").write_text(yaml.safe_dump(settings | {"init": "heads/generator.safetensors"}))
    card = ["--backbone", "resnet18_layer3", "--backbone-weights", tmp_path / "trunk.safetensors"]
    return ["meta-train", "--domain", "image", "--tasks", tasks, *card]


@pytest.mark.slow
def test_heads_first_then_all(bench: Bench, line: list[object], tmp_path: Path) -> None:
    first = bench.run(*line, "--config", "heads.yaml", "--steps", "2", "--out", "heads", "--json")
    assert first.code == 0, first.err
    begun = load_file(bench.folder / "heads" / "generator.safetensors")
    assert begun["concepts.heads"].shape == (1001, 256)
    rows = load_file(tmp_path / "trunk.safetensors")["fc.weight"]
    scaled = rows * begun["input_std"] * 256**0.5
    torch.testing.assert_close(begun["concepts.heads"][:1000], scaled, msg="the classifier's own rows are the heads")
    torch.testing.assert_close(begun["concepts.heads"][1000], scaled[151:269].mean(0))
    factors = [name for name in begun if name.startswith("factors.base") and name.endswith("lora_B")]
    assert factors
    assert not any(begun[name].any() for name in factors), "LoRA stays a no-op"
    features = load_file(bench.folder / "heads" / "features.safetensors")
    assert {name: value.shape[1] for name, value in features.items()} == {
        "things/train": 2, "others/train": 1, "others/test": 1,
    }, "only what is trained on is changed"  # fmt: skip
    assert (features["things/train"][:, 0] != features["things/train"][:, 1]).any(), "the second view is a changed one"

    gone_on = bench.run(*line, "--resume", "--steps", "3", "--out", "heads", "--json")
    assert gone_on.code == 0, gone_on.err
    assert json.loads(gone_on.out)["steps"] == 3

    then = bench.run(*line, "--config", "all.yaml", "--steps", "4", "--out", "all", "--json")
    assert then.code == 0, then.err
    trained = load_file(bench.folder / "all" / "generator.safetensors")
    torch.testing.assert_close(trained["concepts.heads"], begun["concepts.heads"])
    assert any(trained[name].any() for name in factors), "and then LoRA is trained"

    other = {name: value + 0.1 for name, value in load_file(tmp_path / "trunk.safetensors").items()}
    save_file(other, str(tmp_path / "other.safetensors"))
    refused = bench.run(
        *line[:-1], tmp_path / "other.safetensors", "--config", "all.yaml", "--steps", "1", "--out", "other"
    )
    assert refused.code == 1
    assert "was trained for other weights" in refused.err
    assert not (bench.folder / "other").exists()

    (bench.folder / "req.txt").write_text("Tell cats from dogs.\n---\ndomain: image\nclasses: [cat, dog]\n")
    build = ["build", "--req", "req.txt", *line[5:], "--generator", "all", "-o", "model.onnx"]
    built = bench.run(*build)
    assert built.code == 0, built.err
    assert "zero-shot" in built.err
    nearest = json.loads(bench.run("inspect", "model.onnx", "--json").out)["nearest"]
    assert nearest["dog"] == {"concept": "dog", "likeness": 1.0}, "the run that goes on keeps the concepts' names"
