"""No command opens an internet connection but those that talk with an LLM or a hub: seen from outside, by strace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_environment

from modelgpt_cli.core.telemetry import SWITCHES

_STRACE = shutil.which("strace")
_RUN = """
import json, sys
from modelgpt_cli.cli import main
for words in json.loads(sys.argv[1]):
    assert main(words) == 0, words
"""
_CONNECT = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"


def internet_connections(folder: Path, *command: str) -> list[str]:
    """Run a command; the calls by which it, or a child of it, addressed anything by IPv4 or IPv6."""
    assert _STRACE is not None
    trace = folder / "trace.txt"
    traced = [_STRACE, "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)]
    done = subprocess.run(
        [*traced, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=300,
        check=False,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    return [line for line in trace.read_text().splitlines() if "AF_INET" in line]


@pytest.mark.skipif(_STRACE is None, reason="needs strace")
def test_no_command_connects_unasked(iris_model: Path, tmp_path: Path) -> None:
    assert internet_connections(tmp_path, sys.executable, "-c", _CONNECT)  # it would be seen
    data, model = str(iris_model / "iris.csv"), str(iris_model / "model.onnx")
    commands = [
        ["describe", data, "-t", "species", "--offline", "-o", "req.txt"],
        ["parse", "sort mails into spam and ham, a model under 2 MB"],
        ["build", data, "-t", "species", "--offline", "--members", "1", "-o", "m.safetensors"],
        ["tune", "m.safetensors", "--data", data, "-o", "tuned.safetensors"],
        ["export", "tuned.safetensors", "-o", "tuned.onnx"],
        ["predict", model, data, "-o", "out.csv"],
        ["evaluate", model, data],
        ["inspect", model],
        ["report", model, "--data", data, "-o", "r.html"],
        ["bundle", model, "-o", "b.zip"],
        ["verify", "b.zip"],
        ["zoo"],
    ]
    assert internet_connections(tmp_path, sys.executable, "-c", _RUN, json.dumps(commands)) == []


def test_telemetry_is_off_before_any_library_is_loaded() -> None:
    code = "import os, sys, modelgpt_cli; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    clean = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_what_a_user_sets_stays() -> None:
    code = "import os, modelgpt_cli; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
