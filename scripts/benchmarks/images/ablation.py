"""Images: what words and generated factors are worth to the generator; true, wrong and no requirements, and LoRA.

    python -m scripts.benchmarks ablation images --generator runs/image/generator.safetensors --report PAGE
    python -m scripts.benchmarks ablation images --domain-generator 'runs/pacs-{domain}/generator.safetensors' ...

One change at a time against the build as it ships: accuracy with 0, 4 and 16 images per class on the sets that
meta-training never sees, and without images on domains that it has held out (for which a generator each is given). Test
images and examples are drawn as in the benchmark of images. A variant's trunk sees a task's images once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.fit import adapt
from modelgpt_cli.domains.image.tasks import ImageSet
from modelgpt_cli.domains.shared.tasks import label_text, make_words
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

from ..ablation import SHIPPED, SIZES, VARIANTS, Bench, Variant, compared, mean_scores, report, task_scores
from ..common import make_parser, names
from ..harness import draw_rows, draw_seed
from ..metrics import fair_metrics
from .bench import add_image_arguments, check_generators, read_image_arguments
from .networks import Weights
from .ours import Generators
from .tasks import Sets, silence


def without_concepts(generator: AdapterGenerator) -> None:
    """The memory of what an ImageNet classifier can name is empty, where there is one."""
    if generator.config.concepts:
        torch.nn.init.zeros_(generator.concepts.heads)
        torch.nn.init.zeros_(generator.concepts.tell.weight)
        torch.nn.init.zeros_(generator.concepts.tell.bias)


IMAGE_VARIANTS = {"no concepts": Variant(change=without_concepts)}


class ImageBench:
    """Some tasks, and what is measured on them.

    Parameters
    ----------
    sizes : sequence of int
        Images per class that are given, beside none.
    """

    def __init__(
        self, tasks: list[ImageSet], weights: Weights, generators: Generators, sizes: tuple[int, ...], repeats: int
    ) -> None:
        self.tasks, self.weights, self.generators = tasks, weights, generators
        self.sizes, self.repeats = sizes, repeats
        self.encoder = TextEncoder()

    def measure(self, variant: Variant) -> dict[str, float]:
        """Return mean accuracy over tasks (and draws), by the number of images per class."""
        requirements = [task.sentences[0] for task in self.tasks]
        return mean_scores(requirements, variant, lambda i, sentence: self._task(self.tasks[i], sentence, variant))

    def _task(self, task: ImageSet, sentence: str, variant: Variant) -> dict[str, float]:
        shipped = self.generators.file(task.name) or asset("weights", "image", "generator.safetensors")
        shown = [label_text(name) if variant.names else "" for name in task.classes]
        words = make_words(self.encoder, sentence, shown, False)
        adapted = adapt(self.weights.adapted(), variant.load(shipped, "image"), words)
        scaling = adapted.scaling
        assert scaling is not None  # there is a generator
        test, train = task.parts["test"], task.parts["train"]
        phi = scaling.inputs(adapted.features(train.rows)) if self.sizes else None
        draws: dict[str, list[tuple[int, Tensor, Tensor]]] = {str(size): [] for size in self.sizes}
        for size in self.sizes:
            for seed in (draw_seed(task.name, size, repeat) for repeat in range(self.repeats)):
                index = draw_rows(train.y, range(len(task.classes)), size, seed)
                target = torch.nn.functional.one_hot(torch.from_numpy(train.y[index]), len(task.classes)).float()
                assert phi is not None
                draws[str(size)].append((seed, phi[torch.from_numpy(index)], target))

        def score(logits: Tensor) -> float:
            probabilities: np.ndarray = logits.softmax(1).numpy()
            return fair_metrics(test.y, probabilities)["score"]

        return task_scores(adapted, scaling.inputs(adapted.features(test.rows)), draws, score)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("ablation images", __doc__, "--compare")
    add_image_arguments(parser)
    parser.add_argument("--domain-generator", metavar="FILE", help="those that held a domain back, with {domain} in it")
    parser.add_argument("--domain-tasks", type=names, default=["pacs"], metavar="A,B", help="held-back sets or domains")
    parser.add_argument("--tasks", type=names, metavar="A,B", help="unseen sets or tasks; default: all")
    parser.add_argument("--repeats", type=int, default=3, help="draws (default 3)")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--section", default="ablation", help="of the report's page (default: ablation)")
    args = parser.parse_args(arguments)
    read_image_arguments(parser, args)
    args.domain_generators = Generators(args.domain_generator)
    if not args.generators.serve(args.backbone) and args.domain_generator is None:
        parser.error(f"give --generator FILE or --domain-generator FILE: none is shipped for {args.backbone}")
    if args.compare and args.domain_generator:
        parser.error("--compare is for the unseen sets: leave out --domain-generator")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every variant and write the table."""
    args = parse_arguments(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    silence()
    sets = Sets(args.data, args.weights.view)
    benches: list[Bench] = []
    header: list[str] = []
    words: list[str] = []
    for part, wanted, generators, sizes in (
        ("few-shot", args.tasks, args.generators, SIZES),
        ("domains", args.domain_tasks, args.domain_generators, ()),
    ):
        if not (generators.serve(args.backbone) if part == "few-shot" else args.domain_generator):
            continue
        tasks = sets.tasks(part, wanted)
        check_generators(generators, tasks)
        benches.append(ImageBench([sets.task(name) for name in tasks], args.weights, generators, sizes, args.repeats))
        kind = "unseen" if part == "few-shot" else "held-back domains"
        header += [f"{kind}, 0", *map(str, sizes)]
        words.append(f"{kind}: {', '.join(tasks)}")
    given = f"Backbone {args.weights.card.name}. {'; '.join(words)}. By images per class, {args.repeats} draws; "
    variants = SHIPPED | VARIANTS | IMAGE_VARIANTS | compared(args.compare)
    try:
        report(args.report, benches, variants, header, f"{given}means over tasks.", args.section)
    except ModelGPTError as error:
        sys.exit(str(error))
