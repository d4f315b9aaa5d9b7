"""Mistakes in the words after ``modelgpt``: the same exit code for like ones, and an answer before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bad_input import Bench
from conftest import clean_environment
from tiny_models import tiny_model

MISTAKES: dict[str, list[str]] = {
    # An output that is there already.
    "build d.csv -o there.onnx": ["there.onnx already exists"],
    "build d.csv -o kept.onnx": ["kept.req.txt already exists"],
    "tune m.onnx --data d.csv -o there.onnx": ["there.onnx already exists"],
    "export m.onnx -o there.onnx": ["there.onnx already exists"],
    "predict m.onnx d.csv -o there.csv": ["there.csv already exists"],
    "evaluate m.onnx d.csv --plot there.png": ["there.png already exists"],
    "describe d.csv -o there.csv": ["there.csv already exists"],
    "parse words -o there.csv": ["there.csv already exists"],
    # A name that says no known format.
    "build d.csv -o m.pickle": ["m.pickle", ".onnx or .safetensors"],
    "tune m.onnx --data d.csv -o m.pickle": ["m.pickle", ".onnx or .safetensors"],
    "export m.onnx -o m.safetensors": ["m.safetensors", ".onnx"],
    # An output in a folder that is not there.
    "build d.csv -o no/m.onnx": ["There is no folder"],
    "describe d.csv -o no/req.txt": ["There is no folder"],
    "predict m.onnx d.csv -o no/p.csv": ["There is no folder"],
    # An input that is not there.
    "build missing.csv -o m2.onnx": ["There is no file missing.csv"],
    "build --req missing.txt -o m2.onnx": ["There is no file missing.txt"],
    "build req.txt --data missing.csv -o m2.onnx": ["There is no file missing.csv"],
    "build d.csv --types missing.yaml -o m2.onnx": ["There is no file missing.yaml"],
    "build d.csv --generator missing -o m2.onnx": ["There is no file missing"],
    "build --batch missing.jsonl -o models": ["There is no file missing.jsonl"],
    "tune missing.onnx --data d.csv -o m2.onnx": ["There is no file missing.onnx"],
    "tune m.onnx --data missing.csv -o m2.onnx": ["There is no file missing.csv"],
    "export missing.onnx -o m2.onnx": ["There is no file missing.onnx"],
    "export m.onnx --quantize int8 --data missing.csv -o m2.onnx": ["There is no file missing.csv"],
    "predict missing.onnx d.csv": ["There is no file missing.onnx"],
    "predict m.onnx missing.csv": ["There is no file missing.csv"],
    "predict m.onnx d.csv --keep nope": ["no column 'nope'"],
    "evaluate missing.onnx d.csv": ["There is no file missing.onnx"],
    "evaluate m.onnx missing.csv": ["There is no file missing.csv"],
    "inspect missing.onnx": ["There is no file missing.onnx"],
    "describe missing.csv": ["There is no file missing.csv"],
    "generate --req missing.txt -n 2 -o g.csv": ["There is no file missing.txt"],
    "meta-train --tasks missing --steps 1": ["There is no file missing"],
    # A column, a card or an option that is not there.
    "build d.csv -t nope -o m2.onnx": ["no target column 'nope'"],
    "describe d.csv -t nope": ["no target column 'nope'"],
    "evaluate m.onnx d.csv -t nope": ["no column 'nope'"],
    "build d.csv --sheet 2 -o m2.onnx": ["d.csv is no workbook"],
    "tune m.onnx --data d.csv#A --sheet B -o m2.onnx": ["different sheets"],
    "build d.csv --card nope -o m2.onnx": ["There is no card 'nope'"],
    "build req.txt -o m2.onnx": ["Is this about images, texts or tables?"],
    "build d.csv --backbone x -o m2.onnx --offline": ["--backbone is for"],
    "build d.csv --members 0 -o m2.onnx": ["0 is not in the range"],
    "meta-train --steps 1 --minutes 1": ["exclude each other"],
}
"""Command line → words of the error."""
RUN_ALL = """
import contextlib, io, json, sys
from modelgpt_cli.cli import main
found = {}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line.split())
    heavy = [name for name in ("torch", "transformers") if name in sys.modules]
    found[line] = code, out.getvalue(), err.getvalue(), heavy
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str, list[str]]]:
    """Exit code, stdout, stderr and heavy modules of each mistake, all made in one process."""
    folder = tmp_path_factory.mktemp("mistakes")
    tiny_model(folder / "m.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [0, 1]})
    (folder / "d.csv").write_text("a,target\n" + "1,y\n-1,x\n" * 10)
    (folder / "req.txt").write_text("Tell x from y.\n")
    for name in ("there.onnx", "there.csv", "there.png", "kept.req.txt"):
        (folder / name).write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(list(MISTAKES))],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in folder.iterdir() if file.read_text(errors="replace") == "mine") == [
        "kept.req.txt", "there.csv", "there.onnx", "there.png"
    ]  # fmt: skip
    found: dict[str, tuple[int, str, str, list[str]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_with_two_before_torch_is_loaded(
    line: str, answers: dict[str, tuple[int, str, str, list[str]]]
) -> None:
    code, out, err, heavy = answers[line]
    assert code == 2, err
    assert out == ""
    assert "Error: " in err
    assert all(words in err for words in MISTAKES[line]), err
    assert heavy == []


def test_no_command_at_all_prints_the_help(bench: Bench) -> None:
    done = bench.run()
    assert (done.code, done.err) == (0, "")
    assert done.out == bench.run("--help").out


def test_help_is_a_word_too(bench: Bench) -> None:
    assert bench.run("help").out == bench.run("--help").out
    done = bench.run("help", "build")
    assert (done.code, done.out) == (0, bench.run("build", "--help").out)
    bench.refuse(2, "Did you mean 'build'?", "help", "biuld")
