"""Meta-training (Algorithm 1): the generator learns to write parameters that do well on each task's query rows."""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from modelgpt_cli.devices import pick_device
from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out, load_real_tasks
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM, TaskSource, draw_real_batch
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.errors import ModelGPTError
from modelgpt_cli.files import atomic_write
from modelgpt_cli.parameter_generator.checkpoint import (
    make_generator,
    restore_training_state,
    save_generator,
    training_state,
)
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.config import MetaTrainConfig, read_config
from modelgpt_cli.training.loss import backward, query_losses

log = logging.getLogger("modelgpt")
DELTA_CLIP = 0.25


@dataclass
class MetaTrainReport:
    """What a meta-training run did."""

    out: Path
    steps: int
    seconds: float
    tasks_per_second: float
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
) -> MetaTrainReport:
    """Train a generator on the synthetic prior and, where given, on real tables.

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
        Go on from ``last.safetensors``; on the CPU the result is bit for bit that of an uninterrupted run.

    Raises
    ------
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    out = Path(out)
    if resume and config is None and (out / "config.yaml").is_file():
        config = out / "config.yaml"
    folder = str(Path(tasks).resolve()) if tasks is not None else None
    settings = read_config(config, domain=domain, tasks=folder, steps=steps, minutes=minutes, seed=seed, update=update)
    if (out / "last.safetensors").exists() != resume:
        problem = f"{out} already holds a run." if not resume else f"{out} holds no run to resume."
        raise ModelGPTError(problem, hint="Add --resume to go on with it." if not resume else "Leave out --resume.")
    run = MetaTraining(settings, out, pick_device(device), _real_tasks(settings))
    if resume:
        run.restore()
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(yaml.safe_dump(settings.to_dict(), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise ModelGPTError(f"Can't write to {out}.", str(error), "Choose another folder with --out.") from error
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

    def __init__(self, config: MetaTrainConfig, out: Path, device: str, real: list[RealTask]) -> None:
        self.config, self.out, self.device = config, out, device
        self.train_tasks = [t for t in real if not held_out(t, config.holdout)]
        self.validation_tasks = [t for t in real if held_out(t, config.holdout)]
        torch.manual_seed(config.seed)
        self.generator = make_generator(GeneratorConfig(width=config.width, blocks=config.blocks)).to(device)
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.step = 0
        self.seconds = 0.0
        self.best_loss, self.best_step = math.inf, 0

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        with safe_open(str(self.out / "last.safetensors"), "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        restore_training_state(state, self.generator, self.optimizer)
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.best_loss, self.best_step = progress["best_loss"], progress["best_step"]

    def save(self) -> None:
        """Write ``last.safetensors`` atomically."""
        progress = {k: getattr(self, k) for k in ("step", "seconds", "best_loss", "best_step")}
        with atomic_write(self.out / "last.safetensors", force=True) as temporary:
            save_file(
                training_state(self.generator, self.optimizer),
                str(temporary),
                metadata={"progress": json.dumps(progress), "config": json.dumps(self.config.to_dict())},
            )

    def train(self) -> MetaTrainReport:
        """Run to the end, or until interrupted."""
        start_step, start = self.step, time.monotonic()
        before = self.seconds
        with _interruptible() as interrupted, tqdm(initial=self.step, total=self.config.steps, disable=None) as bar:
            for batch in self._batches():
                if self.progress() >= 1 or interrupted:
                    break
                loss, norm = self.update(batch)
                self.seconds = before + time.monotonic() - start
                self.step += 1
                bar.update()
                if self.step % 50 == 0:
                    rate = self.config.batch * (self.step - start_step) / (self.seconds - before)
                    bar.set_postfix(loss=f"{loss:.3f}", tasks_per_s=f"{rate:.0f}")
                    self._log(loss=loss, grad_norm=norm, lr=self.learning_rate(), tasks_per_second=rate)
                if self.step % self.config.validate_every == 0:
                    self._checkpoint()
            if not interrupted and self.step % self.config.validate_every:
                self._checkpoint()
        self.save()
        if interrupted:
            log.warning("Interrupted at step %d; the state is saved. Go on with --resume.", self.step)
            raise KeyboardInterrupt
        done = self.config.batch * (self.step - start_step)
        spent = max(self.seconds - before, 1e-9)
        return MetaTrainReport(self.out, self.step, self.seconds, done / spent, self.best_loss, self.best_step)

    def update(self, batch: TaskBatch) -> tuple[float, float]:
        """One optimiser step; returns the batch's mean query loss and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = backward(self.generator, batch, self.config.update, self.config.target_lr)  # type: ignore[arg-type]
        clip = DELTA_CLIP if self.config.update == "delta" else self.config.clip
        norm = float(torch.nn.utils.clip_grad_norm_(self.generator.parameters(), clip))
        if math.isfinite(norm):  # a single broken task must not end a run of hours
            self.optimizer.step()
        else:
            log.warning("Step %d gave a gradient that is not finite; skipped.", self.step)
        return float(losses.mean()), norm

    def progress(self) -> float:
        """Share of the run that is done, by steps or by minutes."""
        shares = []
        if self.config.steps is not None:
            shares.append(self.step / self.config.steps)
        if self.config.minutes is not None:
            shares.append(self.seconds / 60 / self.config.minutes)
        return max(shares)

    def learning_rate(self) -> float:
        """Warm-up, a plateau, and a cosine to zero over the last part."""
        c = self.config
        warm = min(1.0, (self.step + 1) / c.warmup)
        late = max(0.0, (self.progress() - c.decay_from) / max(1 - c.decay_from, 1e-9))
        return c.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(late, 1.0))))

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
        losses = [query_losses(self.generator(b.inputs), b)[0].mean() for b in (x.to(self.device) for x in batches)]
        return float(torch.stack(losses).mean())

    def _checkpoint(self) -> None:
        validation = self.validate()
        if validation["mean"] < self.best_loss:
            self.best_loss, self.best_step = validation["mean"], self.step
            info = {"step": self.step, "seed": self.config.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.generator, info)
        self._log(validation=validation, best_step=self.best_step)
        self.save()

    def _log(self, **values: Any) -> None:
        entry = {"step": self.step, "seconds": round(self.seconds, 1), **values}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _batches(self) -> Iterator[TaskBatch]:
        """Batches from this step on, drawn ahead in a worker process."""
        source = TaskSource(self.config, self.train_tasks, self.step)
        loader: DataLoader[tuple[int, TaskBatch]] = DataLoader(
            source, batch_size=None, num_workers=1, prefetch_factor=4, worker_init_fn=_ignore_interrupts
        )
        for _, batch in loader:
            yield batch.to(self.device)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which finishes its step first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collect SIGINT instead of raising it, so that a step is finished and saved first."""
    caught: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, previous)
