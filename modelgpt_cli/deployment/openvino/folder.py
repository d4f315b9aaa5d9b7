"""``modelgpt export --for openvino``: OpenVINO's intermediate representation of a model's numeric part.

OpenVINO has no strings: levels come in as codes, and labels are numbers of classes. Follows
`deployment.targets.Target`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.deployment.numeric import PREPROCESSING, NumericCore, numeric_core
from modelgpt_cli.deployment.places import missing_library, write_core_folder
from modelgpt_cli.deployment.probe import Feed, Verified, allowed, answers, compare, probe_feeds
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

VERIFIES = True
TOLERANCE = 1e-3
"""OpenVINO computes what is double in the graph in float32: resized pixels may be a step of 256 apart."""
MODEL = "model.xml"
_TELEMETRY = "openvino_telemetry"
_TEMPLATE = Path(__file__).with_name("README.md.j2")


def check() -> None:
    """Make sure that OpenVINO is installed."""
    load()


def load() -> Any:
    """Import OpenVINO, which tells Intel of each import unless its library for that can't be found.

    Raises
    ------
    ModelGPTError
        It is not installed.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # as Python marks what can't be imported
    try:
        import openvino
    except ImportError as error:
        raise missing_library("OpenVINO", "openvino") from error
    return openvino


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model: the whole graph where OpenVINO answers alike, else the network alone."""
    feeds = probe_feeds(model, data)
    said = ""
    core = numeric_core(model, "OpenVINO", networks=False)
    try:
        verified = _written(model, core, folder, feeds)
    except ModelGPTError as error:
        if not model.domain.has("core"):
            raise
        core = numeric_core(model, "OpenVINO", networks=True)
        verified = _written(model, core, folder, feeds)
        said = f" Preprocessing is left to you ({PREPROCESSING}). With it: {error.cause or error.problem}"
    write_core_folder(model, folder, core, _TEMPLATE, verified=verified)
    return f"{verified}{said} How to run it: {{folder}}/README.md"


def _written(model: Model, core: NumericCore, folder: Path, feeds: Sequence[Feed]) -> Verified:
    """Write the files of a graph, and hold them against the model."""
    convert(core, folder / MODEL)
    return compare(answers(model, feeds), run(folder / MODEL, core, feeds), allowed(model, TOLERANCE))


def convert(core: NumericCore, path: Path) -> None:
    """Write a graph as OpenVINO's files.

    Raises
    ------
    ModelGPTError
        OpenVINO can't read it.
    """
    ov = load()
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "model.onnx"
        onnx.save(core.proto, source)
        try:
            ov.save_model(ov.Core().read_model(source), path, compress_to_fp16=False)
        except Exception as error:  # OpenVINO's errors have no common base but Exception
            detail = " ".join(str(error).split())[:300]
            raise ModelGPTError("OpenVINO can't convert this model.", detail) from error


def run(path: Path, core: NumericCore, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    """Run the files on inputs of the model; return outputs by name."""
    ov = load()
    engine = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = engine.compile_model(engine.read_model(path), "CPU", options)
    found = []
    for inputs in feeds:
        answered = compiled(core.feed(inputs))
        found.append({name: answered[name] for name in core.outputs})
    return found
