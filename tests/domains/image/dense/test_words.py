"""A segmentation from words alone: what is named is found in a photograph, and what can't be named is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from modelgpt_cli import build, inspect, predict
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.dense.model import SegmentationModel
from modelgpt_cli.domains.image.dense.words import _check_all_differ, _members, taken_for

CARD = "efficientnet_lite0-dense-320"


def _requirement(path: Path, classes: str) -> Path:
    path.write_text(f"Find the flowers in photos.\n---\ntask: segmentation\nclasses: [{classes}]\n")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was told to find flowers and dogs, in a sentence."""
    root = tmp_path_factory.mktemp("words")
    sentence = "Split photos into flower and dog."
    report = build(sentence, output=root / "m.onnx", card=CARD, task="segmentation")
    assert report.metrics == {}
    assert any("first guess" in note for note in report.notes)
    return root / "m.onnx"


def test_what_is_named_is_found(made: Path) -> None:
    card = inspect(made)
    assert card["labels"] == ["background", "flower", "dog"]
    assert card["nearest"]["dog"] == {"concept": "dog", "likeness": 1.0}
    flower, palace = (np.asarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg"))
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    found, none = model.masks([flower, palace])
    assert found.shape == flower.shape[:2]
    assert (found[150:330, 250:420] == 1).mean() > 0.7
    assert (found == 1).mean() < 0.4
    assert not (found == 2).any()  # dogs are 118 of the classifier's thousand classes: what shows nothing is none
    assert not none.any()


def test_files_of_all_kinds_hold_the_same_model(made: Path, tmp_path: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    flower = np.asarray(load_sample_image("flower.jpg"))
    mask = model.masks([flower])[0]
    write_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert isinstance(again, SegmentationModel)
    assert (again.masks([flower])[0] == mask).all()


@pytest.mark.slow
def test_eight_bits_keep_what_is_found(made: Path, tmp_path: Path) -> None:
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    flower = np.asarray(load_sample_image("flower.jpg"))
    write_model(model, tmp_path / "small.onnx", quantize="int8", rows=[flower, flower[:, ::-1]])
    assert (tmp_path / "small.onnx").stat().st_size < 6_000_000
    session = ort.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    assert (session.run(None, {"image": flower[None]})[0][0] == model.masks([flower])[0]).mean() > 0.93


def test_what_cannot_be_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="from words alone") as caught:
        build(_requirement(tmp_path / "steel.txt", "crazing, flower"), output=tmp_path / "m.onnx", card=CARD)
    assert "can't name 'crazing' (nearest: " in caught.value.cause
    assert "'flower'" not in caught.value.cause
    assert "ten labelled images are a start" in caught.value.hint
    assert not (tmp_path / "m.onnx").exists()


def test_the_closest_name_has_what_several_claim() -> None:
    names = ["cat", "dog", "terrier"]
    found = _members({"my dog": "dog", "a terrier": "terrier"}, names)
    assert set(found["a terrier"]) == set(range(179, 203))
    assert not set(found["my dog"]) & set(found["a terrier"])
    assert len(found["my dog"]) == 268 - 151 + 1 - 24
    same = {"dog": "dog", "hound": "dog"}
    with pytest.raises(UsageError, match="'hound' can't be told from another class"):
        _check_all_differ(_members(same, names), same, "")


def test_other_names_are_told() -> None:
    nearest = {
        "Dog": {"concept": "dog", "likeness": 1.0},
        "kitten": {"concept": "cat", "likeness": 0.788},
    }
    assert taken_for(nearest).startswith("Taken by the network: 'kitten' for cat (0.79).")
    assert taken_for({"Dog": nearest["Dog"]}) == ""


def test_a_file_answers_as_the_model_does(made: Path, tmp_path: Path) -> None:
    flower = np.asarray(load_sample_image("flower.jpg"))
    Image.fromarray(flower).save(tmp_path / "f.png")
    model = load_model(made)
    assert isinstance(model, SegmentationModel)
    found = predict(made, tmp_path / "f.png").answers["mask"][0]
    assert (found == model.masks([flower])[0]).mean() > 0.999
