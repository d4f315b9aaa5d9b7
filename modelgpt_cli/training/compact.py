"""A compact state of a meta-training run: small enough to commit, enough to go on from.

Weights are kept in float16, the running average as its difference from them and Muon's momentum in int8 with a scale
per row, AdamW's moments of what Muon leaves to it in bfloat16. Moments of a run with AdamW alone are left out: they
would make up half of the file, and the warm-up, which begins anew, restores them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import atomic_write, check_exists
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.training.muon import Muon

FORMAT = 1
PRIVATE = ("tasks", "init", "steps", "minutes")
"""Settings that are another machine's, or the next run's own."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def save_compact(
    path: str | Path,
    generator: nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: AveragedModel | None,
    known: dict[str, Any],
    config: dict[str, Any],
) -> None:
    """Write a compact state atomically.

    Parameters
    ----------
    known : dict
        Where the run stands.
    config : dict
        The run's settings; paths and lengths are left out.
    """
    names = dict(generator.named_parameters())
    state = {f"model.{name}": p.detach().half() for name, p in names.items()}
    average = dict(averaged.module.named_parameters()) if averaged is not None else {}
    for name, p in average.items():
        _pack(state, f"average.{name}", p.detach() - state[f"model.{name}"].float())
    for name, p in names.items() if isinstance(optimizer, Muon) else ():
        moments = optimizer.state.get(p, {})
        if "momentum" in moments:
            _pack(state, f"momentum.{name}", moments["momentum"])
        state |= {f"{key}.{name}": moments[key].bfloat16() for key in MOMENTS if key in moments}
        if "step" in moments:
            state[f"step.{name}"] = moments["step"].detach().clone()
    kept = {name: value for name, value in config.items() if name not in PRIVATE}
    header = {"format": FORMAT, "progress": known, "config": kept}
    with atomic_write(Path(path), force=True) as temporary:
        tensors = {name: t.cpu().contiguous() for name, t in state.items()}
        save_file(tensors, str(temporary), metadata={"modelgpt_state": json.dumps(header)})


def read_state(path: str | Path) -> dict[str, Any]:
    """The header of a compact state: ``progress`` and ``config``.

    Raises
    ------
    UsageError
        If the file is absent.
    ModelGPTError
        If it is none.
    """
    check_exists(path)
    try:
        with safe_open(str(path), "pt") as file:
            header: dict[str, Any] = parse_json((file.metadata() or {}).get("modelgpt_state", "null"))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} is not a state of a training run.", str(error)) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelGPTError(f"{path} is not a state of a training run that this version reads.")
    return header


def restore_compact(
    path: str | Path,
    generator: nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: AveragedModel | None,
) -> dict[str, Any]:
    """Put a compact state's tensors into a run of the same sizes; where it stood.

    What the state lacks (an average, the moments of another optimiser) begins at the weights, or at nothing.

    Raises
    ------
    ModelGPTError
        If the file is none, or is of other sizes.
    """
    header = read_state(path)
    with safe_open(str(path), "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    weights = {name[6:]: t.float() for name, t in state.items() if name.startswith("model.")}
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelGPTError(f"{path} doesn't fit the configuration.", str(error).splitlines()[1].strip()) from error
    if averaged is not None:
        for name, p in averaged.module.named_parameters():
            beyond = _unpack(state, f"average.{name}")
            p.data.copy_(weights[name] if beyond is None else weights[name] + beyond)
        if any(name.startswith("average.") for name in state):
            averaged.n_averaged.fill_(header["progress"]["step"])
    if isinstance(optimizer, Muon):
        for name, p in generator.named_parameters():
            momentum = _unpack(state, f"momentum.{name}")
            if momentum is not None:
                optimizer.state[p]["momentum"] = momentum.to(p.device)
            for key in (*MOMENTS, "step"):
                if f"{key}.{name}" in state:
                    optimizer.state[p][key] = state[f"{key}.{name}"].float().to(p.device)
    progress: dict[str, Any] = header["progress"]
    return progress


def _pack(state: dict[str, Tensor], name: str, values: Tensor) -> None:
    """Add values in int8 with a scale per row (one for a vector)."""
    rows = values.float().reshape(len(values) if values.ndim > 1 else 1, -1)
    scale = rows.abs().amax(1, keepdim=True) / 127
    state[name] = (rows / scale.clamp(min=1e-30)).round().to(torch.int8).view(values.shape)
    state[f"scale.{name}"] = scale[:, 0]


def _unpack(state: dict[str, Tensor], name: str) -> Tensor | None:
    """What `_pack` added, in float32; None where there is nothing."""
    if name not in state:
        return None
    values, scale = state[name], state[f"scale.{name}"]
    return (values.float().reshape(len(scale), -1) * scale[:, None]).view(values.shape)
