"""Images: do a few images ever make a model of two classes worse than their names alone?

    python -m scripts.benchmarks pairs --report docs/benchmarks.md

For every pair of classes of the sets that meta-training never sees: accuracy on their test images of a build from the
two names, and of builds with 1 to 8 images of each. Draws are seeded as in the benchmark of few images.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from modelgpt_cli.domains.image.tasks import ImageSet
from modelgpt_cli.domains.shared.tasks import Part, label_text

from ..common import make_parser, names, provenance, table, write_section
from ..harness import draw_rows, draw_seed
from .bench import add_image_arguments, read_image_arguments
from .networks import Memory, Weights
from .ours import Generators, build
from .tasks import Sets, silence

SIZES = (1, 2, 4, 8)
CLEARLY = 0.05
"""Accuracy that is lost where a model counts as worse: two of some forty test images."""


def pairs_of(task: ImageSet) -> Iterator[ImageSet]:
    """Yield a task for each pair of a task's classes: images of all, of which those of others have the class -1."""
    for a, b in combinations(range(len(task.classes)), 2):
        parts = {
            name: Part(part.rows, np.select([part.y == a, part.y == b], [0, 1], -1))
            for name, part in task.parts.items()
        }
        classes = task.classes[a], task.classes[b]
        sentence = f"Tell {label_text(classes[0])} from {label_text(classes[1])}."
        yield replace(task, classes=classes, sentences=[sentence], parts=parts)


def accuracies(pair: ImageSet, weights: Weights, generators: Generators, repeats: int, memory: Memory) -> list[float]:
    """Return the accuracy from the names alone, and with each of `SIZES` images per class: means over draws."""
    y = pair.parts["test"].y
    own, name = y >= 0, f"{pair.name}:{'+'.join(pair.classes)}"

    def score(index: np.ndarray | None, seed: int) -> float:
        built = build(pair, index, weights, generators, memory, seed)
        return float((built.predict_proba(pair).argmax(1) == y)[own].mean())

    found = [score(None, 0)]
    for size in SIZES:
        seeds = [draw_seed(name, size, repeat) for repeat in range(repeats)]
        draws = [draw_rows(pair.parts["train"].y, (0, 1), size, seed) for seed in seeds]
        found.append(float(np.mean([score(index, seed) for index, seed in zip(draws, seeds, strict=True)])))
    return found


def lines_of(found: dict[str, np.ndarray]) -> list[list[str]]:
    """Return a line for each task, and one for all pairs, from accuracies (pairs, 1 + sizes)."""
    rows = []
    for name, scores in (found | {"all": np.concatenate(list(found.values()))}).items():
        change = scores[:, 1:] - scores[:, :1]
        means = [f"{100 * mean:.1f}" for mean in scores.mean(0)]
        worse = [f"{int(count)}" for count in (change < -CLEARLY).sum(0)]
        rows.append([name, str(len(scores)), *means, *worse, f"{100 * change.min():+.1f}"])
    return rows


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("pairs", __doc__)
    add_image_arguments(parser)
    parser.add_argument("--tasks", type=names, metavar="A,B", help="sets or tasks; default: all that are unseen")
    parser.add_argument("--repeats", type=int, default=2, help="draws (default 2)")
    parser.add_argument("--report", type=Path, required=True, help="page with a section `image pairs`")
    args = parser.parse_args(arguments)
    read_image_arguments(parser, args)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every pair and write the table."""
    args = parse_arguments(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    silence()
    sets = Sets(args.data, args.weights.view)
    found: dict[str, np.ndarray] = {}
    for name in sets.tasks("few-shot", args.tasks):
        task = sets.task(name)
        memory = Memory()
        made = [accuracies(pair, args.weights, args.generators, args.repeats, memory) for pair in pairs_of(task)]
        found[name] = np.array(made)
        print(" ".join(lines_of({name: found[name]})[0]), flush=True)
    header = ["task", "pairs", "names alone", *(f"{n}" for n in SIZES), *(f"worse with {n}" for n in SIZES), "deepest"]
    draws = "1 draw" if args.repeats == 1 else f"{args.repeats} draws"
    text = (
        f"Mean accuracy × 100 over all pairs of a set's classes, by images per class, {draws}; pairs "
        f"whose accuracy is more than {100 * CLEARLY:.0f} points below that of their names alone; the largest loss."
    )
    write_section(
        args.report,
        "image pairs",
        "\n\n".join([provenance("modelgpt-cli", "torch"), text, table(header, lines_of(found))]),
    )
