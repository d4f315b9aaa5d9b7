"""What a ``model.onnx`` carries in its metadata, and the way back from the file to a model's tensors.

The first is the last step of every domain's graph writer, the second what `tune` and `export` begin with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from modelgpt_cli.artifacts.backends import Contents
from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_card import KEY
from modelgpt_cli.artifacts.target_model import find_own_domain
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import check_model_file
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.runtime.session import parse_metadata

_REST = "modelgpt_state"
"""Metadata entry with the tensors that no node uses: onnxruntime complains of idle initializers."""


def graph_metadata(
    g: GraphWriter, model_card: Mapping[str, Any], state: Mapping[str, np.ndarray], *, opset: int, quantize: str
) -> dict[str, str]:
    """Return a graph's metadata: the model card and, where the weights are exact, the tensors not in the graph."""
    found = {KEY: json.dumps(dict(model_card) | {"export": {"opset": opset, "quantize": quantize}}, allow_nan=False)}
    if quantize == "none":
        found[_REST] = json.dumps({k: _pack(v) for k, v in state.items() if k not in g.constants})
    return found


def read_onnx_state(path: str | Path) -> Contents:
    """Read the model card and the tensors of an fp32 ``model.onnx`` back.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ModelGPTError
        The file is absent, corrupted, foreign, or quantised.
    """
    path = Path(path)
    check_model_file(path)
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ModelGPTError(
            f"{path} can't be read.", "It is corrupted, or no ONNX file.", "Build the model again."
        ) from error
    found = {entry.key: entry.value for entry in proto.metadata_props}
    model_card = parse_metadata(found.pop(KEY, None), path)
    quantize = (model_card.get("export") or {}).get("quantize", "none")
    if quantize != "none":
        raise ModelGPTError(
            f"{path} is quantised ({quantize}).",
            "Its exact numbers are gone.",
            "Use the model.safetensors, or the unquantised model.onnx, that it was exported from.",
        )
    try:
        tensors = {name: _unpack(packed) for name, packed in parse_json(found.pop(_REST, "{}")).items()}
        tensors |= {tensor.name: _exact(numpy_helper.to_array(tensor)) for tensor in proto.graph.initializer}
        blueprint = Blueprint.from_dict(model_card["blueprint"])
        state = find_own_domain(blueprint, path).part("onnx").read_state(blueprint, tensors)
        return Contents(model_card, {name: _tensor(array) for name, array in state.items()}, found)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        cause = f"{error} is missing." if isinstance(error, KeyError) else str(error)
        raise ModelGPTError(f"{path} is damaged.", cause, "Build or export the model again.") from error


def _exact(array: np.ndarray) -> np.ndarray:
    """Numbers that halves hold are kept in halves."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


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
    array: np.ndarray = data.reshape(packed["shape"])
    return array
