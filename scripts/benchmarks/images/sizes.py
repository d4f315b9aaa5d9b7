"""What the generator is worth at each size of images, on the sets that it was not trained on.

Writes weights/image/sizes.yaml, which `modelgpt zoo` reads: the episodes that meta-training validates on, in float32.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.core.assets import asset
from modelgpt_cli.domains.image.architectures import CARDS, GENERATOR_CARDS, SIZES_FILE, ImageCard
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.fit import Adapted
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import load_image_generator, scaling_of
from modelgpt_cli.domains.image.tasks import ImageTask, held_out, read_tasks
from modelgpt_cli.domains.shared.adapter_training import SHOTS, VALIDATION_STREAM
from modelgpt_cli.domains.shared.episode import run_episode
from modelgpt_cli.domains.shared.tasks import fixed_episode
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

from ..common import ROOT

OUT = ROOT / "weights" / "image" / SIZES_FILE


def main(arguments: list[str] | None = None) -> None:
    """Measure every card that the shipped generator is for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the sets of images with their cards")
    folder = parser.parse_args(arguments).folder
    generator, header = load_image_generator(asset("weights", "image", "generator.safetensors"))
    card = yaml.safe_load(asset("weights", "image", "card.yaml").read_text(encoding="utf-8"))
    backbone = load_backbone(CARDS[GENERATOR_CARDS[0]])
    found = {
        name: {"scores": scores(generator, backbone, CARDS[name], folder, card["config"])}
        for name in tqdm(GENERATOR_CARDS, desc="sizes")
    }
    record = {
        "generator": header["sha256"],
        "date": datetime.date.today().isoformat(),
        "command": "python -m scripts.benchmarks sizes IMAGES",
        "images_a_class": list(SHOTS),
        "cards": found,
    }
    OUT.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


@torch.inference_mode()
def scores(
    generator: AdapterGenerator, backbone: Backbone, card: ImageCard, folder: Path, config: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Return the share of right answers of each held-out task, by labelled images a class: 0, 4, 16."""
    view = View.of(card.encoder_config())
    tasks = [task for task in _tasks(folder, view) if held_out(task.name, config["holdout"])]

    def embed(lora: Mapping[str, Tensor], rows: Images, pair: bool) -> Tensor:
        seen = Adapted(words=episode.words, trunk=backbone.merge(lora), view=view).features(rows)
        return scaling_of(generator).inputs(seen)

    result: dict[str, list[float]] = {}
    for i, task in enumerate(tasks):
        right = []
        for shots in SHOTS[1:]:
            rng = np.random.default_rng([config["seed"], VALIDATION_STREAM, i, shots])
            episode = fixed_episode(task, shots, rng, config["validation_query"])
            found = run_episode(generator, embed, episode)
            logits = [found.prior, found.posterior] if shots == SHOTS[1] else [found.posterior]
            right += [round(float((z.argmax(1) == episode.answer).float().mean()), 3) for z in logits]
        result[task.name] = right
    return result


def _tasks(folder: Path, view: View) -> list[ImageTask]:
    return read_tasks(folder, TextEncoder(), view)


if __name__ == "__main__":
    main()
