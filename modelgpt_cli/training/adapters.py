"""Meta-training a generator of adapters (Algorithm 1) on real tasks: episodes in, a checkpoint out.

Each step draws some tasks, lets the generator write LoRA factors and head for each, and judges them on query rows, with
the support and without it.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.devices import multiplies_bf16, pick_device
from modelgpt_cli.domains.head import episode_loss
from modelgpt_cli.domains.text.backbone import Backbone, load_backbone
from modelgpt_cli.domains.text.cards import find_card
from modelgpt_cli.domains.text.episode import run_episode
from modelgpt_cli.domains.text.target import make_text_generator
from modelgpt_cli.domains.text.tasks import GLUE, Episode, TextTask, draw_episode, fixed_episode, held_out, read_tasks
from modelgpt_cli.domains.text.tokens import prepare_tokenizer
from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.adapter_config import AdapterTrainConfig
from modelgpt_cli.training.loss import send_back
from modelgpt_cli.training.run import TrainingRun
from modelgpt_cli.training.schedule import check_run, write_config
from modelgpt_cli.training.settings import read_settings

log = logging.getLogger("modelgpt")
VALIDATION_STREAM = 1_000_003
SHOTS = (0, 4, 16)
"""Examples per class that a held-out task is validated with."""


@dataclass
class AdapterReport:
    """What a run did; losses are a share of log C, 1 for a model that knows nothing."""

    out: Path
    steps: int
    seconds: float
    episodes_per_second: float
    validation_loss: float
    best_step: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"out": str(self.out)}


def train_adapters(
    *,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    backbone: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/text",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    precision: str | None = None,
) -> AdapterReport:
    """Train a generator of LoRA factors and heads on text tasks.

    Parameters
    ----------
    tasks : path
        Folder of tasks, each a folder with ``card.yaml``, ``train.csv.gz`` and ``test.csv.gz`` or ``dev.csv.gz``; a
        fixed share (by hash of the name) is kept for validation.
    config : path, optional
        YAML with `AdapterTrainConfig`'s fields; the other arguments win over it.
    backbone : str, optional
        Card, local folder or hub name; the installed encoder by default.
    steps, minutes, out, resume, device, seed, update, precision
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
    settings = read_settings(
        AdapterTrainConfig, config, tasks=folder, backbone=backbone, steps=steps, minutes=minutes, seed=seed,
        update=update, precision=precision,
    )  # fmt: skip
    check_run(out, resume)
    loaded = load_backbone(replace(find_card(settings.backbone), max_tokens=settings.max_tokens))
    run = AdapterTraining(settings, out, pick_device(device), loaded, load_tasks(settings, loaded))
    if resume:
        run.restore()
    write_config(out, settings.to_dict())
    rate, best = run.train(), run.best
    return AdapterReport(out, run.step, run.seconds, rate, best["mean"], best["step"])


def load_tasks(settings: AdapterTrainConfig, backbone: Backbone) -> list[TextTask]:
    """The tasks of a configuration, tokenised and with their words embedded."""
    log.info("Reading the text tasks with cards in %s ...", settings.tasks)
    tokenizer = prepare_tokenizer(backbone.tokenizer, settings.max_tokens)
    found = read_tasks(str(settings.tasks), TextEncoder(), tokenizer, settings.wordings)
    return [task for task in found if task.name not in settings.exclude]


