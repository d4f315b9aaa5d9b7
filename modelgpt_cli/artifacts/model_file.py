"""``model.safetensors``: the torch artifact, one file; the parameters, and in the header the blueprint.

A text model's header holds the tokenizer too, under the name that it has in ``model.onnx``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from modelgpt_cli.artifacts.target_model import TargetModel, is_image, is_text, make_target_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.data.typing import typed
from modelgpt_cli.runtime.session import TOKENIZER, check_file, damaged, parse_metadata

SUFFIXES = (".onnx", ".safetensors")


def check_model_destination(path: Path, force: bool) -> None:
    """Make sure, before any long work, that a model can be written to `path`, and in which format.

    Raises
    ------
    UsageError
        If the name ends in neither .onnx nor .safetensors, or as `check_destination` has it.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"Can't tell what to write to {path}.", hint="End the name in .onnx or .safetensors.")
    check_destination(path, force)


def save_model(model: TargetModel, path: str | Path, *, card: dict[str, Any], force: bool = False) -> None:
    """Write the torch artifact.

    Parameters
    ----------
    card : dict
        The same JSON that ``model.onnx`` carries as ``modelgpt``; see `modelgpt_cli.artifacts.model_card`.
    """
    state = {k: v.contiguous().cpu() for k, v in model.state().items()}
    header = {"modelgpt": json.dumps(card)}
    if is_text(model):
        header[TOKENIZER] = model.tokenizer_json
    with atomic_write(path, force=force) as temporary:
        save_file(state, str(temporary), metadata=header)


def load_model(path: str | Path) -> TargetModel:
    """Read a model from ``model.safetensors``, or from an fp32 ``model.onnx`` of ours.

    Raises
    ------
    ModelGPTError
        If the file is absent, corrupted or foreign.
    """
    path = Path(path)
    check_file(path)
    if path.suffix.lower() == ".onnx":
        from modelgpt_cli.artifacts.onnx_state import read_onnx_state

        card, state, tokenizer = read_onnx_state(path)
    else:
        card, state, tokenizer = _read_safetensors(path)
    model = make_target_model(card, state, tokenizer, path)
    _check(model, path)
    return model


def _check(model: TargetModel, path: Path) -> None:
    """Make sure that the tensors are numbers and fit each other: a row of empty cells, or a black image, has to pass
    through them."""
    broken = next((name for name, p in model.named_parameters() if not bool(p.isfinite().all())), None)
    if broken is not None:
        raise damaged(path, "Some of its parameters are no finite numbers.")
    try:
        if is_image(model):
            outputs = model.predict(np.zeros((1, 1, 1, 3), dtype=np.uint8)).shape[1]
        else:
            outputs = model.predict(typed(pd.DataFrame(index=[0]), model.blueprint.used)).shape[1]
    except (RuntimeError, IndexError, KeyError, ValueError) as error:  # torch has no narrower kind for shapes
        raise damaged(path, "Its tensors don't fit each other, or its columns.") from error
    if outputs != model.blueprint.n_outputs:
        raise damaged(path, f"It has {outputs} outputs and {model.blueprint.n_outputs} labels.")


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], str | None]:
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            card = parse_metadata(header.get("modelgpt"), path)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ModelGPTError(f"{path} can't be read.", f"It is corrupted, or no model.safetensors: {error}") from error
    if not isinstance(card.get("blueprint"), dict):
        raise damaged(path, "Its header holds no blueprint.")
    return card, state, header.get(TOKENIZER)
