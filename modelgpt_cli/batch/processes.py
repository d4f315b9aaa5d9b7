"""Workers on this machine: a process each, so that a crash costs the model that it was building, and no other.

They are not `multiprocessing`'s: those run the user's script once more in every worker, and outlive a main process that
is killed; and its pool doesn't tell which task a process died of.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.work import Task
from modelgpt_cli.batch.worker import READY
from modelgpt_cli.core.errors import ModelGPTError

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "2000000000",
    "MALLOC_TOP_PAD_": "100000000",
}
"""Of a worker: one thread, as there are as many workers as cores; and glibc keeps memory that a model has used for the
next one, as getting it anew from the kernel took a tenth of the time. What the user has set stays."""

_GRACE = 1.0
"""Seconds for a worker to end by itself: Ctrl-C ends the command within two."""


def run_processes(tasks: Iterable[Task], jobs: int | None) -> Generator[Entry]:
    """Do the tasks in `jobs` processes, by default one for each core; entries come as they are done.

    A task that a process dies of (out of memory, a crash below Python) is done once more when all others are, and has
    the memory to itself; where it dies again, the task has failed.

    Raises
    ------
    ModelGPTError
        A process can't be started.
    """
    tasks = list(tasks)
    jobs = min(jobs or usable_cores(), len(tasks))
    workers = [_Worker() for _ in range(jobs)]
    free: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def do(task: Task) -> Entry | None:
        worker = free.get()
        try:
            return worker.do(task)
        finally:
            free.put(worker)

    again: list[Task] = []
    pool = ThreadPoolExecutor(jobs)
    try:
        asked = {pool.submit(do, task): task for task in tasks}
        for future in as_completed(asked):
            entry = future.result()
            if entry is None:
                again.append(asked[future])
            else:
                yield entry
        for worker in workers[1:]:
            worker.end()
        for task in again:
            yield workers[0].do(task) or task.failed(workers[0].why(), 0.0)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()
        pool.shutdown()


class _Worker:
    """A worker process, made anew where it has died. One thread asks it at a time; any may end it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def do(self, task: Task) -> Entry | None:
        """What came of a task; None where the process died, or has been ended."""
        process = self._started()
        if process is None:
            return None
        line = _ask(process, task.line())
        if line.endswith("\n"):
            return Entry.read(line)
        process.wait()
        return None

    def why(self) -> ModelGPTError:
        """What the process died of, as far as can be told."""
        cause = "" if self._process is None else _cause(self._process.returncode)
        return ModelGPTError("The process that was building it died, twice.", cause, "Build it alone to see more.")

    def ask_to_end(self) -> None:
        """Let the process end for good, once it has removed what it is writing."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.terminate()

    def end(self) -> None:
        """End the process, whatever it does, for good."""
        self.ask_to_end()
        with self._lock:
            if self._process is not None:
                try:
                    self._process.wait(_GRACE)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()

    def _started(self) -> subprocess.Popen[str] | None:
        """The process, ready for a task; None after the end."""
        with self._lock:
            if self._ended:
                return None
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = process = _start()
        assert process.stdout is not None
        if process.stdout.readline() != READY and not self._ended:
            process.wait()
            raise ModelGPTError(
                "A worker process could not start.",
                _cause(process.returncode),
                "modelgpt doctor checks the installation; fewer --jobs take less memory.",
            )
        return process


def _start() -> subprocess.Popen[str]:
    """A Python that finds modules where this one does, in a session of its own: Ctrl-C is for the main process."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from modelgpt_cli.batch.worker import serve; "
    code += f"serve({os.getpid()})"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=SETTINGS | os.environ,
        encoding="utf-8",
        start_new_session=True,
    )


def _ask(process: subprocess.Popen[str], line: str) -> str:
    """The process's answer to a line; without its end where it has died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:  # nobody reads
        return ""


def _cause(code: int) -> str:
    if code >= 0:
        return f"It ended with exit code {code}."
    killed = " Often memory has run out." if -code == signal.SIGKILL else ""
    return f"It was ended by {signal.Signals(-code).name}.{killed}"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
