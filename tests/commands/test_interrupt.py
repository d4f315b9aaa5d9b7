"""Ctrl-C, SIGTERM and SIGHUP at any moment: one word, no traceback, nothing half-written, and what was there stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_input import Bench
from conftest import Cli, clean_environment
from fake_llm import FakeLLM, sentence

PATIENCE = 60
WORDS = {2: "Interrupted.", 15: "Ended by SIGTERM.", 1: "Ended by SIGHUP."}


class Started:
    """A command under way in a folder that holds `out`, the destination, with old content."""

    def __init__(self, modelgpt: str, folder: Path, out: str, *args: str | Path, **environment: str) -> None:
        self.out = folder / out
        self.out.write_text("old")
        self._before = sorted(folder.iterdir())
        self._folder = folder
        self._process = subprocess.Popen(
            [modelgpt, *map(str, args)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**environment),
        )

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the command is at the moment that is meant."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < end
            time.sleep(0.002)

    def wait_for_import(self, module: str) -> None:
        """Wait until a module is loaded; needs ``PYTHONPROFILEIMPORTTIME``."""
        assert self._process.stderr is not None
        assert any(line.split()[-1:] == [module] for line in self._process.stderr)

    def interrupt(self, number: int = signal.SIGINT) -> str:
        """Press Ctrl-C, or send another signal; what was said on stderr, once all has been checked."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 128 + number, err
        assert out == ""
        assert err.splitlines()[-1] == WORDS[number]
        assert "Traceback" not in err
        assert self.out.read_text() == "old"
        assert sorted(p for p in self._folder.iterdir() if p.name != "run") == self._before
        return err

    def writing(self) -> bool:
        """Whether the temporary file of the destination is there."""
        try:
            return any(p.name.startswith(".tmp-") and p.stat().st_size for p in self._folder.iterdir())
        except FileNotFoundError:  # it was renamed between the two looks
            return False


