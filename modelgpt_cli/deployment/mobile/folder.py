"""``modelgpt export --for mobile``: the model in onnxruntime's own format, for apps of Android and iOS.

Such a file is optimised already and loads faster; ``required_operators.config`` is for those who build a small
onnxruntime of their own. Follows `deployment.targets.Target`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.deployment.probe import Feed, Verified, allowed, answers, compare, probe_feeds
from modelgpt_cli.deployment.schema import schema, write_common
from modelgpt_cli.deployment.snippets import example_inputs
from modelgpt_cli.deployment.templates import render
from modelgpt_cli.runtime.session import EXTENSIONS, Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

VERIFIES = True
TOLERANCE = 1e-4
"""Fused operators sum in another order."""
MODEL, OPERATORS = "model.ort", "required_operators.config"
_TEMPLATE = Path(__file__).with_name("README.md.j2")


def check() -> None:
    """Nothing beyond onnxruntime is needed."""


def fill(model: Model, folder: Path, data: Data | None = None) -> str:
    """Write the folder of a model."""
    if model.metadata.get("tokenizer") == "graph":
        raise ModelGPTError(
            "A phone can't run this model: its tokenizer is in the graph.",
            f"onnxruntime's packages for phones have no operators of {EXTENSIONS}.",
            "Export or build it without --tokenizer-in-graph.",
        )
    convert(model.path, folder)
    verified = verify(model, folder / MODEL, data)
    made = schema(model)
    write_common(model, folder, made)
    values = {"title": made["title"], "inputs": example_inputs(model), "outputs": made["outputs"], "verified": verified}
    render(_TEMPLATE, folder / "README.md", version=ort.__version__, tokenizer=made["tokenizer"], **values)
    return f"{verified} How an app runs it: {{folder}}/README.md"


def convert(path: Path, folder: Path) -> None:
    """Write a model in onnxruntime's format, and the list of operators that it needs, with onnxruntime's own tool.

    Raises
    ------
    ModelGPTError
        The tool can't.
    """
    handlers = logging.root.handlers[:]
    try:
        from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort
    except ImportError as error:
        raise ModelGPTError(
            "onnxruntime's converter for phones can't be loaded.", str(error), "Install it: pip install onnx"
        ) from error
    finally:
        logging.root.handlers[:] = handlers  # it sets up the logging of the whole program
    with (
        tempfile.TemporaryDirectory() as work,
        contextlib.redirect_stdout(io.StringIO()),
        quiet("ort_format_model.utils"),
    ):
        source, into = Path(work) / "model.onnx", Path(work) / "made"
        shutil.copyfile(path, source)
        try:
            convert_onnx_models_to_ort(source, into, [OptimizationStyle.Fixed])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            detail = " ".join(str(error).split())[:300]
            raise ModelGPTError("onnxruntime can't write this model in its format for phones.", detail) from error
        shutil.move(into / MODEL, folder / MODEL)
        listed = next(into.glob("*.config")).read_text(encoding="utf-8").splitlines()
    needed = [line for line in listed if not line.startswith("#")]  # what is said there names this machine's folders
    (folder / OPERATORS).write_text("\n".join(needed) + "\n", encoding="utf-8")


def verify(model: Model, path: Path, data: Data | None) -> Verified:
    """Hold the file against the model in onnxruntime."""
    feeds = probe_feeds(model, data)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    got: list[Feed] = [dict(zip(names, session.run(None, inputs), strict=True)) for inputs in feeds]
    return compare(answers(model, feeds), got, allowed(model, TOLERANCE))
