"""Where meta-training's batches come from: batch t is a function of (seed, t) alone, so that a run can be resumed.

Each task of a batch has a random stream of its own: a process that trains on some of them draws no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from modelgpt_cli.domains.tabular.real_tasks import RealTask
from modelgpt_cli.domains.tabular.synthetic.draw import draw_task
from modelgpt_cli.domains.tabular.tasks import TaskBatch, class_codes, collate, encode_task
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.text_encoder import EMBEDDING

VALIDATION_STREAM = 1_000_003
WHOLE = slice(None)


class TaskSource(IterableDataset[tuple[int, TaskBatch]]):
    """An endless stream of (step, TaskBatch), from step `start` on.

    Workers of a DataLoader take turns, so that it gives the steps in order.

    Parameters
    ----------
    config : MetaTrainConfig
    real : sequence of RealTask
        Mixed in with the share `config.real`; may be empty.
    start : int
        First step.
    share : slice
        Which tasks of each batch to draw.
    """

    def __init__(
        self, config: MetaTrainConfig, real: Sequence[RealTask] = (), start: int = 0, share: slice = WHOLE
    ) -> None:
        self.config, self.real, self.start, self.share = config, list(real), start, share
        rows = np.array([len(t.table.y) for t in self.real], dtype=np.float64)
        self.proportions = rows**config.temperature / (rows**config.temperature).sum() if len(rows) else rows

    def __iter__(self) -> Iterator[tuple[int, TaskBatch]]:
        worker = get_worker_info()
        step = self.start + (worker.id if worker else 0)
        while True:
            yield step, self.draw(step)
            step += worker.num_workers if worker else 1

    def draw(self, step: int, stream: int = 0) -> TaskBatch:
        """The batch of one step; `stream` keeps training and validation apart."""
        rng = np.random.default_rng([self.config.seed, stream, step])
        if self.real and rng.random() < self.config.real:
            task = self.real[rng.choice(len(self.real), p=self.proportions)]
            if rng.random() < self.config.retarget:
                task = task.retarget(rng, self.config.max_classes) or task
            return draw_real_batch(task, rng, self.config, self.config.batch, share=self.share)
        return draw_synthetic_batch(rng, self.config, self.share)


def draw_synthetic_batch(rng: np.random.Generator, config: MetaTrainConfig, share: slice = WHOLE) -> TaskBatch:
    """A batch of tasks from the prior, or a share of it; all have the same numbers of rows and classes."""
    n_support = _draw_support(rng, config)
    n_classes = _draw_classes(rng, config)
    while n_support < 3 * n_classes:  # a class needs a few rows on both sides
        n_support *= 2
    batch = config.tasks_per_batch(n_support)
    share = _scaled(share, batch // config.batch)
    prior, n_rows = config.synthetic(), n_support + config.query
    tasks = [
        draw_task(own, n_rows=n_rows, n_classes=n_classes, max_features=config.max_features, config=prior)
        for own in rng.spawn(batch)[share]
    ]
    encoded = [encode_task(t, n_support) for t in tasks]
    return collate(encoded, n_support, _codes(rng, batch, n_classes)[share], embedding=EMBEDDING)


def draw_real_batch(
    task: RealTask,
    rng: np.random.Generator,
    config: MetaTrainConfig,
    batch: int,
    support: bool | None = None,
    share: slice = WHOLE,
) -> TaskBatch:
    """A batch of samples of one real table, or a share of it, sometimes without words, sometimes without support rows.

    `support` decides the latter: True always gives support rows, False gives words alone, None draws.
    """
    n_rows = len(task.table.y)
    n_support = min(_draw_support(rng, config), int(n_rows * 0.7))
    n_query = min(config.query, n_rows - n_support)
    words = task.texts is not None and (support is False or rng.random() >= config.text_dropout)
    text_only = words and rng.random() < config.text_only if support is None else not support
    encoded = []
    for own in rng.spawn(batch)[share]:
        drawn, texts = task.draw(own, n_support + n_query, config.max_features)
        encoded.append(encode_task(drawn, n_support, texts if words else None))
    codes = _codes(rng, batch, task.table.n_classes)[share]
    return collate(encoded, 0 if text_only else n_support, codes, embedding=EMBEDDING)


def _scaled(share: slice, factor: int) -> slice:
    """The same share of a batch `factor` times as large."""
    return share if share == WHOLE else slice(share.start * factor, share.stop * factor)


def _draw_support(rng: np.random.Generator, config: MetaTrainConfig) -> int:
    low, high = np.log(config.min_support), np.log(config.max_support + 1)
    return int(np.exp(rng.uniform(low, high)))


def _draw_classes(rng: np.random.Generator, config: MetaTrainConfig) -> int:
    """0 (regression), or a number of classes: half of them two, the rest falling off to `max_classes`."""
    if rng.random() < config.regression:
        return 0
    if rng.random() < 0.5 or config.max_classes < 3:
        return 2
    return int(np.exp(rng.uniform(np.log(3), np.log(config.max_classes + 1))))


def _codes(rng: np.random.Generator, batch: int, n_classes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return class_codes(batch, n_classes, generator)
