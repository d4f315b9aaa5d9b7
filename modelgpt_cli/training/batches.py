"""The batches of a run, drawn ahead by worker processes and delivered in order."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset

PREFETCH = 4
"""Batches that each worker draws ahead."""


class Batch(Protocol):
    """What can be moved to a device, as a whole."""

    def to(self, device: str) -> Any: ...


B = TypeVar("B", bound=Batch)


def drawn_ahead(source: IterableDataset[tuple[int, B]], workers: int, device: str) -> Iterator[B]:
    """Yield the batches of a source, in order, whatever the number of workers.

    Parameters
    ----------
    source : IterableDataset of (int, Batch)
        Gives step numbers with batches.
    workers : int
        Processes that draw; with 0, batches are drawn when they are asked for.
    device : str
        Where the batches go.
    """
    loader: DataLoader[tuple[int, B]] = DataLoader(
        source,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_ignore_interrupts,
    )
    for _, batch in loader:
        yield batch.to(device)


def groups(batches: Iterable[B], size: int) -> Iterator[list[B]]:
    """Yield the batches, so many at a time."""
    upcoming = iter(batches)
    while group := list(islice(upcoming, size)):
        yield group


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which finishes its step first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
