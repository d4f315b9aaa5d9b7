"""Images against the methods a user would pick instead: quality and seconds, cell by cell, one backbone for all.

    python scripts/benchmark_image.py domains --backbone mobilenet_v2_tf --backbone-weights FILE \\
        --generator 'runs/{set}-{domain}/generator.safetensors'
    python scripts/benchmark_image.py domains --office31 DIR --tasks office31
    python scripts/benchmark_image.py few-shot --methods ours,probe --sizes 1,4 --repeats 0-2
    python scripts/benchmark_image.py init --tasks pacs
    python scripts/benchmark_image_summary.py --report docs/benchmarks.md

``domains``: each domain of a set in turn is held back; from the others' images, from words (a generator that has seen
only the others) or from its own images. ``few-shot``: the sets that meta-training never sees, with 0 to 32 images
per class. ``init``: the same finetuning from pretrained, generated and built weights, epoch by epoch. Each cell (task,
size, repeat) is appended to the method's JSONL, in a folder of the backbone's name, as soon as it is measured, and
skipped when it is there already: an interrupted benchmark goes on where it stopped. A cell that fails is written down
with its error. A YAML beside the JSONL keeps the protocol, the commands and the machine.

Seconds are those of fitting, from decoded images on. Features of a frozen network are computed once for all of a
task's images, and charged by the image to whoever asks for them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_cells import results_file
from benchmark_common import command, machine, versions
from benchmark_image_data import ROOT, Sets, default_data, few, silence
from benchmark_image_methods import METHODS, Method, Problem, Settings
from benchmark_image_networks import Memory, Weights
from benchmark_image_ours import Generators
from benchmark_metrics import fair_metrics
from benchmark_results import record_run
from benchmark_runs import Job, add_arguments, check_arguments, draw_rows, jobs, run_method, timed, warm_up
from threadpoolctl import threadpool_limits

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.architectures import DEFAULT_CARD, find_card

SIZES = (0, 1, 2, 4, 8, 16, 32)
REPEATS = {"domains": 1, "few-shot": 5, "init": 3}
TOPS = (3, 5)
WARM_UP_IMAGES = 6
"""Of each class: enough for five folds and a held-out part."""


def measure(problem: Problem, method: Method, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit one method on a problem and score it on the task's test images: a cell's facts."""
    now = settings.memory.now
    fit = method.make(settings)  # loads libraries
    fitted, seconds, cpu_seconds = timed(lambda: fit(problem, seed), now)
    facts: dict[str, Any] = {"fit_seconds": seconds, "fit_cpu_seconds": cpu_seconds}
    answers, seconds, cpu_seconds = timed(lambda: fitted.predict_proba(problem.task), now)
    if not np.isfinite(answers).all():
        raise ValueError("some answers are not numbers")
    true = problem.task.parts["test"].y
    facts |= fair_metrics(true, answers, TOPS)
    facts |= {"predict_seconds": seconds, "predict_cpu_seconds": cpu_seconds, "n_test": len(true)}
    return {**facts, "n_train": len(problem.index), **fitted.facts}


def problem_of(sets: Sets, job: Job) -> Problem:
    """What a cell gives of its task."""
    task = sets.task(job.task)
    y = task.parts["train"].y
    index = np.arange(len(y)) if job.size is None else draw_rows(y, range(len(task.classes)), job.size, job.seed)
    return Problem(task, index, sets.others(job.task))


def few_of(problem: Problem) -> Problem:
    """A problem to warm up with."""
    task = few(problem.task, WARM_UP_IMAGES)
    others = [few(one, WARM_UP_IMAGES) for one in problem.others[:1]]
    return Problem(task, np.arange(len(task.parts["train"].y)), others)


def run(sets: Sets, tasks: Sequence[str], methods: Sequence[str], args: argparse.Namespace) -> tuple[int, int]:
    """Measure every cell that is not in the results yet.

    Returns
    -------
    measured, failed : int
    """
    settings = Settings(
        args.weights, Memory(), args.generators, args.weights.trunk(), multiplies_bf16(args.dtype, "cpu"),
        args.max_epochs, args.max_steps,
    )  # fmt: skip
    counts = [_run_method(name, sets, tasks, settings, args) for name in methods]
    return sum(measured for measured, _ in counts), sum(failed for _, failed in counts)


