"""`build --batch`: what a line may say, what a folder holds afterwards, and what crashes, Ctrl-C and changes cost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from batch_inputs import Gate, entries, wait_for, write_requests, write_table
from conftest import Cli, Start, clean_environment
from PIL import Image
from warm_process import Run, WarmProcess

from modelgpt_cli import build, build_batch, predict
from modelgpt_cli.batch import processes
from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.requests import BadLine, file_states, read_requests
from modelgpt_cli.batch.run import SomeFailedError
from modelgpt_cli.batch.work import Task
from modelgpt_cli.core.errors import ModelGPTError, UsageError

WORDS = "Tell whether a customer buys.\n---\ntarget: buys\n"
QUICK = {"members": 1, "seed": 3}
GOOD = [
    {"id": "data-alone", "data": "a.csv", "target": "buys"},
    {"id": "words", "requirement": WORDS, "data": "b.csv"},
    {"id": "words-name-data", "requirement": WORDS + "data: b.csv\n", "format": "safetensors"},
    {"id": "file", "req": "req.txt", "description": "Of our second store."},
    {"id": "text", "requirement": "Sort mails.\n---\nclasses: [complaint, praise]\n"},
    {"id": "text-2", "requirement": "What is it about?\n---\ndomain: text\nclasses: [sport, politics]\n"},
    {"id": "images", "data": "images"},
]
BAD = [
    {"id": "limit", "requirement": "Tell who buys. A model of less than 5 kB.", "data": "a.csv", "target": "buys"},
    {"id": "no-file", "data": "nothing.csv", "target": "buys"},
    {"id": "no-column", "data": "a.csv", "target": "sells"},
]


def write_inputs(folder: Path) -> Path:
    """A folder of data and requirements; gives the file of requests."""
    write_table(folder / "a.csv")
    write_table(folder / "b.csv", seed=1)
    (folder / "req.txt").write_text(WORDS + "data: b.csv\n")
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.clip(np.array(colour) + rng.integers(-30, 30, (32, 32, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / name / f"{i}.png")
    write_requests(folder / "good.jsonl", *GOOD)
    return write_requests(folder / "requests.jsonl", *GOOD, *BAD)


@pytest.fixture(scope="module", autouse=True)
def warm_workers(warm_process: WarmProcess | None) -> Iterator[None]:
    """Let the batches of this process have workers that have imported all; those of commands start from nothing."""
    code = (
        "import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"  # nobody reads what they say
        "from modelgpt_cli.batch.worker import serve; serve(os.getppid())"
    )

    def start() -> Run:
        env = processes.SETTINGS | os.environ
        return warm_process.start(["worker"], env=env, cwd=Path.cwd(), code=code, new_session=True)

    with pytest.MonkeyPatch.context() as patch:
        if warm_process is not None:
            patch.setattr(processes, "_start", start)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with requests and, in `models`, what came of them. Tests share it: read only."""
    folder = tmp_path_factory.mktemp("batch")
    report = build_batch(write_inputs(folder), output=folder / "models", jobs=1, **QUICK)
    assert (report.built, report.failed, report.kept) == (len(GOOD), len(BAD), 0)
    return folder


@pytest.fixture
def again(made: Path) -> Path:
    """The same folder, for a test that changes the models."""
    folder = made / "again"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made / "models", folder)
    return folder


def models(folder: Path) -> set[str]:
    """All files but the manifest, hidden ones too."""
    return {path.name for path in folder.iterdir()} - {"manifest.jsonl"}


def file_of(request: dict[str, Any]) -> str:
    return f"{request['id']}.{request.get('format', 'onnx')}"


# What one batch leaves


def test_the_folder_holds_the_models_and_the_manifest_alone(made: Path) -> None:
    assert models(made / "models") == {file_of(request) for request in GOOD}


def test_the_manifest_tells_all_of_each_model(made: Path) -> None:
    found = entries(made / "models")
    assert list(found) == [request["id"] for request in (*GOOD, *BAD)]
    for request in GOOD:
        entry = found[str(request["id"])]
        raw = (made / "models" / entry["path"]).read_bytes()
        assert entry["status"] == "built"
        assert entry["seconds"] > 0
        assert entry["report"]["sha256"] == hashlib.sha256(raw).hexdigest()
        assert entry["report"]["size_bytes"] == len(raw)
    assert found["data-alone"]["report"]["metrics"]["model"]["accuracy"] > 0.8
    assert found["data-alone"]["report"]["card"] == "tabular-1"
    assert found["text"]["report"]["notes"]