class AdapterTraining(TrainingRun[AdapterGenerator]):
    """One run."""

    shown = "posterior"

    def __init__(
        self, config: AdapterTrainConfig, out: Path, device: str, backbone: Backbone, tasks: list[TextTask]
    ) -> None:
        self.config, self.backbone = config, backbone.to(device)
        self.bf16 = multiplies_bf16(config.precision, device)
        self._share_out(tasks)
        torch.manual_seed(config.seed)
        sizes = AdapterConfig(
            backbone=backbone.card.name,
            size=backbone.size,
            width=config.width,
            blocks=config.blocks,
            shared=config.shared,
            feedback=config.feedback,
        )
        super().__init__(config, out, device, make_text_generator(sizes, backbone), config.init)

    def _share_out(self, tasks: list[TextTask]) -> None:
        """Which tasks are trained on, how often, and which are held out."""
        config = self.config
        self.train_tasks = [t for t in tasks if not held_out(t.name, config.holdout)]
        self.validation_tasks = [t for t in tasks if held_out(t.name, config.holdout)]
        self.glue_tasks = [t for t in self.train_tasks if t.name in GLUE]
        if not self.train_tasks or not self.validation_tasks + self.glue_tasks:
            raise UsageError(
                f"{len(self.train_tasks)} of the {len(tasks)} tasks are to be trained on, {len(self.validation_tasks)} "
                "are held out.",
                "Some are needed to train on, and some held out or of GLUE to choose the checkpoint by.",
                "Give more tasks, or change holdout or exclude in the --config.",
            )
        rows = np.array([len(t.parts["train"].y) for t in self.train_tasks], dtype=np.float64) ** config.temperature
        rows *= [config.glue_weight if t.name in GLUE else 1.0 for t in self.train_tasks]
        self.proportions = rows / rows.sum()

    def draw(self, step: int) -> list[Episode]:
        """The episodes of one step, a function of (seed, step) alone, so that a run can be resumed."""
        rng = np.random.default_rng([self.config.seed, step])
        picked = rng.choice(len(self.train_tasks), size=self.config.batch, p=self.proportions)
        return [draw_episode(self.train_tasks[i], rng, self.config.draw) for i in picked]

    def teach(self) -> dict[str, float]:
        """Add the gradients of the step's episodes; their mean losses."""
        self.backbone.train_adapter()
        posterior, prior = np.mean([self._backward(episode) for episode in self.draw(self.step)], 0)
        return {"posterior": float(posterior), "prior": float(prior)}

    def _backward(self, episode: Episode) -> tuple[float, float]:
        """Add an episode's share to the gradients; the losses with the support and without."""
        c, delta = self.config, self.config.update == "delta"
        pairs: list[tuple[Tensor, Tensor]] = []  # what was generated, and the θ_t that takes its own step

        def cut(generated: Tensor) -> Tensor:
            pairs.append((generated, generated.detach().requires_grad_()))
            return pairs[-1][1]

        found = run_episode(
            self.generator,
            self.backbone,
            episode,
            bf16=self.bf16,
            free=c.free_support,
            cut=cut if delta else None,
        )
        regression = episode.words.regression
        answer, target = (y.to(found.posterior.device) for y in (episode.answer, episode.target[found.kept]))
        told, alone = (episode_loss(z, answer, regression) for z in (found.posterior, found.prior))
        # The head of words alone has seen no row: those of the support judge it as well as the queries do.
        seen = episode_loss(found.prior_support, target[:, 0] if regression else target.argmax(1), regression)
        words = 0.0 if episode.misled else c.prior_weight * (alone + seen) / 2
        loss = told + words + c.penalty * self.generator.beyond_shared(found.lora)
        (loss / c.batch).backward()
        if delta:
            send_back(pairs, c.target_lr / c.batch)
        return float(told.detach()), float(alone.detach())

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Of the averaged weights, on held-out tasks and GLUE's: mean losses by examples per class, and accuracies."""
        self.backbone.train_adapter(False)
        losses: dict[str, list[float]] = {}
        detail: dict[str, list[float]] = {}
        for kind, tasks in (("unseen", self.validation_tasks), ("glue", self.glue_tasks)):
            for i, task in enumerate(tasks):
                detail[task.name] = []
                for shots in SHOTS[1:]:
                    rng = np.random.default_rng([self.config.seed, VALIDATION_STREAM, i, shots])
                    episode = fixed_episode(task, shots, rng, self.config.validation_query)
                    found = run_episode(self.average, self.backbone, episode, bf16=self.bf16)
                    given = {f"{kind}_{shots}": found.posterior}
                    given |= {f"{kind}_0": found.prior} if shots == SHOTS[1] else {}
                    for key, z in sorted(given.items()):
                        answer = episode.answer.to(z.device)
                        losses.setdefault(key, []).append(float(episode_loss(z, answer, task.regression)))
                        detail[task.name].append(round(_score(z, answer, task.regression), 3))
        result: dict[str, Any] = {key: float(np.mean(values)) for key, values in losses.items()}
        unseen = [result[f"unseen_{shots}"] for shots in SHOTS if f"unseen_{shots}" in result]
        result["mean"] = float(np.mean(unseen or list(result.values())))
        return result | {"scores": detail}


def _score(logits: Tensor, answer: Tensor, regression: bool) -> float:
    """Accuracy, or for regression the correlation."""
    if regression:
        return float(torch.corrcoef(torch.stack([logits[:, 0], answer]))[0, 1])
    return float((logits.argmax(1) == answer).float().mean())
