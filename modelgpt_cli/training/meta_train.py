"""Meta-training (Algorithm 1): the generator learns to write parameters that do well on each task's query rows."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from modelgpt_cli.domains.tabular.forward import make_forward, uses_bf16
from modelgpt_cli.domains.tabular.loss import backward, query_losses
from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out, load_real_tasks
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM, TaskSource, draw_real_batch
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.checkpoint import (
    make_generator,
    restore_run,
    save_generator,
    save_run,
    warm_start,
)
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.batches import Batches
from modelgpt_cli.training.processes import Processes, interruptible, join
from modelgpt_cli.training.schedule import learning_rate, open_run, progress, take_step, write_config, write_log

log = logging.getLogger("modelgpt")
PROGRESS = ("step", "seconds", "best_loss", "best_step")


@dataclass
class MetaTrainReport:
    """What a meta-training run did.

    Attributes
    ----------
    waited : float
        Share of the time in which the steps waited for tasks to be drawn.
    """

    out: Path
    steps: int
    seconds: float
    tasks_per_second: float
    waited: float
    validation_loss: float
    best_step: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"out": str(self.out)}


def meta_train(
    *,
    domain: str = "tabular",
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/tabular",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    workers: int | None = None,
) -> MetaTrainReport:
    """Train a generator on the synthetic prior and, where given, on real tables.

    Under ``accelerate launch`` or ``torchrun`` every process calls it alike; each step's tasks are shared among them.

    Parameters
    ----------
    tasks : path, optional
        Folder of tables with cards; a fixed share (by hash of the name) is kept for validation.
    config : path, optional
        YAML with `MetaTrainConfig`'s fields; the other arguments win over it.
    steps, minutes
        How long; one of them is needed.
    out : path
        Run directory: ``config.yaml``, ``log.jsonl``, ``last.safetensors`` (to resume) and ``generator.safetensors``
        (the best so far).
    resume : bool
        Go on from ``last.safetensors``, on any device and number of processes; with one process on the CPU the result
        is bit for bit that of an uninterrupted run.

    Raises
    ------
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    out, settings = open_run(
        MetaTrainConfig, out, config, resume, tasks=tasks, domain=domain, steps=steps, minutes=minutes, seed=seed,
        update=update, precision=precision, compile=compile, workers=workers,
    )  # fmt: skip
    processes = join(device)
    run = MetaTraining(settings, out, processes.device, _real_tasks(settings), processes)
    if resume:
        run.restore()
    processes.wait()  # for all to have read what is there before it is written over
    if processes.main:
        write_config(out, settings.to_dict())
    return run.train()


def _real_tasks(settings: MetaTrainConfig) -> list[RealTask]:
    if settings.tasks is None:
        return []
    from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

    log.info("Reading the tables with cards in %s ...", settings.tasks)
    found = load_real_tasks(settings.tasks, TextEncoder())
    return [t for t in found if t.family not in settings.exclude_families]


