"""What a command writes, wherever that goes: nothing has power over a terminal, and no stream is an error."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import clean_environment
from tiny_models import tiny_model

from modelgpt_cli import api
from modelgpt_cli.cli import main
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.printable import printable

EVIL = "x\x1b[2J\u202ey\x9b\r\ud800"
SHOWN = r"x\x1b[2J\u202ey\x9b\r\ud800"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model.onnx", {"größe": "numeric"}, labels=["ä", "ö"], weight={"größe": [0, 1]})


def test_an_error_has_no_power_over_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inspect(model: str) -> None:
        raise ModelGPTError(EVIL, EVIL, EVIL)

    monkeypatch.setattr(api, "inspect", inspect)
    assert main(["inspect", "m"]) == 1
    err = capsys.readouterr().err
    assert SHOWN in err
    assert not {"\x1b", "\u202e", "\x9b", "\r", "\ud800"} & set(err)


def test_ordinary_text_is_left_alone() -> None:
    text = "Straße\tπ → 日本\n…👍"
    assert printable(text) == text


def test_json_reads_back_whatever_is_in_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(api, "inspect", lambda model: {"a": EVIL})
    assert main(["inspect", "m", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": EVIL}
    assert not {"\x1b", "\u202e", "\x9b"} & set(out)


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&- <&-", "| head -c 0", ">/dev/full"])
def test_streams_that_are_closed_full_or_unread(modelgpt_path: str, model: Path, tmp_path: Path, redirect: str) -> None:
    if "full" in redirect and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "d.csv").write_text("größe\n1\n2\n")
    command = f"'{modelgpt_path}' predict '{model}' d.csv {redirect}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, env=clean_environment(), check=False
    )
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    if "full" in redirect:
        assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_a_stream_that_knows_ascii_only_and_no_home(modelgpt_path: str, model: Path, tmp_path: Path) -> None:
    environment = clean_environment(PYTHONIOENCODING="ascii", LC_ALL="C")
    environment.pop("HOME", None)
    done = subprocess.run([modelgpt_path, "inspect", model], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"gr\\xf6\\xdfe" in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "getuid") or os.name != "posix", reason="needs users")
def test_without_any_home(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelgpt_cli.core.paths import expand

    def unknown(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    assert expand("~/x") == Path("~/x")
