"""Training on seen tasks (the paper's own setting): one generator that serves each of them from words alone.

Algorithm 1 with the tables themselves as the tasks: the generator writes a task's network from the requirement, the
column names and the class names, training rows score it, and the signal goes back into the generator. There are no
support rows, so the head is the generated one. What is kept is a running average of the weights, by the loss on the
validation rows; test rows are not looked at.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from modelgpt_cli.devices import pick_device
from modelgpt_cli.domains.tabular.seen_tasks import SeenTask, encode_seen_table, read_seen_tables
from modelgpt_cli.domains.tabular.target import make_body, prior_head, score_scale
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM
from modelgpt_cli.domains.tabular.tasks import TaskBatch, class_codes
from modelgpt_cli.errors import UsageError
from modelgpt_cli.files import atomic_write
from modelgpt_cli.parameter_generator.checkpoint import (
    make_generator,
    restore_training_state,
    save_generator,
    training_state,
)
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.loss import backward
from modelgpt_cli.training.processes import interruptible
from modelgpt_cli.training.schedule import check_run, learning_rate, progress, take_step, write_config, write_log
from modelgpt_cli.training.seen_config import SeenConfig, read_seen_config

log = logging.getLogger("modelgpt")
AVERAGE = "average."
PROGRESS = ("step", "seconds", "best_loss", "best_accuracy", "best_step")


@dataclass
class SeenReport:
    """What a run did; `validation_loss` is a share of log C, of the best weights."""

    out: Path
    steps: int
    seconds: float
    tasks_per_second: float
    validation_loss: float
    validation_accuracy: float
    best_step: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"out": str(self.out)}


def train_on_seen(
    *,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/seen",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
) -> SeenReport:
    """Train a generator to serve the tables of a folder from their requirements alone.

    Parameters
    ----------
    tasks : path
        Folder of classification tables with cards; each is split 60/10/30 into training, validation and test rows.
    config : path, optional
        YAML with `SeenConfig`'s fields; the other arguments win over it.
    steps, minutes, out, resume, device, seed, update
        As for `meta_train`.

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
    settings = read_seen_config(config, tasks=folder, steps=steps, minutes=minutes, seed=seed, update=update)
    check_run(out, resume)
    run = SeenTraining(settings, out, pick_device(device), load_seen_tasks(settings))
    if resume:
        run.restore()
    write_config(out, settings.to_dict())
    return run.train()


def load_seen_tasks(settings: SeenConfig) -> list[SeenTask]:
    """The tasks of a configuration, encoded.

    Raises
    ------
    UsageError
        If the configuration has sentences for a table that is not there.
    """
    log.info("Reading the tables with cards in %s ...", settings.tasks)
    tables = read_seen_tables(str(settings.tasks), settings.seed)
    absent = sorted(set(settings.sentences) - {t.name for t in tables})
    if absent:
        raise UsageError(f"sentences: there is no table {absent[0]!r} in {settings.tasks}.")
    encoder = TextEncoder()
    return [encode_seen_table(t, encoder, settings.sentences.get(t.name, ())) for t in tables]


