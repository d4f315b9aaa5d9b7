"""File formats of models, and where a model is to run as far as it decides how its file is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from modelgpt_cli.core.block import Block
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.runtimes import PREFIX, check_runtime
from modelgpt_cli.core.units import one_of, whole

Quantize = Literal["none", "fp16", "int8"]
Runtime = Literal["onnxruntime", "onnxruntime-web", "onnxruntime-mobile"]
"""What loads a file, of no version; beside these there are versions of onnxruntime, see `core.runtimes`."""


@dataclass(frozen=True)
class Format:
    """A file format, known without loading what writes it.

    Attributes
    ----------
    module : str
        Follows `artifacts.backends.Backend`.
    deployable : bool
        Whether a file runs by itself, without torch: what `export` is for.
    """

    module: str
    deployable: bool


FORMATS = {
    "onnx": Format("modelgpt_cli.artifacts.onnx_file", deployable=True),
    "safetensors": Format("modelgpt_cli.artifacts.safetensors_file", deployable=False),
}
"""The registry of file formats. A file of the format ends in ``.<name>``; the first is the default."""
PLACES = {
    "web": "modelgpt_cli.deployment.web.folder",
    "server": "modelgpt_cli.deployment.server.folder",
    "mobile": "modelgpt_cli.deployment.mobile.folder",
    "openvino": "modelgpt_cli.deployment.openvino.folder",
    "coreml": "modelgpt_cli.deployment.coreml.folder",
    "ncnn": "modelgpt_cli.deployment.ncnn.folder",
    "tflite": "modelgpt_cli.deployment.tflite.folder",
}
"""The registry of places that a model is exported for as a folder: name → the module that writes it, which follows
`deployment.targets.Target`."""
QUANTIZE: tuple[str, ...] = get_args(Quantize)
RUNTIMES: tuple[str, ...] = get_args(Runtime)
MIN_OPSET, MAX_OPSET = 13, 20


def _runtime(value: object) -> str:
    if str(value).startswith(PREFIX):
        return check_runtime("deploy: runtime", value)
    return one_of("deploy: runtime", value, (*RUNTIMES, f"{PREFIX}1.15 or another version"))


def _opset(value: object) -> int:
    number = whole("deploy: opset", value, {"": 1}, "17")
    if number > MAX_OPSET:
        raise UsageError(
            f"deploy: opset can't be {number}.", f"It is at most {MAX_OPSET}, so that the servers in the field load it."
        )
    if number < MIN_OPSET:
        raise UsageError(f"deploy: opset can't be {number}.", f"It is {MIN_OPSET} to {MAX_OPSET}.")
    return number


@dataclass(frozen=True)
class Deploy(Block):
    """How the model's file is to be written.

    Raises
    ------
    UsageError
        If a value is none of the known ones, or two contradict each other; names the keys.
    """

    name: ClassVar[str] = "deploy"
    readers: ClassVar[Mapping[str, Callable[[object], Any]]] = {
        "format": lambda value: one_of("deploy: format", value, tuple(FORMATS)),
        "opset": _opset,
        "quantize": lambda value: one_of("deploy: quantize", value, QUANTIZE),
        "runtime": _runtime,
    }

    format: str | None = None
    """The file's format; what `build -o` is called must agree."""
    opset: int | None = None
    """ONNX operator set to export for."""
    quantize: Quantize | None = None
    """How the exported weights are stored."""
    runtime: str | None = None
    """What is going to load the file, a `Runtime` or a version as ``ort-1.15``, for which it is written; kept in its
    metadata."""

    @property
    def version(self) -> str | None:
        """The version of onnxruntime that the file is written for; None where none is named."""
        return self.runtime if self.runtime is not None and self.runtime.startswith(PREFIX) else None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format != "safetensors":
            return
        for key in ("opset", "quantize", "runtime"):
            value = getattr(self, key)
            if value not in (None, "none"):
                raise UsageError(
                    f"deploy: format safetensors and {key} {value} contradict each other.",
                    "A model.safetensors holds float32 weights for torch; the rest is decided when it is exported.",
                    f"Leave out one of the two, or give {key} to modelgpt export."
                    if key != "runtime"
                    else "Leave out one of the two.",
                )
