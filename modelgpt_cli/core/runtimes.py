"""What each version of onnxruntime loads: operator sets and IR version. Known without loading anything.

From onnxruntime's own table, https://onnxruntime.ai/docs/reference/compatibility.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelgpt_cli.core.errors import UsageError

PREFIX = "ort-"
"""What a version of onnxruntime is called by: ``ort-1.15``."""


@dataclass(frozen=True)
class Loads:
    """The newest of each that a version of onnxruntime loads.

    Attributes
    ----------
    opset : int
        Operator set ai.onnx.
    ml : int
        Operator set ai.onnx.ml.
    ir : int
        IR version of the file.
    """

    opset: int
    ml: int
    ir: int


VERSIONS = {
    (1, 7): Loads(13, 2, 7),
    (1, 8): Loads(14, 2, 7),
    (1, 9): Loads(15, 2, 8),
    (1, 10): Loads(15, 2, 8),
    (1, 11): Loads(16, 2, 8),
    (1, 12): Loads(17, 3, 8),
    (1, 13): Loads(17, 3, 8),
    (1, 14): Loads(18, 3, 8),
    (1, 15): Loads(19, 3, 8),
    (1, 16): Loads(19, 3, 9),
    (1, 17): Loads(20, 4, 9),
    (1, 18): Loads(21, 4, 10),
}
"""From the first that loads operator set 13, the least that models are written in. Later versions load at
least what the last one does."""


def spelled(version: tuple[int, int]) -> str:
    """Write a version as people do: 1.15."""
    return ".".join(map(str, version))


def check_runtime(where: str, value: object) -> str:
    """Return the name of a version of onnxruntime.

    Parameters
    ----------
    where : str
        What messages call the value.

    Raises
    ------
    UsageError
        It is none, or one that is too old for any model.
    """
    found = re.fullmatch(rf"{PREFIX}(\d+)\.(\d+)(\.\d+)?", str(value))
    first = min(VERSIONS)
    if not found or int(found[1]) != first[0]:
        raise UsageError(f"{where} can't be {value!r}.", f"It names a version of onnxruntime, such as {PREFIX}1.15.")
    version = int(found[1]), int(found[2])
    if version < first:
        raise UsageError(
            f"{where} can't be {value}.",
            f"Models are written in operator set 13 at least, which onnxruntime {spelled(first)} is the first to load.",
        )
    return PREFIX + spelled(version)


def loads(runtime: str) -> Loads:
    """Return what a version loads, as `check_runtime` has named it."""
    major, minor = runtime.removeprefix(PREFIX).split(".")
    return VERSIONS[min((int(major), int(minor)), max(VERSIONS))]


def oldest(opset: int, ml: int, ir: int) -> tuple[int, int] | None:
    """Return the oldest version that loads a file of these; None where it is newer than the table."""
    return next((v for v, can in VERSIONS.items() if can.opset >= opset and can.ml >= ml and can.ir >= ir), None)