class SeenTraining:
    """One run: the generator, the running average of its weights, its optimiser, and where it stands."""

    def __init__(self, config: SeenConfig, out: Path, device: str, tasks: Sequence[SeenTask]) -> None:
        self.config, self.out, self.device, self.tasks = config, out, device, list(tasks)
        rows = np.array([len(t.parts["train"][3]) for t in self.tasks], dtype=np.float64) ** config.temperature
        self.proportions = rows / rows.sum()
        torch.manual_seed(config.seed)
        self.generator = make_generator(GeneratorConfig(width=config.width, blocks=config.blocks)).to(device)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        self.optimizer = torch.optim.AdamW(
            self.generator.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.step = 0
        self.seconds = 0.0
        self.best_loss, self.best_accuracy, self.best_step = math.inf, 0.0, 0

    def restore(self) -> None:
        """Take up the state of ``last.safetensors``."""
        with safe_open(str(self.out / "last.safetensors"), "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        restore_training_state(state, self.generator, self.optimizer)
        self.average.load_state_dict({k[len(AVERAGE) :]: v for k, v in state.items() if k.startswith(AVERAGE)})
        for name in PROGRESS:
            setattr(self, name, progress[name])

    def save(self) -> None:
        """Write ``last.safetensors`` atomically."""
        progress = {name: getattr(self, name) for name in PROGRESS}
        average = {AVERAGE + k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
        with atomic_write(self.out / "last.safetensors", force=True) as temporary:
            save_file(
                training_state(self.generator, self.optimizer) | average,
                str(temporary),
                metadata={"progress": json.dumps(progress), "config": json.dumps(self.config.to_dict())},
            )

    def train(self) -> SeenReport:
        """Run to the end, or until interrupted."""
        start_step, start = self.step, time.monotonic()
        before = self.seconds
        with interruptible() as interrupted, tqdm(initial=self.step, total=self.config.steps, disable=None) as bar:
            while progress(self.config, self.step, self.seconds) < 1 and not interrupted:
                loss, norm = self.update()
                self.seconds = before + time.monotonic() - start
                self.step += 1
                bar.update()
                if self.step % 50 == 0:
                    bar.set_postfix(loss=f"{loss:.3f}")
                    self._log(loss=loss, grad_norm=norm, lr=self._learning_rate())
                if self.step % self.config.validate_every == 0:
                    self._checkpoint()
            if not interrupted and self.step % self.config.validate_every:
                self._checkpoint()
        self.save()
        if interrupted:
            log.warning("Interrupted at step %d; the state is saved. Go on with --resume.", self.step)
            raise KeyboardInterrupt
        rate = self.config.batch * (self.step - start_step) / max(self.seconds - before, 1e-9)
        return SeenReport(self.out, self.step, self.seconds, rate, self.best_loss, self.best_accuracy, self.best_step)

    def draw(self, step: int) -> list[TaskBatch]:
        """The tasks of one step, a function of (seed, step) alone, so that a run can be resumed."""
        rng = np.random.default_rng([self.config.seed, step])
        picked = rng.choice(len(self.tasks), size=self.config.batch, p=self.proportions)
        c = self.config
        return [
            self.tasks[i].draw(
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

    def update(self) -> tuple[float, float]:
        """One optimiser step; returns the mean query loss and the gradient norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = [
            backward(self.generator, batch.to(self.device), self.config.update, self.config.target_lr)  # type: ignore[arg-type]
            for batch in self.draw(self.step)
        ]
        norm = take_step(self.config, self.step, self.generator, self.optimizer)
        if math.isfinite(norm):
            self.average.update_parameters(self.generator)
        return float(torch.cat(losses).mean()), norm

    def _learning_rate(self) -> float:
        return learning_rate(self.config, self.step, progress(self.config, self.step, self.seconds))

    def validate(self) -> dict[str, float]:
        """Of the averaged weights on the validation rows: mean loss (a share of log C), mean and single accuracies."""
        averaged: Generator = self.average.module  # type: ignore[assignment]
        averaged.eval()
        scores = {}
        for i, task in enumerate(self.tasks):
            codes = class_codes(1, task.n_classes, torch.Generator().manual_seed(VALIDATION_STREAM + i))
            batch = task.batch("validation", None, task.described, codes).to(self.device)
            scores[task.name] = seen_scores(averaged, batch)
        result = {"mean": float(np.mean([loss for loss, _ in scores.values()]))}
        result["accuracy"] = float(np.mean([accuracy for _, accuracy in scores.values()]))
        return result | {name: accuracy for name, (_, accuracy) in scores.items()}

    def _checkpoint(self) -> None:
        validation = self.validate()
        if validation["mean"] < self.best_loss:
            self.best_loss, self.best_accuracy, self.best_step = validation["mean"], validation["accuracy"], self.step
            info = {"step": self.step, "seed": self.config.seed, "validation": validation}
            save_generator(self.out / "generator.safetensors", self.average.module, info)  # type: ignore[arg-type]
        self._log(validation=validation, best_step=self.best_step)
        self.save()

    def _log(self, **values: Any) -> None:
        write_log(self.out, self.step, self.seconds, values)


@torch.inference_mode()
def seen_scores(generator: Generator, batch: TaskBatch) -> tuple[float, float]:
    """Loss (as a share of log C) and accuracy of what is written for one task on its query rows."""
    parameters = generator(batch.inputs)
    body = make_body(parameters, batch.inputs.full, batch.inputs.feature_mask)
    head = prior_head(parameters, False) * score_scale(parameters, False)
    logits = (body(batch.query_channels) @ head)[0]  # (m, C)
    labels = batch.query_target[0]
    loss = F.cross_entropy(logits, labels) / math.log(logits.shape[-1])
    return float(loss), float((logits.argmax(1) == labels).float().mean())
