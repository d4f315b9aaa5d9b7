"""A segmentation from words alone: what an ImageNet classifier makes of each place, for classes that it can name.

Its last layer reads the mean of the network's last map; read at each place instead, it gives class activation maps
("Learning Deep Features for Discriminative Localization", Zhou et al., 2016). A class of the user's is the concept that
is called most like it, one of ImageNet's classes or a group of them, and the background is all the others together.
Shapes: K classes of ImageNet, C classes of the user's with the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.backbone import IMAGENET_CLASSES, read_weights
from modelgpt_cli.domains.image.concepts import concept_numbers
from modelgpt_cli.domains.image.dense.maps import NamePrior
from modelgpt_cli.domains.image.nameable import nearest_concepts
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.domains.image.target import shared_image_generator
from modelgpt_cli.domains.shared.far_names import far_names
from modelgpt_cli.domains.shared.tasks import label_text, make_words
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.parameter_generator.shared import shared_encoder

BACKGROUND = "background"
REST = (BACKGROUND, "ground", "rest", "the rest", "other", "others", "nothing", "none", "anything else")
"""What a class is called that means all that the others don't."""
TEMPERATURE = 1.5
"""A place sees less than the whole image that the classifier was trained on: its logits are divided by so much."""
GROUND = 0.04
"""What the probability of all other classes of ImageNet counts as background."""
BEYOND = 2
"""So many times as much as chance gives a class must be seen of it: 118 of the thousand are dogs, and a plain wall
has a probability of .12 for them. With these three the IoU of things pasted onto landscapes (caltech_objects, 24
scenes) was .382, of cars in street scenes, where much else is seen, .352; with 1, .1 and 1 it was .344 and .355, with
1, .03 and 1 .385 and .231."""
LEAST = 0.75
"""Likeness of the name of a class and its nearest concept from which on it is taken for it. From `COVERED` on, where
builds of whole images speak of known names, come a leaf (leafhopper), an apple (iPod) and water (water bottle); from
here on a kitten (cat), a bicyclist (bicycle) and a human (person)."""
PIXELS = 480
"""Of the longer side, where no card is asked for: with 1, .1 and 0 the same were .293 and .228 at 320 pixels, .345 and
.348 at 480, .301 and .338 at 640."""


@dataclass(frozen=True)
class Named:
    """What a model from words is made of.

    Attributes
    ----------
    labels : tuple of str
        C, the background among them.
    weight, bias : Tensor (1280, K), (K,)
        The classifier; see `TEMPERATURE`.
    share, shift : Tensor (K, C), (C,)
        What the probability of each of its classes counts for each label, and what is added; see `BEYOND`.
    nearest : mapping
        Class → the concept that it is taken for, and how like it is called; see `nearest_concepts`.
    generator : mapping
        The header of the checkpoint that knows the concepts.
    encoder : str
        What embeds the names.
    """

    labels: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    share: Tensor
    shift: Tensor
    nearest: dict[str, dict[str, Any]]
    generator: Mapping[str, Any]
    encoder: str


