"""Run commands in copies of a process that has loaded torch and the like: a command takes what its own work takes.

A run is a process of its own, with its own streams, environment and exit code; only the imports are done beforehand.
Run as a script, this file is the process that is copied.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

LOADED = (
    "torch",
    "torchvision",
    "pandas",
    "sklearn.base",
    "onnx",
    "onnxruntime",
    "openai",
    "transformers.models.bert.modeling_bert",
    "modelgpt_cli.commands.build",
    "modelgpt_cli.domains.tabular.build",
    "modelgpt_cli.domains.text.build",
    "modelgpt_cli.domains.image.build",
)
"""What takes long to import, and what imports it."""

FREE = ("MODELGPT_", "OPENAI_", "XDG_", "PYTEST_", "GOMP_", "KMP_")
"""Variables that may differ from run to run: none is read by an import, but some are set by one."""


class WarmProcess:
    """A process that runs ``modelgpt`` in copies of itself, one at a time.

    Parameters
    ----------
    env : dict of str to str
        The environment in which everything is imported.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self._answers = self._socket.makefile("r", encoding="utf-8")

    def can_run(self, env: dict[str, str]) -> bool:
        """Whether a fresh process with this environment would have imported the same."""
        differing = {name for name, _ in env.items() ^ self._env.items()}
        return all(name.startswith(FREE) for name in differing)

    def run(
        self, command: Sequence[str], *, stdin: bytes | None, env: dict[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command line to its end.

        Parameters
        ----------
        command : sequence of str
            The words, the name of the program first.
        stdin : bytes or None
            What a pipe gives the command; without it there is nothing to read.
        env : dict of str to str
            The whole environment.
        cwd : Path
            Where it runs.
        timeout : float
            Seconds after which it is killed.

        Raises
        ------
        subprocess.TimeoutExpired
            It took longer.
        """
        reader, writer = os.pipe()
        feeder = threading.Thread(target=_feed, args=(writer, stdin or b""), daemon=True)
        feeder.start()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = json.dumps({"command": command, "env": env, "cwd": str(cwd)}).encode()
            socket.send_fds(self._socket, [len(request).to_bytes(8, "big")], [reader, out.fileno(), err.fileno()])
            self._socket.sendall(request)
            os.close(reader)
            pid = int(self._answers.readline())
            killer = threading.Timer(timeout, os.kill, (pid, signal.SIGKILL))
            killer.start()
            code = int(self._answers.readline())
            in_time = not killer.finished.is_set()
            killer.cancel()
            feeder.join()
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(list(command), code, out.read(), err.read())
        if not in_time:
            raise subprocess.TimeoutExpired(done.args, timeout, done.stdout, done.stderr)
        return done

    def close(self) -> None:
        """End the process: it ends when nobody can ask it for more."""
        self._answers.close()
        self._socket.close()
        self._process.wait(timeout=60)


def _feed(writer: int, text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as pipe:
        pipe.write(text)


def serve(requests: socket.socket) -> None:
    """Import what commands need, then run each that is asked for in a copy of this process."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a copy would write to every page of what is loaded
    while True:
        size, streams, _, _ = socket.recv_fds(requests, 8, 3)
        if not size:
            return
        request = json.loads(_read(requests, int.from_bytes(size, "big")))
        pid = os.fork()
        if not pid:
            requests.close()
            _run(streams, **request)
        for stream in streams:
            os.close(stream)
        requests.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        requests.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _read(source: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        chunks += source.recv(size - len(chunks))
    return bytes(chunks)


def _text(number: int, mode: str, like: TextIO) -> TextIO:
    """A fresh standard stream, with no buffer in common with the one that was there."""
    return open(number, mode, encoding=like.encoding, errors=like.errors, closefd=False)


def _run(streams: list[int], command: list[str], env: dict[str, str], cwd: str) -> NoReturn:
    """Be the process of one command line, from its streams to its exit."""
    try:
        from modelgpt_cli.cli import entry
        from modelgpt_cli.core import clock

        clock._STARTED = time.monotonic()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin = _text(0, "r", sys.stdin)
        sys.stdout = _text(1, "w", sys.stdout)
        sys.stderr = _text(2, "w", sys.stderr)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.argv = command
        signal.signal(signal.SIGINT, signal.default_int_handler)
        entry()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
