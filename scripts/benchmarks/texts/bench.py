"""Texts: quality and seconds of ours and of the methods a user would pick instead, one backbone for all.

    python -m scripts.benchmarks texts glue --methods probe,finetune
    python -m scripts.benchmarks texts few-shot --methods setfit --sizes 1,4,8,16 --repeats 0-2
    python -m scripts.benchmarks summary texts --report docs/benchmarks.md

``glue``: the nine tasks with all training rows, the dev file as test. ``few-shot``: the tasks that meta-training never
sees, with 0 to 64 examples per class. Each cell (task, size, repeat) is appended to the method's JSONL as soon as it is
measured, and skipped when it is there already. A YAML file beside the JSONL keeps the protocol, the commands and the
machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.devices import multiplies_bf16

from ..common import RESULTS, data_folder
from ..harness import Method, PartBench, Task, clock, fit_and_score, make_parts_parser, measure_all, read_part
from .methods import PARTS, Settings
from .networks import MAX_TOKENS, Backbone, Embedder
from .tasks import Rows, TextTask, draw_support, read_task, task_names


def measure(task: TextTask, support: Rows, method: Method, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit one method on `support` and score it on the test rows: a cell's facts."""

    def now() -> np.ndarray:
        return clock() + settings.embedder.spared

    fit = method.make(settings)  # loads libraries
    facts = fit_and_score(lambda: fit(task, support, seed), task.tests, task.score, now)
    return facts | {"n_train": len(support)}


class TextBench(PartBench):
    """The benchmark of a part."""

    def __init__(self, tasks: Sequence[str], args: argparse.Namespace) -> None:
        super().__init__(tasks, args, PARTS[args.part].methods)
        backbone = Backbone(args.backbone)
        bf16 = multiplies_bf16(args.dtype, "cpu")
        self.settings = Settings(backbone, Embedder(backbone), bf16, args.max_epochs, args.max_steps)
        self.read = lru_cache(maxsize=None)(
            lambda name: read_task(args.data, args.part, name, train_rows=args.train_rows, test_rows=args.test_rows)
        )

    def protocol(self, method: Method) -> dict[str, Any]:
        backbone = self.args.backbone.name if self.args.backbone else "all-MiniLM-L6-v2"
        rows = {"train_rows": self.args.train_rows, "test_rows": self.args.test_rows}
        return {"max_tokens": MAX_TOKENS, "backbone": backbone, **rows}

    def warm_up(self, method: Method, task: Task) -> None:
        whole = self.read(task.name)
        few = replace(whole, train=_few(whole), tests={name: rows.head(4) for name, rows in whole.tests.items()})
        measure(few, few.train, method, replace(self.settings, max_epochs=1), seed=0)

    def learn(self, method: Method, task: Task) -> dict[str, Any]:
        whole = self.read(task.name)
        support = whole.train if task.size is None else draw_support(whole, task.size, task.seed)
        return measure(whole, support, method, self.settings, task.seed)


def _few(task: TextTask) -> Rows:
    """With GLUE enough for five folds and a held-out part."""
    if not task.classes:
        return task.train.head(40)
    return draw_support(task, 10 if task.part == "glue" else 2, seed=0)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parts_parser("texts", __doc__, PARTS, RESULTS / "text")
    parser.add_argument("--data", type=Path, default=data_folder("text"), help="folder with glue/ and train/")
    parser.add_argument("--backbone", type=Path, help="a BERT encoder's folder; default: packaged all-MiniLM-L6-v2")
    parser.add_argument("--train-rows", type=int, default=0, help="rows read of a training file, 0 for all (default)")
    parser.add_argument("--test-rows", type=int, help="rows read of a test file; default: all, few-shot 1000")
    args = parser.parse_args(arguments)
    read_part(parser, args, PARTS[args.part])
    args.folder = args.out
    args.test_rows = PARTS[args.part].test_rows if args.test_rows is None else args.test_rows
    if args.train_rows < 0 or args.test_rows < 0:
        parser.error("--train-rows and --test-rows must be at least 0")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 when a cell failed."""
    args = parse_arguments(arguments)
    available = task_names(args.data, args.part)
    if absent := set(args.tasks or ()) - set(available):
        sys.exit(f"No such task: {', '.join(sorted(absent))}. There are: {', '.join(available)}.")
    bench = TextBench(args.tasks or available, args)
    return measure_all(bench, args.methods or list(bench.methods), args, args.out)
