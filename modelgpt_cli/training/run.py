"""A training run in one process, whatever the domain: what its generator is, where it stands, how it goes on.

A domain's run says what a step teaches and how the weights are judged; the rest is here.
"""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import restore_run, save_generator, save_run, warm_start
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.training.processes import interruptible
from modelgpt_cli.training.schedule import Plan, learning_rate, progress, take_step, write_log

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


def running_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """The update of an exponential average that forgets faster at first: a short run ends far from where it began."""

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
    device : str
    generator : Generator or AdapterGenerator
        With fresh weights.
    init : str, optional
        A checkpoint to start from; a resumed run has its own weights.
    """

    log_every = 25
    shown = "loss"
    """The loss that the progress bar shows."""

    def __init__(self, config: RunConfig, out: Path, device: str, generator: G, init: str | None = None) -> None:
        self.plan, self.out, self.device = config, out, device
        self.generator: G = generator.to(device)
        if init is not None and not (out / "last.safetensors").exists():
            warm_start(self.generator, init)
        self.averaged = AveragedModel(self.generator, multi_avg_fn=running_average(config.average))
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.step = 0
        self.seconds = 0.0
        self.about: dict[str, Any] = {}
        """What a domain adds to its checkpoints' headers."""
        self.best: dict[str, Any] = {"mean": math.inf, "step": 0}
        """The validation that was best so far, with its step."""

    @property
    def average(self) -> G:
        """The averaged weights, which are what is validated and kept."""
        module: G = self.averaged.module  # type: ignore[assignment]
        return module

    @abstractmethod
    def teach(self) -> dict[str, float]:
        """Add the gradients of the step's tasks; the mean losses."""

    @abstractmethod
    def validate(self) -> dict[str, Any]:
        """Judge the averaged weights; ``mean`` is the loss that chooses the checkpoint."""

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        known = restore_run(self.out / "last.safetensors", self.generator, self.optimizer, self.averaged)
        self.step, self.seconds, self.best = known["step"], known["seconds"], known["best"]

    def save(self) -> None:
        """Write ``last.safetensors`` atomically."""
        known = {"step": self.step, "seconds": self.seconds, "best": self.best}
        path = self.out / "last.safetensors"
        save_run(path, self.generator, self.optimizer, known, self.plan.to_dict(), self.averaged)

    def train(self) -> float:
        """Run to the end, or until interrupted; tasks per second.

        Raises
        ------
        KeyboardInterrupt
            After SIGINT, once the state is saved.
        """
        start_step, before, start = self.step, self.seconds, time.monotonic()
        with interruptible() as interrupted, tqdm(initial=self.step, total=self.plan.steps, disable=None) as bar:
            while progress(self.plan, self.step, self.seconds) < 1 and not interrupted:
                losses, norm = self.update()
                self.seconds = before + time.monotonic() - start
                self.step += 1
                bar.update()
                if self.step % self.log_every == 0:
                    bar.set_postfix(loss=f"{losses.get(self.shown, math.nan):.3f}")
                    self.log(**losses, grad_norm=norm, lr=self._learning_rate())
                if self.step % self.plan.validate_every == 0:
                    self._checkpoint()
            if not interrupted and self.step % self.plan.validate_every:
                self._checkpoint()
        self.save()
        if interrupted:
            log.warning("Interrupted at step %d; the state is saved. Go on with --resume.", self.step)
            raise KeyboardInterrupt
        return self.plan.batch * (self.step - start_step) / max(self.seconds - before, 1e-9)

    def update(self) -> tuple[dict[str, float], float]:
        """One optimiser step; the mean losses and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        torch.manual_seed(self.plan.seed * 1_000_003 + self.step)  # dropout's, so that a run can be resumed
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        try:
            losses = self.teach()
        except torch.linalg.LinAlgError:  # a system that can't be solved must not end a run of hours
            log.warning("Step %d met a head that can't be solved; skipped.", self.step)
            return {}, math.nan
        norm = take_step(self.plan, self.step, self.generator, self.optimizer)
        if math.isfinite(norm):
            self.averaged.update_parameters(self.generator)
        return losses, norm

    def log(self, **values: Any) -> None:
        """Add a line to the run's log."""
        write_log(self.out, self.step, self.seconds, values)

    def _learning_rate(self) -> float:
        return learning_rate(self.plan, self.step, progress(self.plan, self.step, self.seconds))

    def _checkpoint(self) -> None:
        self.average.eval()
        validation = self.validate()
        if validation["mean"] < self.best["mean"]:
            self.best = validation | {"step": self.step}
            info = {"step": self.step, "seed": self.plan.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.average, info | self.about)
        self.log(validation=validation, best_step=self.best["step"])
        self.save()
