"""Meta-training a generator of adapters (Algorithm 1) on real tasks: episodes in, a checkpoint out.

Each step draws some tasks, lets the generator write LoRA factors and head for each, and judges them on query rows, with
the support and without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.adapter_config import AdapterTrainConfig
from modelgpt_cli.domains.shared.episode import run_episode
from modelgpt_cli.domains.shared.head import episode_loss
from modelgpt_cli.domains.shared.tasks import Episode, R, Task, draw_episode, fixed_episode
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.training.delta import send_back
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.run import TrainingRun

VALIDATION_STREAM = 1_000_003
SHOTS = (0, 4, 16)
"""Examples per class that a held-out task is validated with."""


@dataclass
class Shares(Generic[R]):
    """Which tasks are trained on, and which the checkpoint is judged by.

    Attributes
    ----------
    weights : list of float
        How often each is drawn, beside what its size says.
    judged : dict of str to list
        By kind; ``unseen`` tasks are none of those trained on, and choose the checkpoint.

    Raises
    ------
    UsageError
        Either is empty.
    """

    train: list[Task[R]]
    weights: list[float]
    judged: dict[str, list[Task[R]]]

    def __post_init__(self) -> None:
        if not self.train or not any(self.judged.values()):
            held_out = len(self.judged.get("unseen", ()))
            raise UsageError(
                f"{len(self.train)} of the {len(self.train) + held_out} tasks are to be trained on, {held_out} "
                "are held out.",
                "Some are needed to train on, and some held out to choose the checkpoint by.",
                "Give more tasks, or change holdout or exclude in the --config.",
            )


def refuse_fixed_tasks(fixed_tasks: bool) -> None:
    """Make sure that no training on fixed tasks is asked for.

    Raises
    ------
    UsageError
        It is: rows that are embedded by a backbone are never the generator's alone to learn by heart.
    """
    if fixed_tasks:
        raise UsageError("--fixed-tasks is for tables.", hint="Leave it out.")


class AdapterTraining(TrainingRun[AdapterGenerator], Generic[R]):
    """One run; a domain says how its backbone reads rows."""

    shown = "posterior"

    def __init__(
        self,
        config: AdapterTrainConfig,
        out: Path,
        processes: Processes,
        generator: AdapterGenerator,
        shares: Shares[R],
    ) -> None:
        self.config, self.shares = config, shares
        rows = np.array([len(t.parts["train"].y) for t in shares.train], dtype=np.float64) ** config.temperature
        rows *= shares.weights
        self.proportions = rows / rows.sum()
        super().__init__(config, out, processes, generator, config.init)

    @abstractmethod
    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act in the backbone, or not."""

    @abstractmethod
    def embed(self, lora: Mapping[str, Tensor], rows: R, pair: bool) -> Tensor:
        """Head inputs of rows, (N, P) float32, with the factors in the backbone."""

    def draw(self, step: int) -> list[Episode[R]]:
        """The episodes of one step, a function of (seed, step) alone, so that a run can be resumed."""
        rng = np.random.default_rng([self.config.seed, step])
        picked = rng.choice(len(self.shares.train), size=self.config.batch, p=self.proportions)
        return [draw_episode(self.shares.train[i], rng, self.config.draw) for i in picked]

    def teach(self, batch: None) -> dict[str, float]:
        """Add the gradients of the step's episodes; their mean losses."""
        self.adapt(True)
        posterior, prior = np.mean([self._backward(episode) for episode in self.draw(self.step)], 0)
        return {"posterior": float(posterior), "prior": float(prior)}

    def _backward(self, episode: Episode[R]) -> tuple[float, float]:
        """Add an episode's share to the gradients; the losses with the support and without."""
        c, delta = self.config, self.config.update == "delta"
        pairs: list[tuple[Tensor, Tensor]] = []  # what was generated, and the θ_t that takes its own step

        def cut(generated: Tensor) -> Tensor:
            pairs.append((generated, generated.detach().requires_grad_()))
            return pairs[-1][1]

        found = run_episode(self.generator, self.embed, episode, free=c.free_support, cut=cut if delta else None)
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
        """Of the averaged weights, by kind of task: mean losses by examples per class, and accuracies."""
        self.adapt(False)
        losses: dict[str, list[float]] = {}
        detail: dict[str, list[float]] = {}
        for kind, tasks in self.shares.judged.items():
            for i, task in enumerate(tasks):
                detail[task.name] = []
                for shots in SHOTS[1:]:
                    rng = np.random.default_rng([self.config.seed, VALIDATION_STREAM, i, shots])
                    episode = fixed_episode(task, shots, rng, self.config.validation_query)
                    found = run_episode(self.average, self.embed, episode)
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
