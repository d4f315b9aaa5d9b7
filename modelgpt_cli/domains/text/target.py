"""The text domain's target network as the generator sees it: LoRA factors of a backbone, and a head on its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.text.backbone import AnyBackbone
from modelgpt_cli.domains.text.head_sizes import input_groups
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator
from modelgpt_cli.parameter_generator.shared import read_once


def make_text_generator(config: AdapterConfig, backbone: AnyBackbone) -> AdapterGenerator:
    """Return a generator with fresh weights for a backbone."""
    return AdapterGenerator(config, lora_spec(backbone), input_groups(backbone.size))


def load_text_generator(path: str | Path, device: str = "cpu") -> tuple[AdapterGenerator, dict[str, Any]]:
    """Read a checkpoint; see `load_adapter_generator`."""
    return load_adapter_generator(path, device, domain="text", inputs=input_groups)


shared_text_generator = read_once(load_text_generator, lambda path, device="cpu": path)
"""See `load_text_generator`; on the CPU until a build moves it."""
