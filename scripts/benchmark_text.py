"""Texts against the methods a user would pick instead: quality and seconds, cell by cell, one backbone for all.

    python scripts/benchmark_text.py glue --methods probe,finetune
    python scripts/benchmark_text.py few-shot --methods setfit --sizes 1,4,8,16 --repeats 0-2
    python scripts/benchmark_text_summary.py --report docs/benchmarks.md

``glue``: the nine tasks with all training rows, the dev file as test. ``few-shot``: the tasks that meta-training never
sees, with 0 to 64 examples per class. Each cell (task, size, repeat) is appended to the method's JSONL as soon as it is
measured, and skipped when it is there already: an interrupted benchmark goes on where it stopped. A cell that fails is
written down with its error. A YAML beside the JSONL keeps the protocol, the commands and the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_common import command, machine, versions
from benchmark_results import record_run
from benchmark_text_data import (
    ROOT,
    Rows,
    TextTask,
    default_data,
    draw_seed,
    draw_support,
    read_task,
    task_names,
)
from benchmark_text_methods import METHODS, Method, Settings
from benchmark_text_metrics import metric_of, score
from benchmark_text_networks import MAX_TOKENS, Backbone, Embedder
from benchmark_text_results import Cell, append, load, remove_failed, results_file
from threadpoolctl import threadpool_limits

from modelgpt_cli.devices import multiplies_bf16

SIZES = (0, 1, 4, 8, 16, 64)
REPEATS = {"glue": 1, "few-shot": 5}
TEST_ROWS = {"glue": 0, "few-shot": 1000}
ERROR_LENGTH = 300


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


def jobs(args: argparse.Namespace, tasks: Sequence[str], method: Method) -> Iterator[Job]:
    """A method's cells in order: every task once before any twice, small sizes before large."""
    for repeat in args.repeats:
        for size in args.sizes if args.part == "few-shot" else [None]:
            if size == 0 and (repeat > 0 or not method.zero):  # without examples there is nothing to draw
                continue
            if size != 0 and not method.support:
                continue
            for task in tasks:
                yield Job(task, size, repeat)


def measure(task: TextTask, support: Rows, method: Method, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit one method on `support` and score it on the test rows: a cell's facts."""
    fit = method.make(replace(settings, metric=metric_of(task)))  # loads libraries
    fitted, seconds, cpu_seconds = _timed(
        lambda: fit(support.texts, support.pairs, support.labels, task.classes, task.requirement, seed), settings
    )
    facts = {"fit_seconds": seconds, "fit_cpu_seconds": cpu_seconds}
    for number, (name, rows) in enumerate(task.tests.items()):
        answers, seconds, cpu_seconds = _timed(lambda rows=rows: fitted.predict_proba(rows.texts, rows.pairs), settings)
        if not np.isfinite(answers).all():
            raise ValueError("some answers are not numbers")
        figures = score(task, rows, answers)
        if number:
            facts |= {f"{key}_{name}": value for key, value in figures.items()}
            continue
        facts |= figures
        facts |= {"predict_seconds": seconds, "predict_cpu_seconds": cpu_seconds, "n_test": len(rows)}
    return {**facts, "n_train": len(support), **fitted.facts}


def measure_cell(task: TextTask, job: Job, name: str, args: argparse.Namespace, settings: Settings) -> Cell:
    """As `measure`, into a cell, whether it works or not."""
    facts: dict[str, Any] = {"seed": job.seed, "threads": args.threads, "date": date.today().isoformat()}
    support = task.train if job.size is None else draw_support(task, job.size, job.seed)
    try:
        facts |= measure(task, support, METHODS[args.part][name], settings, job.seed)
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        facts["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_LENGTH]
    return Cell(job.task, name, job.size, job.repeat, facts)


def warm_up(task: TextTask, method: Method, settings: Settings) -> None:
    """Fit once on a few rows, so that no cell pays for lazy imports or thread pools."""
    few = replace(task, train=_few(task), tests={name: _head(rows, 4) for name, rows in task.tests.items()})
    try:
        measure(few, few.train, method, replace(settings, max_epochs=1), seed=0)
    except Exception as error:  # the cells will fail too, and say so in the results
        print(f"warm-up failed: {type(error).__name__}: {error}", file=sys.stderr)


def run(tasks: Sequence[str], methods: Sequence[str], args: argparse.Namespace) -> tuple[int, int]:
    """Measure every cell that is not in the results yet.

    Returns
    -------
    measured, failed : int
    """
    backbone = Backbone(args.backbone)
    settings = Settings(
        backbone, Embedder(backbone), multiplies_bf16(args.dtype, "cpu"), args.max_epochs, args.max_steps
    )
    read = lru_cache(maxsize=None)(
        lambda name: read_task(args.data, args.part, name, train_rows=args.train_rows, test_rows=args.test_rows)
    )
    measured = failed = 0
    for name in methods:
        method, path = METHODS[args.part][name], results_file(args.out, args.part, name)
        if args.replace:
            remove_failed(path)
        done = {cell.key for cell in load(path)}
        todo = [job for job in jobs(args, tasks, method) if (job.task, job.size, job.repeat) not in done]
        if todo:
            note(path, method, args)
            warm_up(read(todo[0].task), method, settings)
        for job in todo:
            cell = measure_cell(read(job.task), job, name, args, settings)
            append(path, cell)
            measured += 1
            failed += cell.failed
            said = cell.facts.get("error") or f"{cell.facts['score']:.4f}  {cell.facts['fit_cpu_seconds']:.1f} CPU s"
            print(f"{args.part} {name} {job.task} {job.size} {job.repeat}: {said}", file=sys.stderr, flush=True)
    return measured, failed


def note(path: Path, method: Method, args: argparse.Namespace) -> None:
    """Write down how the cells of a file are measured; cells of another protocol are refused."""
    protocol = {"max_tokens": MAX_TOKENS, "max_epochs": args.max_epochs, "backbone": args.backbone_name}
    protocol |= {"train_rows": args.train_rows, "test_rows": args.test_rows}
    if args.max_steps:
        protocol["max_steps"] = args.max_steps
    record_run(path, protocol, {"command": command(), "machine": machine(), "versions": versions(*method.packages)})


def _timed(work: Any, settings: Settings) -> tuple[Any, float, float]:
    """What `work` returns, its wall-clock and its processor seconds, with those that remembered features spared."""

    def clock() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()]) + settings.embedder.spared

    start = clock()
    result = work()
    wall, cpu = (clock() - start).tolist()
    return result, wall, cpu