def _run_method(
    name: str, sets: Sets, tasks: Sequence[str], settings: Settings, args: argparse.Namespace
) -> tuple[int, int]:
    method, path = METHODS[args.part][name], results_file(args.folder, args.part, name)

    def start(first: Job) -> None:
        note(path, method, args)
        small = few_of(problem_of(sets, first))
        once = replace(settings, memory=Memory(), max_epochs=1)
        warm_up(lambda: measure(small, method, once, seed=0))

    def one(job: Job) -> dict[str, Any]:
        return measure(problem_of(sets, job), method, settings, job.seed)

    todo = list(jobs(tasks, args.sizes if args.part == "few-shot" else [None], args.repeats, method))
    return run_method(path, name, todo, one, start, replace=args.replace, threads=args.threads)


def note(path: Path, method: Method, args: argparse.Namespace) -> None:
    """Write down how the cells of a file are measured; cells of another protocol are refused."""
    weights: Weights = args.weights
    protocol = {"backbone": weights.card.name, "weights": digest(weights), "pixels": weights.card.size}
    protocol |= {"split": "60/40 by class, seeded by the set's name", "max_epochs": args.max_epochs}
    if args.max_steps:
        protocol["max_steps"] = args.max_steps
    if method.ours:
        protocol["generator"] = args.generators.pattern or "shipped, if any"
    record_run(path, protocol, {"command": command(), "machine": machine(), "versions": versions(*method.packages)})


def digest(weights: Weights) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a file of weights."""
    if weights.path is None:
        return f"{weights.card.source} with the card"
    return hashlib.sha256(Path(weights.path).read_bytes()).hexdigest()[:12]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, list(METHODS), SIZES, ROOT / "docs" / "results" / "image")
    add_image_arguments(parser)
    parser.add_argument("--office31", type=Path, metavar="DIR", help="domains: Office-31's tree, as published")
    args = parser.parse_args(arguments)
    check_arguments(parser, args, list(METHODS[args.part]), REPEATS[args.part])
    read_image_arguments(parser, args)
    args.folder = args.out / args.weights.card.name
    able = [name for name, m in METHODS[args.part].items() if not m.generated or args.generators.serve(args.backbone)]
    if unable := set(args.methods or ()) - set(able):
        parser.error(f"{', '.join(sorted(unable))}: give --generator FILE, as none is shipped for {args.backbone}")
    args.methods = args.methods or able
    return args


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that all scripts with a backbone for images have."""
    parser.add_argument("--data", type=Path, help="folder of sets with cards; default: the shared one")
    parser.add_argument("--backbone", default=DEFAULT_CARD, metavar="CARD", help="default: the shipped network")
    parser.add_argument("--backbone-weights", metavar="FILE", help="its weights; default: the card's own")
    parser.add_argument(
        "--generator", metavar="FILE", help="a checkpoint, {set} and {domain} standing for the task's; default: shipped"
    )


def read_image_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Make of them ``args.weights``, ``args.generators`` and ``args.data``."""
    try:
        args.weights = Weights(find_card(args.backbone), args.backbone_weights)
    except ModelGPTError as error:
        parser.error(str(error))
    if args.backbone_weights and not Path(args.backbone_weights).is_file():
        parser.error(f"there is no file {args.backbone_weights}")
    args.generators = Generators(args.generator)
    args.data = args.data or default_data()


def check_generators(generators: Generators, tasks: list[str]) -> None:
    """Leave where a task's generator is not there."""
    if missing := generators.missing(tasks):
        sys.exit(f"No such generator: {', '.join(missing)}. Leave out its tasks with --tasks, or train it.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 when a cell failed."""
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # the tokenizer's
    warnings.simplefilter("ignore")
    silence()
    try:
        sets = Sets(args.data, args.weights.view, args.office31)
        tasks = sets.tasks(args.part, args.tasks)
        if any(METHODS[args.part][name].ours for name in args.methods):
            check_generators(args.generators, tasks)
        with threadpool_limits(limits=args.threads):
            measured, failed = run(sets, tasks, args.methods, args)
    except ModelGPTError as error:
        sys.exit(str(error))
    print(f"{measured} cells measured, {failed} failed, in {args.folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
