"""Workers on this machine: a process each, which a crash takes alone with it."""

from __future__ import annotations

import os
import signal
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.work import Task, make, quieten
from modelgpt_cli.errors import ModelGPTError

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "2000000000",
    "MALLOC_TOP_PAD_": "100000000",
}
"""Of a worker: one thread, as there are as many workers as cores; and glibc keeps memory that a model has used for the
next one, as getting it anew from the kernel took an eighth of the time. What the user has set stays."""


def run_processes(tasks: Iterable[Task], jobs: int | None) -> Iterator[Entry]:
    """Do the tasks in `jobs` processes, by default one for each core; entries come as they are done.

    A task that a process dies of (out of memory, a crash below Python) fails, and the rest go on.
    """
    jobs = jobs or usable_cores()
    waiting = deque(tasks)
    with _settings():
        while waiting:
            suspects = yield from _pool(waiting, jobs)
            for task in suspects:  # which of them it was, shows when each has a process of its own
                if (yield from _pool(deque([task]), 1)):
                    died = ModelGPTError(
                        "The process that was building it died.", "Often memory has run out.", "Try fewer --jobs."
                    )
                    yield task.failed(died, 0.0)


def _pool(waiting: deque[Task], jobs: int) -> Generator[Entry, None, list[Task]]:
    """Do what is waiting; returns the tasks under way when a process died, or none."""
    executor = ProcessPoolExecutor(min(jobs, len(waiting)), get_context("spawn"), initializer=_begin)
    under_way: dict[Future[Entry], Task] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < 2 * jobs:
                under_way[executor.submit(make, waiting[0])] = waiting[0]
                waiting.popleft()
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                entry = future.result()
                del under_way[future]
                yield entry
    except BrokenProcessPool:
        return list(under_way.values())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return []


def _begin() -> None:
    """A worker's first step. Ctrl-C ends it at once and without a word: the main process speaks."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    quieten()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _settings() -> Iterator[None]:
    """Let workers that are started in the block have `SETTINGS`."""
    missing = [name for name in SETTINGS if name not in os.environ]
    os.environ.update({name: SETTINGS[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
