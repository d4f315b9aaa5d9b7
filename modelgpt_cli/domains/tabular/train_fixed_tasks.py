"""Training on fixed tasks (the paper's own setting): one generator that serves each of them from words alone.

Algorithm 1 with the tables themselves as the tasks: the generator writes a task's network from the requirement, the
column names and the class names, training rows score it, and the signal goes back into the generator. There are no
support rows, so the head is the generated one. What is kept is a running average of the weights, by the loss on the
validation rows; test rows are not looked at.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.fixed_tasks import FixedTask, encode_table, read_tables
from modelgpt_cli.domains.tabular.fixed_tasks_config import FixedTasksConfig
from modelgpt_cli.domains.tabular.generator import make_generator
from modelgpt_cli.domains.tabular.loss import backward
from modelgpt_cli.domains.tabular.target import make_body, prior_head, score_scale
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM
from modelgpt_cli.domains.tabular.tasks import TaskBatch, class_codes
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.run import TrainingRun

log = logging.getLogger("modelgpt")


def load_fixed_tasks(settings: FixedTasksConfig) -> list[FixedTask]:
    """The tasks of a configuration, encoded.

    Raises
    ------
    UsageError
        If the configuration has sentences for a table that is not there.
    """
    log.info("Reading the tables with cards in %s ...", settings.tasks)
    tables = read_tables(str(settings.tasks), settings.seed)
    absent = sorted(set(settings.sentences) - {t.name for t in tables})
    if absent:
        raise UsageError(f"sentences: there is no table {absent[0]!r} in {settings.tasks}.")
    encoder = TextEncoder()
    return [encode_table(t, encoder, settings.sentences.get(t.name, ())) for t in tables]


class FixedTasksTraining(TrainingRun[Generator]):
    """One run."""

    domain = "tabular"
    log_every = 50

    def __init__(self, config: FixedTasksConfig, out: Path, processes: Processes, tasks: Sequence[FixedTask]) -> None:
        self.config, self.fixed_tasks = config, list(tasks)
        rows = np.array([len(t.parts["train"][3]) for t in self.fixed_tasks], dtype=np.float64) ** config.temperature
        self.proportions = rows / rows.sum()
        torch.manual_seed(config.seed)
        sizes = GeneratorConfig(width=config.width, blocks=config.blocks)
        super().__init__(config, out, processes, make_generator(sizes))

    def draw(self, step: int) -> list[TaskBatch]:
        """The tasks of one step, a function of (seed, step) alone, so that a run can be resumed."""
        rng = np.random.default_rng([self.config.seed, step])
        picked = rng.choice(len(self.fixed_tasks), size=self.config.batch, p=self.proportions)
        c = self.config
        return [
            self.fixed_tasks[i].draw(
                rng,
                c.query,
                word_noise=c.word_noise,
                sentence_dropout=c.sentence_dropout,
                cell_dropout=c.cell_dropout,
                mixup=c.mixup,
                smoothing=c.smoothing,
            )
            for i in picked
        ]

    def teach(self, batch: None) -> dict[str, float]:
        """Add the gradients of the step's tasks; their mean query loss."""
        losses = [
            backward(self.generator, task.to(self.device), self.config.update, self.config.target_lr)  # type: ignore[arg-type]
            for task in self.draw(self.step)
        ]
        return {"loss": float(torch.cat(losses).mean())}

    def validate(self) -> dict[str, float]:
        """Of the averaged weights on the validation rows: mean loss (a share of log C), mean and single accuracies."""
        scores = {}
        for i, task in enumerate(self.fixed_tasks):
            codes = class_codes(1, task.n_classes, torch.Generator().manual_seed(VALIDATION_STREAM + i))
            batch = task.batch("validation", None, task.described, codes).to(self.device)
            scores[task.name] = task_scores(self.average, batch)
        result = {"mean": float(np.mean([loss for loss, _ in scores.values()]))}
        result["accuracy"] = float(np.mean([accuracy for _, accuracy in scores.values()]))
        return result | {name: accuracy for name, (_, accuracy) in scores.items()}


@torch.inference_mode()
def task_scores(generator: Generator, batch: TaskBatch) -> tuple[float, float]:
    """Loss (as a share of log C) and accuracy of what is written for one task on its query rows."""
    parameters = generator(batch.inputs)
    body = make_body(parameters, batch.inputs.full, batch.inputs.feature_mask)
    head = prior_head(parameters, False) * score_scale(parameters, False)
    logits = (body(batch.query_channels) @ head)[0]  # (m, C)
    labels = batch.query_target[0]
    loss = F.cross_entropy(logits, labels) / math.log(logits.shape[-1])
    return float(loss), float((logits.argmax(1) == labels).float().mean())
