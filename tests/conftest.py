"""Shared fixtures: small real tables, the installed command in a subprocess, the shared data."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from bad_input import Bench
from warm_process import FREE, Run, WarmProcess

import modelgpt_cli  # noqa: F401  # which switches others' telemetry off: in the warm process's environment as well

if TYPE_CHECKING:
    import pandas as pd
    from tiny_texts import Make

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job, which hands that on to its children
    signal.signal(signal.SIGINT, signal.default_int_handler)


gc.set_threshold(100_000, 20, 20)  # as the command does: a quarter of the time of the imports went into collections

UNTRACED = (
    "batch/",
    "commands/test_interrupt.py",
    "data/test_same_cells.py",
    "domains/image/",
    "domains/tabular/test_fixed_tasks.py",
    "domains/tabular/test_intervals.py",
    "domains/tabular/test_kernel.py",
    "domains/tabular/test_level_statistics.py",
    "domains/tabular/test_prior.py",
    "domains/tabular/test_tables.py",
    "domains/tabular/test_text_columns.py",
    "domains/tabular/test_trees.py",
    "domains/text/test_text_artifact.py",
    "domains/text/test_text_build.py",
    "domains/text/test_text_data.py",
    "domains/text/test_text_encoder_onnx.py",
    "domains/text/test_text_meta_train.py",
    "domains/text/test_text_multilingual.py",
    "domains/text/test_text_runtime.py",
    "domains/text/test_text_tune.py",
    "scripts/",
    "sources/test_synthetic.py",
    "training/",
)
"""Tests that coverage doesn't trace: it takes a fifth of their time, which is long, and others run the same lines."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pause coverage during some tests."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).as_posix().startswith(UNTRACED):
            item.add_marker(pytest.mark.no_cover)


class Cli(Protocol):
    """Runs ``modelgpt`` in a process of its own and returns what it did; `fresh`, not even its imports are shared."""

    def __call__(
        self,
        *args: str | Path,
        stdin: str | bytes | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        fresh: bool = False,
    ) -> subprocess.CompletedProcess[str]: ...


class Start(Protocol):
    """Starts ``modelgpt`` and gives the process, whose streams are pipes of text."""

    def __call__(
        self, *args: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, new_session: bool = False
    ) -> Run | subprocess.Popen[str]: ...


