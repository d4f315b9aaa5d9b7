"""The image domain's target network as the generator sees it: convolutional LoRA of a backbone, and a head."""

from __future__ import annotations

from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, input_groups


def make_image_generator(config: AdapterConfig, backbone: Backbone, scaling: Scaling) -> AdapterGenerator:
    """A generator with fresh weights for a backbone, whose features have this scaling."""
    generator = AdapterGenerator(config, lora_spec(backbone), input_groups(backbone.size, "image"))
    generator.input_mean.copy_(scaling.mean)
    generator.input_std.copy_(scaling.std)
    return generator


def scaling_of(generator: AdapterGenerator) -> Scaling:
    """The scaling that a generator was trained with."""
    return Scaling(generator.input_mean, generator.input_std)
