"""The generator of networks for tables: made, and read from its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelgpt_cli.domains.tabular.sizes import CHANNELS
from modelgpt_cli.domains.tabular.target import TableFeedback, target_spec
from modelgpt_cli.parameter_generator.checkpoint import fill, read_checkpoint
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.parameter_generator.shared import read_once


def make_generator(config: GeneratorConfig) -> Generator:
    """Return a generator with fresh weights."""
    return Generator(config, target_spec(), CHANNELS, TableFeedback())


def load_generator(path: str | Path, device: str = "cpu") -> tuple[Generator, dict[str, Any]]:
    """Read a checkpoint.

    Returns
    -------
    Generator
        In eval mode on `device`.
    dict
        The header, with `sha256` of the file added.

    Raises
    ------
    ModelGPTError
        If the file is absent, foreign, of another format or another domain.
    """
    header, state = read_checkpoint(path, "tabular", device)
    generator = make_generator(GeneratorConfig(**header["generator"]))
    fill(generator, state, path)
    return generator.to(device), header


shared_generator = read_once(load_generator, lambda path, device="cpu": path)
"""See `load_generator`; on the CPU until a build moves it."""