@pytest.fixture(autouse=True)
def no_signal_is_ignored() -> Iterator[None]:
    """Let commands hear all signals: what is ignored where they start, as SIGHUP is under nohup, they ignore too."""
    ignored = [number for number in WORDS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def big_csv(iris_model: Path, tmp_path: Path) -> Path:
    """Rows enough for some seconds of predictions."""
    header, *rows = (iris_model / "iris.csv").read_text().splitlines()
    path = tmp_path / "big.csv"
    path.write_text("\n".join([header, *rows * 10_000]))
    return path


@pytest.mark.parametrize("seconds", [0, 0.05, 0.1, 0.4])
def test_while_things_are_imported(modelgpt_path: str, iris_model: Path, tmp_path: Path, seconds: float) -> None:
    args = ("build", "--req", iris_model / "req.txt", "-o", "out.onnx", "--force")
    run = Started(modelgpt_path, tmp_path, "out.onnx", *args, PYTHONPROFILEIMPORTTIME="1")
    run.wait_for_import("modelgpt_cli.cli")  # before it, the interrupt is Python's own
    time.sleep(0.02 + seconds)
    run.interrupt()


@pytest.mark.parametrize("command", ["build", "tune"])
def test_while_a_model_is_made(modelgpt_path: str, iris_model: Path, tmp_path: Path, command: str) -> None:
    args: dict[str, tuple[str | Path, ...]] = {
        "build": ("build", "--req", iris_model / "req.txt", "--members", "600", "-o", "out.onnx", "--force"),
        "tune": (
            *("tune", iris_model / "model.safetensors", "--data", iris_model / "iris.csv"),
            *("--epochs", "100000", "-o", "out.onnx", "--force"),
        ),
    }
    run = Started(modelgpt_path, tmp_path, "out.onnx", *args[command])
    time.sleep(3)
    run.interrupt()


@pytest.mark.parametrize("number", WORDS)
def test_while_predictions_are_written(
    modelgpt_path: str, iris_model: Path, tmp_path: Path, big_csv: Path, number: int
) -> None:
    args = ("predict", iris_model / "model.onnx", big_csv, "--chunk-rows", "1000", "-o", "out.csv", "--force")
    run = Started(modelgpt_path, tmp_path, "out.csv", *args)
    run.wait_for(run.writing)
    run.interrupt(number)


def test_while_predictions_go_to_stdout(modelgpt_path: str, iris_model: Path, tmp_path: Path, big_csv: Path) -> None:
    with subprocess.Popen(
        [modelgpt_path, "predict", iris_model / "model.onnx", big_csv, "--chunk-rows", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"label\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.decode().split() == ["Interrupted."]


def test_while_an_llm_is_asked(modelgpt_path: str, iris_model: Path, tmp_path: Path) -> None:
    with FakeLLM(sentence("never seen", delay=PATIENCE)) as fake:
        args = ("describe", iris_model / "iris.csv", "-o", "req.txt", "--force", "--base-url", fake.url)
        run = Started(modelgpt_path, tmp_path, "req.txt", *args, OPENAI_API_KEY="sk-hush")
        run.wait_for(lambda: fake.requests)
        run.interrupt()


@pytest.mark.parametrize("number", WORDS)
def test_while_stdin_is_read(modelgpt_path: str, iris_model: Path, tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [modelgpt_path, "predict", iris_model / "model.onnx", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(TMPDIR=str(tmp_path)),
    ) as process:
        assert process.stdin is not None
        end = time.monotonic() + PATIENCE
        while not list(tmp_path.glob("modelgpt-stdin-*")):
            assert time.monotonic() < end
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert (out, err.decode().strip()) == (b"", WORDS[number])
    assert list(tmp_path.glob("modelgpt-*")) == []


def test_an_import_that_turns_it_into_an_error(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    def fail(*_: object) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr("modelgpt_cli.api.inspect", fail)
    done = bench.run("inspect", "model.onnx")
    assert (done.code, done.err) == (130, "Interrupted.\n")


@pytest.mark.slow
def test_meta_training_saves_and_goes_on(modelgpt_path: str, cli: Cli, tmp_path: Path) -> None:
    small = "width: 32\nblocks: 1\nbatch: 1\nmax_support: 32\nquery: 16\nmax_features: 4\n"
    (tmp_path / "c.yaml").write_text(small + "validation_batches: 1\nvalidate_every: 5\n")
    args = ("meta-train", "--config", "c.yaml", "--steps", "100000", "--out", "run")
    run = Started(modelgpt_path, tmp_path, "unused", *args)
    run.wait_for((tmp_path / "run" / "last.safetensors").exists)
    assert "Go on with --resume" in run.interrupt()
    kept = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert kept == ["config.yaml", "generator.safetensors", "last.safetensors", "log.jsonl"]
    steps = (tmp_path / "run" / "log.jsonl").read_text().count("\n")
    done = cli("meta-train", "--out", "run", "--resume", "--steps", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert steps >= 1


AT_EXIT = """
import atexit, signal, sys, time
from modelgpt_cli import cli
from modelgpt_cli.core.files import atomic_write
atexit.register(lambda: [print("exit", flush=True), time.sleep(60)])
kept = atomic_write(sys.argv[1])
def main():
    kept.__enter__()
    return 0
cli.main = main
cli.entry()
"""


@pytest.mark.parametrize("number", WORDS)
def test_at_the_exit(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AT_EXIT, tmp_path / "out.txt"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"exit\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (128 + number, b"")
    assert list(tmp_path.iterdir()) == []


STUCK = """
import sys, threading, time
from modelgpt_cli import cli
from modelgpt_cli.core import signals
from modelgpt_cli.core.files import atomic_write
signals._GRACE = .1
def main():
    with atomic_write(sys.argv[1]):
        try:
            print("begun", flush=True)
            time.sleep(60)
        finally:
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
cli.main = main
cli.entry()
"""


@pytest.mark.parametrize("number", WORDS)
def test_work_that_is_stuck_is_left(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, tmp_path / "out.txt"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.decode()) == (128 + number, f"{WORDS[number]}\n")
    assert list(tmp_path.iterdir()) == []


SLOW_IMPORT = """
import sys, time
from modelgpt_cli import cli
def main():
    import slow
cli.main = main
cli.entry()
"""


AT_IMPORT = """
import os, runpy, signal, sys
module = sys.argv[1]
sys.argv[1:] = ["zoo"]
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
runpy.run_module("modelgpt_cli", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["modelgpt_cli.cli", "modelgpt_cli.core.signals", "modelgpt_cli.core.temporary"])
def test_before_the_program_is_read(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", AT_IMPORT, module], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_little_is_read_before_signals_are_handled() -> None:
    code = "import sys, modelgpt_cli; print(*sorted(name for name in sys.modules if 'modelgpt_cli.' in name))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    parts = ["core", "core.clock", "core.telemetry", "core.version"]
    assert done.stdout.split() == [f"modelgpt_cli.{part}" for part in parts]


def test_a_slow_import_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nprint('begun', flush=True)\nfor _ in range(12000): time.sleep(.01)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_IMPORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)  # the import alone takes twice as long
    assert (process.returncode, err) == (130, b"Interrupted.\n")


def test_a_signal_ignored_by_the_parent_stays_ignored() -> None:
    code = (
        "import signal; signal.signal(1, signal.SIG_IGN); from modelgpt_cli.core.signals import handle_signals as h; "
    )
    code += "h(); print(signal.getsignal(1) == signal.SIG_IGN, callable(signal.getsignal(15)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_old_leftovers_go_at_the_next_run(bench: Bench, iris_model: Path) -> None:
    old, young = ".tmp-0123abcd-out.csv", ".tmp-4567abcd-out.csv"
    others = [".tmp-0123abcd", ".tmp-xyz-out.csv", "tmp-0123abcd-out.csv"]
    for name in [old, young, *others]:
        os.utime(bench.write(name, "x"), None if name == young else (0, 0))
    assert bench.run("predict", iris_model / "model.onnx", iris_model / "iris.csv", "-o", "out.csv").code == 0
    assert set(bench.snapshot()) == {young, *others, "out.csv"}
