"""Meta-training (Algorithm 1): the generator learns to write parameters that do well on each task's query rows."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out, load_real_tasks
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM, TaskSource, draw_real_batch
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.parameter_generator.checkpoint import (
    make_generator,
    restore_run,
    save_generator,
    save_run,
    warm_start,
)
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.training.batches import Batches, groups
from modelgpt_cli.training.compact import read_state, restore_compact
from modelgpt_cli.training.config import MetaTrainConfig
from modelgpt_cli.training.forward import make_forward, uses_bf16
from modelgpt_cli.training.loss import backward, query_losses
from modelgpt_cli.training.processes import Processes, interruptible, join
from modelgpt_cli.training.recipe import generator_sizes, make_average, make_optimizer
from modelgpt_cli.training.schedule import learning_rate, open_run, progress, take_step, write_config, write_log

log = logging.getLogger("modelgpt")
PROGRESS = ("step", "seconds", "tasks", "best_loss", "best_step", "begun")


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
    state: str | Path | None = None,
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

    state : path, optional
        A compact state (`training.compact`) to go on from in a new run: its settings, steps and tasks; `steps` and
        `minutes`, warm-up and decay count from there.

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
        base=read_state(state)["config"] if state is not None else None,
    )  # fmt: skip
    processes = join(device)
    run = MetaTraining(settings, out, processes.device, _real_tasks(settings), processes)
    if resume:
        run.restore()
    elif state is not None:
        run.begin_from(state)
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
        self.generator = make_generator(generator_sizes(config)).to(device)
        if config.init is not None and not (out / "last.safetensors").exists():  # a resumed run has its own weights
            warm_start(self.generator, config.init)
        self.averaged = make_average(self.generator, config.average)
        self.optimizer = make_optimizer(self.generator, config)
        bf16 = uses_bf16(config.precision, device)
        self.forward = make_forward(self.generator, device, bf16=bf16, compiled=config.compile)
        # Validation goes uncompiled: modes and sizes that the training doesn't meet would be compiled for it alone.
        self.judge = make_forward(self.kept, device, bf16=bf16, compiled=False)
        self.step = 0
        self.seconds = 0.0
        self.tasks = 0
        self.begun = (0, 0.0)
        """Steps and seconds that were done before this run, from whose end the schedule counts."""
        self.best_loss, self.best_step = math.inf, 0

    @property
    def kept(self) -> Generator:
        """The weights that are validated and kept: the average, where there is one."""
        return self.generator if self.averaged is None else self.averaged.module  # type: ignore[return-value]

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        known = restore_run(self.out / "last.safetensors", self.generator, self.optimizer, self.averaged)
        for name in PROGRESS:
            setattr(self, name, known.get(name, getattr(self, name)))  # older runs don't know all of them

    def begin_from(self, state: str | Path) -> None:
        """Take up a compact state."""
        known = restore_compact(state, self.generator, self.optimizer, self.averaged)
        self.step, self.seconds, self.tasks = known["step"], known["seconds"], known["tasks"]
        self.begun = (self.step, self.seconds)

    def save(self) -> None:
        """Write ``last.safetensors`` atomically, in the main process."""
        if not self.processes.main:
            return
        known = {name: getattr(self, name) for name in PROGRESS}
        path = self.out / "last.safetensors"
        save_run(path, self.generator, self.optimizer, known, self.config.to_dict(), self.averaged)

    def train(self) -> MetaTrainReport:
        """Run to the end, or until interrupted."""
        before, main = self.seconds, self.processes.main
        source = TaskSource(self.config, self.train_tasks, self.step * self.config.accumulate, self.share)
        tasks_before = self.tasks
        batches = Batches(source, self.config.workers, self.device)
        start = time.monotonic()
        bar = tqdm(initial=self.step, total=self.config.steps, disable=None if main else True)
        with interruptible() as caught, bar:
            for group in groups(batches, self.config.accumulate):
                interrupted = self._agree(caught)
                if interrupted or self._progress() >= 1:
                    break
                loss, norm = self.update(*group)
                self.seconds = before + time.monotonic() - start
                self.step += 1
                bar.update()
                if self.step % self.config.log_every == 0:
                    rate = (self.tasks - tasks_before) / (self.seconds - before)
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
        done, spent = self.tasks - tasks_before, max(self.seconds - before, 1e-9)
        waited = batches.waited / spent
        return MetaTrainReport(self.out, self.step, self.seconds, done / spent, waited, best_loss, int(best_step))

    def _agree(self, caught: list[int]) -> bool:
        """Settle what all processes must see alike: the main one's clock, and whether any has been interrupted."""
        interrupted, self.seconds = self.processes.totals([len(caught), self.seconds if self.processes.main else 0.0])
        return interrupted > 0

    def update(self, *batches: TaskBatch) -> tuple[float, float]:
        """One optimiser step on some batches, each of the same weight; their mean query loss and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        update, target_lr = self.config.update, self.config.target_lr
        share = (self.share.stop - self.share.start) / self.config.batch
        mean = 0.0
        for batch in batches:
            n = len(batch.query_target)
            for part in batch.by_width(self.config.part or n):
                weight = share / len(batches) * len(part.query_target) / n
                losses = backward(self.forward, part, update, target_lr, weight)  # type: ignore[arg-type]
                mean += weight * float(losses.mean())
            self.tasks += round(n / share)
        mean = float(self.processes.sum(torch.tensor(mean, device=self.device)))
        self.processes.sum_gradients(self.generator.parameters())
        norm = take_step(self.config, self.step, self.generator, self.optimizer)
        if self.averaged is not None and math.isfinite(norm):
            self.averaged.update_parameters(self.generator)
        return mean, norm

    def _progress(self) -> float:
        return progress(self.config, self.step - self.begun[0], self.seconds - self.begun[1])

    def _learning_rate(self) -> float:
        return learning_rate(self.config, self.step - self.begun[0], self._progress())

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean query loss over fixed tasks (Equation 5): synthetic ones, and the held-out real tables."""
        self.kept.eval()
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

    def _checkpoint(self) -> None:
        if not self.processes.main:
            return
        validation = self.validate()
        if validation["mean"] < self.best_loss:
            self.best_loss, self.best_step = validation["mean"], self.step
            info = {"step": self.step, "seed": self.config.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.kept, info)
        self._log(validation=validation, tasks=self.tasks, best_step=self.best_step)
        self.save()

    def _log(self, **values: Any) -> None:
        if not self.processes.main:
            return
        write_log(self.out, self.step, self.seconds, values)
