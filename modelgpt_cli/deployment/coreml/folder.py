"""``modelgpt export --for coreml``: an image network in Core ML's format, converted from torch by coremltools.

Core ML runs on macOS and iOS alone, so that the folder is written on a Mac, where it can be verified. The network is
that of the model in torch, from pixels of one size to probabilities, one image at a time. Follows
`deployment.targets.Target`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.deployment.numeric import Core, NumericCore, fixed, numeric_core
from modelgpt_cli.deployment.places import missing_library, silent, write_core_folder
from modelgpt_cli.deployment.probe import Feed, allowed, answers, compare, probe_feeds
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

VERIFIES = True
TOLERANCE = 1e-3
"""Core ML's convolutions sum in another order."""
MODEL = "model.mlpackage"
_KEPT = ("probabilities",)
_INSTEAD = (
    "Use --for mobile: onnxruntime runs model.ort on iPhones, by Core ML where its CoreMLExecutionProvider is on."
)
_TEMPLATE = Path(__file__).with_name("README.md.j2")


def check() -> None:
    """Make sure that this is a Mac, with coremltools."""
    if sys.platform != "darwin":
        raise ModelGPTError(
            "Core ML's files are written on a Mac.",
            "Core ML runs there alone, and what is not compared with model.onnx is not written.",
            f"{_INSTEAD} Or run this on a Mac.",
        )
    try:
        import coremltools  # noqa: F401
    except ImportError as error:
        raise missing_library("coremltools", "coreml") from error


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    if not model.domain.has("core"):
        raise ModelGPTError(
            f"Core ML can't run models of {model.domain.title} yet.",
            "Networks on images of one size are converted.",
            _INSTEAD,
        )
    core = fixed(numeric_core(model, "Core ML", networks=True), _KEPT)
    convert(model, core, folder / MODEL)
    feeds = probe_feeds(model, data)
    verified = compare(answers(model, feeds), run(folder / MODEL, core, feeds), allowed(model, TOLERANCE))
    write_core_folder(model, folder, core, _TEMPLATE, verified=verified)
    return f"{verified} How to run it: {{folder}}/README.md"


def convert(model: Model, core: NumericCore, path: Path) -> None:
    """Write the network of a model.

    Raises
    ------
    ModelGPTError
        The converter can't, or the file's weights are no longer exact.
    """
    import coremltools as ct
    import torch

    from modelgpt_cli.artifacts.model_file import load_model

    part: Core = model.domain.part("core")
    network = part.network(load_model(model.path)).eval()
    shape = core.described()["inputs"][0]["shape"]
    try:
        with silent(), quiet(""), torch.no_grad():
            ct.convert(
                torch.jit.trace(network, torch.zeros(shape)),
                inputs=[ct.TensorType(name=core.inputs[0], shape=shape)],
                outputs=[ct.TensorType(name=core.outputs[0])],
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS15,
                compute_precision=ct.precision.FLOAT32,  # in halves, its own choice, answers would move
            ).save(str(path))
    except Exception as error:  # the converter's errors have no common base but Exception
        detail = " ".join(str(error).split())[:300]
        raise ModelGPTError("coremltools can't convert this model.", detail) from error


def run(path: Path, core: NumericCore, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    """Run the file on inputs of the model, image by image; return outputs by name."""
    import coremltools as ct

    with silent():
        loaded = ct.models.MLModel(str(path))
    (name,), (output,) = core.inputs, core.outputs
    found = []
    for inputs in feeds:
        rows = [np.asarray(loaded.predict({name: row[None]})[output])[0] for row in core.feed(inputs)[name]]
        found.append({output: np.stack(rows)})
    return found
