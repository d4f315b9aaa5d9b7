"""``modelgpt serve`` in a process of its own: what it prints, how it ends, and its errors."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Start, clean_environment
from tiny_server import GOOD, fruit_model


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fruit_model(tmp_path_factory.mktemp("fruit") / "fruit.onnx")


def ask(address: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any]:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@contextmanager
def running(begin: Callable[[], Any]) -> Iterator[tuple[Any, str, list[str]]]:
    """A server that is ended with the test: its process, its address, and what it printed."""
    process = begin()
    try:
        printed = []
        for line in process.stdout:
            printed.append(line.rstrip())
            if line.startswith("Serving on "):
                break
        assert printed, process.stderr.read()
        assert printed[-1].startswith("Serving on "), printed
        yield process, printed[-1].removeprefix("Serving on "), printed
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(20)


def test_it_answers_until_sigterm_and_ends_in_order(fruit: Path, start: Start) -> None:
    key = {"MODELGPT_API_KEY": "s3cret"}
    with running(lambda: start("serve", fruit, f"other={fruit}", "--port", "0", env=key)) as (
        process,
        address,
        printed,
    ):
        assert printed[:2] == [
            "fruit: tables, classification: apple, pear",
            "other: tables, classification: apple, pear",
        ]
        assert address.startswith("http://127.0.0.1:")
        assert ask(address, "/models/fruit/predict", GOOD)[0] == 401
        status, reply = ask(address, "/models/fruit/predict", [GOOD], Authorization="Bearer s3cret")
        assert (status, reply["model"], len(reply["predictions"])) == (200, "fruit", 1)
        with_half = socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])))
        body = json.dumps(GOOD).encode()
        lines = ["POST /models/other/predict HTTP/1.1", "Host: x", "X-API-Key: s3cret", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, "", ""])
        with_half.sendall(head.encode() + body[:5])
        until(lambda: b"waiting" in metrics(address))
        process.terminate()
        time.sleep(0.3)  # the signal has come before the rest of the body
        with_half.sendall(body[5:])
        assert with_half.recv(4096).startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0


def metrics(address: str) -> bytes:
    request = urllib.request.Request(address + "/metrics", headers={"X-API-Key": "s3cret"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return bytes(reply.read())


def test_ctrl_c_ends_it_in_order(fruit: Path, start: Start) -> None:
    with running(lambda: start("serve", fruit, "--port", "0")) as (process, address, _):
        assert ask(address, "/v2/health/ready") == (200, {"ready": True})
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_errors_before_it_begins(fruit: Path, cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = cli("serve", fruit, "--port", port)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[0] == f"Error: Can't listen on 127.0.0.1, port {port}."
    assert cli("serve", tmp_path / "none.onnx").returncode != 0
    assert cli("serve", fruit, fruit).returncode == 2
    assert cli("serve", fruit, "--host", "no.such.host.invalid").returncode == 1
    assert cli("serve", fruit, "--max-body", "0").returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_process_that_is_killed_is_replaced_and_no_request_is_lost(fruit: Path) -> None:
    import psutil

    words = [sys.executable, "-m", "modelgpt_cli", "serve", str(fruit), "--port", "0", "--workers", "2"]

    def begin() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=clean_environment())

    with running(begin) as (process, address, _):
        statuses: list[int] = []
        enough = threading.Event()

        def keep_asking() -> None:
            while not enough.is_set():
                try:
                    statuses.append(ask(address, "/predict", GOOD)[0])
                except OSError:
                    statuses.append(0)

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(workers(psutil.Process(process.pid))) == 2 and len(statuses) > 20)
            first = workers(psutil.Process(process.pid))[0]
            first.kill()
            until(lambda: first.pid not in {one.pid for one in workers(psutil.Process(process.pid))})
            n = len(statuses)
            until(lambda: len(workers(psutil.Process(process.pid))) == 2 and len(statuses) > n + 20)
        finally:
            enough.set()
            for thread in threads:
                thread.join(30)
        assert set(statuses) == {200}
        assert f'modelgpt_rows_total{{model="fruit"}} {float(len(statuses))}' in metrics(address).decode()
        process.terminate()
        assert process.wait(30) == 0


def workers(process: Any) -> list[Any]:
    """Its processes that live, but the one that keeps count of shared memory."""
    import psutil

    found = []
    for child in process.children():
        with suppress(psutil.NoSuchProcess):  # it has died since, or has not been taken note of yet
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; a machine that is busy takes its time."""
    for _ in range(1500):
        if holds():
            return
        time.sleep(0.02)
    pytest.fail("it never came about")


def test_serving_loads_no_torch() -> None:
    code = "import sys, modelgpt_cli.serving.app as app; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
