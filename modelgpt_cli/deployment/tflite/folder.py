"""``modelgpt export --for tflite``: an image network in LiteRT's format, converted from torch by litert-torch.

The network is that of the model in torch, from pixels of one size to probabilities, one image at a time. Follows
`deployment.targets.Target`.
"""

from __future__ import annotations

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
"""LiteRT's convolutions sum in another order."""
MODEL = "model.tflite"
_KEPT = ("probabilities",)
_TEMPLATE = Path(__file__).with_name("README.md.j2")


def check() -> None:
    """Make sure that LiteRT and its converter are installed."""
    try:
        import ai_edge_litert  # noqa: F401
        import litert_torch  # noqa: F401
    except ImportError as error:
        raise missing_library("LiteRT, or its converter litert-torch,", "tflite") from error


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    if not model.domain.has("core"):
        raise ModelGPTError(
            f"LiteRT can't run models of {model.domain.title} yet.",
            "Networks on images of one size are converted.",
            "Use --for mobile, or --for openvino.",
        )
    core = fixed(numeric_core(model, "LiteRT", networks=True), _KEPT)
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
    import litert_torch
    import torch

    from modelgpt_cli.artifacts.model_file import load_model

    part: Core = model.domain.part("core")
    network = part.network(load_model(model.path)).eval()
    shape = core.described()["inputs"][0]["shape"]
    try:
        with silent(), quiet(""):
            litert_torch.convert(network, (torch.zeros(shape),)).export(str(path))
    except Exception as error:  # the converter's errors have no common base but Exception
        detail = " ".join(str(error).split())[:300]
        raise ModelGPTError("litert-torch can't convert this model.", detail) from error


def run(path: Path, core: NumericCore, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    """Run the file on inputs of the model, image by image; return outputs by name."""
    from ai_edge_litert.interpreter import Interpreter

    with silent():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    place, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for inputs in feeds:
        rows = []
        for row in core.feed(inputs)[core.inputs[0]]:
            interpreter.set_tensor(place, row[None])
            interpreter.invoke()
            rows.append(np.array(interpreter.get_tensor(answer)[0]))
        found.append({core.outputs[0]: np.stack(rows)})
    return found