def nearest_names(classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the concept that is called most like each class; see `nearest_concepts`."""
    generator, _ = _known()
    words = make_words(shared_encoder(None), "", [label_text(name) for name in classes], False)
    return nearest_concepts(generator, words, classes)


def _known() -> tuple[AdapterGenerator, dict[str, Any]]:
    return shared_image_generator(generator_file(None, "image"))


def named(classes: Sequence[str], network: str, needed: str) -> Named:
    """Find the classes among those that a network's classifier knows.

    Parameters
    ----------
    needed : str
        What to give instead, where it doesn't know them.

    Raises
    ------
    UsageError
        It doesn't know one, or two are the same to it.
    """
    things = [name for name in classes if not _is_rest(name)]
    nearest = nearest_names(things)
    if far := far_names(nearest, LEAST, "concept"):
        raise UsageError(
            "A segmentation of these classes can't be built from words alone.",
            f"The network can't name {far}; names are known from a likeness of {LEAST} on.",
            needed,
        )
    generator, header = _known()
    concepts = {name: near["concept"] for name, near in nearest.items()}
    members = _members(concepts, generator.concept_names)
    _check_all_differ(members, concepts, needed)
    ground = next((name for name in classes if name not in things), BACKGROUND)
    labels = tuple(classes) if ground in classes else (ground, *classes)
    share, shift = _counted(labels, labels.index(ground), members)
    weight, bias = _classifier(network)
    return Named(labels, weight, bias, share, shift, nearest, header, Path(shared_encoder(None).name).name)


def _check_all_differ(members: Mapping[str, Sequence[int]], concepts: Mapping[str, str], needed: str) -> None:
    """Make sure that each class has some of ImageNet's; raises `UsageError`."""
    if same := [name for name, numbers in members.items() if not numbers]:
        raise UsageError(
            f"From words alone, {same[0]!r} can't be told from another class.",
            f"The network takes it for {concepts[same[0]]}, and so it does the other.",
            needed,
        )


def name_prior(classes: Sequence[str], network: str) -> tuple[NamePrior, dict[str, dict[str, Any]]] | None:
    """Return what names tell of those classes that a network's classifier knows, and what they are taken for.

    As in a model from words alone, but as shares, which a head is solved around. None where it knows none.
    """
    ground = next((k for k, name in enumerate(classes) if _is_rest(name)), len(classes))
    nearest = {
        name: near
        for name, near in nearest_names([name for name in classes if not _is_rest(name)]).items()
        if near["likeness"] >= LEAST
    }
    generator, _ = _known()
    members = _members({name: near["concept"] for name, near in nearest.items()}, generator.concept_names)
    known = {name: numbers for name, numbers in members.items() if numbers}
    if not known:
        return None
    share, shift = _counted([*classes, BACKGROUND], ground, known)
    return NamePrior(*_classifier(network), share, shift), {name: nearest[name] for name in known}


def _counted(labels: Sequence[str], ground: int, members: Mapping[str, list[int]]) -> tuple[Tensor, Tensor]:
    """What the probability of each of ImageNet's classes counts for each label, (K, C), and what is added, (C,)."""
    share, shift = torch.zeros(IMAGENET_CLASSES, len(labels)), torch.zeros(len(labels))
    share[:, ground] = GROUND
    for name, numbers in members.items():
        share[numbers, ground] = 0
        share[numbers, labels.index(name)] = 1
        shift[labels.index(name)] = -BEYOND * len(numbers) / IMAGENET_CLASSES
    return share, shift


def _classifier(network: str) -> tuple[Tensor, Tensor]:
    """The last layer that a network was trained with, (1280, K) and (K,); see `TEMPERATURE`."""
    state = read_weights(PACKAGES[network].path())
    weight, bias = (state[f"_fc.{name}"].float() / TEMPERATURE for name in ("weight", "bias"))
    return weight.T.contiguous(), bias


def _is_rest(name: str) -> bool:
    return label_text(name).casefold() in REST


def taken_for(nearest: Mapping[str, Mapping[str, Any]]) -> str:
    """Say which classes are taken for something that is called otherwise; "" where none is."""
    others = [
        f"{name!r} for {near['concept']} ({near['likeness']:.2f})"
        for name, near in nearest.items()
        if label_text(name).casefold() != near["concept"].casefold()
    ]
    return f"Taken by the network: {', '.join(others)}. If that is something else, give images." if others else ""


def _members(concepts: Mapping[str, str], names: Sequence[str]) -> dict[str, list[int]]:
    """ImageNet's classes of each of ours; one that several claim is of the one that has fewest, such as a breed's."""
    groups = yaml.safe_load(asset("weights", "image", "training.yaml").read_text(encoding="utf-8"))["concepts"]
    claimed = {
        name: concept_numbers(concept, groups[concept]) if concept in groups else [list(names).index(concept)]
        for name, concept in concepts.items()
    }
    found: dict[str, list[int]] = {name: [] for name in claimed}
    for number in sorted({number for numbers in claimed.values() for number in numbers}):
        own = min((name for name in claimed if number in claimed[name]), key=lambda name: len(claimed[name]))
        found[own].append(number)
    return found


def known_words(nearest: Mapping[str, Mapping[str, Any]], strength: float) -> str:
    """Say which classes a head was solved around what the network makes of their names, and how much that counts."""
    known = ", ".join(
        name if label_text(name).casefold() == near["concept"].casefold() else f"{name} (as {near['concept']})"
        for name, near in nearest.items()
    )
    return f"The network knows {known} by name, which counts (strength {strength:g}) beside what the images show."
