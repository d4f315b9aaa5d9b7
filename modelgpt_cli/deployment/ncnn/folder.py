"""``modelgpt export --for ncnn``: an image network in ncnn's format, converted by pnnx.

ncnn runs networks on one image at a time, of one size: preprocessing is cut off, and so are all outputs but
probabilities. Follows `deployment.targets.Target`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.deployment.numeric import NumericCore, fixed, numeric_core
from modelgpt_cli.deployment.places import missing_library, silent, write_core_folder
from modelgpt_cli.deployment.probe import Feed, allowed, answers, compare, probe_feeds, stored
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

VERIFIES = True
TOLERANCE = 2e-3
"""ncnn's convolutions are Winograd's, which round otherwise."""
PARAMETERS, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
_KEPT = ("probabilities", "prediction")
_TEMPLATE = Path(__file__).with_name("README.md.j2")
_SECONDS = 300


def check() -> None:
    """Make sure that ncnn and its converter are installed."""
    try:
        import ncnn  # noqa: F401
        import pnnx  # noqa: F401
    except ImportError as error:
        raise missing_library("ncnn, or its converter pnnx,", "ncnn") from error


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    if not model.domain.has("core"):
        raise ModelGPTError(
            f"ncnn can't run models of {model.domain.title}.",
            "It runs networks on images of one size.",
            "Use --for mobile, or --for openvino.",
        )
    if stored(model) == "int8":
        raise ModelGPTError(
            "ncnn can't run this model: its weights are 8-bit integers.",
            "Its converter, pnnx, doesn't know them.",
            "Export the model without --quantize int8.",
        )
    core = fixed(numeric_core(model, "ncnn", networks=True), _KEPT)
    convert(core, folder)
    feeds = probe_feeds(model, data)
    got = run(folder, core, feeds)
    verified = compare(answers(model, feeds), got, allowed(model, TOLERANCE))
    write_core_folder(model, folder, core, _TEMPLATE, verified=verified)
    return f"{verified} How to run it: {{folder}}/README.md"


def convert(core: NumericCore, folder: Path) -> None:
    """Write a graph as ncnn's files.

    Raises
    ------
    ModelGPTError
        pnnx can't read it.
    """
    import pnnx

    with tempfile.TemporaryDirectory() as work:
        onnx.save(core.proto, Path(work) / "model.onnx")
        shapes = ",".join(f"[{','.join(map(str, one['shape']))}]f32" for one in core.described()["inputs"])
        command = [pnnx.EXEC_PATH, "model.onnx", f"inputshape={shapes}", "fp16=0"]
        try:
            done = subprocess.run(
                command, cwd=work, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelGPTError("pnnx, the converter to ncnn, can't be run.", str(error)) from error
        made = [Path(work) / name for name in (PARAMETERS, WEIGHTS)]
        if done.returncode or not all(file.is_file() for file in made):
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise ModelGPTError("pnnx can't convert this model for ncnn.", " ".join(said)[:300])
        for file in made:
            shutil.move(file, folder / file.name)


def run(folder: Path, core: NumericCore, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    """Run the files on inputs of the model, image by image; return outputs by name."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    with silent():
        failed = net.load_param(str(folder / PARAMETERS)) or net.load_model(str(folder / WEIGHTS))
    if failed:
        raise ModelGPTError("ncnn can't load what pnnx has written.", "It has layers that ncnn lacks.")
    found = []
    for inputs in feeds:
        fed = core.feed(inputs)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in core.outputs}
        for i in range(len(next(iter(fed.values())))):
            with net.create_extractor() as extractor:
                for k, name in enumerate(core.inputs):
                    extractor.input(f"in{k}", ncnn.Mat(np.ascontiguousarray(fed[name][i])))
                for k, name in enumerate(core.outputs):
                    code, answer = extractor.extract(f"out{k}")
                    if code:
                        raise ModelGPTError("ncnn can't run what pnnx has written.", "It has layers that ncnn lacks.")
                    rows[name].append(np.array(answer))
        found.append({name: np.stack(parts) for name, parts in rows.items()})
    return found
