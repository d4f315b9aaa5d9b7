"""The batches of a run, drawn ahead by worker processes and delivered in order."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch.utils.data import DataLoader

from modelgpt_cli.domains.tabular.task_source import TaskSource
from modelgpt_cli.domains.tabular.tasks import TaskBatch

PREFETCH = 4
"""Batches that each worker draws ahead."""


class Batches:
    """The batches of a source, in order, whatever the number of workers.

    Parameters
    ----------
    source : TaskSource
    workers : int
        Processes that draw; with 0, batches are drawn when they are asked for.
    device : str
        Where the batches go.

    Attributes
    ----------
    waited : float
        Seconds that whoever iterates has waited for batches so far.
    """

    def __init__(self, source: TaskSource, workers: int, device: str) -> None:
        self.source, self.workers, self.device = source, workers, device
        self.waited = 0.0

    def __iter__(self) -> Iterator[TaskBatch]:
        loader: DataLoader[tuple[int, TaskBatch]] = DataLoader(
            self.source,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=PREFETCH if self.workers else None,
            worker_init_fn=_ignore_interrupts,
        )
        asked = time.monotonic()
        for _, batch in loader:
            self.waited += time.monotonic() - asked
            yield batch.to(self.device)
            asked = time.monotonic()


def groups(batches: Iterable[TaskBatch], size: int) -> Iterator[list[TaskBatch]]:
    """The batches, so many at a time."""
    upcoming = iter(batches)
    while group := list(islice(upcoming, size)):
        yield group


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which finishes its step first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
