"""A meta-training run, whatever the domain: what its generator is, where it stands, how it goes on.

A domain's run says what a step teaches and how the weights are judged; the rest is here. Under ``accelerate launch`` or
``torchrun`` every process has a run of its own; they share each step's tasks and sum their gradients.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from modelgpt_cli.core.progress import hidden
from modelgpt_cli.core.signals import EndedError
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import restore_run, save_generator, save_run, warm_start
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.training.compact import restore_compact
from modelgpt_cli.training.processes import Processes, interruptible
from modelgpt_cli.training.schedule import Plan, learning_rate, progress, take_step, write_config, write_log

log = logging.getLogger("modelgpt")
G = TypeVar("G", Generator, AdapterGenerator)
Weights: TypeAlias = "tuple[Tensor, ...] | list[Tensor]"


class RunConfig(Plan, Protocol):
    """The part of a configuration that a run itself reads."""

    @property
    def seed(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def average(self) -> float: ...
    @property
    def validate_every(self) -> int: ...

    def to_dict(self) -> dict[str, Any]: ...


@dataclass
class TrainReport:
    """What a meta-training run did.

    Attributes
    ----------
    waited : float
        Share of the time in which the steps waited for tasks to be drawn.
    validation_loss : float
        The best validation's; a share of log C, 1 for a model that knows nothing.
    validation : dict
        All that the best validation measured.
    """

    out: Path
    steps: int
    seconds: float
    tasks_per_second: float
    waited: float
    validation_loss: float
    best_step: int
    validation: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for ``--json``."""
        return asdict(self) | {"out": str(self.out)}


def running_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """Return the update of an exponential average that forgets faster at first: a short run ends far from its start."""

    @torch.no_grad()
    def update(averaged: Weights, current: Weights, steps: Tensor | int) -> None:
        n = float(steps)
        kept = min(decay, (1 + n) / (10 + n))
        for old, new in zip(averaged, current, strict=True):
            old.lerp_(new, 1 - kept)

    return update


