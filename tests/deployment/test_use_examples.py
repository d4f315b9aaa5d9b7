"""The programs of docs/use/examples: those that can run here answer as the model does, and the page has all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from conftest import ROOT
from tiny_models import tiny_model

from modelgpt_cli import predict
from modelgpt_cli.deployment.targets import export_for
from modelgpt_cli.deployment.web import folder as web

EXAMPLES = ROOT / "docs" / "use" / "examples"
PAGE = ROOT / "docs" / "use.md"
NODE, GPP = shutil.which("node"), shutil.which("g++")
HEADERS = Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime")) / "onnxruntime_cxx_api.h"
ROW = {"size": 1.5, "weight": 0.25}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two numbers."""
    weight = {"size": (0.7, -0.4), "weight": (-1.0, 2.0)}
    path = tmp_path_factory.mktemp("numbers") / "model.onnx"
    return tiny_model(path, dict.fromkeys(ROW, "numeric"), labels=("light", "heavy"), weight=weight, bias=(0.1, 0.0))


def check(printed: str, model: Path) -> None:
    """Hold what a program has printed, a label and probabilities, against the model."""
    own = predict(model, {name: [cell] for name, cell in ROW.items()})
    label, *shares = printed.split()
    assert label == own.label[0]
    assert [float(share) for share in shares] == pytest.approx(own.probabilities[0].tolist(), abs=1e-4)


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout


def test_python(numbers: Path, tmp_path: Path) -> None:
    printed = run(sys.executable, EXAMPLES / "predict.py", numbers, json.dumps(ROW), cwd=tmp_path)
    check(printed, numbers)


@pytest.mark.skipif(NODE is None, reason="there is no node on this machine")
def test_node(numbers: Path, tmp_path: Path) -> None:
    if not (web.VENDOR / "ort-wasm-simd-threaded.mjs").is_file():
        pytest.skip("onnxruntime-web isn't here: run scripts/vendor_web.sh")
    package = tmp_path / "node_modules" / "onnxruntime-web"  # as npm lays it
    shutil.copytree(web.VENDOR, package)
    (package / "package.json").write_text(json.dumps({"type": "module", "exports": f"./{web.RUNTIME[0]}"}))
    export_for(numbers, "web", output=tmp_path / "page")
    shutil.copyfile(EXAMPLES / "predict.mjs", tmp_path / "predict.mjs")
    check(run(str(NODE), "predict.mjs", "page", json.dumps(ROW), cwd=tmp_path), numbers)


@pytest.mark.skipif(not (GPP and HEADERS.exists()), reason=f"no C++ compiler, or no {HEADERS} (ONNXRUNTIME_INCLUDE)")
def test_cpp(numbers: Path, tmp_path: Path) -> None:
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"), None)
    if library is None:
        pytest.skip("this onnxruntime has no shared library to link")
    linked = tmp_path / ".".join(library.name.split(".")[:3])  # libonnxruntime.so.1, as the loader looks for it
    linked.symlink_to(library)
    rest = (f"-I{HEADERS.parent}", linked, f"-Wl,-rpath,{tmp_path}", "-o", "predict")
    run(str(GPP), "-std=c++17", EXAMPLES / "predict.cpp", *rest, cwd=tmp_path)
    check(run("./predict", numbers, *map(str, ROW.values()), cwd=tmp_path), numbers)


def test_the_page_shows_each_program_and_says_which_are_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r'--8<-- "use/examples/([\w.]+)"', text)
    assert sorted(shown) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_file())
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    tested = {part.partition("\n")[0] for part in parts if "is run by the tests" in part.lower()}
    untested = {part.partition("\n")[0] for part in parts if "not been run" in part.lower()}
    assert {"Python", "JavaScript"} <= tested
    assert not tested & untested
    assert tested | untested == {part.partition("\n")[0] for part in parts if "--8<--" in part}
