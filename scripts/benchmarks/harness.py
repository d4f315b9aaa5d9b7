"""The harness of the benchmarks of quality: a method learns a task, which gives a cell of the results.

Each cell is written as soon as it is measured, and skipped when it is there already, so that an interrupted benchmark
goes on where it stopped. A cell that fails is written with its error.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .common import command, machine, make_parser, names, numbers, versions
from .results import Cell, Store, part_store

ERROR_LENGTH = 300
T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """A data set with the draw of it that is learnt from."""

    name: str
    repeat: int
    seed: int
    """Of the draw, and of what the method itself draws."""
    size: int | None = None
    """Examples per class; None for all of them."""
    kind: str = ""
    """What a method is warmed up with once: ``classification`` or ``regression``, where that makes a difference."""


@dataclass(frozen=True)
class Method:
    """How to make a method, and what it needs.

    Attributes
    ----------
    make : callable
        Makes a fresh one; not timed, as it may load libraries.
    zero, support : bool
        Whether it answers without any example, and whether it learns from examples.
    packages : tuple of str
        Whose versions are recorded; of alternatives, those that are installed.
    ours, generated : bool
        Whether a generator makes a difference to it, and whether it needs one.
    """

    make: Callable[..., Any]
    zero: bool = False
    support: bool = True
    packages: tuple[str, ...] = ()
    ours: bool = False
    generated: bool = False


@dataclass
class Fitted:
    """What a method made of its examples.

    Attributes
    ----------
    predict_proba : callable
        From rows to probabilities (n, C) in the order of the task's classes; for regression, to numbers (n,).
    facts : dict
        Recorded beside the figures: epochs, precision, whatever else is worth knowing.
    model : object
        What was fitted, if anybody asks.
    """

    predict_proba: Callable[[Any], np.ndarray]
    facts: dict[str, Any] = field(default_factory=lambda: {"dtype": "fp32"})
    model: Any = None


class Bench(ABC):
    """A domain's benchmark."""

    @abstractmethod
    def store(self, method: str) -> Store:
        """Return where a method's cells are."""

    @abstractmethod
    def tasks(self, method: str) -> Iterable[Task]:
        """Yield what a method is measured on, in order."""

    @abstractmethod
    def start(self, method: str, task: Task) -> None:
        """Record the protocol and warm up; called before the first new cell of each of a method's kinds of task."""

    @abstractmethod
    def describe(self, method: str, task: Task) -> Mapping[str, Any]:
        """Return facts of a cell that hold whether it works or not."""

    @abstractmethod
    def measure(self, method: str, task: Task) -> Mapping[str, Any]:
        """Let a method learn a task; return the cell's facts."""


def run(bench: Bench, methods: Sequence[str], *, replace: bool = False) -> tuple[int, int]:
    """Measure every cell that is not in the results yet; with `replace`, failed ones again.

    Returns
    -------
    measured, failed : int
    """
    measured = failed = 0
    for method in methods:
        store = bench.store(method)
        if replace:
            store.remove(lambda cell, method=method: cell.method == method and cell.failed)  # type: ignore[misc]
        done = {cell.key for cell in store.read()}
        warm: set[str] = set()
        for task in bench.tasks(method):
            if (task.name, method, task.size, task.repeat) in done:
                continue
            if task.kind not in warm:
                warm.add(task.kind)
                bench.start(method, task)
            cell = _cell(bench, method, task)
            store.append(cell)
            measured += 1
            failed += cell.failed
    return measured, failed


