"""Images: quality and seconds of ours and of the methods a user would pick instead, one backbone for all.

    python -m scripts.benchmarks images domains --backbone mobilenet_v2_tf --backbone-weights FILE \\
        --generator 'runs/{set}-{domain}/generator.safetensors'
    python -m scripts.benchmarks images domains --office31 DIR --tasks office31
    python -m scripts.benchmarks images few-shot --methods ours,probe --sizes 1,4 --repeats 0-2
    python -m scripts.benchmarks images init --tasks pacs
    python -m scripts.benchmarks images alternatives
    python -m scripts.benchmarks summary images --report docs/benchmarks.md

``domains``: each domain of a set in turn is held out; learnt from the others' images, from words (a generator that has
seen only the others) or from its own images. ``few-shot``: the sets that meta-training never sees, with 0 to 32 images
per class. ``init``: the same finetuning from pretrained, generated and built weights, epoch by epoch.
``alternatives``: what a user would do instead, on these sets with 8, 32 and all images per class. Each cell (task,
size, repeat) is appended to the method's JSONL, in a folder of the backbone's name, as soon as it is measured, and
skipped when it is there already. A YAML file beside the JSONL keeps the protocol, the commands and the machine.

Seconds are those of fitting, from decoded images on. Features of a frozen network are computed once for all of a task's
images, and charged by the image to whoever asks for them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.architectures import DEFAULT_CARD, find_card
from modelgpt_cli.domains.image.tasks import ImageSet

from ..common import RESULTS, data_folder, digest
from ..harness import Method, PartBench, Task, draw_rows, fit_and_score, make_parts_parser, measure_all, read_part
from ..metrics import fair_metrics
from .methods import PARTS, Problem, Settings
from .networks import Memory, Weights
from .ours import Generators
from .tasks import Sets, few, silence

TOPS = (3, 5)
WARM_UP_IMAGES = 6
"""Of each class: enough for five folds and a held-out part."""


def measure(problem: Problem, method: Method, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit one method on a problem and score it on the task's test images: a cell's facts."""

    def score(task: ImageSet, answers: np.ndarray) -> dict[str, float]:
        return fair_metrics(task.parts["test"].y, answers, TOPS)

    fit = method.make(settings)  # loads libraries
    facts = fit_and_score(lambda: fit(problem, seed), {"test": problem.task}, score, settings.memory.now)
    return facts | {"n_train": len(problem.index)}


class ImageBench(PartBench):
    """The benchmark of a part."""

    def __init__(self, sets: Sets, tasks: Sequence[str], args: argparse.Namespace) -> None:
        super().__init__(tasks, args, PARTS[args.part].methods)
        self.sets = sets
        self.settings = Settings(
            args.weights, Memory(), args.generators, args.weights.trunk(), multiplies_bf16(args.dtype, "cpu"),
            args.max_epochs, args.max_steps,
        )  # fmt: skip

    def protocol(self, method: Method) -> dict[str, Any]:
        weights = self.args.weights
        sha256 = f"{weights.card.source} with the card" if weights.path is None else digest(Path(weights.path), 12)
        protocol = {"backbone": weights.card.name, "weights": sha256, "pixels": weights.card.size}
        protocol |= {"split": "60/40 by class, seeded by the set's name"}
        return protocol | ({"generator": self.args.generators.pattern or "shipped, if any"} if method.ours else {})

    def warm_up(self, method: Method, task: Task) -> None:
        whole = self._problem(task)
        small = few(whole.task, WARM_UP_IMAGES)
        others = [few(one, WARM_UP_IMAGES) for one in whole.others[:1]]
        problem = Problem(small, np.arange(len(small.parts["train"].y)), others)
        measure(problem, method, replace(self.settings, memory=Memory(), max_epochs=1), seed=0)

    def learn(self, method: Method, task: Task) -> dict[str, Any]:
        return measure(self._problem(task), method, self.settings, task.seed)

    def _problem(self, task: Task) -> Problem:
        whole = self.sets.task(task.name)
        y = whole.parts["train"].y
        index = np.arange(len(y))
        if task.size is not None:
            index = draw_rows(y, range(len(whole.classes)), task.size, task.seed)
        return Problem(whole, index, self.sets.others(task.name))


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parts_parser("images", __doc__, PARTS, RESULTS / "image")
    add_image_arguments(parser)
    parser.add_argument("--office31", type=Path, metavar="DIR", help="domains: Office-31's tree, as published")
    args = parser.parse_args(arguments)
    methods = PARTS[args.part].methods
    read_part(parser, args, PARTS[args.part])
    read_image_arguments(parser, args)
    args.folder = args.out / args.weights.card.name
    able = [name for name, m in methods.items() if not m.generated or args.generators.serve(args.backbone)]
    if unable := set(args.methods or ()) - set(able):
        parser.error(f"{', '.join(sorted(unable))}: give --generator FILE, as none is shipped for {args.backbone}")
    args.methods = args.methods or able
    return args


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of all benchmarks with a backbone for images."""
    parser.add_argument("--data", type=Path, default=data_folder("image"), help="folder of sets with cards")
    parser.add_argument("--backbone", default=DEFAULT_CARD, metavar="CARD", help="default: the shipped network")
    parser.add_argument("--backbone-weights", metavar="FILE", help="its weights; default: the card's own")
    parser.add_argument(
        "--generator", metavar="FILE", help="a checkpoint, {set} and {domain} standing for the task's; default: shipped"
    )


def read_image_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Make of them ``args.weights`` and ``args.generators``."""
    try:
        args.weights = Weights(find_card(args.backbone), args.backbone_weights)
    except ModelGPTError as error:
        parser.error(str(error))
    if args.backbone_weights and not Path(args.backbone_weights).is_file():
        parser.error(f"there is no file {args.backbone_weights}")
    args.generators = Generators(args.generator)


def check_generators(generators: Generators, tasks: list[str]) -> None:
    """Leave where a task's generator is not there."""
    if missing := generators.missing(tasks):
        sys.exit(f"No such generator: {', '.join(missing)}. Leave out its tasks with --tasks, or train it.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 when a cell failed."""
    args = parse_arguments(arguments)
    silence()
    try:
        sets = Sets(args.data, args.weights.view, args.office31)
        tasks = sets.tasks(args.part, args.tasks)
        if any(PARTS[args.part].methods[name].ours for name in args.methods):
            check_generators(args.generators, tasks)
        return measure_all(ImageBench(sets, tasks, args), args.methods, args, args.folder)
    except ModelGPTError as error:
        sys.exit(str(error))
