"""Meta-training on texts: which tasks, how often each, and the backbone that reads them; the rest is `adapters`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from modelgpt_cli.core.devices import multiplies_bf16, pick_device
from modelgpt_cli.domains.shared.adapter_config import TextTrainConfig
from modelgpt_cli.domains.shared.adapter_training import AdapterReport, AdapterTraining, Shares
from modelgpt_cli.domains.text.architectures import find_card
from modelgpt_cli.domains.text.backbone import Backbone, load_backbone
from modelgpt_cli.domains.text.embed import embed
from modelgpt_cli.domains.text.target import make_text_generator
from modelgpt_cli.domains.text.tasks import GLUE, TextTask, held_out, read_tasks
from modelgpt_cli.domains.text.tokens import Encoded, prepare_tokenizer
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.schedule import open_run

log = logging.getLogger("modelgpt")


def train_texts(
    *,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    backbone: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/text",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    precision: str | None = None,
) -> AdapterReport:
    """Train a generator of LoRA factors and heads on text tasks.

    Parameters
    ----------
    tasks : path
        Folder of tasks, each a folder with ``card.yaml``, ``train.csv.gz`` and ``test.csv.gz`` or ``dev.csv.gz``; a
        fixed share (by hash of the name) is kept for validation.
    config : path, optional
        YAML with `TextTrainConfig`'s fields; the other arguments win over it.
    backbone : str, optional
        Card, local folder or hub name; the installed encoder by default.
    steps, minutes, out, resume, device, seed, update, precision
        As for `meta_train`.

    Raises
    ------
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    out, settings = open_run(
        TextTrainConfig, out, config, resume, tasks=tasks, backbone=backbone, steps=steps, minutes=minutes, seed=seed,
        update=update, precision=precision,
    )  # fmt: skip
    loaded = load_backbone(replace(find_card(settings.backbone), max_tokens=settings.max_tokens))
    run = TextTraining(settings, out, pick_device(device), loaded, load_tasks(settings, loaded))
    return run.complete(resume)


def load_tasks(settings: TextTrainConfig, backbone: Backbone) -> list[TextTask]:
    """The tasks of a configuration, tokenised and with their words embedded."""
    log.info("Reading the text tasks with cards in %s ...", settings.tasks)
    tokenizer = prepare_tokenizer(backbone.tokenizer, settings.max_tokens)
    found = read_tasks(str(settings.tasks), TextEncoder(), tokenizer, settings.wordings)
    return [task for task in found if task.name not in settings.exclude]


class TextTraining(AdapterTraining[Encoded]):
    """One run."""

    def __init__(
        self, config: TextTrainConfig, out: Path, device: str, backbone: Backbone, tasks: list[TextTask]
    ) -> None:
        self.backbone = backbone.to(device)
        self.bf16 = multiplies_bf16(config.precision, device)
        train = [t for t in tasks if not held_out(t.name, config.holdout)]
        glue = [t for t in train if t.name in GLUE]
        shares = Shares(
            train=train,
            weights=[config.glue_weight if t.name in GLUE else 1.0 for t in train],
            judged={"unseen": [t for t in tasks if held_out(t.name, config.holdout)], "glue": glue},
        )
        torch.manual_seed(config.seed)
        sizes = config.sizes(backbone.card.name, backbone.size)
        super().__init__(config, out, device, make_text_generator(sizes, backbone), shares)

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act, or not."""
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Encoded, pair: bool) -> Tensor:
        """Head inputs (N, P)."""
        return embed(self.backbone, lora, rows, pair, bf16=self.bf16)
