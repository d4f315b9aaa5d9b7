"""Meta-training of the generator for tables: on synthetic tasks, and on samples of real tables where there are some."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelgpt_cli.domains.tabular.fixed_tasks_config import FixedTasksConfig
from modelgpt_cli.domains.tabular.forward import make_forward, uses_bf16
from modelgpt_cli.domains.tabular.generator import make_generator
from modelgpt_cli.domains.tabular.loss import backward, query_losses
from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out, load_real_tasks
from modelgpt_cli.domains.tabular.recipe import generator_sizes, make_optimizer
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM, TaskSource, draw_real_batch
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.training.batches import drawn_ahead, groups
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.run import TrainingRun
from modelgpt_cli.training.settings import RunSettings

log = logging.getLogger("modelgpt")


def configuration(fixed_tasks: bool) -> type[RunSettings]:
    """Return the class of a run's configuration; see `training.meta_train.Trainer`."""
    return FixedTasksConfig if fixed_tasks else MetaTrainConfig


def make_run(
    settings: MetaTrainConfig | FixedTasksConfig, out: Path, processes: Processes, *, resume: bool
) -> TrainingRun[Generator]:
    """Read the real tables that a configuration names, if any, and make the run."""
    if isinstance(settings, FixedTasksConfig):
        from modelgpt_cli.domains.tabular.train_fixed_tasks import FixedTasksTraining, load_fixed_tasks

        return FixedTasksTraining(settings, out, processes, load_fixed_tasks(settings))
    return TabularTraining(settings, out, processes, _real_tasks(settings))


def _real_tasks(settings: MetaTrainConfig) -> list[RealTask]:
    if settings.tasks is None:
        return []
    from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

    log.info("Reading the tables with cards in %s ...", settings.tasks)
    found = load_real_tasks(settings.tasks, TextEncoder())
    return [t for t in found if t.family not in settings.exclude_families]


class TabularTraining(TrainingRun[Generator]):
    """One run."""

    domain = "tabular"

    def __init__(self, config: MetaTrainConfig, out: Path, processes: Processes, real: list[RealTask]) -> None:
        self.config = config
        self.share = processes.share(config.batch)
        self.train_tasks = [t for t in real if not held_out(t, config.holdout)]
        self.validation_tasks = [t for t in real if held_out(t, config.holdout)]
        torch.manual_seed(config.seed)
        super().__init__(config, out, processes, make_generator(generator_sizes(config)), config.init)
        self.log_every = config.log_every
        bf16 = uses_bf16(config.precision, self.device)
        self.forward = make_forward(self.generator, self.device, bf16=bf16, compiled=config.compile)
        # Validation goes uncompiled: modes and sizes that the training doesn't meet would be compiled for it alone.
        self.judge = make_forward(self.average, self.device, bf16=bf16, compiled=False)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW or Muon, as the configuration says."""
        return make_optimizer(self.generator, self.config)

    @property
    def _fraction(self) -> float:
        """Of a batch's tasks, how many are this process's."""
        share: float = (self.share.stop - self.share.start) / self.config.batch
        return share

    def count(self, batch: list[TaskBatch]) -> int:
        """Return how many tasks a step has, of all processes."""
        return sum(round(len(one.query_target) / self._fraction) for one in batch)

    def batches(self) -> Iterator[list[TaskBatch]]:
        """Yield this process's share of each step's batches."""
        source = TaskSource(self.config, self.train_tasks, self.step * self.config.accumulate, self.share)
        return groups(drawn_ahead(source, self.config.workers, self.device), self.config.accumulate)

    def teach(self, batch: list[TaskBatch]) -> dict[str, float]:
        """Add the gradients of a share of the step's batches, each of the same weight; return their mean query loss."""
        update, target_lr = self.config.update, self.config.target_lr
        mean = 0.0
        for one in batch:
            n = len(one.query_target)
            for part in one.by_width(self.config.part or n):
                weight = self._fraction / len(batch) * len(part.query_target) / n
                losses = backward(self.forward, part, update, target_lr, weight)  # type: ignore[arg-type]
                mean += weight * float(losses.mean())
        return {"loss": float(self.processes.sum(torch.tensor(mean, device=self.device)))}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Mean query loss over fixed tasks (Equation 5): synthetic ones, and the held-out real tables."""
        source = TaskSource(replace(self.config, prior={}, step_rows=0))
        batches = [source.draw(i, VALIDATION_STREAM) for i in range(self.config.validation_batches)]
        result = {"synthetic": self._mean_loss(batches)}
        if self.validation_tasks:
            rng = np.random.default_rng([self.config.seed, VALIDATION_STREAM])
            for name, support in (("real", True), ("words_alone", False)):
                real = [draw_real_batch(t, rng, self.config, 2, support) for t in self.validation_tasks]
                result[name] = self._mean_loss(real)
        result["mean"] = float(np.mean([result[k] for k in ("synthetic", "real") if k in result]))
        return result

    def _mean_loss(self, batches: list[TaskBatch]) -> float:
        losses = [query_losses(self.judge(b.inputs), b)[0].mean() for b in (x.to(self.device) for x in batches)]
        return float(torch.stack(losses).mean())
