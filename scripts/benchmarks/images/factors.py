"""Images: what the second turn of meta-training, of the network's factors, is worth by its settings.

    python -m scripts.benchmarks factors --report docs/image-generator.md

Each setting goes on from the shipped generator for the same number of steps on kept maps (`keep: maps`), once for each
of `FOLDS`: the sets of a fold are held out, and the others that meta-training may see are trained on. Judged are the
held-out sets, from words alone and with 1, 4 and 16 images per class, on all test images; also with the weights moved
but half of the way. The sets of the benchmark of images (`pacs`, `objects15`, `steel_defects`) play no part. A setting
that has been trained is not trained again. For each of the other sets the maps of two views are kept: 0.3 GB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from modelgpt_cli.core.assets import asset
from modelgpt_cli.domains.image.architectures import find_card
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.efficientnet_lite import EfficientNetLite
from modelgpt_cli.domains.image.embed import first_maps
from modelgpt_cli.domains.image.fit import Adapted, adapt
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import load_image_generator
from modelgpt_cli.domains.image.tasks import ImageTask, held_out
from modelgpt_cli.domains.image.train import ImageTrainConfig, ImageTraining, load_tasks
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, Words
from modelgpt_cli.training.processes import join

from ..ablation import task_scores
from ..common import ROOT, data_folder, make_parser, names, provenance, table, write_section
from ..harness import draw_rows, draw_seed
from .tasks import HOLDOUT

FOLDS = (("caltech_objects", "sign_digits", "trashnet"), ("flowers5", "tiny_household", "weather4"))
SIZES = (1, 4, 16)
"""Images per class that are given, beside none."""
HALF = 0.5
COMMON: dict[str, Any] = {
    "views": 2, "keep": "maps", "batch": 4, "query": 20, "max_support": 32, "free_support": 12, "average": 0.98,
    "warmup": 10, "decay_from": 0.3, "precision": "float32", "holdout": 0.0, "validation_query": 32,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "factors 1e-3": {"trained": "factors.", "lr": 1e-3},
    "factors 3e-4": {"trained": "factors.", "lr": 3e-4},
    "shared factors 1e-3": {"trained": "factors.base.", "lr": 1e-3},
    "factors and heads 3e-4": {"lr": 3e-4},
}


@dataclass
class Judge:
    """Accuracies of a generator on the held-out sets."""

    backbone: Backbone
    tasks: list[ImageTask]
    repeats: int

    def scores(self, generator: AdapterGenerator) -> dict[str, float]:
        """Return the mean over sets, by images per class."""
        found = [self._task(generator, task) for task in self.tasks]
        return {key: float(np.mean([one[key] for one in found])) for key in found[0]}

    def _task(self, generator: AdapterGenerator, task: ImageTask) -> dict[str, float]:
        words = Words(torch.from_numpy(task.requirements[0]), torch.from_numpy(task.names[0]), False, False)
        adapted = adapt(self.backbone, generator, words)
        train, test = task.parts["train"], task.parts["test"]
        phi, answer = self._inputs(adapted, train.rows), torch.from_numpy(test.y)
        draws: dict[str, list[tuple[int, Tensor, Tensor]]] = {str(size): [] for size in SIZES}
        for size in SIZES:
            for seed in (draw_seed(task.name, size, repeat) for repeat in range(self.repeats)):
                index = torch.from_numpy(draw_rows(train.y, range(len(task.classes)), size, seed))
                target = torch.nn.functional.one_hot(torch.from_numpy(train.y)[index], len(task.classes)).float()
                draws[str(size)].append((seed, phi[index], target))

        def score(logits: Tensor) -> float:
            return 100 * float((logits.argmax(1) == answer).float().mean())

        return task_scores(adapted, self._inputs(adapted, test.rows), draws, score)

    @torch.inference_mode()
    def _inputs(self, adapted: Adapted, rows: Images) -> Tensor:
        """Head inputs (N, E) of kept maps."""
        trunk = folded(adapted.trunk)
        assert isinstance(trunk, EfficientNetLite)
        assert adapted.scaling is not None
        if rows.kept is None:
            rows.kept = first_maps(self.backbone, rows).half()[:, None]
        maps = (part.float().contiguous(memory_format=torch.channels_last) for part in rows.kept[:, 0].split(64))
        return adapted.scaling.inputs(torch.cat([trunk.rest(part, self.backbone.first_blocks) for part in maps]))


def moved(start: AdapterGenerator, end: AdapterGenerator, share: float) -> None:
    """Let `start` go so much of the way to `end`."""
    with torch.no_grad():
        for here, there in zip(start.parameters(), end.parameters(), strict=True):
            here.lerp_(there, share)


def train(run: Path, settings: dict[str, Any], tasks: list[ImageTask], backbone: Backbone, maps: Path) -> None:
    """Train a setting in a directory, unless it has been trained there."""
    if (run / "generator.safetensors").exists():
        return
    run.mkdir(parents=True, exist_ok=True)
    if maps.exists():
        os.link(maps, run / maps.name)
    ImageTraining(ImageTrainConfig(**settings), run, join("cpu"), backbone, tasks, taught=False).complete(resume=False)
    (run / maps.name).replace(maps)  # with what this run has added
    (run / "last.safetensors").unlink()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("factors", __doc__)
    parser.add_argument("--data", type=Path, default=data_folder("image"), help="folder of sets with cards")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "factors", help="where the runs are kept")
    parser.add_argument("--settings", type=names, metavar="A,B", default=list(SETTINGS), help="some of them")
    parser.add_argument("--folds", type=int, default=1, help="so many of them")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3, help="draws of images (default 3)")
    parser.add_argument("--report", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and judge it."""
    args = parse_arguments(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if unknown := set(args.settings) - set(SETTINGS):
        sys.exit(f"No such setting: {', '.join(sorted(unknown))}. There are: {', '.join(SETTINGS)}.")
    shipped = asset("weights", "image", "generator.safetensors")
    wordings = yaml.safe_load((ROOT / "weights" / "image" / "training.yaml").read_text(encoding="utf-8"))["wordings"]
    sets = [path.stem for path in sorted(args.data.glob("*.yaml"))]
    common = COMMON | {
        "tasks": str(args.data), "init": str(shipped), "wordings": wordings, "steps": args.steps,
        "validate_every": args.steps, "exclude": tuple(name for name in sets if held_out(name, HOLDOUT)),
    }  # fmt: skip
    backbone = load_backbone(find_card(None))
    tasks = load_tasks(ImageTrainConfig(**common), backbone)
    found: dict[str, list[dict[str, float]]] = {}
    for k, fold in enumerate(FOLDS[: args.folds]):
        for name in args.settings:
            run = args.runs / f"{name.replace(' ', '-')}-{k}"
            train(run, common | SETTINGS[name] | {"judged": fold}, tasks, backbone, args.runs / "maps.safetensors")
        judge = Judge(load_backbone(find_card(None)), [task for task in tasks if task.name in fold], args.repeats)
        found.setdefault("**as shipped**", []).append(judge.scores(load_image_generator(shipped)[0]))
        for name in args.settings:
            end = load_image_generator(args.runs / f"{name.replace(' ', '-')}-{k}" / "generator.safetensors")[0]
            for words, share in (("", 1.0), (", half of the way", HALF)):
                start = load_image_generator(shipped)[0]
                moved(start, end, share)
                found.setdefault(name + words, []).append(judge.scores(start))
                print(k, name + words, found[name + words][-1], found["**as shipped**"][-1], file=sys.stderr)
    rows = [
        [name, *(f"{np.mean([fold[str(size)] for fold in folds]):.1f}" for size in (0, *SIZES))]
        for name, folds in found.items()
    ]
    aside = "; then ".join(map(", ".join, FOLDS[: args.folds]))
    told = f"{args.steps} steps of {COMMON['batch']} episodes. Held out: {aside}. By images per class, "
    header = ["setting", "words", *map(str, SIZES)]
    told += f"{args.repeats} draws; means over sets."
    text = f"{provenance('modelgpt-cli', 'torch')}\n\n{told}\n\n{table(header, rows)}"
    print(text)
    if args.report:
        write_section(args.report, "factors", text)


if __name__ == "__main__":
    main()
