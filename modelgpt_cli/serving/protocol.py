"""The Open Inference Protocol v2 over HTTP, as KServe and Triton speak it: tensors to a job, answers to tensors.

Tables take a tensor for each column, texts one of BYTES, images UINT8 pixels or, as BYTES in base64, files. What comes
back is what `Model.run` gives: the graph's outputs, or a domain's own answers as JSON in BYTES.
Shapes: N rows, C classes, H, W pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.version import __version__
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.bodies import UNNAMED, decode_base64, kinds_of
from modelgpt_cli.serving.errors import RequestError
from modelgpt_cli.serving.jobs import FilesJob, Job, RowsJob, Scored, TensorJob
from modelgpt_cli.serving.models import Served

BYTES = "BYTES"
_DTYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_NAMES: dict[Any, str] = {np.dtype(kind): name for name, kind in _DTYPES.items()}
_GRAPH = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8", "tensor(string)": BYTES,
}  # fmt: skip


def server_metadata() -> dict[str, Any]:
    """Return what ``GET /v2`` answers."""
    return {"name": "modelgpt", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(served: Served) -> dict[str, Any]:
    """Return what ``GET /v2/models/NAME`` answers: the tensors, and of the model card what a client can use."""
    model = served.model
    card: dict[str, Any] = {"task": model.task, "target": model.target, "domain": model.domain.title}
    card |= {"labels": list(model.labels), "requirement": str(model.metadata.get("requirement", ""))}
    return {
        "name": served.name,
        "versions": [str(served.version)],
        "platform": "onnx_onnxruntime",
        "inputs": _inputs(model),
        "outputs": _outputs(model),
        "parameters": {name: value if isinstance(value, str) else json.dumps(value) for name, value in card.items()},
    }


def _inputs(model: Model) -> list[dict[str, Any]]:
    if model.feeds.FILES:
        kinds = {name: _GRAPH.get(kind, BYTES) for name, kind in model.feed.graph_inputs.items()}
        return [
            {"name": name, "datatype": kind, "shape": [-1, -1, -1, 3] if kind == "UINT8" else [-1]}
            for name, kind in kinds.items()
        ]
    return [
        {"name": i.column, "datatype": "FP32" if i.type == "numeric" else BYTES, "shape": [-1, 1]} for i in model.inputs
    ]


def _outputs(model: Model) -> list[dict[str, Any]]:
    if model.answers is not None:
        return [{"name": name, "datatype": BYTES, "shape": [-1]} for name in model.answers.NAMES]
    shapes = {"label": [-1, len(model.labels)] if model.multi_label else [-1], "probabilities": [-1, len(model.labels)]}
    shapes |= {name: [-1, 1] for name in ("prediction", "lower", "upper")}
    return [
        {"name": name, "datatype": _GRAPH.get(kind, BYTES), "shape": shapes.get(name, [-1])}
        for name, kind in model.graph_outputs.items()
    ]


def read_infer(model: Model, content: bytes, header_length: str = "") -> tuple[Job, Mapping[str, Any]]:
    """Read the body of ``POST /v2/models/NAME/infer``.

    Parameters
    ----------
    model : Model
    content : bytes
        JSON; tensors of the extension for binary data may follow it.
    header_length : str
        The header Inference-Header-Content-Length: how many bytes are JSON; "" for all.

    Returns
    -------
    Job
    mapping
        The request's JSON.

    Raises
    ------
    RequestError
        It is no such request, or its tensors are not the model's.
    """
    length = len(content)
    if header_length:
        if not header_length.isdigit() or int(header_length) > length:
            raise RequestError(400, f"Inference-Header-Content-Length can't be {header_length[:20]!r}.")
        length = int(header_length)
    try:
        request = parse_json(content[:length])
    except ValueError as error:
        raise RequestError(400, "The body is not valid JSON.", str(error), "Mend it.") from error
    tensors = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(tensors, list) or not tensors or not all(isinstance(one, dict) for one in tensors):
        raise RequestError(400, "The request has no inputs.", "", 'It is {"inputs": [{"name": ..., ...}, ...]}.')
    try:
        found = dict(_tensors(tensors, content[length:]))
    except RecursionError:
        raise RequestError(400, "The body is nested too deeply.") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(400, "A tensor can't be read.", str(error)) from error
    known = [one["name"] for one in _inputs(model)]
    if unknown := [name for name in found if name not in known]:
        raise RequestError(422, f"The model has no input {unknown[0]!r}.", f"It takes: {', '.join(known[:20])}.")
    return _job(model, found), request


def _job(model: Model, tensors: Mapping[str, np.ndarray | list[str]]) -> Job:
    if model.feeds.FILES:
        (name, cells), *_ = tensors.items()
        if isinstance(cells, list):
            return FilesJob([(f"{UNNAMED} {k}", decode_base64(one, f"{name} {k}")) for k, one in enumerate(cells, 1)])
        wanted = _inputs(model)[0]
        if _NAMES.get(cells.dtype) != wanted["datatype"] or not _fits(cells.shape, wanted["shape"]):
            raise RequestError(
                422,
                f"The input {name!r} has the type {_NAMES.get(cells.dtype)} and the shape {list(cells.shape)}.",
                f"The model takes {wanted['datatype']} of shape {wanted['shape']}, or files as BYTES in base64.",
            )
        if not cells.size:
            raise RequestError(422, f"The input {name!r} is empty.", hint="Send at least one row.")
        return TensorJob({name: cells}, len(cells))
    columns = {
        name: cells if isinstance(cells, list) else cells.reshape(-1).tolist() for name, cells in tensors.items()
    }
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RequestError(422, "The inputs differ in length.", f"{lengths}.", "Give each of them one cell per row.")
    n_rows = next(iter(lengths.values()))
    if not n_rows:
        raise RequestError(422, "There are no rows.", "The inputs are empty.", "Send at least one.")
    return RowsJob(columns, n_rows, kinds_of(columns))


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, n) for n, w in zip(shape, wanted, strict=True))


def _tensors(given: Sequence[Mapping[str, Any]], binary: bytes) -> Iterator[tuple[str, np.ndarray | list[str]]]:
    """Yield the name and the content of each tensor: an array, or of BYTES a list of texts."""
    at = 0
    for one in given:
        name, kind, shape = one.get("name"), one.get("datatype"), one.get("shape")
        if not isinstance(name, str) or (kind != BYTES and kind not in _DTYPES):
            raise RequestError(
                400, f"The input {name!r} has the datatype {kind!r}.", f"There are {', '.join(_DTYPES)}."
            )
        if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
            raise RequestError(400, f"The input {name!r} has the shape {shape!r}.", "It is a list of whole numbers.")
        if shape[1:] and kind == BYTES and shape[1:] != [1]:
            raise RequestError(422, f"The input {name!r} has the shape {shape}.", "BYTES are [N] or [N, 1] here.")
        size = (one.get("parameters") or {}).get("binary_data_size")
        cells: np.ndarray | list[str]
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(binary) - at:
                raise RequestError(400, f"The input {name!r} has no {size!r} bytes of binary data.")
            cells = _from_binary(name, kind, binary[at : at + size])
            at += size
        else:
            cells = _from_json(name, kind, one.get("data"))
        n_cells = len(cells) if isinstance(cells, list) else cells.size
        if n_cells != math.prod(shape):
            raise RequestError(
                400, f"The input {name!r} has {n_cells:,} values.", f"Its shape {shape} asks for {math.prod(shape):,}."
            )
        yield name, cells if isinstance(cells, list) else cells.reshape(shape)


def _from_binary(name: str, kind: str, content: bytes) -> np.ndarray | list[str]:
    if kind != BYTES:
        return np.frombuffer(content, np.dtype(_DTYPES[kind]).newbyteorder("<")).astype(_DTYPES[kind], copy=False)
    found, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        end = at + 4 + length
        if end > len(content):
            raise RequestError(400, f"The input {name!r} breaks off.")
        found.append(content[at + 4 : end].decode("utf-8", "replace"))
        at = end
    return found


def _from_json(name: str, kind: str, data: Any) -> np.ndarray | list[str]:
    if not isinstance(data, list):
        raise RequestError(400, f"The input {name!r} has no data.", "", "data is a list.")
    if kind == BYTES:
        cells = list(_flat(data))
        if not all(isinstance(cell, str) for cell in cells):
            raise RequestError(400, f"The input {name!r} holds other values than strings.", "Its datatype is BYTES.")
        return cells
    wanted = np.dtype(_DTYPES[kind])
    cells = [math.nan if cell is None and wanted.kind == "f" else cell for cell in _flat(data)]
    if not all(isinstance(cell, (int, float)) for cell in cells):
        raise RequestError(400, f"The input {name!r} holds other values than numbers.", f"Its datatype is {kind}.")
    with np.errstate(over="ignore"):
        return np.array(cells, dtype=wanted)


def _flat(data: list[Any]) -> Iterator[Any]:
    for one in data:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one


def infer_reply(scored: Scored, served: Served, request: Mapping[str, Any]) -> bytes:
    """Return the answer to an inference request."""
    model = scored.model
    names = [one["name"] for one in _outputs(model)]
    asked = request.get("outputs") or [{"name": name} for name in names]
    wanted = [str(one.get("name")) for one in asked if isinstance(one, dict)] if isinstance(asked, list) else []
    if not wanted or not set(wanted) <= set(names):
        unknown = next((name for name in wanted if name not in names), asked)
        raise RequestError(422, f"The model has no output {unknown!r}.", f"It has: {', '.join(names)}.")
    if unread := [name for chunk, _ in scored.parts if chunk.readable is not None
                  for name, good in zip(chunk.names, chunk.readable.tolist(), strict=True) if not good]:  # fmt: skip
        raise ModelGPTError(f"The file {unread[0]} can't be read.", "\n".join(scored.warnings), "Check the file.")
    reply: dict[str, Any] = {"model_name": served.name, "model_version": str(served.version)}
    if "id" in request:
        reply["id"] = request["id"]
    if scored.warnings:
        reply["parameters"] = {"warnings": "\n".join(scored.warnings)}
    parts = [outputs for _, outputs in scored.parts]
    reply["outputs"] = [_tensor(name, np.concatenate([part[name] for part in parts]), model) for name in wanted]
    return json.dumps(reply, ensure_ascii=False, allow_nan=False).encode(errors="replace")


def _tensor(name: str, cells: np.ndarray, model: Model) -> dict[str, Any]:
    kind = _NAMES.get(cells.dtype, BYTES)
    data: list[Any] = cells.reshape(-1).tolist()
    if kind == BYTES and model.answers is not None:
        data = [json.dumps(cell, ensure_ascii=False) for cell in data]
    elif cells.dtype.kind == "f":
        data = [value if math.isfinite(value) else None for value in data]
    return {"name": name, "shape": list(cells.shape), "datatype": kind, "data": data}
