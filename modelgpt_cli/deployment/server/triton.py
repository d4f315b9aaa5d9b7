"""Triton's ``config.pbtxt`` of a graph: its inputs and outputs, in protobuf's text format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.runtime.session import Model, Tensor

TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float": "TYPE_FP32",
    "double": "TYPE_FP64",
    "string": "TYPE_STRING",
}
"""ONNX's name of a type → Triton's."""


def write_config(model: Model, name: str, path: Path) -> None:
    """Write the description of a model.

    Rows are not gathered by Triton (``max_batch_size: 0``): a request has as many as it likes, and each is a run. Texts
    and images differ in length and size from request to request, and could not be put together.
    """
    inputs, outputs = model.signature
    text = (
        f'name: "{_escaped(name)}"\nbackend: "onnxruntime"\nmax_batch_size: 0\n'
        f"{_tensors('input', inputs)}{_tensors('output', outputs)}"
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
    )
    path.write_text(text, encoding="utf-8")


def _tensors(key: str, tensors: Iterable[Tensor]) -> str:
    return "".join(
        f'{key} {{\n  name: "{_escaped(one.name)}"\n  data_type: {_type(one)}\n  dims: [ {_dims(one)} ]\n}}\n'
        for one in tensors
    )


def _dims(one: Tensor) -> str:
    return ", ".join(str(side) if isinstance(side, int) else "-1" for side in one.shape)


def _type(one: Tensor) -> str:
    if one.type not in TYPES:
        raise ModelGPTError(f"Triton has no type for {one.name}, which is {one.type}.")
    return TYPES[one.type]


def _escaped(text: str) -> str:
    """A string as protobuf's text format has it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in plain)