class TrainingRun(ABC, Generic[G]):
    """A generator, the running average of its weights, its optimiser, and where the run stands.

    Parameters
    ----------
    config : RunConfig
    out : Path
        The run's directory.
    processes : Processes
        This process among those of the run; where it computes.
    generator : Generator or AdapterGenerator
        With fresh weights.
    init : str, optional
        A checkpoint to start from; a resumed run has its own weights.
    """

    domain: ClassVar[str]
    log_every = 25
    shown = "loss"
    """The loss that the progress bar shows."""

    def __init__(
        self, config: RunConfig, out: Path, processes: Processes, generator: G, init: str | None = None
    ) -> None:
        self.plan, self.out, self.processes, self.device = config, out, processes, processes.device
        self.generator: G = generator.to(self.device)
        if init is not None and not (out / "last.safetensors").exists():
            warm_start(self.generator, init, self.domain)
        self.averaged: AveragedModel | None = None
        if config.average:
            self.averaged = AveragedModel(self.generator, multi_avg_fn=running_average(config.average))
        self.optimizer = self.make_optimizer()
        self.step = 0
        self.seconds = 0.0
        self.tasks = 0
        self.begun = (0, 0.0)
        """Steps and seconds that were done before this run, from whose end the schedule counts."""
        self.about: dict[str, Any] = {}
        """What a domain adds to its checkpoints' headers."""
        self.best: dict[str, Any] = {"mean": math.inf, "step": 0}
        """The validation that was best so far, with its step."""
        self.waited = 0.0
        """Seconds in which steps waited for their tasks."""

    @property
    def average(self) -> G:
        """The averaged weights, which are validated and kept; the weights themselves where none are averaged."""
        module: G = self.generator if self.averaged is None else self.averaged.module  # type: ignore[assignment]
        return module

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return the run's optimiser."""
        plan = self.plan
        return torch.optim.AdamW(
            self.generator.parameters(), lr=plan.lr, betas=(0.9, 0.98), weight_decay=plan.weight_decay
        )

    def count(self, batch: Any) -> int:
        """Return how many tasks a step has, of all processes."""
        return self.plan.batch

    def batches(self) -> Iterator[Any]:
        """Yield what `teach` takes, step by step from the present one; where a domain draws in `teach`, None."""
        return repeat(None)

    @abstractmethod
    def teach(self, batch: Any) -> dict[str, float]:
        """Add the gradients of this process's share of the step's tasks; return the mean losses over all of them."""

    @abstractmethod
    def validate(self) -> dict[str, Any]:
        """Judge the averaged weights; ``mean`` is the loss that chooses the checkpoint."""

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        known = restore_run(self.out / "last.safetensors", self.generator, self.optimizer, self.averaged)
        self.step, self.seconds, self.best = known["step"], known["seconds"], known["best"]
        self.tasks, self.begun = known["tasks"], tuple(known["begun"])

    def begin_from(self, state: str | Path) -> None:
        """Take up a compact state of another run; the schedule counts from here."""
        known = restore_compact(state, self.generator, self.optimizer, self.averaged)
        self.step, self.seconds, self.tasks = known["step"], known["seconds"], known["tasks"]
        self.begun = (self.step, self.seconds)

    def save(self) -> None:
        """Write ``last.safetensors`` atomically, in the main process."""
        if not self.processes.main:
            return
        known = {"step": self.step, "seconds": self.seconds, "best": self.best}
        known |= {"tasks": self.tasks, "begun": self.begun}
        path = self.out / "last.safetensors"
        save_run(path, self.generator, self.optimizer, known, self.plan.to_dict(), self.averaged)

    def complete(self, resume: bool) -> TrainReport:
        """Begin or go on, to the end.

        Raises
        ------
        KeyboardInterrupt
            After SIGINT, once the state is saved.
        """
        if resume:
            self.restore()
        self.processes.wait()  # for all to have read what is there before it is written over
        if self.processes.main:
            write_config(self.out, self.plan.to_dict())
        return self.train()

    def train(self) -> TrainReport:
        """Run to the end, or until interrupted.

        Raises
        ------
        KeyboardInterrupt
            After SIGINT in any of the processes, once the state is saved.
        """
        before, tasks_before, main = self.seconds, self.tasks, self.processes.main
        start = time.monotonic()
        bar = tqdm(initial=self.step, total=self.plan.steps, disable=hidden() if main else True)
        batches = self.batches()
        with interruptible() as caught, bar:
            interrupted = self._agree(caught)
            while not interrupted and self._progress() < 1:
                asked = time.monotonic()
                batch = next(batches)
                self.waited += time.monotonic() - asked
                losses, norm = self.update(batch)
                self.seconds = before + time.monotonic() - start
                self.step += 1
                self.tasks += self.count(batch)
                bar.update()
                if self.step % self.log_every == 0:
                    spent = self.seconds - before
                    rate, waited = (self.tasks - tasks_before) / spent, self.waited / spent
                    bar.set_postfix(loss=f"{losses.get(self.shown, math.nan):.3f}", tasks_per_s=f"{rate:.0f}")
                    numbers = {"grad_norm": norm, "lr": self._learning_rate(), "waited": round(waited, 3)}
                    self.log(**losses, **numbers, tasks_per_second=rate)
                if self.step % self.plan.validate_every == 0:
                    self._checkpoint()
                interrupted = self._agree(caught)
            if not interrupted and self.step % self.plan.validate_every:
                self._checkpoint()
            self.save()
            interrupted = self._agree(caught)  # which also waits for the main process to have saved
            best = [self.best["mean"], self.best["step"]] if main else [0, 0]
            loss, best_step = self.processes.totals(best)
            self.processes.leave()
        if interrupted:
            log.warning("Interrupted at step %d; the state is saved. Go on with --resume.", self.step)
            raise EndedError(caught[0] if caught else signal.SIGINT)
        spent = max(self.seconds - before, 1e-9)
        rate = (self.tasks - tasks_before) / spent
        return TrainReport(
            self.out, self.step, self.seconds, rate, self.waited / spent, loss, int(best_step), dict(self.best)
        )

    def update(self, batch: Any) -> tuple[dict[str, float], float]:
        """Take one optimiser step; return the mean losses and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        torch.manual_seed(self.plan.seed * 1_000_003 + self.step)  # dropout's, so that a run can be resumed
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        try:
            losses = self.teach(batch)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # a system that can't be solved must not end a run of hours
            if self.processes.count > 1:  # the others have gradients to sum, and would wait for this one's
                raise
            log.warning("Step %d met a head that can't be solved; skipped.", self.step)
            return {}, math.nan
        self.processes.sum_gradients(self.generator.parameters())
        norm = take_step(self.plan, self.step, self.generator, self.optimizer)
        if self.averaged is not None and math.isfinite(norm):
            self.averaged.update_parameters(self.generator)
        return losses, norm

    def log(self, **values: Any) -> None:
        """Add a line to the run's log, in the main process."""
        if self.processes.main:
            write_log(self.out, self.step, self.seconds, values)

    def _agree(self, caught: list[int]) -> bool:
        """Settle what all processes must see alike: the main one's clock, and whether any has been interrupted."""
        interrupted, self.seconds = self.processes.totals([len(caught), self.seconds if self.processes.main else 0.0])
        return interrupted > 0

    def _learning_rate(self) -> float:
        return learning_rate(self.plan, self.step - self.begun[0], self._progress())

    def _progress(self) -> float:
        return progress(self.plan, self.step - self.begun[0], self.seconds - self.begun[1])

    def _checkpoint(self) -> None:
        if not self.processes.main:
            return
        self.average.eval()
        validation = self.validate()
        if validation["mean"] < self.best["mean"]:
            self.best = validation | {"step": self.step}
            info = {"step": self.step, "seed": self.plan.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.average, info | self.about, domain=self.domain)
        self.log(validation=validation, tasks=self.tasks, best_step=self.best["step"])
        self.save()
