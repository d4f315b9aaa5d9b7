"""Mistakes in the words after ``modelgpt``: the same exit code for like ones, and an answer before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bad_input import Bench
from conftest import clean_environment
from tiny_models import tiny_model

from modelgpt_cli.commands.registry import COMMANDS

MISTAKES: dict[str, list[str]] = {
    "predict m.onnx ''": ["A path is empty", "no value"],
    "describe ''": ["A path is empty"],
    "build --req full.txt --data '' -o out.onnx": ["A path is empty"],
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
    "evaluate m.onnx d.csv --plot p.txt": ["p.txt", ".png, .svg or .pdf"],
    "generate --req full.txt -n 2 -o g.pdf": ["g.pdf is no name for rows"],
    # A folder where a file is meant.
    "inspect folder": ["folder is a folder"],
    "predict folder d.csv": ["folder is a folder"],
    "export folder -o m2.onnx": ["folder is a folder"],
    "tune folder --data d.csv -o m2.onnx": ["folder is a folder"],
    "build --req folder -o m2.onnx": ["folder is a folder"],
    "build --batch folder -o models": ["folder is a folder"],
    "build d.csv --types folder -o m2.onnx --offline": ["The types file folder can't be read"],
    "--config folder build d.csv -o m2.onnx": ["configuration file folder"],
    # A file of settings or requests that says nothing.
    "build --req bad.txt -o m2.onnx": ["is not YAML"],
    "build d.csv --types bad.yaml -o m2.onnx --offline": ["is not valid YAML"],
    "--config bad.yaml build d.csv -o m2.onnx": ["is not valid YAML"],
    "build --batch bad.yaml -o models": ["This is not JSON"],
    "find words --catalog bad.yaml": ["can't be read as cards"],
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
    "find words --catalog missing": ["There is no catalogue missing"],
    "--config missing.yaml build d.csv -o m2.onnx": ["Can't read the configuration file missing.yaml"],
    "meta-train --tasks missing --steps 1": ["There is no file missing"],
    # A column, a card or an option that is not there.
    "build d.csv -t nope -o m2.onnx": ["no target column 'nope'"],
    "describe d.csv -t nope": ["no target column 'nope'"],
    "evaluate m.onnx d.csv -t nope": ["no column 'nope'"],
    "build d.csv --sheet 2 -o m2.onnx": ["d.csv is no workbook"],
    "tune m.onnx --data d.csv#A --sheet B -o m2.onnx": ["different sheets"],
    "build d.csv --card nope -o m2.onnx": ["There is no card 'nope'"],
    "build req.txt -o m2.onnx": ["Is this about images, texts or tables?", "Give --domain image, text or tabular"],
    "build bad.parquet --domain image -o m2.onnx": ["--domain is for builds from words alone"],
    "build d.csv --backbone x -o m2.onnx --offline": ["--backbone is for"],
    "export m.onnx --tokenizer-in-graph -o m2.onnx": ["--tokenizer-in-graph is for texts"],
    "predict m.onnx d.csv --topk 2": ["--topk is for models of images"],
    "describe d.csv --contact-sheet s.jpg --offline": ["--contact-sheet s.jpg is for images"],
    # Options that contradict each other.
    "build d.csv --card tabular-4 --members 2 -o m2.onnx --offline": ["--card tabular-4 and --members contradict"],
    "build d.csv --card tabular-4/int8 -o m2.safetensors --offline": ["is for a model.onnx"],
    "build d.csv --card minilm-l6 -o m2.onnx --offline": ["'minilm-l6' is of the domain text"],
    "build d.csv --one-pass --coverage 0.8 -o m2.onnx --offline": ["--coverage takes cross-validation"],
    "build t.csv --tokenizer-in-graph -o m2.safetensors --offline": ["--tokenizer-in-graph is for a model.onnx"],
    "build d.csv --members 0 -o m2.onnx": ["0 is not in the range"],
    "meta-train --steps 1 --minutes 1": ["exclude each other"],
}
"""Command line → words of the error."""
UNREADABLE = {
    "build bad.parquet -o m2.onnx --offline": "bad.parquet is damaged",
    "describe bad.parquet --offline": "bad.parquet is damaged",
    "predict bad.onnx d.csv": "bad.onnx is not a model",
    "predict m.onnx bad.parquet": "bad.parquet is damaged",
    "predict m.onnx folder": "There is no table in the folder",
    "evaluate bad.onnx d.csv": "bad.onnx is not a model",
    "evaluate m.onnx bad.parquet": "bad.parquet is damaged",
    "inspect bad.onnx": "bad.onnx is not a model",
    "inspect d.csv": "d.csv is not a model",
}
"""Command line about something that is there and not what it should be → words of the error."""
RUN_ALL = """
import contextlib, io, json, shlex, sys
from modelgpt_cli.cli import main
found = {}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(shlex.split(line))
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
    texts = [f"it is number {i} of them,{'xy'[i % 2]}" for i in range(20)]
    (folder / "t.csv").write_text("text,target\n" + "\n".join(texts))
    (folder / "req.txt").write_text("Tell x from y.\n")
    (folder / "full.txt").write_text("Tell x from y.\n---\nclasses: [x, y]\ncolumns: {a: numeric}\n")
    (folder / "folder").mkdir()
    (folder / "bad.yaml").write_text("{[")
    (folder / "bad.txt").write_text("Tell x from y.\n---\n{[")
    for name in ("bad.onnx", "bad.parquet"):
        (folder / name).write_bytes(b"\0nothing of the kind")
    for name in ("there.onnx", "there.csv", "there.png", "kept.req.txt"):
        (folder / name).write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps([*MISTAKES, *UNREADABLE])],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(
        file.name for file in folder.iterdir() if file.is_file() and file.read_text(errors="replace") == "mine"
    ) == [
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


@pytest.mark.parametrize("line", UNREADABLE)
def test_a_file_that_is_no_such_thing_ends_with_one(
    line: str, answers: dict[str, tuple[int, str, str, list[str]]]
) -> None:
    code, out, err, _ = answers[line]
    assert (code, out) == (1, ""), err
    assert UNREADABLE[line] in err


@pytest.mark.parametrize("command", [*COMMANDS, "help"])
def test_an_unknown_option_ends_with_two_in_every_command(command: str, bench: Bench) -> None:
    bench.refuse(2, "No such option '--nope'", command, "--nope")


def test_no_command_at_all_prints_the_help(bench: Bench) -> None:
    done = bench.run()
    assert (done.code, done.err) == (0, "")
    assert done.out == bench.run("--help").out


def test_help_is_a_word_too(bench: Bench) -> None:
    assert bench.run("help").out == bench.run("--help").out
    done = bench.run("help", "build")
    assert (done.code, done.out) == (0, bench.run("build", "--help").out)
    bench.refuse(2, "Did you mean 'build'?", "help", "biuld")
