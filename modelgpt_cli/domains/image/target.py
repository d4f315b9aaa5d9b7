"""The image domain's target network as the generator sees it: convolutional LoRA of a backbone, and a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.image.efficientnet_lite import feature_groups
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, InputGroups
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator
from modelgpt_cli.parameter_generator.shared import read_once

PRECISIONS = {"direction": 100.0, "root": 0.02, "late": 0.02, "middle": 0.08}
"""The precision that the generated head starts from, by group of features, for inputs of length 1 each: what images
teach goes into the square roots, and what words say of the pooled features' direction stays."""


def input_groups(size: int) -> InputGroups:
    """Return the groups of the head's inputs for a backbone with `size` features of one kind."""
    return {False: {"picture": size}}  # as checkpoints name the tensors


def groups_of(backbone: Backbone) -> dict[str, int]:
    """Return the groups of a backbone's features: those of its network, or one."""
    return feature_groups(backbone.card.network) or dict(input_groups(backbone.size)[False])


def precisions(groups: Mapping[str, int]) -> dict[str, float]:
    """Return the precision of each group's inputs, which together have the length 1."""
    total = sum(groups.values())
    return {name: PRECISIONS[name] * size / total for name, size in groups.items() if name in PRECISIONS}


def make_image_generator(config: AdapterConfig, backbone: Backbone, scaling: Scaling) -> AdapterGenerator:
    """Return a generator with fresh weights for a backbone, whose features have this scaling."""
    groups = groups_of(backbone)
    config = replace(config, groups=groups, precisions=precisions(groups))
    generator = AdapterGenerator(config, lora_spec(backbone), {False: groups})
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
