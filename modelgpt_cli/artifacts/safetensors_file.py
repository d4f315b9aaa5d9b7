"""``model.safetensors``: the torch artifact, one file; the parameters, and in the header the model card. A backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from modelgpt_cli.artifacts.backends import Contents, Settings
from modelgpt_cli.artifacts.model_card import KEY, model_card
from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.runtime.session import damaged, parse_metadata


def complete(model: TargetModel, settings: Settings) -> Settings:
    """Refuse what only a deployable file has; see `Backend`."""
    if settings.opset is not None or settings.quantize != "none" or settings.options:
        raise UsageError(
            "A model.safetensors holds float32 weights for torch.",
            "Operator set, quantisation and the like are decided when it is exported.",
            "Give them to modelgpt export.",
        )
    return settings


def write(model: TargetModel, settings: Settings, rows: Any = None) -> bytes:
    """Write a model's state; see `Backend`."""
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state().items()}
    header = {KEY: json.dumps(model_card(model.blueprint) | dict(settings.entries))} | model.extras()
    raw: bytes = save(state, metadata=header)
    return raw


def verify(model: TargetModel, raw: bytes, settings: Settings, rows: Any = None) -> float:
    """Return 0: the file holds the model's own numbers; see `Backend`."""
    return 0.0


def read(path: Path) -> Contents:
    """Read a model's state and header; see `Backend`."""
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            card = parse_metadata(header.pop(KEY, None), path)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} can't be read.", f"It is corrupted, or no model.safetensors: {error}") from error
    if not isinstance(card.get("blueprint"), dict):
        raise damaged(path, "Its header holds no blueprint.")
    return Contents(card, state, header)
