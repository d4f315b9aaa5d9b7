"""Graphs for older versions of onnxruntime: lower operator sets and IR version, or a clear word why not.

Between a domain's part ``onnx`` and the verification. Its operators are written in the operator set that the version
loads; what is lowered here is what is said of the file.
"""

from __future__ import annotations

import onnx

from modelgpt_cli.artifacts.graph import ML_DOMAIN
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.runtimes import loads

_STANDARD = ("", "ai.onnx")


def check_opset(runtime: str, asked: int | None, default: int) -> int:
    """Return the operator set to write for a version of onnxruntime: the one asked for, or the highest that will do.

    Raises
    ------
    UsageError
        The one asked for is above what the version loads.
    """
    most = loads(runtime).opset
    if asked is not None and asked > most:
        raise UsageError(
            f"--opset {asked} and --runtime {runtime} contradict each other.",
            f"That version loads operator sets up to {most}.",
            "Leave out one of the two.",
        )
    return min(default, most) if asked is None else asked


def lowered(proto: onnx.ModelProto, runtime: str) -> onnx.ModelProto:
    """Return a graph that says no more than what a version of onnxruntime loads.

    Raises
    ------
    UsageError
        The graph needs more.
    """
    can = loads(runtime)
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    used = {node.domain for node in made.graph.node} | {node.domain for f in made.functions for node in f.node}
    used = {"" if domain in _STANDARD else domain for domain in used} | {""}
    del made.opset_import[:]
    for opset in proto.opset_import:
        domain = "" if opset.domain in _STANDARD else opset.domain
        if domain not in used:
            continue
        version = min(opset.version, can.ml) if domain == ML_DOMAIN else opset.version
        made.opset_import.append(onnx.helper.make_opsetid(domain, version))
    made.ir_version = min(made.ir_version, can.ir)
    standard = next(opset.version for opset in made.opset_import if opset.domain == "")
    if standard > can.opset:
        raise UsageError(
            f"This model can't be written for {runtime}.",
            f"Its graph needs operator set {standard}, and that version loads {can.opset} at most.",
            "Name a later version.",
        )
    try:
        onnx.checker.check_model(made)
    except onnx.checker.ValidationError as error:
        raise UsageError(
            f"This model can't be written for {runtime}.",
            " ".join(str(error).split())[:200],
            "Name a later version.",
        ) from error
    return made