def _few(task: TextTask) -> Rows:
    """With GLUE enough for five folds and a held-out part."""
    if not task.classes:
        return _head(task.train, 40)
    return draw_support(task, 10 if task.part == "glue" else 2, seed=0)


def _head(rows: Rows, n: int) -> Rows:
    return rows.take(np.arange(min(n, len(rows))))


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(METHODS))
    parser.add_argument("--methods", type=_names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument("--tasks", type=_names, metavar="A,B", help="default: all of the part; in this order")
    parser.add_argument(
        "--sizes", type=_numbers, default=list(SIZES), metavar="N,N", help="few-shot: examples per class (default all)"
    )
    parser.add_argument("--repeats", type=_numbers, metavar="A,B-C", help="which repeats; default 0, few-shot 0-4")
    parser.add_argument("--data", type=Path, help="folder with glue/ and train/; default: the shared one")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "text", help="folder of results")
    parser.add_argument("--backbone", type=Path, help="a BERT encoder's folder; default: packaged all-MiniLM-L6-v2")
    parser.add_argument("--max-epochs", type=int, default=20, help="of methods that train (default 20)")
    parser.add_argument("--max-steps", type=int, default=0, help="as many whole epochs as fit in so many steps")
    parser.add_argument("--dtype", choices=["auto", "bf16", "fp32"], default="auto", help="of training on the CPU")
    parser.add_argument("--threads", type=int, default=1, help="threads of every method (default 1)")
    parser.add_argument("--train-rows", type=int, default=0, help="rows read of a training file, 0 for all (default)")
    parser.add_argument("--test-rows", type=int, help="rows read of a test file; default: all, few-shot 1000")
    parser.add_argument("--replace", action="store_true", help="measure failed cells again")
    args = parser.parse_args(arguments)
    args.repeats = list(range(REPEATS[args.part])) if args.repeats is None else args.repeats
    args.test_rows = TEST_ROWS[args.part] if args.test_rows is None else args.test_rows
    args.data = args.data or default_data()
    args.backbone_name = args.backbone.name if args.backbone else "all-MiniLM-L6-v2"
    if args.max_epochs < 1 or args.max_steps < 0 or args.threads < 1 or args.train_rows < 0 or args.test_rows < 0:
        parser.error("--max-epochs and --threads must be at least 1, rows and --max-steps at least 0")
    if unknown := set(args.methods or ()) - set(METHODS[args.part]):
        parser.error(f"no such method: {', '.join(sorted(unknown))}. There are: {', '.join(METHODS[args.part])}")
    return args


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    """``0,3`` or ``0-2`` or both; argparse says so where it is neither."""
    numbers: list[int] = []
    for part in _names(text):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 when a cell failed."""
    args = parse_arguments(arguments)
    available = task_names(args.data, args.part)
    if absent := set(args.tasks or ()) - set(available):
        sys.exit(f"No such task: {', '.join(sorted(absent))}. There are: {', '.join(available)}.")
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # the tokenizer's
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    with threadpool_limits(limits=args.threads):
        measured, failed = run(args.tasks or available, args.methods or list(METHODS[args.part]), args)
    print(f"{measured} cells measured, {failed} failed, in {args.out}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