def _cell(bench: Bench, method: str, task: Task) -> Cell:
    facts: dict[str, Any] = {"seed": task.seed, "date": date.today().isoformat()}
    try:
        facts |= bench.describe(method, task)
        facts |= bench.measure(method, task)
        score = next(facts[key] for key in ("score", "roc_auc", "r2") if key in facts)
        shown = f"{score:.4f}  {facts['fit_cpu_seconds']:.2f} CPU s"
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        shown = facts["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_LENGTH]
    size = "" if task.size is None else f" {task.size} per class"
    print(f"{method} {task.name}{size} {task.repeat}: {shown}", file=sys.stderr, flush=True)
    return Cell(task.name, method, task.repeat, task.size, facts)


def warm_up(work: Callable[[], Any]) -> None:
    """Do once what a cell does, so that no cell pays for lazy imports or thread pools."""
    try:
        work()
    except Exception as error:  # the cells will fail too, and say so in the results
        print(f"warm-up failed: {type(error).__name__}: {error}", file=sys.stderr)


def clock() -> np.ndarray:
    """Return wall-clock and processor seconds, (2,)."""
    return np.array([time.perf_counter(), time.process_time()])


def timed(work: Callable[[], T], now: Callable[[], np.ndarray] = clock) -> tuple[T, float, float]:
    """Return what `work` returns, and its wall-clock and processor seconds by `now`."""
    start = now()
    result = work()
    wall, cpu = (now() - start).tolist()
    return result, wall, cpu


def fit_and_score(
    fit: Callable[[], Fitted],
    tests: Mapping[str, T],
    score: Callable[[T, np.ndarray], Mapping[str, float]],
    now: Callable[[], np.ndarray],
) -> dict[str, Any]:
    """Fit, and score on each test set; the first counts, the others' figures carry the set's name."""
    fitted, seconds, cpu_seconds = timed(fit, now)
    facts: dict[str, Any] = {"fit_seconds": seconds, "fit_cpu_seconds": cpu_seconds}
    for number, (name, rows) in enumerate(tests.items()):
        answers, seconds, cpu_seconds = timed(lambda rows=rows: fitted.predict_proba(rows), now)  # type: ignore[misc]
        if not np.isfinite(answers).all():
            raise ValueError("some answers are not numbers")
        figures = score(rows, answers)
        if number:
            facts |= {f"{key}_{name}": value for key, value in figures.items()}
            continue
        facts |= figures
        facts |= {"predict_seconds": seconds, "predict_cpu_seconds": cpu_seconds, "n_test": len(answers)}
    return facts | fitted.facts


def draw_seed(task: str, size: int, repeat: int) -> int:
    """Return the seed of a draw: its own for every task, size and repeat."""
    return int.from_bytes(hashlib.sha256(f"{task}/{size}/{repeat}".encode()).digest()[:4], "big")


def draw_rows(labels: np.ndarray, classes: Sequence[Any], size: int, seed: int) -> np.ndarray:
    """Draw `size` rows of each class, or as many as there are; return their numbers in random order."""
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for name in classes:
        index = np.flatnonzero(labels == name)
        drawn += rng.choice(index, min(size, len(index)), replace=False).tolist()
    return rng.permutation(np.asarray(drawn, dtype=np.int64))


def draws(tasks: Sequence[str], sizes: Sequence[int | None], repeats: Sequence[int], method: Method) -> Iterator[Task]:
    """Yield a method's draws in order: every task once before any twice, small sizes before large."""
    for repeat in repeats:
        for size in sizes:
            if size == 0 and (repeat > 0 or not method.zero):  # without examples there is nothing to draw
                continue
            if size != 0 and size is not None and not method.support:
                continue
            for task in tasks:
                yield Task(task, repeat, repeat if size is None else draw_seed(task, size, repeat), size)


@dataclass(frozen=True)
class Part:
    """A part of a domain's benchmark."""

    methods: Mapping[str, Method]
    repeats: int
    test_rows: int = 0
    """At most; 0 for all."""
    sizes: tuple[int | None, ...] = (None,)
    """Examples per class."""


class PartBench(Bench):
    """A part of the benchmark of texts or images: draws of its tasks, a JSONL file for each method.

    Parameters
    ----------
    tasks : sequence of str
        Their names.
    args : Namespace
        As `make_parts_parser` and `read_part` give it; ``folder`` is the results'.
    """

    def __init__(self, tasks: Sequence[str], args: argparse.Namespace, methods: Mapping[str, Method]) -> None:
        self.names, self.args, self.methods = tasks, args, methods

    @abstractmethod
    def protocol(self, method: Method) -> dict[str, Any]:
        """Return what the cells of a file have in common."""

    @abstractmethod
    def warm_up(self, method: Method, task: Task) -> None:
        """Do what a cell does, on a few rows."""

    @abstractmethod
    def learn(self, method: Method, task: Task) -> dict[str, Any]:
        """Let a method learn a task; return the cell's facts."""

    def store(self, method: str) -> Store:
        return part_store(self.args.folder, self.args.part, method)

    def tasks(self, method: str) -> Iterator[Task]:
        return draws(self.names, self.args.sizes, self.args.repeats, self.methods[method])

    def start(self, method: str, task: Task) -> None:
        chosen, most = self.methods[method], {"max_epochs": self.args.max_epochs}
        if self.args.max_steps:
            most["max_steps"] = self.args.max_steps
        origin = {"command": command(), "machine": machine(), "versions": versions(*chosen.packages)}
        self.store(method).record(self.protocol(chosen) | most, origin)
        warm_up(lambda: self.warm_up(chosen, task))

    def describe(self, method: str, task: Task) -> dict[str, Any]:
        return {"threads": self.args.threads}

    def measure(self, method: str, task: Task) -> dict[str, Any]:
        return self.learn(self.methods[method], task)


def sizes(text: str) -> list[int | None]:
    """Expand ``1,4-8,all``: examples per class, None for all there are."""
    found: list[int | None] = []
    for part in names(text):
        found += [None] if part == "all" else numbers(part)
    return found


def make_parts_parser(command: str, doc: str | None, parts: Mapping[str, Part], out: Path) -> argparse.ArgumentParser:
    """Make the parser of a benchmark of parts and draws."""
    parser = make_parser(command, doc, "--threads")
    parser.add_argument("part", choices=list(parts))
    parser.add_argument("--methods", type=names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument("--tasks", type=names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument("--sizes", type=sizes, metavar="N,N,all", help="examples per class; default: all of the part")
    parser.add_argument("--repeats", type=numbers, metavar="A,B-C", help="which repeats; default: all of the part")
    parser.add_argument("--out", type=Path, default=out, help="folder of results")
    parser.add_argument("--max-epochs", type=int, default=20, help="of methods that train (default 20)")
    parser.add_argument("--max-steps", type=int, default=0, help="as many whole epochs as fit in so many steps")
    parser.add_argument("--dtype", choices=["auto", "bf16", "fp32"], default="auto", help="of training on the CPU")
    parser.add_argument("--replace", action="store_true", help="measure failed cells again")
    return parser


def read_part(parser: argparse.ArgumentParser, args: argparse.Namespace, part: Part) -> None:
    """Fill in what depends on the part, and refuse what can't be."""
    args.repeats = list(range(part.repeats)) if args.repeats is None else args.repeats
    args.sizes = list(part.sizes) if args.sizes is None or part.sizes == (None,) else args.sizes
    if args.max_epochs < 1 or args.max_steps < 0 or args.threads < 1:
        parser.error("--max-epochs and --threads must be at least 1, --max-steps at least 0")
    if unknown := set(args.methods or ()) - set(part.methods):
        parser.error(f"no such method: {', '.join(sorted(unknown))}. There are: {', '.join(part.methods)}")


def measure_all(bench: Bench, methods: Sequence[str], args: argparse.Namespace, where: Path) -> int:
    """Run a benchmark with ``--threads`` and ``--replace``; return its exit code, 1 when a cell failed."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # the tokenizer's
    warnings.simplefilter("ignore")
    with threadpool_limits(limits=args.threads):
        measured, failed = run(bench, methods, replace=args.replace)
    print(f"{measured} cells measured, {failed} failed, in {where}", file=sys.stderr)
    return 1 if failed else 0
