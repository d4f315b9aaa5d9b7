"""ModelGPT-F for texts: finetuning encoder and head of a generated model, kept only where it helps.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.devices import multiplies_bf16
from modelgpt_cli.domains.scores import class_scores, regression_scores
from modelgpt_cli.domains.tabular.crossfit import fold_of
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.tokens import Encoded
from modelgpt_cli.errors import ModelGPTError
from modelgpt_cli.training.tune import check_labels

log = logging.getLogger("modelgpt")
DEFAULT_LR = 5e-5
HEAD_RATE = 20.0
"""The head's learning rate, as a multiple of the encoder's."""
BATCH = 32
WEIGHT_DECAY = 1e-2
VALIDATION_SHARE = 0.1
MAX_VALIDATION = 2_000
SAMPLE_ROWS = 50_000
"""Rows that tuning uses; more are sampled, which is said."""
WARM_UP = 0.06
"""Share of the steps over which the rate rises; then it falls to zero."""


def read_texts(model: TextModel, data: str | Path, seed: int) -> tuple[Encoded, np.ndarray]:
    """The labelled rows, tokenised, and their class indices or numbers (N,)."""
    b = model.blueprint
    dataset = load_dataset(
        data, target=b.target, task=b.task, columns=b.used, sample_rows=SAMPLE_ROWS, domain="text", seed=seed
    )
    if dataset.n_rows > len(dataset.sample):
        log.warning("Tuning on a sample of %d of %d rows.", len(dataset.sample), dataset.n_rows)
    cells = dataset.sample[b.target]
    if b.task == "regression":
        return model.encode(dataset.sample), cells.to_numpy(dtype=np.float32)
    check_labels(b, dataset.schema.classes)
    place = {label: k for k, label in enumerate(b.labels)}
    return model.encode(dataset.sample), np.array([place[cell] for cell in cells], dtype=np.int64)


def tune_texts(
    model: TextModel,
    rows: Encoded,
    y: np.ndarray,
    *,
    epochs: int = 1,
    lr: float | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[dict[str, float], dict[str, float], Literal["before", "after"]]:
    """Finetune in place; the parameters end up as the better of before and after, by a tenth that is held out.

    Parameters
    ----------
    rows : Encoded (N,)
    y : (N,)
        Class indices (int64), or numbers in the target's own unit.
    lr : float, optional
        AdamW's learning rate of the encoder, falling linearly to zero; `DEFAULT_LR` where not given.

    Returns
    -------
    before, after : dict
        Metrics on the held-out rows.
    kept : {"before", "after"}
    """
    n_classes = len(model.blueprint.labels)
    rng = np.random.default_rng([seed, 13])
    fold = fold_of(y, n_classes, round(1 / VALIDATION_SHARE), rng)
    train, held_out = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)[:MAX_VALIDATION]
    if not len(held_out) or not len(train):
        raise ModelGPTError("Too few rows to tune on.", f"{len(y)} labelled rows can't be split in two.")
    model.to(device)
    before = _measure(model, rows.take(held_out), y[held_out])
    saved = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    _train(model, rows.take(train), y[train], epochs, lr or DEFAULT_LR, batch_size, rng)
    after = _measure(model, rows.take(held_out), y[held_out])
    key = "log_loss" if n_classes else "rmse"
    kept: Literal["before", "after"] = "after" if after[key] < before[key] else "before"
    if kept == "before":
        model.load_state_dict(saved)
    model.to("cpu")
    return before, after, kept


def _train(
    model: TextModel, rows: Encoded, y: np.ndarray, epochs: int, lr: float, batch_size: int, rng: np.random.Generator
) -> None:
    head = [model.head_weight, model.head_bias]
    groups = [{"params": list(model.encoder.parameters()), "lr": lr}, {"params": head, "lr": lr * HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    order = [index for _ in range(epochs) for index in _batches(rows, batch_size, rng)]
    device = model.head_weight.device
    bf16 = multiplies_bf16("auto", device.type)
    model.train()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    torch.manual_seed(int(rng.integers(2**31)))  # the encoder's dropout
    for step, index in enumerate(tqdm(order, desc="tune", disable=None)):
        share = step / len(order)
        rate = min(share / WARM_UP, (1 - share) / (1 - WARM_UP)) if WARM_UP else 1 - share
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = lr * rate, lr * HEAD_RATE * rate
        batch = rows.padded(index).to(str(device))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            out = model(batch.ids, batch.mask, batch.segments)
        optimizer.zero_grad(set_to_none=True)
        _loss(model, out.float(), torch.from_numpy(y[index]).to(device)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def _batches(rows: Encoded, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of an epoch's batches: rows of like length together, batches in random order."""
    noise = rng.uniform(0.8, 1.25, len(rows))
    order = np.argsort(rows.lengths * noise)
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [parts[i] for i in rng.permutation(len(parts))]


def _loss(model: TextModel, out: Tensor, y: Tensor) -> Tensor:
    if model.blueprint.task == "classification":
        return F.cross_entropy(out, y)
    std = float(model.constants["target"][1])
    return F.mse_loss(out[:, 0] / std, y / std)


def _measure(model: TextModel, rows: Encoded, y: np.ndarray) -> dict[str, float]:
    answers = model.predict_encoded(rows)
    if model.blueprint.task == "classification":
        return class_scores(answers, y)
    return regression_scores(answers[:, 0].astype(np.float64), y.astype(np.float64))
