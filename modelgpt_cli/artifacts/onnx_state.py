"""What a ``model.onnx`` carries in its metadata, and the way back from the file to a model's tensors.

The first is the last step of `onnx_file` and `onnx_text`, the second what `tune` and `export` begin with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_card import BACKBONE, HEAD
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.tabular import onnx_features
from modelgpt_cli.domains.tabular.features import SourceStats
from modelgpt_cli.domains.tabular.model import CONSTANTS, INTERVAL, PARAMETERS, SPREAD
from modelgpt_cli.domains.tabular.text_columns import PREFIX
from modelgpt_cli.runtime.session import TOKENIZER, check_file, parse_metadata

_REST = "modelgpt_state"
"""Metadata entry with the tensors that no node uses: onnxruntime complains of idle initializers."""
TARGET = CONSTANTS + "target"


def entries(
    g: GraphWriter, card: Mapping[str, Any], state: Mapping[str, np.ndarray], *, opset: int, quantize: str
) -> dict[str, str]:
    """The metadata of a graph: the card and, where the weights are exact, the tensors that are not in the graph."""
    found = {"modelgpt": json.dumps(dict(card) | {"export": {"opset": opset, "quantize": quantize}}, allow_nan=False)}
    if quantize == "none":
        found[_REST] = json.dumps({k: _pack(v) for k, v in state.items() if k not in g.constants})
    return found


def read_onnx_state(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor], str | None]:
    """Read the card and the tensors of an fp32 ``model.onnx`` back.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    card : dict
    state : dict of Tensor
        As the target model takes it.
    tokenizer : str or None
        The tokenizer's JSON, if there is one.

    Raises
    ------
    ModelGPTError
        The file is absent, corrupted, foreign, or quantised.
    """
    path = Path(path)
    check_file(path)
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ModelGPTError(
            f"{path} can't be read.", "It is corrupted, or no ONNX file.", "Build the model again."
        ) from error
    found = {entry.key: entry.value for entry in proto.metadata_props}
    card = parse_metadata(found.get("modelgpt"), path)
    quantize = (card.get("export") or {}).get("quantize", "none")
    if quantize != "none":
        raise ModelGPTError(
            f"{path} is quantised ({quantize}).",
            "Its exact numbers are gone.",
            "Use the model.safetensors, or the unquantised model.onnx, that it was exported from.",
        )
    try:
        state = {name: _unpack(packed) for name, packed in json.loads(found.get(_REST, "{}")).items()}
        state |= {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        wanted = _state_names(card["blueprint"], state)
        return card, {name: _tensor(state[name]) for name in wanted}, found.get(TOKENIZER)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        cause = f"{error} is missing." if isinstance(error, KeyError) else str(error)
        raise ModelGPTError(f"{path} is damaged.", cause, "Build or export the model again.") from error


def _state_names(blueprint: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    """The tensors that a model of this blueprint has; of an encoder or a trunk, those that the file holds."""
    regression = blueprint["task"] == "regression"
    if blueprint.get("domain") in ("text", "image"):
        names = [name for name in state if name.startswith(BACKBONE)]
        return [*names, *HEAD, *([TARGET] if regression else [])]
    strings = sum(column["type"] in ("boolean", "categorical") for column in blueprint["columns"])
    names = [f"{onnx_features.SOURCES}{field.name}" for field in fields(SourceStats)]
    names += [f"{onnx_features.TABLES}{i}" for i in range(strings)]
    texts = sum(column["type"] == "text" and bool(column.get("components")) for column in blueprint["columns"])
    names += [f"{CONSTANTS}{PREFIX}{i}.{part}" for i in range(texts) for part in ("mean", "components")]
    if regression:
        names.append(TARGET)
        if blueprint.get("interval"):
            names += [CONSTANTS + INTERVAL, CONSTANTS + SPREAD]
    return [*names, *PARAMETERS]


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _pack(array: np.ndarray) -> dict[str, Any]:
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
    }


def _unpack(packed: Mapping[str, Any]) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(packed["data"]), dtype=packed["dtype"])
    return data.reshape(packed["shape"])
