"""Train the generators that the benchmark of held-back domains needs: for each domain of a set, one that never saw it.

    python scripts/train_domain_generators.py --backbone mobilenet_v2_tf --backbone-weights FILE --base runs/base
    python -m scripts.benchmarks images domains --backbone mobilenet_v2_tf --backbone-weights FILE \
        --generator 'runs/domains/mobilenet_v2_tf/{set}-{domain}/generator.safetensors'

Each starts from one generator (``--base``, the directory of its run) that has seen no set with domains at all, and
learns all sets but the domain that is held back. The settings are those of ``weights/image/training.yaml`` with what
is below. The last step's weights are kept, so that the held-back domain chooses nothing; how well they do on it is
written into the run's log at the end. With ``--lora-steps`` each goes on with factors and heads, on images that are
changed anew each time; the generators of heads alone are then in ``{set}-{domain}-heads``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from benchmarks.common import ROOT, data_folder
from benchmarks.images.networks import Weights
from benchmarks.images.tasks import DOMAIN_SETS, Sets, domain_of

from modelgpt_cli.domains.image.architectures import DEFAULT_CARD, find_card
from modelgpt_cli.domains.image.tasks import set_of
from modelgpt_cli.training.meta_train import meta_train

WEIGHT = 6.0
"""The set's other domains are drawn so many times as often as other sets of their size."""
AVERAGE = 0.98
"""Of the weights: the runs are short."""
HEADS: dict[str, Any] = {
    "views": 1, "batch": 8, "lr": 1e-3, "warmup": 50, "decay_from": 0.3,
    "hidden_names": 0.2, "name_dropout": 0.1, "misled": 0.1,
}  # fmt: skip
"""Here the names are known ones, and are to be trusted more."""
ALL: dict[str, Any] = HEADS | {
    "views": 0, "batch": 4, "query": 24, "lr": 2e-4, "warmup": 10, "max_support": 24, "free_support": 8,
}  # fmt: skip


def settings_of(task: str, init: Path, steps: int, args: argparse.Namespace, turn: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run that holds a task back."""
    wordings = yaml.safe_load((ROOT / "weights" / "image" / "training.yaml").read_text(encoding="utf-8"))["wordings"]
    return turn | {
        "init": str(init), "backbone": args.backbone, "backbone_weights": args.backbone_weights,
        "steps": steps, "validate_every": steps, "average": AVERAGE, "seed": args.seed,
        "holdout": 0.0, "judged": [task], "set_weights": {set_of(task): WEIGHT}, "wordings": wordings,
    }  # fmt: skip


def train(task: str, args: argparse.Namespace) -> None:
    """One held-back domain, in one turn or two; a run that is there already is left."""
    folder: Path = args.out / f"{set_of(task)}-{domain_of(task)}"
    heads = folder.with_name(f"{folder.name}-heads") if args.lora_steps else folder
    turns = [(heads, args.base / "generator.safetensors", args.steps, HEADS)]
    if args.lora_steps:
        turns.append((folder, heads / "generator.safetensors", args.lora_steps, ALL))
    for out, init, steps, turn in turns:
        if (out / "generator.safetensors").exists():
            continue
        out.mkdir(parents=True, exist_ok=True)
        features = args.base / "features.safetensors"
        if turn["views"] and features.exists():  # the unadapted trunk's, alike in all of the runs
            shutil.copyfile(features, out / features.name)
        config = out.with_suffix(".yaml")
        config.write_text(yaml.safe_dump(settings_of(task, init, steps, args, turn), sort_keys=False), encoding="utf-8")
        meta_train("image", tasks=args.data, config=config, out=out)
        (out / features.name).unlink(missing_ok=True)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of sets with cards; default: the shared one")
    parser.add_argument("--backbone", default=DEFAULT_CARD, metavar="CARD")
    parser.add_argument("--backbone-weights", metavar="FILE", help="its weights; default: the card's own")
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the run that all start from")
    parser.add_argument("--tasks", default=",".join(DOMAIN_SETS), metavar="A,B", help="sets or set/domain")
    parser.add_argument("--steps", type=int, default=150, help="of the heads' generation")
    parser.add_argument("--lora-steps", type=int, default=0, help="of factors and heads, after that")
    parser.add_argument("--out", type=Path, help="default: runs/domains/CARD")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.data = args.data or data_folder("image")
    args.out = args.out or Path("runs") / "domains" / args.backbone
    if not (args.base / "generator.safetensors").is_file():
        parser.error(f"there is no generator.safetensors in {args.base}")
    sets = Sets(args.data, Weights(find_card(args.backbone), args.backbone_weights).view)
    for task in sets.tasks("domains", args.tasks.split(",")):
        train(task, args)


if __name__ == "__main__":
    main()
