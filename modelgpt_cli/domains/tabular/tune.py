"""ModelGPT-F for tables: all-parameter finetuning of a generated network, kept only where it helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.shared.folds import hold_out, split_words
from modelgpt_cli.domains.shared.held_out import held_out_rows
from modelgpt_cli.domains.shared.split import read_split, tuning_column, tuning_options
from modelgpt_cli.domains.shared.target_scale import in_own_unit
from modelgpt_cli.domains.tabular.crossfit import MIN_ROWS
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.intervals import adapt_interval, relative_quantile
from modelgpt_cli.domains.tabular.leaks import find_copies
from modelgpt_cli.domains.tabular.level_statistics import refit_rows
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.preprocessing import level_codes
from modelgpt_cli.domains.tabular.text_columns import TEXT_ROWS
from modelgpt_cli.training.tune import Tuned, TuneSettings, check_labels, load_rows

DEFAULT_LR = 1e-3
BATCH = 64
WEIGHT_DECAY = 1e-4
VALIDATION_SHARE = 0.2
MAX_VALIDATION = 20_000
SAMPLE_ROWS = 200_000
"""Rows of a table that tuning uses; a larger one is sampled, which is said."""


def tune(model: TabularModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a table's model; see `training.tune.Tuner`."""
    return tune_arrays(model, read_table(model, data, settings), settings)


def tune_arrays(model: TabularModel, table: TableArrays, settings: TuneSettings) -> Tuned:
    """Finetune in place; the parameters end up as the better of before and after.

    Adam's learning rate falls linearly to zero, from `DEFAULT_LR` where none is given.
    """
    rng, device = np.random.default_rng([settings.seed, 13]), settings.device
    judged, _ = held_out_rows(table.synthetic, MIN_ROWS)
    train, held_out = hold_out(table.y, table.n_classes, VALIDATION_SHARE, rng, judged, table.split)
    held_out = held_out[:MAX_VALIDATION]
    if not len(held_out) or not len(train):
        raise ModelGPTError("Too few rows to tune on.", f"{len(table.y)} labelled rows can't be split in two.")
    unseen = table.take(held_out)
    width_before = relative_quantile(model, unseen) if model.has_interval else None
    model.to(device)
    before = _measure(model, table, held_out, device)
    saved = {k: v.detach().clone() for k, v in model.named_parameters()}
    _train(model, table, train, settings, rng)
    after = _measure(model, table, held_out, device)
    key = "log_loss" if table.n_classes else "rmse"
    kept: Literal["before", "after"] = "after" if after[key] < before[key] else "before"
    if kept == "before":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name])
    model.to("cpu")
    if kept == "after" and model.has_interval:
        adapt_interval(model, width_before, relative_quantile(model, unseen))
    return Tuned(before, after, kept, len(table.y), validated=split_words(table.split))


def _train(
    model: TabularModel,
    table: TableArrays,
    rows: np.ndarray,
    settings: TuneSettings,
    rng: np.random.Generator,
) -> None:
    epochs, lr, device = settings.epochs, settings.lr or DEFAULT_LR, settings.device
    batch_size = settings.batch_size or BATCH
    first, linear, labels = _encoded(model, table, rows, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=WEIGHT_DECAY, fused=device != "mps")
    steps = epochs * -(-len(rows) // batch_size)
    with tqdm(total=steps, desc="tune", disable=hidden()) as bar:
        for step, index in enumerate(_shuffled(len(rows), batch_size, epochs, rng)):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / steps)
            optimizer.zero_grad(set_to_none=True)
            _loss(model, first[index], linear[index], labels[index]).backward()
            optimizer.step()
            bar.update()


def _shuffled(n: int, batch_size: int, epochs: int, rng: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(n))
        yield from order.split(batch_size)


def _loss(model: TabularModel, first: Tensor, linear: Tensor, labels: Tensor) -> Tensor:
    out = model.standard(first, linear)
    if model.blueprint.task == "classification":
        return F.cross_entropy(out, labels)
    return F.mse_loss(out[:, 0], labels)


def _encoded(model: TabularModel, table: TableArrays, rows: np.ndarray, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """First-layer inputs, linear inputs and labels (numbers: standardised) of some rows, encoded once."""
    with torch.no_grad():
        first, linear = model.encode(torch.from_numpy(table.x[rows]), torch.from_numpy(table.codes[rows]))
    labels = table.y[rows]
    if not table.n_classes:
        mean, std = model.constants["target"].double().tolist()
        labels = ((labels - mean) / std).astype(np.float32)
    return first.to(device), linear.to(device), torch.from_numpy(labels).to(device)


def _measure(model: TabularModel, table: TableArrays, rows: np.ndarray, device: str) -> dict[str, float]:
    first, linear, _ = _encoded(model, table, rows, device)
    with torch.no_grad():
        out = torch.cat([model.standard(f, x) for f, x in zip(first.split(8192), linear.split(8192), strict=True)])
    out = out.cpu()
    if table.n_classes:
        return class_scores(out.softmax(1).numpy(), table.y[rows])
    numbers = in_own_unit(out[:, 0].double(), model.constants["target"].double())
    return regression_scores(numbers.numpy(), table.y[rows])


def read_table(model: TabularModel, data: Data, settings: TuneSettings) -> TableArrays:
    """The labelled rows, in the model's own columns and classes, and what ties them together, as a build has it."""
    b = model.blueprint
    rows = TEXT_ROWS if model.preprocessor.textual else SAMPLE_ROWS
    opened = open_table(data)
    asked = tuning_column(b, opened, settings.split)
    dataset = load_rows(b, opened, sample_rows=rows, seed=settings.seed, **tuning_options(b, asked))
    x, codes = model.preprocessor.arrays(dataset.sample)
    levels = tuple(len(names) for names in model.preprocessor.levels)
    if b.task == "regression":
        y = dataset.sample[b.target].to_numpy(dtype=np.float64)
    else:
        y = level_codes(dataset.sample[b.target], b.labels)
        check_labels(b, dataset.schema.classes)
    split = read_split(dataset.sample, asked)
    table = TableArrays(x, codes, y, len(b.labels), levels, synthetic=dataset.synthetic, split=split)
    if split is None:
        table = replace(table, split=find_copies(table)[0])
    known = (b.provenance.get("data") or {}).get("fingerprint") == dataset.fingerprint
    return refit_rows(model.preprocessor, table) if known else table
