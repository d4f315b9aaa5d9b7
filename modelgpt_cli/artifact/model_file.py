"""``model.safetensors``: the torch artifact, one file; the parameters, and in the header the blueprint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.errors import ModelGPTError
from modelgpt_cli.files import atomic_write
from modelgpt_cli.model_generator.blueprint import Blueprint


def save_model(model: TabularModel, path: str | Path, *, card: dict[str, Any], force: bool = False) -> None:
    """Write the torch artifact.

    Parameters
    ----------
    card : dict
        The same JSON that ``model.onnx`` carries as ``modelgpt``; see `modelgpt_cli.artifact.card`.
    """
    state = {k: v.contiguous().cpu() for k, v in model.state().items()}
    with atomic_write(path, force=force) as temporary:
        save_file(state, str(temporary), metadata={"modelgpt": json.dumps(card)})


def load_model(path: str | Path) -> TabularModel:
    """Read a model from ``model.safetensors``, or from an fp32 ``model.onnx`` of ours.

    Raises
    ------
    ModelGPTError
        If the file is absent, corrupted or foreign.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelGPTError(f"No such file: {path}.")
    if path.suffix.lower() == ".onnx":
        from modelgpt_cli.artifact.onnx_file import read_onnx_state

        card, state = read_onnx_state(path)
    else:
        card, state = _read_safetensors(path)
    try:
        return TabularModel(Blueprint.from_dict(card["blueprint"]), state)
    except KeyError as error:
        raise ModelGPTError(f"{path} is not a complete ModelGPT model.", f"{error} is missing.") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(str(path), "pt") as file:
            card = json.loads((file.metadata() or {}).get("modelgpt", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} can't be read.", f"It is corrupted, or no model.safetensors: {error}") from error
    if not card or "blueprint" not in card:
        raise ModelGPTError(f"{path} was not made by ModelGPT.", "Its header holds no blueprint.")
    return card, state
