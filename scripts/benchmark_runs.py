"""How the benchmarks of texts and images run: cell by cell, each written down at once, and on where they stopped.

A cell is a task, a number of examples per class, and a repeat. One that fails is written down with its error.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from benchmark_cells import Cell, append, load, remove_failed

ERROR_LENGTH = 300
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A cell to be measured."""

    task: str
    size: int | None
    repeat: int

    @property
    def seed(self) -> int:
        """Of the draw, and of what the method itself draws."""
        return self.repeat if self.size is None else draw_seed(self.task, self.size, self.repeat)


class Kind(Protocol):
    """What of a method decides which cells it has."""

    @property
    def zero(self) -> bool:
        """It answers without any example."""
        ...

    @property
    def support(self) -> bool:
        """It learns from examples."""
        ...


def jobs(tasks: Sequence[str], sizes: Sequence[int | None], repeats: Sequence[int], method: Kind) -> Iterator[Job]:
    """A method's cells in order: every task once before any twice, small sizes before large."""
    for repeat in repeats:
        for size in sizes:
            if size == 0 and (repeat > 0 or not method.zero):  # without examples there is nothing to draw
                continue
            if size != 0 and size is not None and not method.support:
                continue
            for task in tasks:
                yield Job(task, size, repeat)


def draw_seed(task: str, size: int, repeat: int) -> int:
    """The seed of a draw: its own for every task, size and repeat."""
    return int.from_bytes(hashlib.sha256(f"{task}/{size}/{repeat}".encode()).digest()[:4], "big")


def draw_rows(labels: np.ndarray, classes: Sequence[Any], size: int, seed: int) -> np.ndarray:
    """Row numbers of `size` rows of each class, or as many as there are, in random order."""
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for name in classes:
        index = np.flatnonzero(labels == name)
        drawn += rng.choice(index, min(size, len(index)), replace=False).tolist()
    return rng.permutation(np.asarray(drawn, dtype=np.int64))


def clock() -> np.ndarray:
    """Wall-clock and processor seconds, (2,)."""
    return np.array([time.perf_counter(), time.process_time()])


def timed(work: Callable[[], T], now: Callable[[], np.ndarray] = clock) -> tuple[T, float, float]:
    """What `work` returns, and its wall-clock and processor seconds by `now`."""
    start = now()
    result = work()
    wall, cpu = (now() - start).tolist()
    return result, wall, cpu


def run_method(
    path: Path,
    method: str,
    todo: Sequence[Job],
    measure: Callable[[Job], Mapping[str, Any]],
    start: Callable[[Job], None],
    *,
    replace: bool,
    threads: int,
) -> tuple[int, int]:
    """Measure those of a method's cells that are not in its file yet.

    Parameters
    ----------
    measure : callable
        From a cell to its facts, ``score`` and ``fit_cpu_seconds`` among them.
    start : callable
        Called with the first cell before any is measured, if there is one.
    replace : bool
        Whether failed cells are measured again.

    Returns
    -------
    measured, failed : int
    """
    if replace:
        remove_failed(path)
    done = {cell.key for cell in load(path)}
    left = [job for job in todo if (job.task, job.size, job.repeat) not in done]
    if left:
        start(left[0])
    failed = 0
    for job in left:
        facts: dict[str, Any] = {"seed": job.seed, "threads": threads, "date": date.today().isoformat()}
        try:
            facts |= measure(job)
        except Exception as error:
            print(traceback.format_exc(), file=sys.stderr)
            facts["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_LENGTH]
        cell = Cell(job.task, method, job.size, job.repeat, facts)
        append(path, cell)
        failed += cell.failed
        said = facts.get("error") or f"{facts['score']:.4f}  {facts['fit_cpu_seconds']:.1f} CPU s"
        print(f"{path.stem} {job.task} {job.size} {job.repeat}: {said}", file=sys.stderr, flush=True)
    return len(left), failed


def warm_up(measure: Callable[[], Any]) -> None:
    """Do what a cell does once, so that none pays for lazy imports or thread pools."""
    try:
        measure()
    except Exception as error:  # the cells will fail too, and say so in the results
        print(f"warm-up failed: {type(error).__name__}: {error}", file=sys.stderr)


def add_arguments(parser: argparse.ArgumentParser, parts: Sequence[str], sizes: Sequence[int], out: Path) -> None:
    """The options that all such benchmarks have."""
    parser.add_argument("part", choices=list(parts))
    parser.add_argument("--methods", type=names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument("--tasks", type=names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument(
        "--sizes", type=numbers, default=list(sizes), metavar="N,N", help="few-shot: examples per class (default all)"
    )
    parser.add_argument("--repeats", type=numbers, metavar="A,B-C", help="which repeats; default: all of the part")
    parser.add_argument("--out", type=Path, default=out, help="folder of results")
    parser.add_argument("--max-epochs", type=int, default=20, help="of methods that train (default 20)")
    parser.add_argument("--max-steps", type=int, default=0, help="as many whole epochs as fit in so many steps")
    parser.add_argument("--dtype", choices=["auto", "bf16", "fp32"], default="auto", help="of training on the CPU")
    parser.add_argument("--threads", type=int, default=1, help="threads of every method (default 1)")
    parser.add_argument("--replace", action="store_true", help="measure failed cells again")


def check_arguments(
    parser: argparse.ArgumentParser, args: argparse.Namespace, methods: Sequence[str], repeats: int
) -> None:
    """Put in what depends on the part, and refuse what can't be."""
    args.repeats = list(range(repeats)) if args.repeats is None else args.repeats
    if args.max_epochs < 1 or args.max_steps < 0 or args.threads < 1:
        parser.error("--max-epochs and --threads must be at least 1, --max-steps at least 0")
    if unknown := set(args.methods or ()) - set(methods):
        parser.error(f"no such method: {', '.join(sorted(unknown))}. There are: {', '.join(methods)}")


def names(text: str) -> list[str]:
    """``a,b`` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """``0,3`` or ``0-2`` or both; argparse says so where it is neither."""
    found: list[int] = []
    for part in names(text):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