class MetaTraining:
    """One run: the generator, its optimiser, and where in the stream of tasks it stands."""

    def __init__(
        self, config: MetaTrainConfig, out: Path, device: str, real: list[RealTask], processes: Processes | None = None
    ) -> None:
        self.config, self.out, self.device = config, out, device
        self.processes = processes or Processes(device)
        self.share = self.processes.share(config.batch)
        self.train_tasks = [t for t in real if not held_out(t, config.holdout)]
        self.validation_tasks = [t for t in real if held_out(t, config.holdout)]
        torch.manual_seed(config.seed)
        sizes = GeneratorConfig(width=config.width, blocks=config.blocks, feedback=config.feedback)
        self.generator = make_generator(sizes).to(device)
        if config.init is not None and not (out / "last.safetensors").exists():  # a resumed run has its own weights
            warm_start(self.generator, config.init)
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        bf16 = uses_bf16(config.precision, device)
        self.forward = make_forward(self.generator, device, bf16=bf16, compiled=config.compile)
        # Validation goes uncompiled: modes and sizes that the training doesn't meet would be compiled for it alone.
        self.judge = make_forward(self.generator, device, bf16=bf16, compiled=False)
        self.step = 0
        self.seconds = 0.0
        self.best_loss, self.best_step = math.inf, 0

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        known = restore_run(self.out / "last.safetensors", self.generator, self.optimizer)
        for name in PROGRESS:
            setattr(self, name, known[name])

    def save(self) -> None:
        """Write ``last.safetensors`` atomically, in the main process."""
        if not self.processes.main:
            return
        known = {name: getattr(self, name) for name in PROGRESS}
        save_run(self.out / "last.safetensors", self.generator, self.optimizer, known, self.config.to_dict())

    def train(self) -> MetaTrainReport:
        """Run to the end, or until interrupted."""
        start_step, before, main = self.step, self.seconds, self.processes.main
        source = TaskSource(self.config, self.train_tasks, self.step, self.share)
        batches = Batches(source, self.config.workers, self.device)
        start = time.monotonic()
        bar = tqdm(initial=self.step, total=self.config.steps, disable=None if main else True)
        with interruptible() as caught, bar:
            for batch in batches:
                interrupted = self._agree(caught)
                if interrupted or progress(self.config, self.step, self.seconds) >= 1:
                    break
                loss, norm = self.update(batch)
                self.seconds = before + time.monotonic() - start
                self.step += 1
                bar.update()
                if self.step % self.config.log_every == 0:
                    rate = self.config.batch * (self.step - start_step) / (self.seconds - before)
                    waited = batches.waited / (self.seconds - before)
                    bar.set_postfix(loss=f"{loss:.3f}", tasks_per_s=f"{rate:.0f}", waited=f"{waited:.0%}")
                    numbers = {"loss": loss, "grad_norm": norm, "lr": self._learning_rate()}
                    self._log(**numbers, tasks_per_second=rate, waited=round(waited, 3))
                if self.step % self.config.validate_every == 0:
                    self._checkpoint()
            if not interrupted and self.step % self.config.validate_every:
                self._checkpoint()
            self.save()
            interrupted = self._agree(caught)  # which also waits for the main process to have saved
            best_loss, best_step = self.processes.totals([self.best_loss, self.best_step] if main else [0, 0])
            self.processes.leave()
        if interrupted:
            log.warning("Interrupted at step %d; the state is saved. Go on with --resume.", self.step)
            raise KeyboardInterrupt
        done, spent = self.config.batch * (self.step - start_step), max(self.seconds - before, 1e-9)
        waited = batches.waited / spent
        return MetaTrainReport(self.out, self.step, self.seconds, done / spent, waited, best_loss, int(best_step))

    def _agree(self, caught: list[int]) -> bool:
        """Settle what all processes must see alike: the main one's clock, and whether any has been interrupted."""
        interrupted, self.seconds = self.processes.totals([len(caught), self.seconds if self.processes.main else 0.0])
        return interrupted > 0

    def update(self, batch: TaskBatch) -> tuple[float, float]:
        """One optimiser step; returns the batch's mean query loss and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        update, target_lr, total = self.config.update, self.config.target_lr, self.config.batch
        share = (self.share.stop - self.share.start) / total
        losses = backward(self.forward, batch, update, target_lr, share)  # type: ignore[arg-type]
        self.processes.sum_gradients(self.generator.parameters())
        norm = take_step(self.config, self.step, self.generator, self.optimizer)
        return float(self.processes.sum(losses.sum())) / total, norm

    def _learning_rate(self) -> float:
        return learning_rate(self.config, self.step, progress(self.config, self.step, self.seconds))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean query loss over fixed tasks (Equation 5): synthetic ones, and the held-out real tables."""
        self.generator.eval()
        source = TaskSource(self.config)
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

    def _checkpoint(self) -> None:
        if not self.processes.main:
            return
        validation = self.validate()
        if validation["mean"] < self.best_loss:
            self.best_loss, self.best_step = validation["mean"], self.step
            info = {"step": self.step, "seed": self.config.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.generator, info)
        self._log(validation=validation, best_step=self.best_step)
        self.save()

    def _log(self, **values: Any) -> None:
        if not self.processes.main:
            return
        write_log(self.out, self.step, self.seconds, values)
