"""The text domain's target network as the generator sees it: LoRA factors of a backbone, and a head on its inputs."""

from __future__ import annotations

from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.text.backbone import Backbone
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, input_groups


def make_text_generator(config: AdapterConfig, backbone: Backbone) -> AdapterGenerator:
    """A generator with fresh weights for a backbone."""
    return AdapterGenerator(config, lora_spec(backbone), input_groups(backbone.size))
