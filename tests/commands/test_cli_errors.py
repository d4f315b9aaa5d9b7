"""How a command ends: exit codes, one message per error, no traceback unless asked for, nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import clean_environment
from tiny_models import tiny_model

from modelgpt_cli import api
from modelgpt_cli.cli import main
from modelgpt_cli.core import errors


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [0, 1]})


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def inspect(model: str) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(api, "inspect", inspect)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.ModelGPTError("Bad.", "Why:\nso", "Do this."), 1, "Error: Bad.\n  Why:\n  so\n  Do this.\n"),
        (errors.UsageError("Bad."), 2, "Error: Bad.\n"),
        (errors.VerificationError("Too big.", "", "Less."), 3, "Error: Too big.\n  Less.\n"),
        (errors.UnreachableError("Away."), 4, "Error: Away.\n"),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "Error: Permission denied: x.csv\n"),
        (KeyError("k"), 1, "Error: unexpected KeyError: 'k' (run again with --debug to see where)\n"),
        (MemoryError(), 1, "Error: unexpected MemoryError (run again with --debug to see where)\n"),
    ],
)
def test_an_error_is_one_message_and_an_exit_code(
    error: Exception, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert main(["inspect", "m.onnx"]) == code
    assert capsys.readouterr() == ("", message)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, ValueError("odd"))
    for args in (["--debug", "inspect", "m"], ["inspect", "m", "--debug"]):
        assert main(args) == 1
        err = capsys.readouterr().err
        assert "Traceback" in err
        assert err.rstrip().splitlines()[-1].startswith("Error: unexpected ValueError: odd")


def test_an_interrupt_is_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["inspect", "m"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["predikt"], "Did you mean 'predict'?"),
        (["zzz"], "The commands are: describe, parse, find, generate, build"),
        (["generate", "-n", "5", "-o", "d.csv"], "Missing option '-r' / '--req'"),
        (["build", "--req", "r", "-o", "m", "--members", "0"], "0 is not in the range 1<=x<=1000"),
        (["predict", "m.onnx"], "Missing argument 'DATA...'"),
        (["predict", "m.onnx", "d.csv", "--outptu", "x"], "--output"),
    ],
)
def test_usage_errors(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert words in err
    assert "-h' shows the options" in err


def test_a_build_needs_a_requirement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "-o", "m.onnx"]) == 2
    assert "There is nothing to build from." in capsys.readouterr().err


def test_real_files_end_to_end(model: Path, cli: Any, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,target\n1,y\n-1,x\n2,x\n-2,y\n")
    done = cli("predict", model, "d.csv", "-o", "p.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "p.csv\n", "Predicted for 4 rows.\n")
    assert (tmp_path / "p.csv").read_text() == "label\ny\nx\ny\nx\n"
    again = cli("predict", model, "d.csv", "-o", "p.csv")
    assert again.returncode == 2
    assert "already exists" in again.stderr
    done = cli("evaluate", model, "d.csv")
    assert done.returncode == 0
    assert "0.5000" in done.stdout
    assert cli("inspect", model).stdout.startswith("Classify a tiny table.")
    assert cli("inspect", "d.csv").returncode == 1
    assert "There is no file" in cli("predict", "none.onnx", "d.csv").stderr
    assert cli("predict", model, "none.csv").returncode == 2


def test_a_reader_that_leaves_is_no_drama(model: Path, modelgpt_path: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a\n" + "1\n" * 200_000)
    with subprocess.Popen(
        [modelgpt_path, "predict", str(model), str(tmp_path / "d.csv"), "--proba"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"label")
        process.stdout.close()
        assert process.stderr.read() == b""


def test_ctrl_c_while_running_leaves_nothing(
    model: Path, modelgpt_path: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    waiting = tmp_path_factory.mktemp("stdin")
    with subprocess.Popen(
        [modelgpt_path, "predict", str(model), "-", "-o", str(tmp_path / "p.csv")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(TMPDIR=str(waiting)),
        # A shell may have started the tests with interrupts ignored, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        end = time.monotonic() + 60
        while not list(waiting.glob("modelgpt-stdin-*")):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().strip() == "Interrupted."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]


def test_no_color(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main(["inspect", "none.onnx"])
    assert "\x1b[31mError:\x1b[0m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    main(["inspect", "none.onnx"])
    assert "\x1b" not in capsys.readouterr().err