def clean_environment(**extra: str) -> dict[str, str]:
    """Copy the environment without a user's keys and settings, so that no test talks to a real LLM."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MODELGPT_"))}
    return {**kept, **extra}


@pytest.fixture(scope="session")
def modelgpt_path() -> str:
    """The installed ``modelgpt`` executable, the one beside this Python where there is one."""
    beside = Path(sys.executable).with_name("modelgpt")
    found = str(beside) if beside.exists() else shutil.which("modelgpt")
    assert found, "modelgpt is not installed: run scripts/test.sh"
    return found


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a benchmark's command sets for its process ends with the test."""
    before = dict(os.environ)
    yield
    for name in {name for name, _ in before.items() ^ os.environ.items() if not name.startswith(FREE)}:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test finds the answers that another one has had, nor the user's own providers. Gives the folder of answers."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setattr("modelgpt_cli.llm.cache.answers_folder", lambda: folder / "answers")
    return folder / "answers"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny text encoder and a generator for it."""
    from tiny_texts import write_world

    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def make(world: Path, tmp_path: Path) -> Make:
    """Build ``model.safetensors`` with the tiny encoder and generator, from a frame, a path, or words alone."""
    from tiny_texts import build_tiny

    return partial(build_tiny, world, tmp_path)


@pytest.fixture(scope="session")
def warm_process() -> Iterator[WarmProcess | None]:
    """The process that commands are copies of; none where a process that has threads cannot be copied safely."""
    if sys.platform != "linux":
        yield None
        return
    process = WarmProcess(clean_environment())
    yield process
    process.close()


@pytest.fixture
def cli(modelgpt_path: str, warm_process: WarmProcess | None, tmp_path: Path, own_folders: Path) -> Cli:
    """Run the installed command in its own process, text in and out: ``cli("describe", path, env={...})``."""

    def run(
        *args: str | Path,
        stdin: str | bytes | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        fresh: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        command = [modelgpt_path, *map(str, args)]
        given = stdin.encode() if isinstance(stdin, str) else stdin
        environment = clean_environment(**{"MODELGPT_CACHE": str(own_folders.parent), **(env or {})})
        folder = cwd or tmp_path
        changed = set() if warm_process is None else warm_process.changed(environment)
        assert fresh or changed <= set(env or {}), f"not set by this test, and each command starts anew: {changed}"
        if warm_process is not None and not fresh and not changed:
            done = warm_process.run(command, stdin=given, env=environment, cwd=folder, timeout=timeout)
        else:
            done = subprocess.run(
                command,
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                env=environment,
                cwd=folder,
                timeout=timeout,
                check=False,
            )
        out, err = (stream.decode("utf-8", errors="replace") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture
def start(modelgpt_path: str, warm_process: WarmProcess | None, tmp_path: Path) -> Start:
    """Start a command for a test that does something while it runs: ``start("generate", "-n", "40")``."""

    def begin(
        *args: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, new_session: bool = False
    ) -> Run | subprocess.Popen[str]:
        command = [modelgpt_path, *map(str, args)]
        environment, folder = clean_environment(**(env or {})), cwd or tmp_path
        if warm_process is not None:
            return warm_process.start(command, env=environment, cwd=folder, new_session=new_session)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe,
            env=environment, cwd=folder, text=True, start_new_session=new_session,
        )  # fmt: skip

    return begin


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Run commands in this process, in a fresh folder: quicker than `cli` where the process is not the point."""
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("OPENAI_", "MODELGPT_"))]:
        monkeypatch.delenv(name)
    logger = logging.getLogger("modelgpt")  # which each command sets up for itself
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    monkeypatch.setattr(logger, "level", logger.level)
    return Bench(tmp_path, capsys.readouterr)


@pytest.fixture(scope="session")
def iris_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with iris.csv, and req.txt, model.safetensors and model.onnx made of it. Tests share it: read only."""
    from modelgpt_cli import build, describe, export

    folder = tmp_path_factory.mktemp("iris")
    describe(_write_iris(folder), target="species", offline=True, output=folder / "req.txt")
    build(folder / "req.txt", output=folder / "model.safetensors", members=1, device="cpu")
    export(folder / "model.safetensors", output=folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data sets (``MODELGPT_DATA``, else ``../shared/data``); the test is skipped without it."""
    folder = Path(os.environ.get("MODELGPT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set MODELGPT_DATA to the folder that holds tabular/")
    return folder


@pytest.fixture
def iris_csv(tmp_path: Path) -> Path:
    """150 rows, 4 numeric columns, target ``species`` (3 classes), in random order."""
    return _write_iris(tmp_path)


@pytest.fixture
def breast_cancer_csv(tmp_path: Path) -> Path:
    """569 rows, 30 numeric columns, target ``diagnosis`` (malignant, benign), in random order."""
    from sklearn.datasets import load_breast_cancer

    cancer = load_breast_cancer(as_frame=True)
    table = cancer.data.assign(diagnosis=cancer.target.map(dict(enumerate(cancer.target_names))))
    return _write(table, tmp_path / "breast_cancer.csv")


@pytest.fixture
def diabetes_csv(tmp_path: Path) -> Path:
    """442 rows, 10 numeric columns, target ``progression`` (regression, 25 to 346)."""
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    return _write(table, tmp_path / "diabetes.csv")


def _write_iris(folder: Path) -> Path:
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    return _write(iris.data.assign(species=iris.target.map(dict(enumerate(iris.target_names)))), folder / "iris.csv")


def _write(table: pd.DataFrame, path: Path) -> Path:
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    return path
