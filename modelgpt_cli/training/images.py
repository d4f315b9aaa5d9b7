"""Meta-training on pictures: which sets, and the backbone that sees them; the rest is `adapters`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.devices import multiplies_bf16, pick_device
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.cards import find_card
from modelgpt_cli.domains.image.embed import embed
from modelgpt_cli.domains.image.inputs import Scaling
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.rows import Pictures
from modelgpt_cli.domains.image.target import make_image_generator, scaling_of
from modelgpt_cli.domains.image.tasks import ImageTask, held_out, read_tasks
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.adapter_config import ImageTrainConfig
from modelgpt_cli.training.adapters import AdapterReport, AdapterTraining, Shares
from modelgpt_cli.training.schedule import open_run, write_config

log = logging.getLogger("modelgpt")
SCALING_PICTURES = 256
"""Of each task, to find the features' scaling."""


def train_images(
    *,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    backbone: str | None = None,
    backbone_weights: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/image",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    precision: str | None = None,
) -> AdapterReport:
    """Train a generator of convolutional LoRA factors and heads on sets of pictures.

    Parameters
    ----------
    tasks : path
        Folder of sets, each a zip archive or a folder beside its card (``NAME.yaml``); a fixed share (by hash of the
        name) is kept for validation.
    config : path, optional
        YAML with `ImageTrainConfig`'s fields; the other arguments win over it.
    backbone, backbone_weights : str, optional
        Card, and a file of weights for it; the shipped network by default.
    steps, minutes, out, resume, device, seed, update, precision
        As for `meta_train`.

    Raises
    ------
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    weights = str(Path(backbone_weights).resolve()) if backbone_weights is not None else None
    out, settings = open_run(
        ImageTrainConfig, out, config, resume, tasks=tasks, backbone=backbone, backbone_weights=weights, steps=steps,
        minutes=minutes, seed=seed, update=update, precision=precision,
    )  # fmt: skip
    loaded = load_backbone(find_card(settings.backbone), settings.backbone_weights)
    run = ImageTraining(settings, out, pick_device(device), loaded, load_tasks(settings, loaded))
    if resume:
        run.restore()
    write_config(out, settings.to_dict())
    rate, best = run.train(), run.best
    return AdapterReport(out, run.step, run.seconds, rate, best["mean"], best["step"])


def load_tasks(settings: ImageTrainConfig, backbone: Backbone) -> list[ImageTask]:
    """The sets of a configuration, as the backbone sees them and with their words embedded."""
    log.info("Reading the sets of pictures with cards in %s ...", settings.tasks)
    view = View.of(backbone.card.encoder_config())
    found = read_tasks(str(settings.tasks), TextEncoder(), view, settings.wordings)
    return [task for task in found if not {task.name, task.name.split("/")[0]} & set(settings.exclude)]


class ImageTraining(AdapterTraining[Pictures]):
    """One run."""

    def __init__(
        self, config: ImageTrainConfig, out: Path, device: str, backbone: Backbone, tasks: list[ImageTask]
    ) -> None:
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bf16, self.training = multiplies_bf16(config.precision, device), False
        aside = set(config.judged)
        train = [t for t in tasks if not held_out(t.name, config.holdout) and t.name not in aside]
        shares = Shares(
            train=train,
            weights=[1.0] * len(train),
            judged={
                "unseen": [t for t in tasks if held_out(t.name, config.holdout)],
                "domain": [t for t in tasks if t.name in aside],
            },
        )
        torch.manual_seed(config.seed)
        sizes = config.sizes(backbone.card.name, backbone.size)
        super().__init__(config, out, device, make_image_generator(sizes, backbone, self._scaling(train)), shares)

    @torch.no_grad()
    def _scaling(self, tasks: list[ImageTask]) -> Scaling:
        """Of the unadapted backbone's features, over the pictures that are trained on, each task alike."""
        self.adapt(False)
        parts = []
        for task in tasks:
            rows = task.parts["train"].rows
            picked = np.linspace(0, len(rows) - 1, SCALING_PICTURES).round()
            parts.append(embed(self.backbone, None, rows.take(picked), bf16=self.bf16))
        return Scaling.of(torch.cat(parts))

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act and pictures be changed, or not."""
        self.training = training
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Pictures, pair: bool) -> Tensor:
        """Head inputs (N, E)."""
        features = embed(self.backbone, lora, rows, bf16=self.bf16, change=self.training)
        return scaling_of(self.generator).inputs(features)
