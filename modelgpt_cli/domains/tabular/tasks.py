"""Meta-training tasks of the table domain: raw tables, synthetic or real, to batches the generator reads.

Shapes: B batch of tasks, m support and query rows, n support rows, d features (padded), K channels, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.tabular.encoder import TableEncoder, fit_encoder
from modelgpt_cli.domains.tabular.features import channels
from modelgpt_cli.domains.tabular.sizes import CHANNELS
from modelgpt_cli.domains.tabular.synthetic.draw import SyntheticTask
from modelgpt_cli.parameter_generator.generator import TaskInputs, draw_codes


@dataclass
class TaskTexts:
    """Embedded words of a real task; float32.

    Attributes
    ----------
    requirement : (E,)
    columns : (columns, E)
        Numeric sources first, then categorical columns.
    levels : list of (L, E)
        Per categorical column.
    classes : (C, E)
    """

    requirement: np.ndarray
    columns: np.ndarray
    levels: list[np.ndarray]
    classes: np.ndarray


@dataclass
class EncodedTask:
    """One task after `fit_encoder` on its support rows."""

    z: Tensor  # (m, f)
    u: Tensor  # (m, f)
    flat: Tensor  # (m, b)
    y: np.ndarray  # (m,)
    n_classes: int
    encoder: TableEncoder
    texts: TaskTexts | None = None


@dataclass
class TaskBatch:
    """A batch of tasks: what the generator reads, and the query rows that score what it wrote."""

    inputs: TaskInputs
    query_channels: Tensor  # (B, m - n, d, K)
    query_target: Tensor  # int64 (B, m - n), or float32 for regression

    def to(self, device: str) -> TaskBatch:
        """The batch on another device."""
        return TaskBatch(self.inputs.to(device), self.query_channels.to(device), self.query_target.to(device))

    def by_width(self, size: int) -> list[TaskBatch]:
        """Smaller batches of tasks of about the same number of features, so that less is spent on padding.

        Parameters
        ----------
        size : int
            Most tasks of each.
        """
        widths = self.inputs.feature_mask.sum(1)
        chosen = widths.argsort().split(size)
        return [self] if len(chosen) == 1 else [self._part(rows, int(widths[rows].max())) for rows in chosen]

    def _part(self, rows: Tensor, d: int) -> TaskBatch:
        """Some of the tasks, with `d` features; padding is at the end."""
        i = self.inputs
        inputs = TaskInputs(
            channels=i.channels[rows, :, :d],
            target=i.target[rows],
            codes=i.codes[rows],
            feature_mask=i.feature_mask[rows, :d],
            full=i.full[rows, :d],
            regression=i.regression,
            requirement=i.requirement[rows],
            feature_names=i.feature_names[rows, :d],
            class_names=i.class_names[rows],
        )
        return TaskBatch(inputs, self.query_channels[rows, :, :d], self.query_target[rows])


def encode_task(task: SyntheticTask, n_support: int, texts: TaskTexts | None = None) -> EncodedTask:
    """Fit the preprocessing on the first `n_support` rows and apply it to all."""
    encoder = fit_encoder(task.x[:n_support], task.codes[:n_support], task.levels)
    z, u, flat = encoder.apply(task.x, task.codes)
    y = task.y
    if task.n_classes == 0:
        mean, std = y[:n_support].mean(), y[:n_support].std()
        y = np.clip((y - mean) / max(std, 1e-6), -8, 8).astype(np.float32)
    return EncodedTask(z, u, flat, y, task.n_classes, encoder, texts)


def collate(tasks: list[EncodedTask], n_support: int, codes: Tensor, *, embedding: int) -> TaskBatch:
    """Pad tasks of the same number of rows and classes to one batch.

    Parameters
    ----------
    tasks : list of EncodedTask
        All with m rows and the same `n_classes`.
    n_support : int
        n; 0 leaves the generator with the texts alone, and all m rows to score.
    codes : (B, C, R)
    embedding : int
        E, the text encoder's size.
    """
    B, m = len(tasks), len(tasks[0].y)
    d = max(t.encoder.n_features for t in tasks)
    ch = torch.zeros(B, m, d, CHANNELS)
    mask = torch.zeros(B, d, dtype=torch.bool)
    full = torch.zeros(B, d)
    for i, t in enumerate(tasks):
        ch[i, :, : t.encoder.n_features] = join_channels(t.z, t.u, t.flat)
        mask[i, : t.encoder.n_features] = True
        full[i, : t.encoder.n_full] = 1.0
    regression = tasks[0].n_classes == 0
    y = torch.from_numpy(np.stack([t.y for t in tasks]))
    requirement, features, classes = _stack_texts(tasks, d, codes.shape[1], embedding)
    inputs = TaskInputs(
        channels=ch[:, :n_support],
        target=targets(y[:, :n_support], codes.shape[1], regression),
        codes=codes,
        feature_mask=mask,
        full=full,
        regression=regression,
        requirement=requirement,
        feature_names=features,
        class_names=classes,
    )
    return TaskBatch(inputs, ch[:, n_support:], y[:, n_support:])


def join_channels(z: Tensor, u: Tensor, flat: Tensor) -> Tensor:
    """Channels of all features, full ones first: (B, m, d, K); flat ones fill the first channel alone."""
    full = channels(z, u)
    rest = torch.zeros(*flat.shape, full.shape[-1])
    rest[..., 0] = flat
    return torch.cat([full, rest], -2)


def targets(y: Tensor, n_outputs: int, regression: bool) -> Tensor:
    """Ridge targets, (B, n, C): one-hot labels, or the standardised target."""
    if regression:
        return y[..., None].float()
    return torch.nn.functional.one_hot(y, n_outputs).float()


def class_codes(batch: int, n_classes: int, generator: torch.Generator | None = None) -> Tensor:
    """Codes for a batch: random for classes, zeros for the one output of regression."""
    codes = draw_codes(batch, max(n_classes, 1), generator)
    return codes if n_classes else torch.zeros_like(codes)


def feature_texts(encoder: TableEncoder, texts: TaskTexts) -> np.ndarray:
    """The embedding of each feature's name, (d, E): of its level, or of its column."""
    n_sources = len(texts.columns) - len(texts.levels)
    rows = [
        texts.levels[o.column - n_sources][o.level] if o.level >= 0 else texts.columns[o.column]
        for o in encoder.origins
    ]
    return np.stack(rows) if rows else np.zeros((0, texts.columns.shape[1]), dtype=np.float32)


def _stack_texts(tasks: list[EncodedTask], d: int, n_outputs: int, embedding: int) -> tuple[Tensor, Tensor, Tensor]:
    """Requirement (B, E), feature names (B, d, E) and class names (B, C, E); zeros where a task has no words."""
    B = len(tasks)
    requirement = torch.zeros(B, embedding)
    features = torch.zeros(B, d, embedding)
    classes = torch.zeros(B, n_outputs, embedding)
    for i, t in enumerate(tasks):
        if t.texts is None:
            continue
        requirement[i] = torch.from_numpy(t.texts.requirement)
        names = torch.from_numpy(feature_texts(t.encoder, t.texts))
        features[i, : len(names)] = names
        if t.n_classes:
            classes[i] = torch.from_numpy(t.texts.classes)
    return requirement, features, classes