def test_a_failure_says_what_build_would_have_said(made: Path) -> None:
    found = entries(made / "models")
    errors = {str(request["id"]): found[str(request["id"])]["error"] for request in BAD}
    assert {name: error["exit_code"] for name, error in errors.items()} == {"limit": 3, "no-file": 2, "no-column": 2}
    assert "nothing.csv" in errors["no-file"]["problem"]
    assert "sells" in errors["no-column"]["problem"]
    assert "5 kB" in errors["limit"]["cause"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread, as a worker has it: more of them round in another way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_model_is_the_one_that_build_makes(made: Path, tmp_path: Path) -> None:
    build(made / "req.txt", output=tmp_path / "alone.onnx", description="Of our second store.", device="cpu", **QUICK)
    models = (tmp_path / "alone.onnx", made / "models" / "file.onnx")
    one, other = (predict(model, made / "a.csv", proba=True).probabilities for model in models)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_one_text_model_after_another_knows_its_own_classes(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mails.csv").write_text('text\n"Broken again, I want my money back"\n"I love it, thank you"\n')
    (tmp_path / "news.csv").write_text('text\n"Late goal wins the cup final"\n"The minister lost the election"\n')
    first = predict(made / "models" / "text.onnx", tmp_path / "mails.csv").label
    second = predict(made / "models" / "text-2.onnx", tmp_path / "news.csv").label
    assert first is not None
    assert second is not None
    assert [*first, *second] == ["complaint", "praise", "sport", "politics"]


# Going on


def test_what_is_there_is_kept(made: Path, again: Path, cli: Cli) -> None:
    done = cli("build", "--batch", "good.jsonl", "--members", "1", "--seed", "3", "-o", again, "--json", cwd=made)
    assert done.returncode == 0, done.stderr
    assert {k: v for k, v in json.loads(done.stdout).items() if k in ("built", "failed", "kept")} == {
        "built": 0,
        "failed": 0,
        "kept": len(GOOD),
    }
    # What failed is asked for no more, and has no file.
    assert list(entries(again)) == [request["id"] for request in GOOD]


def test_models_of_another_batch_stay_in_the_manifest(made: Path, again: Path) -> None:
    report = build_batch(write_requests(made / "two.jsonl", GOOD[1], GOOD[0]), output=again, **QUICK)
    assert report.kept == 2
    assert list(entries(again)) == ["words", "data-alone", *(request["id"] for request in GOOD[2:])]
    assert models(again) == {file_of(request) for request in GOOD}


def test_stdin_is_read_as_a_file_here(made: Path, again: Path, cli: Cli) -> None:
    args = ("build", "--batch", "-", "--members", "1", "--seed", "3", "-o", again)
    done = cli(*args, cwd=made, stdin="\ufeff" + json.dumps(GOOD[0]))
    assert done.returncode == 0, done.stderr
    assert "Built 0 models" in done.stderr
    assert done.stdout.strip() == str(again / "manifest.jsonl")


def test_a_line_that_broke_off_is_forgotten(made: Path, again: Path) -> None:
    with open(again / "manifest.jsonl", "ab") as file:
        file.write(b'{"id": "half", "key": "\xc3')
    assert build_batch(made / "good.jsonl", output=again, **QUICK).kept == len(GOOD)
    assert "half" not in entries(again)


def test_a_model_that_was_noted_and_not_moved_is_moved(made: Path, again: Path) -> None:
    """A batch that is killed between the two steps."""
    model = again / "data-alone.onnx"
    whole = model.read_bytes()
    building = again / ".building" / "1234"
    building.mkdir(parents=True)
    (building / model.name).write_bytes(whole)
    (building / "words.onnx").write_bytes(b"of a build that was not noted")
    model.write_bytes(b"the model from before")
    assert build_batch(made / "good.jsonl", output=again, **QUICK).kept == len(GOOD)
    assert model.read_bytes() == whole
    assert models(again) == {file_of(request) for request in GOOD}
    assert (again / "words.onnx").stat().st_size > 10_000


def test_what_has_changed_is_built_anew(tmp_path: Path) -> None:
    """And where that can't be, the older model stays where it is."""
    write_inputs(tmp_path)
    requests = write_requests(tmp_path / "some.jsonl", *GOOD[:4])
    first = build_batch(requests, output=tmp_path / "models", **QUICK)
    assert first.built == 4
    (tmp_path / "b.csv").unlink()
    write_table(tmp_path / "a.csv", seed=5, rows=90)
    before = entries(tmp_path / "models")
    second = build_batch(requests, output=tmp_path / "models", **QUICK)
    assert (second.built, second.failed, second.kept) == (1, 3, 0)
    after = entries(tmp_path / "models")
    assert after["data-alone"]["report"]["n_rows"] == 90
    assert before["data-alone"]["report"]["sha256"] != after["data-alone"]["report"]["sha256"]
    assert models(tmp_path / "models") == {file_of(request) for request in GOOD[:4]}
    # Their files are the batch's all the same: they are not in the way of the next try.
    only = write_requests(tmp_path / "other.jsonl", GOOD[0])
    assert build_batch(only, output=tmp_path / "models", **QUICK).kept == 1
    assert {name for name, entry in entries(tmp_path / "models").items() if entry["status"] == "failed"} == {
        "words",
        "words-name-data",
        "file",
    }


# Refusals


@pytest.mark.parametrize("name", ["manifest.jsonl", "data-alone.onnx"])
def test_what_no_batch_has_made_is_left_alone(made: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=name):
        build_batch(made / "good.jsonl", output=tmp_path, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_the_output_is_a_folder(made: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("mine")
    for output in ("file", "model.onnx"):
        done = cli("build", "--batch", made / "good.jsonl", "-o", output)
        assert done.returncode == 2
        assert output in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_two_batches_in_one_folder_are_one_too_many(made: Path, again: Path) -> None:
    import fcntl

    before = (again / "manifest.jsonl").read_text()
    handle = os.open(again, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(ModelGPTError, match="Another batch"):
            build_batch(made / "good.jsonl", output=again, **QUICK)
    finally:
        os.close(handle)
    assert (again / "manifest.jsonl").read_text() == before


@pytest.mark.parametrize("args", [("--generate", "5"), ("--data-from", "iris"), ("--req", "-")])
def test_options_for_one_model_are_refused(cli: Cli, made: Path, args: tuple[str, str]) -> None:
    done = cli("build", "--batch", made / "good.jsonl", "-o", "out", *args)
    assert done.returncode == 2
    assert not (made / "out").exists()


def test_options_for_many_models_are_refused_for_one(cli: Cli, made: Path, tmp_path: Path) -> None:
    done = cli("build", "--req", made / "req.txt", "--jobs", "2", "-o", "model.onnx")
    assert done.returncode == 2
    assert "--jobs" in done.stderr
    assert not list(tmp_path.iterdir())


# Crashes and interruptions


class Running:
    """`modelgpt build --batch` under way with one worker: a quick request, and some that wait at a gate."""

    def __init__(self, start: Start, folder: Path, *gates: Gate) -> None:
        self.folder = folder
        requests = [{"id": gate.path.stem, "req": gate.path.name, "data": "a.csv"} for gate in gates]
        write_requests(folder / "requests.jsonl", {"id": "quick", "data": "a.csv", "target": "buys"}, *requests)
        args = ("build", "--batch", "requests.jsonl", "--members", "1", "--jobs", "1", "-o", "out")
        self._process = start(*args, cwd=folder)

    def worker(self) -> psutil.Process:
        """Its one worker."""
        (found,) = psutil.Process(self._process.pid).children()
        return found

    def stop(self, number: int) -> None:
        """Send it a signal, once the quick request is done."""
        wait_for((self.folder / "out" / "quick.onnx").exists)
        self._process.send_signal(number)

    def wait(self) -> tuple[int, str]:
        """Exit code and what was said."""
        _, said = self._process.communicate(timeout=120)
        assert self._process.returncode is not None
        return self._process.returncode, said


fifos = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@fifos
def test_a_worker_that_dies_costs_its_own_model(start: Start, tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv")
    always, once = Gate(tmp_path / "always.txt"), Gate(tmp_path / "once.txt")
    run = Running(start, tmp_path, always, once)
    for gate in (always, once, always):
        gate.wait()
        run.worker().kill()
        gate.leave()
    once.wait()
    once.let_through()
    code, said = run.wait()
    assert code == 1, said
    found = entries(tmp_path / "out")
    assert {name: entry["status"] for name, entry in found.items()} == {
        "quick": "built",
        "always": "failed",
        "once": "built",
    }
    assert "SIGKILL" in found["always"]["error"]["cause"]
    assert "always failed: The process that was building it died" in said
    assert models(tmp_path / "out") == {"once.onnx", "quick.onnx"}


@fifos
def test_after_ctrl_c_and_after_kill_it_goes_on(start: Start, tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv")
    gate = Gate(tmp_path / "slow.txt")
    run = Running(start, tmp_path, gate)
    gate.wait()
    worker = run.worker()
    run.stop(signal.SIGINT)
    code, said = run.wait()
    assert code == 130
    assert "1 of 2 models are there" in said
    assert "Traceback" not in said
    assert not worker.is_running()
    assert models(tmp_path / "out") == {"quick.onnx"}
    gate.leave()

    run = Running(start, tmp_path, gate)
    gate.wait()
    worker = run.worker()
    run.stop(signal.SIGKILL)
    gate.let_through()  # what the worker was building it finishes, and then it leaves
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    code, said = run.wait()
    assert code == -signal.SIGKILL
    assert "Traceback" not in said

    gate.replace()
    code, said = Running(start, tmp_path, gate).wait()
    assert code == 0, said
    assert "Built 1 model in" in said
    assert "1 already there" in said
    assert models(tmp_path / "out") == {"quick.onnx", "slow.onnx"}


@pytest.mark.slow
def test_force_replaces_and_a_script_needs_no_guard(made: Path, tmp_path: Path) -> None:
    """What no batch has made goes with force; and a script of the user's is not run once more by the workers."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "words.onnx").write_text("mine")
    (tmp_path / "script.py").write_text(
        "print('once')\n"
        "from modelgpt_cli import build_batch\n"
        f"print(build_batch({str(made / 'two.jsonl')!r}, output='out', jobs=1, members=1, force=True).built)\n"
    )
    write_requests(made / "two.jsonl", GOOD[1], GOOD[0])
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=clean_environment())
    assert done.stdout.split() == ["once", "2"], done.stderr
    assert (tmp_path / "out" / "words.onnx").stat().st_size == entries(tmp_path / "out")["words"]["report"][
        "size_bytes"
    ]


# What a line may say


def test_what_a_line_says_goes_before_what_is_given_to_all(tmp_path: Path) -> None:
    path = write_requests(
        tmp_path / "r.jsonl",
        {"data": "a.csv"},
        {"id": 7, "requirement": WORDS, "data": "sub/b.csv", "members": 2, "all_rows": False, "coverage": 0},
        {"id": "x", "data": str(tmp_path / "c.csv"), "description": None, "format": "safetensors"},
    )
    shared = {"req": Path("all.txt"), "members": 4, "all_rows": True, "description": "Shoes.", "device": "auto"}
    first, second, third = read_requests(path, shared)
    assert (first.id, first.file) == ("000001", "000001.onnx")
    assert first.options == {
        "req": str(Path.cwd() / "all.txt"),
        "members": 4,
        "all_rows": True,
        "description": "Shoes.",
        "data": str(tmp_path / "a.csv"),
    }
    assert second.id == "7"
    assert second.options == {
        "requirement": WORDS,
        "members": 2,
        "description": "Shoes.",
        "coverage": 0.0,
        "data": str(tmp_path / "sub" / "b.csv"),
    }
    assert third.file == "x.safetensors"
    assert "description" not in third.options


def test_a_line_may_hold_unicodes_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"requirement": "One\u2028two\x85."}\r\n\n{"requirement": "Three."}', encoding="utf-8")
    assert [request.id for request in read_requests(path, {})] == ["000001", "000003"]


def test_a_description_may_be_in_a_file_beside_the_requests(tmp_path: Path) -> None:
    (tmp_path / "about.txt").write_text("Customers of 2024.")
    path = write_requests(tmp_path / "r.jsonl", {"data": "a.csv", "description": "@about.txt"})
    (request,) = read_requests(path, {})
    assert request.options["description"] == "Customers of 2024."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "x", ', "not JSON"),
        ("[1]", "not a request"),
        ('{"dta": "a.csv"}', "dta"),
        ('{"id": "a/b", "data": "a.csv"}', "a/b"),
        ('{"id": "../b", "data": "a.csv"}', "../b"),
        ('{"id": ".b", "data": "a.csv"}', ".b"),
        ('{"id": true, "data": "a.csv"}', "True"),
        ('{"id": "FIRST", "data": "a.csv"}', "FIRST"),
        ('{"data": "a.csv", "format": "pt"}', "format"),
        ('{"data": "a.csv", "members": "two"}', "members"),
        ('{"data": "a.csv", "members": true}', "members"),
        ('{"data": "a.csv", "members": 0}', "members"),
        ('{"data": "a.csv", "members": 1000000000}', "members"),
        ('{"data": "a.csv", "seed": -1}', "seed"),
        ('{"data": "a\\u0000.csv"}', "data"),
        ('{"data": "' + 5000 * "a" + '"}', "data"),
        ("[" * 100_000, "not JSON"),
        ('{"data": 5}', "data"),
        ('{"target": "buys"}', "neither words nor data"),
        ('{"req": "r.txt", "requirement": "Tell."}', "both"),
        ('{"data": "a.csv", "description": "@none.txt"}', "none.txt"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "first", "data": "a.csv"}\n' + line + "\n")
    bad: list[BadLine] = []
    assert [request.id for request in read_requests(path, {}, bad)] == ["first"]
    (found,) = bad
    assert (found.number, found.error.exit_code) == (2, 2)
    assert "r.jsonl, line 2: " in found.error.problem
    assert words in found.error.problem


def test_a_file_of_bad_lines_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('[1]\n{"dta": "a.csv"}\n')
    with pytest.raises(UsageError, match=r"r\.jsonl, line 1: "):
        build_batch(path, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bad_line_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built(tasks: list[Task], engine: str, jobs: int | None) -> Iterator[Entry]:
        for task in tasks:
            (Path(task.folder) / task.request.file).write_text("a model")
            yield Entry(task.request.id, task.key, "built", task.request.file, 0.0, report={"sha256": "0"})

    monkeypatch.setattr("modelgpt_cli.batch.run._run", built)
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "first", "data": "a.csv"}\n{"members": 1e9, "data": "a.csv"}\n')
    report = build_batch(path, output=tmp_path / "out")
    assert (report.built, report.failed) == (1, 1)
    found = {name: one["status"] for name, one in entries(tmp_path / "out").items()}
    assert list(found.items()) == [("line 2", "failed"), ("first", "built")]
    with pytest.raises(SomeFailedError, match="1 of 2 models"):
        report.check()
    path.write_text('{"id": "first", "data": "a.csv"}\n')  # the bad one is gone
    assert build_batch(path, output=tmp_path / "out").kept == 1
    assert list(entries(tmp_path / "out")) == ["first"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_requests(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.jsonl"):
        build_batch(path, output=tmp_path / "out")


@pytest.mark.parametrize("options", [{"membrs": 1}, {"members": "1"}, {"jobs": 0}, {"engine": "spark"}])
def test_bad_options_of_the_whole_batch(made: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        build_batch(made / "good.jsonl", output=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_key_tells_what_a_model_is_made_of(tmp_path: Path) -> None:
    path = write_inputs(tmp_path)

    def keys(**shared: Any) -> dict[str, str]:
        return {request.id: request.key(file_states()) for request in read_requests(path, shared)}

    def changed(before: dict[str, str]) -> set[str]:
        return {name for name, key in keys().items() if key != before[name]}

    before = keys()
    assert keys(device="auto", seed=0, words=False) == before
    assert set(keys(seed=1).values()).isdisjoint(before.values())
    write_table(tmp_path / "b.csv", rows=81)
    assert changed(before) == {"words", "words-name-data", "file"}
    before = keys()
    (tmp_path / "images" / "red" / "0.png").rename(tmp_path / "images" / "blue" / "9.png")
    assert changed(before) == {"images"}
    (tmp_path / "nothing.csv").write_text("a,b\n")
    assert changed(before) == {"images", "no-file"}


def test_one_lookup_of_a_folder_serves_all_requests(tmp_path: Path) -> None:
    """As thousands of requests may be about the same images."""
    seen = file_states()
    first = seen(tmp_path)
    (tmp_path / "new.png").write_text("")
    assert seen(tmp_path) is first
    assert file_states()(tmp_path) != first


LONE_PARENT = """
import os, subprocess, sys, time
code = f"from modelgpt_cli.batch.worker import serve; serve({os.getpid()})"
print(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there its input ends with its parent")
def test_a_worker_does_not_outlive_its_parent() -> None:
    # The worker's input stays open, as it does where a build leaves it no time to look there.
    with subprocess.Popen([sys.executable, "-c", LONE_PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        end = time.monotonic() + 60
        while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.05)
