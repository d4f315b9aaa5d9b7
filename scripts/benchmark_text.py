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
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_cells import results_file
from benchmark_common import command, machine, versions
from benchmark_results import record_run
from benchmark_runs import Job, add_arguments, check_arguments, clock, jobs, run_method, timed, warm_up
from benchmark_text_data import ROOT, Rows, TextTask, default_data, draw_support, read_task, task_names
from benchmark_text_methods import METHODS, Method, Settings
from benchmark_text_metrics import metric_of, score
from benchmark_text_networks import MAX_TOKENS, Backbone, Embedder
from threadpoolctl import threadpool_limits

from modelgpt_cli.core.devices import multiplies_bf16

SIZES = (0, 1, 4, 8, 16, 64)
REPEATS = {"glue": 1, "few-shot": 5}
TEST_ROWS = {"glue": 0, "few-shot": 1000}


def measure(task: TextTask, support: Rows, method: Method, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit one method on `support` and score it on the test rows: a cell's facts."""

    def now() -> np.ndarray:
        return clock() + settings.embedder.spared

    fit = method.make(replace(settings, metric=metric_of(task)))  # loads libraries
    fitted, seconds, cpu_seconds = timed(
        lambda: fit(support.texts, support.pairs, support.labels, task.classes, task.requirement, seed), now
    )
    facts = {"fit_seconds": seconds, "fit_cpu_seconds": cpu_seconds}
    for number, (name, rows) in enumerate(task.tests.items()):
        answers, seconds, cpu_seconds = timed(partial(fitted.predict_proba, rows.texts, rows.pairs), now)
        if not np.isfinite(answers).all():
            raise ValueError("some answers are not numbers")
        figures = score(task, rows, answers)
        if number:
            facts |= {f"{key}_{name}": value for key, value in figures.items()}
            continue
        facts |= figures
        facts |= {"predict_seconds": seconds, "predict_cpu_seconds": cpu_seconds, "n_test": len(rows)}
    return {**facts, "n_train": len(support), **fitted.facts}


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
    counts = [_run_method(name, tasks, read, settings, args) for name in methods]
    return sum(measured for measured, _ in counts), sum(failed for _, failed in counts)


def _run_method(
    name: str, tasks: Sequence[str], read: Callable[[str], TextTask], settings: Settings, args: argparse.Namespace
) -> tuple[int, int]:
    method, path = METHODS[args.part][name], results_file(args.out, args.part, name)

    def start(first: Job) -> None:
        note(path, method, args)
        task = read(first.task)
        few = replace(task, train=_few(task), tests={name: _head(rows, 4) for name, rows in task.tests.items()})
        warm_up(lambda: measure(few, few.train, method, replace(settings, max_epochs=1), seed=0))

    def one(job: Job) -> dict[str, Any]:
        task = read(job.task)
        support = task.train if job.size is None else draw_support(task, job.size, job.seed)
        return measure(task, support, method, settings, job.seed)

    todo = list(jobs(tasks, args.sizes if args.part == "few-shot" else [None], args.repeats, method))
    return run_method(path, name, todo, one, start, replace=args.replace, threads=args.threads)


def note(path: Path, method: Method, args: argparse.Namespace) -> None:
    """Write down how the cells of a file are measured; cells of another protocol are refused."""
    protocol = {"max_tokens": MAX_TOKENS, "max_epochs": args.max_epochs, "backbone": args.backbone_name}
    protocol |= {"train_rows": args.train_rows, "test_rows": args.test_rows}
    if args.max_steps:
        protocol["max_steps"] = args.max_steps
    record_run(path, protocol, {"command": command(), "machine": machine(), "versions": versions(*method.packages)})


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
    add_arguments(parser, list(METHODS), SIZES, ROOT / "docs" / "results" / "text")
    parser.add_argument("--data", type=Path, help="folder with glue/ and train/; default: the shared one")
    parser.add_argument("--backbone", type=Path, help="a BERT encoder's folder; default: packaged all-MiniLM-L6-v2")
    parser.add_argument("--train-rows", type=int, default=0, help="rows read of a training file, 0 for all (default)")
    parser.add_argument("--test-rows", type=int, help="rows read of a test file; default: all, few-shot 1000")
    args = parser.parse_args(arguments)
    check_arguments(parser, args, list(METHODS[args.part]), REPEATS[args.part])
    args.test_rows = TEST_ROWS[args.part] if args.test_rows is None else args.test_rows
    args.data = args.data or default_data()
    args.backbone_name = args.backbone.name if args.backbone else "all-MiniLM-L6-v2"
    if args.train_rows < 0 or args.test_rows < 0:
        parser.error("--train-rows and --test-rows must be at least 0")
    return args


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
