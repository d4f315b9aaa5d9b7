"""How near class names are to what the network can name: known of the shipped generator, told by builds."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from bad_input import Bench
from conftest import ROOT

from modelgpt_cli.domains.image.nameable import nameable_words
from modelgpt_cli.domains.image.target import shared_image_generator
from modelgpt_cli.parameter_generator.shared import shared_encoder

SHIPPED = ROOT / "weights" / "image" / "generator.safetensors"


def near(**likeness: float) -> dict[str, dict[str, Any]]:
    return {name: {"concept": f"like {name}", "likeness": value} for name, value in likeness.items()}


def test_the_names_beside_the_shipped_generator_are_its_concepts() -> None:
    generator, _ = shared_image_generator(SHIPPED)
    assert len(generator.concept_names) == generator.config.concepts
    places = np.arange(0, generator.config.concepts, 37)
    embedded = torch.from_numpy(shared_encoder()([generator.concept_names[i] for i in places]))
    likeness, which = generator.concepts.nearest(embedded)
    assert likeness.min() > 0.999
    assert [generator.concept_names[i] for i in which] == [generator.concept_names[i] for i in places]


@pytest.mark.parametrize(
    ("nearest", "words", "warns"),
    [
        (near(cat=0.9, dog=1.0), "can name both classes (likeness 0.90 or more)", False),
        (
            near(cat=1.0, dog=1.0, ewer=0.4),
            "3 classes. Nearest to the other: 'ewer' ≈ like ewer (0.40)",
            False,
        ),
        (near(cat=1.0, dog=1.0, ewer=0.5, rust=0.4, dent=0.5), "hardly find these. Give 8 images of each class", True),
        (near(ewer=0.5, rust=0.4), "none of the 2 classes. Nearest to them: 'rust' ≈ like rust (0.40), 'ewer'", True),
        (near(ewer=0.5, rust=0.4), "expect no better than chance", True),
        (near(**{f"c{i}": 0.5 for i in range(8)}), "'c4' ≈ like c4 (0.50) and 3 more.", True),
    ],
)
def test_what_is_said_before_there_are_images(nearest: dict[str, dict[str, Any]], words: str, warns: bool) -> None:
    told, warned = nameable_words(nearest, images=False)
    assert words in told
    assert warned == warns


def test_with_images_nothing_is_a_warning() -> None:
    told, warned = nameable_words(near(ewer=0.5, rust=0.4), images=True)
    assert told.endswith("The images have to teach these.")
    assert not warned


def test_a_build_from_words_says_what_the_network_cannot_name(bench: Bench) -> None:
    (bench.folder / "req.txt").write_text("Which flaw?\n---\ndomain: image\nclasses: [crazing, pitted_surface, dog]\n")
    built = bench.run("build", "--req", "req.txt", "-o", "model.onnx", "--json")
    assert built.code == 0, built.err
    assert "can name 1 of the 3 classes. Nearest to the others: 'crazing' ≈ " in built.err
    report = json.loads(built.out)
    assert report["nearest"]["dog"] == {"concept": "dog", "likeness": 1.0}
    assert report["nearest"]["pitted_surface"]["likeness"] < 0.6
    card = json.loads(bench.run("inspect", "model.onnx", "--json").out)
    assert card["nearest"] == report["nearest"]
    assert any("can name 1 of the 3 classes" in note for note in card["notes"])
    assert "dog ≈ dog (1.00)" in bench.run("inspect", "model.onnx").out
