"""The image domain's target network as the generator sees it: convolutional LoRA of a backbone, and a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelgpt_cli.domains.image.architectures import CARDS, ImageCard
from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, InputGroups
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator
from modelgpt_cli.parameter_generator.shared import read_once


def input_groups(size: int) -> InputGroups:
    """Return the groups of the head's inputs for a backbone with `size` features."""
    return {False: {"picture": size}}  # as checkpoints name the tensors


def make_image_generator(config: AdapterConfig, backbone: Backbone, scaling: Scaling) -> AdapterGenerator:
    """Return a generator with fresh weights for a backbone, whose features have this scaling."""
    generator = AdapterGenerator(config, lora_spec(backbone), input_groups(backbone.size))
    generator.input_mean.copy_(scaling.mean)
    generator.input_std.copy_(scaling.std)
    return generator


def load_image_generator(path: str | Path, device: str = "cpu") -> tuple[AdapterGenerator, dict[str, Any]]:
    """Read a checkpoint; see `load_adapter_generator`."""
    return load_adapter_generator(path, device, domain="image", inputs=input_groups)


shared_image_generator = read_once(load_image_generator, lambda path, device="cpu": path)
"""See `load_image_generator`; on the CPU until a build moves it."""


def scaling_of(generator: AdapterGenerator) -> Scaling:
    """Return the scaling that a generator was trained with."""
    return Scaling(generator.input_mean, generator.input_std)


def scaling_for(generator: AdapterGenerator, card: ImageCard) -> Scaling:
    """Return the scaling for a card of the generator's network, whose images may be of another size."""
    trained = CARDS.get(generator.config.backbone)
    return scaling_of(generator).times(card.level / (trained.level if trained is not None else 1.0))
