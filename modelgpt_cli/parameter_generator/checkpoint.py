"""The generator's checkpoint format: one safetensors file, its sizes and provenance in the header."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from modelgpt_cli.domains.tabular.features import CHANNELS
from modelgpt_cli.domains.tabular.target import TableFeedback, target_spec
from modelgpt_cli.errors import ModelGPTError
from modelgpt_cli.files import atomic_write
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig

FORMAT = 1


def make_generator(config: GeneratorConfig, domain: str = "tabular") -> Generator:
    """A generator with fresh weights for a domain."""
    if domain != "tabular":
        raise ModelGPTError(f"No generator for the domain {domain!r}.", "Known: tabular.")
    return Generator(config, target_spec(), CHANNELS, TableFeedback())


def save_generator(path: str | Path, generator: Generator, info: dict[str, Any]) -> None:
    """Write a checkpoint atomically; `info` (JSON) goes into the header."""
    header = {"format": FORMAT, "domain": "tabular", "generator": generator.config.to_dict(), **info}
    state = {k: v.detach().cpu().contiguous() for k, v in generator.state_dict().items()}
    with atomic_write(path, force=True) as temporary:
        save_file(state, str(temporary), metadata={"modelgpt": json.dumps(header)})


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
        If the file is absent, foreign or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelGPTError(f"No generator checkpoint at {path}.", hint="Run: modelgpt doctor")
    try:
        with safe_open(str(path), "pt", device=device) as file:
            header = json.loads((file.metadata() or {}).get("modelgpt", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} is not a generator checkpoint.", str(error)) from error
    if not header or "generator" not in header:
        raise ModelGPTError(f"{path} is a safetensors file, but not a generator checkpoint.")
    if header.get("format") != FORMAT:
        raise ModelGPTError(f"{path} has format {header.get('format')}; this version reads format {FORMAT}.")
    generator = make_generator(GeneratorConfig(**header["generator"]), header["domain"])
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise ModelGPTError(f"{path} doesn't fit this version's generator.", str(error).splitlines()[0]) from error
    header["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return generator.eval().to(device), header


def warm_start(generator: Generator, path: str | Path) -> None:
    """Take a checkpoint's weights; what it lacks (a later block, a readout) keeps its fresh ones.

    Raises
    ------
    ModelGPTError
        If the checkpoint can't be read, or holds weights that don't fit.
    """
    state = load_generator(path)[0].state_dict()
    try:
        extra = generator.load_state_dict(state, strict=False).unexpected_keys
    except RuntimeError as error:
        raise ModelGPTError(f"{path} doesn't fit the generator's sizes.", str(error).splitlines()[1].strip()) from error
    if extra:
        raise ModelGPTError(f"{path} doesn't fit the generator's sizes.", f"It also holds {extra[0]}.")


def training_state(generator: Generator, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Weights and optimiser moments as one flat dict, for an exact resume."""
    names = [n for n, _ in generator.named_parameters()]
    state = {f"model.{k}": v.detach().cpu().clone() for k, v in generator.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{k}.{names[i]}": torch.as_tensor(v).cpu().clone() for k, v in moments.items()}
    return state


def restore_training_state(
    state: dict[str, torch.Tensor], generator: Generator, optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `training_state` took."""
    generator.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    names = [n for n, _ in generator.named_parameters()]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for i, name in enumerate(names):
        for key in ("step", "exp_avg", "exp_avg_sq"):
            tensor = state.get(f"optimizer.{key}.{name}")
            if tensor is not None:
                moments.setdefault(i, {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
