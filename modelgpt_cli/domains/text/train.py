"""Meta-training on texts: which tasks, how often each, and the backbone; the rest is `adapter_training`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.paths import expand
from modelgpt_cli.core.yaml_text import parse_yaml
from modelgpt_cli.domains.shared.adapter_config import AdapterTrainConfig
from modelgpt_cli.domains.shared.adapter_training import AdapterTraining, Shares, refuse_fixed_tasks
from modelgpt_cli.domains.shared.tasks import R, Task
from modelgpt_cli.domains.text.architectures import find_card
from modelgpt_cli.domains.text.backbone import AnyBackbone, Backbone, MultilingualBackbone, load_any
from modelgpt_cli.domains.text.embed import embed
from modelgpt_cli.domains.text.pooled import MultilingualWords, Pooled, embed_pooled, pooled_task
from modelgpt_cli.domains.text.target import make_text_generator
from modelgpt_cli.domains.text.tasks import GLUE, TextTask, held_out, read_tasks, read_translations
from modelgpt_cli.domains.text.tokens import Encoded, prepare_tokenizer
from modelgpt_cli.parameter_generator.text_encoder import EMBEDDING, TextEncoder
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
    task_rows: int = 0
    """Training rows of a task that are read at most; 0 for all."""
    test_rows: int = 0
    """Test rows of a task that are read at most; 0 for all."""
    wordings_file: str | None = None
    """YAML file with more `wordings`, such as another run's configuration."""
    vectors: str | None = None
    """Folder where what the multilingual encoder makes of the rows is kept between runs."""
    translations: str | None = None
    """YAML file of class names and requirements in other languages; see ``weights/text-multilingual``."""

    least: ClassVar[dict[str, int]] = AdapterTrainConfig.least | {
        "max_tokens": 8,
        "task_rows": 0,
        "test_rows": 0,
    }


def configuration(fixed_tasks: bool) -> type[RunSettings]:
    """Return the class of a run's configuration; see `training.meta_train.Trainer`."""
    refuse_fixed_tasks(fixed_tasks)
    return TextTrainConfig


def make_run(settings: TextTrainConfig, out: Path, processes: Processes, *, resume: bool) -> TextTraining[Any]:
    """Load the backbone, read the tasks, and make the run."""
    backbone = load_any(replace(find_card(settings.backbone), max_tokens=settings.max_tokens))
    tasks = load_tasks(settings, backbone)
    if isinstance(backbone, MultilingualBackbone):
        place = None if settings.vectors is None else expand(settings.vectors)
        pooled = [pooled_task(backbone, task, place) for task in tasks]
        return MultilingualTraining(settings, out, processes, backbone, pooled)
    return TransformerTraining(settings, out, processes, backbone, tasks)


def load_tasks(settings: TextTrainConfig, backbone: AnyBackbone) -> list[TextTask]:
    """The tasks of a configuration, tokenised and with their words embedded."""
    log.info("Reading the text tasks with cards in %s ...", settings.tasks)
    tokenizer = prepare_tokenizer(backbone.tokenizer, settings.max_tokens)
    encoder = MultilingualWords(backbone) if isinstance(backbone, MultilingualBackbone) else TextEncoder()
    translations = None if settings.translations is None else read_translations(expand(settings.translations))
    wordings = settings.wordings
    if settings.wordings_file is not None:
        more = parse_yaml(expand(settings.wordings_file).read_text(encoding="utf-8"))
        wordings = dict(more["wordings"]) | wordings
    most = {"train": settings.task_rows, "test": settings.test_rows}
    found = read_tasks(str(settings.tasks), encoder, tokenizer, wordings, translations=translations, most=most)
    return [task for task in found if task.name not in settings.exclude]


class TextTraining(AdapterTraining[R]):
    """One run."""

    domain = "text"

    def __init__(
        self,
        config: TextTrainConfig,
        out: Path,
        processes: Processes,
        backbone: AnyBackbone,
        tasks: list[Task[R]],
        embedding: int,
    ) -> None:
        backbone.to(processes.device)
        self.bf16 = multiplies_bf16(config.precision, processes.device)
        train = [t for t in tasks if not held_out(t.name, config.holdout)]
        glue = [t for t in train if t.name in GLUE]
        shares = Shares(
            train=train,
            weights=[config.glue_weight if t.name in GLUE else 1.0 for t in train],
            judged={"unseen": [t for t in tasks if held_out(t.name, config.holdout)], "glue": glue},
        )
        torch.manual_seed(config.seed)
        sizes = replace(config.sizes(backbone.card.name, backbone.size), embedding=embedding)
        super().__init__(config, out, processes, make_text_generator(sizes, backbone), shares)


class TransformerTraining(TextTraining[Encoded]):
    """One run with an encoder of transformers'."""

    def __init__(
        self, config: TextTrainConfig, out: Path, processes: Processes, backbone: Backbone, tasks: list[TextTask]
    ) -> None:
        self.backbone = backbone
        super().__init__(config, out, processes, backbone, tasks, EMBEDDING)

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act, or not."""
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Encoded, pair: bool) -> Tensor:
        """Head inputs (N, P)."""
        return embed(self.backbone, lora, rows, pair, bf16=self.bf16)


class MultilingualTraining(TextTraining[Pooled]):
    """One run with the multilingual encoder."""

    def __init__(
        self,
        config: TextTrainConfig,
        out: Path,
        processes: Processes,
        backbone: MultilingualBackbone,
        tasks: list[Task[Pooled]],
    ) -> None:
        self.backbone = backbone
        super().__init__(config, out, processes, backbone, tasks, backbone.size)

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act, or not."""
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Pooled, pair: bool) -> Tensor:
        """Head inputs (N, P)."""
        return embed_pooled(self.backbone, lora, rows, pair)
