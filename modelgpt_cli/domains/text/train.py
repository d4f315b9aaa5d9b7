"""Meta-training on texts: which tasks, how often each, and the backbone; the rest is `adapter_training`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.domains.shared.adapter_config import AdapterTrainConfig
from modelgpt_cli.domains.shared.adapter_training import AdapterTraining, Shares, refuse_fixed_tasks
from modelgpt_cli.domains.text.architectures import find_card
from modelgpt_cli.domains.text.backbone import Backbone, load_backbone
from modelgpt_cli.domains.text.embed import embed
from modelgpt_cli.domains.text.target import make_text_generator
from modelgpt_cli.domains.text.tasks import GLUE, TextTask, held_out, read_tasks
from modelgpt_cli.domains.text.tokens import Encoded, prepare_tokenizer
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.settings import RunSettings

log = logging.getLogger("modelgpt")


@dataclass(frozen=True)
class TextTrainConfig(AdapterTrainConfig):
    """Everything that decides a run of ``meta-train --domain text``; errors as `RunSettings` has them."""

    domain: str = "text"
    query_tokens: int = 1024
    glue_weight: float = 2.0
    """GLUE's tasks are drawn so many times as often as others of their size."""
    max_tokens: int = 64
    """Window in training; texts are cut there."""

    least: ClassVar[dict[str, int]] = AdapterTrainConfig.least | {"max_tokens": 8}


def configuration(fixed_tasks: bool) -> type[RunSettings]:
    """Return the class of a run's configuration; see `training.meta_train.Trainer`."""
    refuse_fixed_tasks(fixed_tasks)
    return TextTrainConfig


def make_run(settings: TextTrainConfig, out: Path, processes: Processes, *, resume: bool) -> TextTraining:
    """Load the backbone, read the tasks, and make the run."""
    backbone = load_backbone(replace(find_card(settings.backbone), max_tokens=settings.max_tokens))
    return TextTraining(settings, out, processes, backbone, load_tasks(settings, backbone))


def load_tasks(settings: TextTrainConfig, backbone: Backbone) -> list[TextTask]:
    """The tasks of a configuration, tokenised and with their words embedded."""
    log.info("Reading the text tasks with cards in %s ...", settings.tasks)
    tokenizer = prepare_tokenizer(backbone.tokenizer, settings.max_tokens)
    found = read_tasks(str(settings.tasks), TextEncoder(), tokenizer, settings.wordings)
    return [task for task in found if task.name not in settings.exclude]


class TextTraining(AdapterTraining[Encoded]):
    """One run."""

    domain = "text"

    def __init__(
        self, config: TextTrainConfig, out: Path, processes: Processes, backbone: Backbone, tasks: list[TextTask]
    ) -> None:
        self.backbone = backbone.to(processes.device)
        self.bf16 = multiplies_bf16(config.precision, processes.device)
        train = [t for t in tasks if not held_out(t.name, config.holdout)]
        glue = [t for t in train if t.name in GLUE]
        shares = Shares(
            train=train,
            weights=[config.glue_weight if t.name in GLUE else 1.0 for t in train],
            judged={"unseen": [t for t in tasks if held_out(t.name, config.holdout)], "glue": glue},
        )
        torch.manual_seed(config.seed)
        sizes = config.sizes(backbone.card.name, backbone.size)
        super().__init__(config, out, processes, make_text_generator(sizes, backbone), shares)

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act, or not."""
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Encoded, pair: bool) -> Tensor:
        """Head inputs (N, P)."""
        return embed(self.backbone, lora, rows, pair, bf16=self.bf16)
