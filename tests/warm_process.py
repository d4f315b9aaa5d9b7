"""Run commands in copies of a process that has loaded torch and the like: a command takes what its own work takes.

A run is a process of its own, with its own streams, environment and exit code; only the imports are done beforehand.
Run as a script, this file is the process that is copied.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn, TextIO

LOADED = (
    "torch",
    "torchvision",
    "pandas",
    "lightgbm",
    "onnx",
    "onnxruntime",
    "openai",
    "torch._dynamo",  # which the first optimiser imports
    "transformers.models.bert.modeling_bert",
    "modelgpt_cli.api",
    "modelgpt_cli.commands.build",
    "modelgpt_cli.domains.tabular.build",
    "modelgpt_cli.domains.text.build",
    "modelgpt_cli.domains.image.build",
    "modelgpt_cli.model_generator.build",
    "modelgpt_cli.training.meta_train",
    "modelgpt_cli.training.tune",
)
"""What takes long to import, and what imports it."""

COMMAND = "from modelgpt_cli.cli import entry; entry()"
"""What a process that is a ``modelgpt`` command runs."""

FREE = ("MODELGPT_", "OPENAI_", "XDG_", "PYTEST_", "GOMP_", "KMP_", "RAY_", "TORCHINDUCTOR_", "PROTOCOL_BUFFERS_")
"""Variables that may differ from run to run: none is read by an import, but some are set by one."""


class Run:
    """A copy that runs, with the part of `subprocess.Popen` that is used."""

    def __init__(self, status: int, stdin: IO, stdout: IO, stderr: IO) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code, or minus the signal that ended it."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("modelgpt", timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: str | bytes = "", timeout: float | None = None) -> tuple:
        """Give it its input, wait for its end, and return what it wrote to stdout and stderr."""
        said: dict[str, str | bytes] = {}
        threads = [
            threading.Thread(target=self._feed, args=(given,), daemon=True),
            threading.Thread(target=lambda: said.update(out=self.stdout.read()), daemon=True),
            threading.Thread(target=lambda: said.update(err=self.stderr.read()), daemon=True),
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join()
        return said["out"], said["err"]

    def _feed(self, given: str | bytes) -> None:
        with suppress(BrokenPipeError):  # it reads no more
            if given:
                self.stdin.write(given)
            self.stdin.close()


class WarmProcess:
    """A process that runs commands in copies of itself.

    Parameters
    ----------
    env : dict of str to str
        The environment in which everything is imported.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._one_request = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def changed(self, env: dict[str, str]) -> set[str]:
        """Variables in which an environment differs so that a fresh process might have imported something else."""
        return {name for name, _ in env.items() ^ self._env.items() if not name.startswith(FREE)}

    def start(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str],
        cwd: Path,
        code: str = COMMAND,
        text: bool = True,
        new_session: bool = False,
        one_stream: bool = False,
    ) -> Run:
        """Start a copy.

        Parameters
        ----------
        command : sequence of str
            The words, the name of the program first.
        env : dict of str to str
            The whole environment.
        cwd : Path
            Where it runs.
        code : str, optional
            The Python that it runs.
        text : bool, optional
            Whether its streams are of text, and not of bytes.
        new_session : bool, optional
            Whether it leads a session, and so a group of processes, of its own.
        one_stream : bool, optional
            Whether what it writes to stderr goes to stdout, in its order.
        """
        (stdin, feed), (read_out, out), (read_err, err), (read_status, status) = (os.pipe() for _ in range(4))
        request = {"command": list(command), "env": env, "cwd": str(cwd), "code": code, "new_session": new_session}
        line = json.dumps(request).encode()
        theirs = [stdin, out, out if one_stream else err, status]
        with self._one_request:  # a batch starts its workers from several threads
            socket.send_fds(self._socket, [len(line).to_bytes(8, "big")], theirs)
            self._socket.sendall(line)
        for stream in (stdin, out, err, status):
            os.close(stream)
        modes = ("w", "r", "r") if text else ("wb", "rb", "rb")
        ours = zip((feed, read_out, read_err), modes, strict=True)
        return Run(read_status, *(os.fdopen(stream, mode, encoding="utf-8" if text else None) for stream, mode in ours))

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: bytes | None,
        env: dict[str, str],
        cwd: Path,
        timeout: float,
        one_stream: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command line to its end, as `subprocess.run` does.

        Raises
        ------
        subprocess.TimeoutExpired
            It took longer, and was killed.
        """
        run = self.start(command, env=env, cwd=cwd, text=False, one_stream=one_stream)
        try:
            out, err = run.communicate(stdin or b"", timeout)
        finally:
            run.kill()
        return subprocess.CompletedProcess(list(command), run.wait(), out, err)

    def close(self) -> None:
        """End the process: it ends when nobody can ask it for more."""
        self._socket.close()
        self._process.wait(timeout=60)


def serve(requests: socket.socket) -> None:
    """Import what commands need, then run each that is asked for in a copy of this process."""
    gc.set_threshold(100_000, 20, 20)  # as the command does
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a copy would write to every page of what is loaded
    while True:
        size, descriptors, _, _ = socket.recv_fds(requests, 8, 4)
        if not size:
            break
        request = json.loads(_read(requests, int.from_bytes(size, "big")))
        if not os.fork():
            requests.close()
            _watch(descriptors, request)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _read(source: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        received = source.recv(size - len(chunks))
        if not received:
            raise EOFError("The request breaks off.")
        chunks += received
    return bytes(chunks)


def _watch(descriptors: list[int], request: dict) -> NoReturn:
    """Start the run, and tell its number and, at its end, its exit code."""
    *streams, status = descriptors
    pid = os.fork()
    if not pid:
        os.close(status)
        _run(streams, **request)
    for stream in streams:
        os.close(stream)
    with suppress(BrokenPipeError):
        os.write(status, f"{pid}\n".encode())
        _, code = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
    os._exit(0)


def _run(
    streams: list[int], command: list[str], env: dict[str, str], cwd: str, code: str, new_session: bool
) -> NoReturn:
    """Be the process of one run, from its streams to its exit."""
    try:
        from modelgpt_cli.core import clock

        clock._STARTED = time.monotonic()
        if new_session:
            os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (
            _text(0, "r", sys.stdin),
            _text(1, "w", sys.stdout),
            _text(2, "w", sys.stderr),
        )
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.argv = command
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(code, {"__name__": "__main__"})
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _text(number: int, mode: str, like: TextIO) -> TextIO:
    """A fresh standard stream, with no buffer in common with the one that was there; stderr is buffered by line."""
    return open(number, mode, 1 if number == 2 else -1, encoding=like.encoding, errors=like.errors, closefd=False)  # type: ignore[return-value]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
