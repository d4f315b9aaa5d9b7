"""ModelGPT-F for models with a backbone that is finetuned as a whole, with the head: kept only where it helps.

`TextTuning` says how its rows become outputs. Shapes: N rows, n rows of a batch, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.domains.shared.folds import Split, hold_out, split_words
from modelgpt_cli.domains.shared.head import HeadSource, fit_head
from modelgpt_cli.domains.shared.novelty import threshold_of
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.domains.shared.tasks import R
from modelgpt_cli.parameter_generator.adapter import Words
from modelgpt_cli.parameter_generator.logistic_sparse import SparseInputs
from modelgpt_cli.training.tune import Tuned, TuneSettings

WEIGHT_DECAY = 1e-2
VALIDATION_SHARE = 0.1
MAX_VALIDATION = 2_000
HEAD_ROWS = 4096
"""Rows that the head is solved on before tuning, where that has to be done anew."""
START_STRENGTHS = (1.0, 16.0)
"""What the precision of that head is chosen from."""
WARM_UP = 0.06
"""Share of the steps over which the rate rises; then it falls to zero."""


class BackboneTuning(ABC, Generic[R]):
    """The tuning of one model, in place.

    Parameters
    ----------
    model : target model
        With ``head_weight``, ``head_bias`` and a backbone.
    trunk : nn.Module
        The part of it that the head comes after.
    scale : (float, float)
        Of a regression, the target's mean and standard deviation.
    """

    lr: ClassVar[float]
    """AdamW's learning rate of the trunk, where none is asked for."""
    head_rate: ClassVar[float]
    """The head's learning rate, as a multiple of the trunk's."""
    batch_size: ClassVar[int]
    """Rows of a step, where nothing is asked for."""

    def __init__(self, model: Any, trunk: nn.Module, scale: tuple[float, float] = (0.0, 1.0)) -> None:
        self.model, self.trunk, self.scale = model, trunk, scale

    @abstractmethod
    def outputs(self, rows: R) -> Tensor:
        """Logits (n, C) of a batch, or numbers (n, 1), for a step of training."""

    @abstractmethod
    def head_inputs(self, rows: R) -> Tensor:
        """What the head sees, (N, P) on the CPU."""

    def sparse_inputs(self, rows: R) -> SparseInputs | None:
        """Inputs that stand beside the head's; None where a model has none."""
        return None

    def sparse_weights(self) -> list[nn.Parameter]:
        """Their weights (1 + F, C), the first row of which is 0; empty where a model has none."""
        return []

    def settle(self) -> None:
        """Bring tuned weights into the form in which a build leaves them, before they are judged."""

    @abstractmethod
    def answers(self, rows: R) -> np.ndarray:
        """Probabilities (N, C), or numbers (N, 1), as the finished model gives them."""

    def run(
        self,
        rows: R,
        y: np.ndarray,
        settings: TuneSettings,
        *,
        known: Mapping[str, float] | None = None,
        split: Split | None = None,
    ) -> Tuned:
        """Finetune; the parameters end up as the better of before and after, by a tenth that is held out.

        Parameters
        ----------
        rows : (N,)
        y : (N,)
            Class indices (int64), or numbers in the target's own unit.
        settings : TuneSettings
            Its learning rate is AdamW's of the trunk: it rises quickly, and falls linearly to zero.
        known : mapping, optional
            Metrics of the model as it is, cross-validated on these rows when it was built from them: its head has
            learnt what is held out here by heart. They count as before; tuning starts from a head solved without it.
            Where they are empty, it is that head that counts as before.
        split : Split, optional
            What ties rows together, so that they must not be held out at random.

        Raises
        ------
        ModelGPTError
            There are too few rows to hold some out.
        """
        model = self.model
        n_classes = len(model.blueprint.labels)
        rng = np.random.default_rng([settings.seed, 13])
        train, held_out = hold_out(y, n_classes, VALIDATION_SHARE, rng, split=split)
        held_out = held_out[:MAX_VALIDATION]
        if not len(held_out) or not len(train):
            raise ModelGPTError("Too few rows to tune on.", f"{len(y)} labelled rows can't be split in two.")
        judged = rows.take(held_out)
        model.to(settings.device)
        before = self._measure(judged, y[held_out]) if known is None else dict(known)
        saved = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        if known is not None:
            self._solve_anew(rows, y, train, rng, settings.seed, split)
            before = before or self._measure(judged, y[held_out])
        size = settings.batch_size or self.batch_size
        order = [train[index] for index in _batches(rows.lengths[train], size, settings.epochs, rng)]
        torch.manual_seed(int(rng.integers(2**31)))  # dropout
        self._train(rows, y, order, settings.lr or self.lr, settings.decay(WEIGHT_DECAY))
        self.settle()
        after = self._measure(judged, y[held_out])
        key = "log_loss" if n_classes else "rmse"
        kept: Literal["before", "after"] = "after" if after[key] < before[key] else "before"
        if kept == "before":
            model.load_state_dict(saved)
        model.to("cpu")
        if kept == "after":
            model.blueprint.calibration = {}  # of the head before
            if model.novelty is not None:
                self._renew_novelty(rows, y, train[:HEAD_ROWS], held_out)
        return Tuned(before, after, kept, len(y), validated=split_words(split))

    def _solve_anew(
        self, rows: R, y: np.ndarray, train: np.ndarray, rng: np.random.Generator, seed: int, split: Split | None
    ) -> None:
        """Give the model a head that has seen some of the rows `train`, and no others."""
        model, n_classes = self.model, len(self.model.blueprint.labels)
        seen = np.sort(rng.permutation(train)[:HEAD_ROWS])
        inputs, labels = self.head_inputs(rows.take(seen)), torch.from_numpy(y[seen])
        scaling = Scaling.of(inputs)
        mean, std = self.scale
        target = F.one_hot(labels, n_classes).float() if n_classes else ((labels[:, None] - mean) / std).float()
        words = Words(torch.zeros(0), torch.zeros(target.shape[1], 0), regression=not n_classes, pair=False)
        source = HeadSource(words=words, strengths=START_STRENGTHS)
        tied = None if split is None else split.take(seen)
        sparse = self.sparse_inputs(rows.take(seen))
        phi = scaling.inputs(inputs)
        fit = fit_head(source, phi, target, seed=seed, scale=(0.0, 1.0), split=tied, sparse=sparse)
        weight, bias = scaling.folded(fit.weight, fit.bias)
        with torch.no_grad():
            model.head_weight.copy_(weight)
            model.head_bias.copy_(bias)
            for parameter in self.sparse_weights():
                parameter[1:] = 0.0 if fit.beside is None else fit.beside

    def _renew_novelty(self, rows: R, y: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> None:
        """Find prototypes among the features that rows have now, and the threshold on rows that are held out."""
        model, n_classes = self.model, len(self.model.blueprint.labels)
        labels = torch.from_numpy(y[train])
        target = F.one_hot(labels, n_classes).float() if n_classes else labels[:, None]
        model.novelty = model.novelty.refitted(self.head_inputs(rows.take(train)), target, n_classes > 0)
        scores = model.novelty(self.head_inputs(rows.take(held_out))).numpy()
        model.blueprint.novelty = threshold_of(scores)

    def _train(self, rows: R, y: np.ndarray, order: list[np.ndarray], lr: float, decay: float) -> None:
        model = self.model
        model.requires_grad_(True)
        model.train()  # what is never trained, such as BatchNorm, is frozen again by this
        trained = [parameter for parameter in self.trunk.parameters() if parameter.requires_grad]
        head = [model.head_weight, model.head_bias, *self.sparse_weights()]
        groups = [{"params": trained, "lr": lr}, {"params": head, "lr": lr * self.head_rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=decay)
        device = model.head_weight.device
        bf16 = multiplies_bf16("auto", device.type)
        for step, index in enumerate(tqdm(order, desc="tune", disable=hidden())):
            rate = lr * _rate((step + 0.5) / len(order))
            optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rate, rate * self.head_rate
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                out = self.outputs(rows.take(index))
            optimizer.zero_grad(set_to_none=True)
            self._loss(out, y[index]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()

    def _loss(self, out: Tensor, y: np.ndarray) -> Tensor:
        if self.model.blueprint.task == "classification":
            return F.cross_entropy(out.float(), torch.from_numpy(y).to(out.device))
        mean, std = self.scale
        labels = torch.from_numpy(((y - mean) / std).astype(np.float32))
        return F.mse_loss(((out[:, 0] - mean) / std).float(), labels.to(out.device))

    def _measure(self, rows: R, y: np.ndarray) -> dict[str, float]:
        answers = self.answers(rows)
        if self.model.blueprint.task == "classification":
            return class_scores(answers, y)
        return regression_scores(answers[:, 0].astype(np.float64), y.astype(np.float64))


def _rate(share: float) -> float:
    """The learning rate as a share of the highest, when so much of the steps is done."""
    return min(share / WARM_UP, (1 - share) / (1 - WARM_UP))


def _batches(lengths: np.ndarray, batch_size: int, epochs: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of all batches: rows of like length together, the batches of an epoch in random order."""
    found = []
    for _ in range(epochs):
        order = np.argsort(lengths * rng.uniform(0.8, 1.25, len(lengths)))
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        found += [parts[i] for i in rng.permutation(len(parts))]
    return found
