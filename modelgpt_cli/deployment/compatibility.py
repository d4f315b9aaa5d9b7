"""``modelgpt doctor --model``: the oldest onnxruntime that loads a file, browsers, phones. From the file alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.checks import Check
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import check_model_file
from modelgpt_cli.core.runtimes import PREFIX, VERSIONS, oldest, spelled

if TYPE_CHECKING:
    import onnx

_ML = "ai.onnx.ml"
_STANDARD = ("", "ai.onnx", _ML)
_HELPERS = {"nnapi_supported_ops.md": "Android's NNAPI", "coreml_supported_mlprogram_ops.md": "Apple's Core ML"}
"""onnxruntime's own lists of what phones' accelerators take → what people call these."""
_LISTED = re.compile(r"^\|([\w.]+):(\w+)\|")


def check_file(path: str | os.PathLike[str]) -> list[Check]:
    """Say where a model file runs, a line each; nothing is run.

    Parameters
    ----------
    path : path-like
        A ``model.onnx``; of anyone's.

    Raises
    ------
    ModelGPTError
        There is no such file, it is none of ONNX's, or onnx is not installed.
    """
    check_model_file(path)
    proto = _read(Path(path))
    foreign = sorted({node.domain for node in _nodes(proto)} - {*_STANDARD})
    return [
        Check("file", "ok", f"{Path(path).stat().st_size / 1e6:,.2f} MB, weights in {_precision(proto)}"),
        _onnxruntime(proto, foreign),
        *_places(foreign),
        *_accelerators(proto),
    ]


def _read(path: Path) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelGPTError(
            "Looking into a model file takes onnx, which is not installed.", "", "pip install onnx"
        ) from error
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ModelGPTError(f"{path} is not an ONNX file.", str(error)) from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelGPTError(f"{path} is not an ONNX file.", "It has no graph.")
    return proto


def _nodes(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of branches and functions among them."""
    waiting = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _precision(proto: onnx.ModelProto) -> str:
    """The types of the weights, that with the most bytes first."""
    from onnx import TensorProto, helper

    bytes_of: dict[str, int] = {}
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.STRING:
            continue
        name = TensorProto.DataType.Name(tensor.data_type).lower()
        count = 1
        for side in tensor.dims:
            count *= side
        size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        bytes_of[name] = bytes_of.get(name, 0) + count * size
    total = sum(bytes_of.values())
    shown = [name for name in sorted(bytes_of, key=lambda n: -bytes_of[n]) if bytes_of[name] >= total / 100]
    words = {"float": "float32", "double": "float64"}
    return ", ".join(words.get(name, name) for name in shown) or "no tensors"


def _onnxruntime(proto: onnx.ModelProto, foreign: list[str]) -> Check:
    """The oldest onnxruntime that loads the file, and the oldest that its operators could run in."""
    stamped = {one.domain or "ai.onnx": one.version for one in proto.opset_import}
    opset, ml = stamped.get("ai.onnx", 1), stamped.get(_ML, 1)
    said = f"operator set {opset}" + (f", {_ML} {ml}" if _ML in stamped else "") + f", IR {proto.ir_version}"
    found = oldest(opset, ml, proto.ir_version)
    if found is None:
        last = spelled(max(VERSIONS))
        return Check("onnxruntime", "warning", f"newer than {last} ({said})", "The table of versions ends there.")
    if foreign:
        detail = f"{spelled(found)} or newer ({said}), with {' and '.join(foreign)}"
        return Check("onnxruntime", "ok", detail, "pip install onnxruntime-extensions")
    least = next((v for v, can in VERSIONS.items() if _fits(proto, min(opset, can.opset), min(ml, can.ml))), found)
    hint = ""
    if least < found:
        hint = f"Its operators are no newer than {spelled(least)}: modelgpt export --runtime {PREFIX}{spelled(least)}"
    return Check("onnxruntime", "ok", f"{spelled(found)} or newer ({said})", hint)


def _fits(proto: onnx.ModelProto, opset: int, ml: int) -> bool:
    """Whether all operators, as the file uses them, are in older operator sets."""
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version = proto.ir_version
    context.opset_imports = {"": opset, _ML: ml}
    try:
        for node in _nodes(proto):
            checker.check_node(node, context)
    except checker.ValidationError:
        return False
    return True


def _places(foreign: list[str]) -> Iterator[Check]:
    """Builds of onnxruntime with all standard operators, and no others."""
    for name in ("onnxruntime-web", "onnxruntime-android", "onnxruntime-objc"):
        if foreign:
            yield Check(
                name, "warning", f"lacks {' and '.join(foreign)}", "Export the model without --tokenizer-in-graph."
            )
        else:
            yield Check(name, "ok", "has all of its operators (CPU)")


def _accelerators(proto: onnx.ModelProto) -> Iterator[Check]:
    """What share of the nodes phones' accelerators may take, by onnxruntime's own lists."""
    try:
        from onnxruntime.tools import mobile_helpers
    except ImportError:
        return
    nodes = [f"{node.domain or 'ai.onnx'}:{node.op_type}" for node in _nodes(proto)]
    for file, title in _HELPERS.items():
        place = Path(next(iter(mobile_helpers.__path__))) / file
        if not place.is_file():
            continue
        lines = map(_LISTED.match, place.read_text(encoding="utf-8").splitlines())
        known = {f"{line[1]}:{line[2]}" for line in lines if line}
        taken = sum(node in known for node in nodes)
        yield Check(title, "ok", f"knows the operators of {taken} of {len(nodes)} nodes; the CPU does the rest")
