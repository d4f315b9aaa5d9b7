"""The command line's face: help, version, completion, start-up time, and what help must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modelgpt_cli import __version__
from modelgpt_cli.commands.group import cli as root
from modelgpt_cli.commands.registry import COMMANDS

HEAVY = ("torch", "transformers", "openai", "pandas", "numpy", "onnxruntime", "onnx", "sklearn", "pyarrow", "yaml")


@pytest.mark.parametrize("command", [None, *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_an_example(command: str | None, flag: str) -> None:
    done = CliRunner().invoke(root, [command, flag] if command else [flag])
    assert done.exit_code == 0
    name = f"modelgpt {command}" if command else "modelgpt"
    examples = done.output.partition("Example")[2]
    assert name in examples


def test_every_command_module_holds_the_command_of_its_name() -> None:
    context = click.Context(root, info_name="modelgpt")
    for name, words in COMMANDS.items():
        command = root.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.short_help == words


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from modelgpt_cli.cli import main; from modelgpt_cli.commands.registry import COMMANDS\n"
        "assert main(['--help']) == 0\n"
        "lazy = {f'modelgpt_cli.commands.{name.replace(chr(45), chr(95))}' for name in COMMANDS}\n"
        "assert not lazy & set(sys.modules), lazy & set(sys.modules)\n"
        "assert all(main([name, '--help']) == 0 for name in COMMANDS)\n"
        f"heavy = {set(HEAVY)!r} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [["--help"], ["build", "--help"]])
def test_help_loads_little(args: list[str]) -> None:
    code = f"import sys; from modelgpt_cli.cli import main; main({args!r}); sys.exit(len(sys.modules) > 250)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(modelgpt_path: str) -> None:
    done = subprocess.run([modelgpt_path, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"modelgpt {__version__}\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shell_completion(modelgpt_path: str, shell: str) -> None:
    def run(**env: str) -> str:
        return subprocess.run([modelgpt_path], env=env, capture_output=True, text=True).stdout

    assert "_MODELGPT_COMPLETE" in run(_MODELGPT_COMPLETE=f"{shell}_source")
    words = {"COMP_WORDS": "modelgpt pre", "COMP_CWORD": "1" if shell == "zsh" else "pre"}
    assert "predict" in run(_MODELGPT_COMPLETE=f"{shell}_complete", **words)


def test_the_epilog_shows_how_to_complete_and_configure() -> None:
    text = CliRunner().invoke(root, ["-h"]).output
    for words in ("_MODELGPT_COMPLETE=bash_source modelgpt", "--config FILE", "MODELGPT_SEED"):
        assert words in text


def test_python_verbs_are_there_and_light(tmp_path: Path) -> None:
    code = (
        "import sys, modelgpt_cli as m\n"
        f"heavy = {set(HEAVY)!r} & set(sys.modules)\n"
        "assert callable(m.predict) and callable(m.evaluate) and callable(m.inspect)\n"
        "heavy |= {'torch', 'transformers', 'openai'} & set(sys.modules)\n"
        "assert all(callable(getattr(m, name)) for name in m.__all__)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
