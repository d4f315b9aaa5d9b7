"""The generator's checkpoint format: one safetensors file, its sizes and provenance in the header."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, sha256
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, InputGroups
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.parameter_generator.spec import ParameterSpec

FORMAT = 1
CONCEPT_NAMES = "concept_names"
"""Entry of a header: what the concepts are called, in order. Where it lacks, a file beside the weights has them."""
CONCEPT_FILE = "concepts.txt"
_AVERAGE = "average."


def save_generator(
    path: str | Path, generator: Generator | AdapterGenerator, info: dict[str, Any], *, domain: str
) -> None:
    """Write a checkpoint of a domain's generator atomically; `info` (JSON) goes into the header."""
    header: dict[str, Any] = {"format": FORMAT, "domain": domain, "generator": generator.config.to_dict(), **info}
    if isinstance(generator, AdapterGenerator):
        header["spec"] = [[p.name, list(p.sizes), p.gain] for p in generator.spec]
    state = {k: v.detach().cpu().contiguous() for k, v in generator.state_dict().items()}
    with atomic_write(path, force=True) as temporary:
        save_file(state, str(temporary), metadata={"modelgpt": json.dumps(header)})


def generator_file(given: str | Path | None, domain: str) -> Path:
    """Return the checkpoint that is meant: a file, a run folder's, or the domain's shipped one."""
    path = Path(given) if given else asset("weights", domain, "generator.safetensors")
    return path / "generator.safetensors" if path.is_dir() else path


def load_adapter_generator(
    path: str | Path, device: str = "cpu", *, domain: str, inputs: Callable[[int], InputGroups]
) -> tuple[AdapterGenerator, dict[str, Any]]:
    """Read a checkpoint of a generator of adapters.

    Parameters
    ----------
    domain : str
        Whose it must be.
    inputs : callable
        Gives the groups of the head's inputs for a backbone whose states have so many numbers.

    Returns
    -------
    AdapterGenerator
        In eval mode on `device`.
    dict
        The header, with `sha256` of the file added.

    Raises
    ------
    ModelGPTError
        If the file is absent, foreign, of another format or another domain.
    """
    header, state = read_checkpoint(path, domain, device)
    config = AdapterConfig(**{"domain": domain, "scaled": "input_mean" in state} | header["generator"])
    spec = [ParameterSpec(name, tuple(sizes), gain=gain) for name, sizes, gain in header["spec"]]
    generator = AdapterGenerator(config, spec, {False: config.groups} if config.groups else inputs(config.size))
    fill(generator, state, path)
    generator.concept_names = concept_names(header, path)
    return generator.to(device), header


def concept_names(header: Mapping[str, Any], path: str | Path) -> tuple[str, ...]:
    """Return what the concepts of a checkpoint are called, in order; empty where nothing says it.

    Raises
    ------
    ModelGPTError
        The names are not as many as the concepts.
    """
    beside = Path(path).with_name(CONCEPT_FILE)
    names = header.get(CONCEPT_NAMES) or (beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else [])
    count = header["generator"].get("concepts", 0)
    if names and len(names) != count:
        raise ModelGPTError(
            f"{path} has {count:,} concepts and {len(names):,} names of them.",
            f"The names are in its header, or in {CONCEPT_FILE} beside it.",
            f"Remove a {CONCEPT_FILE} that is another generator's.",
        )
    return tuple(names)


def read_checkpoint(
    path: str | Path, domain: str, device: str = "cpu", *, tensors: bool = True
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read header and tensors of a checkpoint of a domain.

    Parameters
    ----------
    tensors : bool
        Whether the tensors are wanted; without, the dict of them is empty.

    Returns
    -------
    dict
        The header, with `sha256` of the file added.
    dict of Tensor

    Raises
    ------
    UsageError
        If the file is absent.
    ModelGPTError
        If it is foreign, of another format or another domain.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"No generator checkpoint at {path}.", hint="Run: modelgpt doctor")
    try:
        with safe_open(str(path), "pt", device=device) as file:
            header = parse_json((file.metadata() or {}).get("modelgpt", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} is not a generator checkpoint.", str(error)) from error
    if not isinstance(header, dict) or "generator" not in header:
        raise ModelGPTError(f"{path} is a safetensors file, but not a generator checkpoint.")
    if header.get("format") != FORMAT:
        raise ModelGPTError(f"{path} has format {header.get('format')}; this version reads format {FORMAT}.")
    if header.get("domain") != domain:
        raise ModelGPTError(f"{path} is a generator for the domain {header.get('domain')}, not for {domain}.")
    header["sha256"] = sha256(path)
    return header, state


def fill(generator: torch.nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Put a checkpoint's tensors into a generator, and make it ready to use."""
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise ModelGPTError(f"{path} doesn't fit this version's generator.", str(error).splitlines()[0]) from error
    generator.eval()


def warm_start(generator: Generator | AdapterGenerator, path: str | Path, domain: str) -> None:
    """Take a checkpoint's weights; what it lacks (a later block, a readout) keeps its fresh ones.

    Raises
    ------
    ModelGPTError
        If the checkpoint can't be read, or holds weights that don't fit.
    """
    state = read_checkpoint(path, domain)[1]
    try:
        extra = generator.load_state_dict(state, strict=False).unexpected_keys
    except RuntimeError as error:
        raise ModelGPTError(f"{path} doesn't fit the generator's sizes.", str(error).splitlines()[1].strip()) from error
    if extra:
        raise ModelGPTError(f"{path} doesn't fit the generator's sizes.", f"It also holds {extra[0]}.")


def save_run(
    path: Path,
    generator: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    known: dict[str, Any],
    config: dict[str, Any],
    averaged: AveragedModel | None = None,
) -> None:
    """Write all that an exact resume needs, atomically: weights, optimiser moments, average, and what is `known`."""
    state = _training_state(generator, optimizer)
    if averaged is not None:
        state |= {_AVERAGE + k: v.detach().cpu().clone() for k, v in averaged.state_dict().items()}
    metadata = {"progress": json.dumps(known), "config": json.dumps(config)}
    with atomic_write(path, force=True) as temporary:
        save_file({k: v.contiguous() for k, v in state.items()}, str(temporary), metadata=metadata)


def restore_run(
    path: Path,
    generator: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: AveragedModel | None = None,
) -> dict[str, Any]:
    """Put back what `save_run` wrote; returns what was known."""
    with safe_open(str(path), "pt") as file:
        known: dict[str, Any] = parse_json(file.metadata()["progress"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    _restore_training_state(state, generator, optimizer)
    if averaged is not None:
        averaged.load_state_dict({k[len(_AVERAGE) :]: v for k, v in state.items() if k.startswith(_AVERAGE)})
    return known


def _training_state(generator: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Weights and optimiser moments as one flat dict, for an exact resume."""
    names = _optimised(generator, optimizer)
    state = {f"model.{k}": v.detach().cpu().clone() for k, v in generator.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{k}.{names[i]}": torch.as_tensor(v).cpu().clone() for k, v in moments.items()}
    return state


def _restore_training_state(
    state: dict[str, torch.Tensor], generator: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `_training_state` took."""
    generator.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    names = _optimised(generator, optimizer)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for i, name in enumerate(names):
        for key in ("step", "exp_avg", "exp_avg_sq", "momentum"):
            tensor = state.get(f"optimizer.{key}.{name}")
            if tensor is not None:
                moments.setdefault(i, {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _optimised(generator: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the parameters in the optimiser's order."""
    names = {id(p): name for name, p in generator.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
