"""ModelGPT-F for tables: all-parameter finetuning of a generated network, kept only where it helps.

Shapes: N rows held out, C outputs, S shares of the way from before to after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.shared.folds import TIME, make_folds, split_words
from modelgpt_cli.domains.shared.held_out import held_out_rows
from modelgpt_cli.domains.shared.split import read_split, tuning_column, tuning_options
from modelgpt_cli.domains.tabular.crossfit import MIN_ROWS, CrossValidation
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.intervals import add_interval
from modelgpt_cli.domains.tabular.leaks import find_copies
from modelgpt_cli.domains.tabular.level_statistics import refit_rows
from modelgpt_cli.domains.tabular.model import PARAMETERS, TabularModel
from modelgpt_cli.domains.tabular.preprocessing import level_codes
from modelgpt_cli.domains.tabular.rebuild import Rebuild, is_shipped, rebuild_of
from modelgpt_cli.domains.tabular.stack import row_losses
from modelgpt_cli.domains.tabular.text_columns import TEXT_ROWS
from modelgpt_cli.training.tune import Tuned, TuneSettings, check_labels, load_rows

log = logging.getLogger("modelgpt")
DEFAULT_LR = 1e-3
CAREFUL_LR = 1e-4
"""Of a model from words alone, by another generator than the shipped one, that is better than the classes' shares.
Such a generator has met the task in its training, often these very rows, so that those held out can't tell what has
been learned by heart: on seven of the paper's tables and new rows, an epoch at 1e-3 took the mean log-loss from .411 to
.485, one at 1e-4 to .412."""
WORDS_LR = (1e-2, 3e-3)
"""Of other models from words alone, which have everything to learn, in few steps and in many: an epoch on five tables
of 90 to 2,000 rows took the mean log-loss of new rows from .987 to .747 at 1e-3, .652 at 3e-3 and .523 at 1e-2; at 32
steps, the most of them, .190 at 3e-3 and .197 at 1e-2."""
FEW_STEPS = 30
BATCH = 64
WEIGHT_DECAY = 1e-4
FOLDS = 5
CROSS_ROWS = 2000
"""Up to so many rows every fold is held out once; of more, the first fold says enough."""
MAX_VALIDATION = 20_000
SAMPLE_ROWS = 200_000
"""Rows of a table that tuning uses; a larger one is sampled, which is said."""
LEAST_GAIN = 1.0
"""Standard errors of the gain on rows held out by which after must be better than before: on a small noisy table the
better of the two is often so by chance."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""How far the parameters may go from those of before to those of after (weight-space ensembles, Wortsman et al.
2022)."""


def tune(model: TabularModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a table's model; see `training.tune.Tuner`.

    Raises
    ------
    UsageError
        All of its answers come from trees or a kernel.
    """
    if not network_weight(model):
        members = model.blueprint.architecture.members
        raise UsageError(
            "All of this model's answers come from what stands beside its network, which alone can be tuned.",
            "On the rows of its build the network added nothing to its trees or its kernel.",
            f"Build it without them: --card tabular-{members}.",
        )
    table, known = read_table(model, data, settings)
    return tune_arrays(model, table, settings, rebuild_of(model, settings.device) if known else None)


@dataclass(frozen=True)
class _Rows:
    """Some rows, encoded once.

    Attributes
    ----------
    first : (N, f K + b); linear : (N, d)
        Inputs of the network.
    beside : float32 (N, C)
        What trees and kernel add to its outputs; they stay as they are.
    labels : (N,)
        Class indices, or the standardised target.
    """

    first: Tensor
    linear: Tensor
    beside: Tensor
    labels: Tensor


@dataclass
class _Trial:
    """What rows that are held out say of one round of tuning.

    Attributes
    ----------
    rows : int64 (N,)
    outputs : (1 + S, N, C)
        Logits, or numbers in the target's own unit, before and at each of `SHARES`.
    """

    rows: np.ndarray
    outputs: Tensor


def tune_arrays(
    model: TabularModel, table: TableArrays, settings: TuneSettings, rebuild: Rebuild | None = None
) -> Tuned:
    """Finetune in place; the parameters end up as those of before, of after, or between them, whichever is best.

    A model with trees or a kernel keeps these: its network is tuned as if it stood alone, as on the rows that they were
    grown on trees leave next to nothing to be learned; all are judged together.

    Each fold of the rows (of many, one) is predicted by a network tuned on the others, from the start that `rebuild`
    makes of these. Pooled, the predictions say how far to go from before to after. What is kept has then been tuned on
    all rows, from the model as it is. Adam's learning rate falls linearly to zero; where none is given it is
    `DEFAULT_LR`, or of a model from words alone `CAREFUL_LR` if it knows the task, else `WORDS_LR`.

    Parameters
    ----------
    rebuild : callable, optional
        For rows that the model was built from: what builds it without those held out.

    Raises
    ------
    ModelGPTError
        There are too few rows to hold some out.
    """
    rng = np.random.default_rng([settings.seed, 13])
    if settings.lr is None:
        settings = replace(settings, lr=_rate(model, table, settings))
    trials = [
        _try(rebuild(table.take(train)) if rebuild else deepcopy(model), table, train, held_out, settings, rng)
        for train, held_out in _rounds(table, rng)
    ]
    if not trials:
        raise ModelGPTError("Too few rows to tune on.", f"{len(table.y)} labelled rows can't be split in two.")
    rows = np.concatenate([trial.rows for trial in trials])
    outputs = torch.cat([trial.outputs for trial in trials], 1)  # (1 + S, N, C)
    y = torch.from_numpy(table.y[rows])
    losses = torch.stack([row_losses(out, y, table.n_classes) for out in outputs])  # (1 + S, N)
    losses = losses.nan_to_num(nan=torch.inf)
    best = 1 + int(losses[1:].mean(1).argmin())
    gain = losses[0] - losses[best]
    surely = bool(gain.mean() > LEAST_GAIN * gain.std() / len(gain) ** 0.5)
    share = SHARES[best - 1]
    if surely:
        _finetune(model, table, np.arange(len(table.y)), settings, rng, share)
        if model.has_interval:
            _renew_interval(model, table, outputs[best], rows)
    elif gain.mean() > 0:
        log.info("After is better by less than the rows held out can tell from chance.")
    before, after = (_scores(out, table, rows) for out in (outputs[0], outputs[best]))
    return Tuned(
        before,
        after,
        "after" if surely else "before",
        len(table.y),
        validated=split_words(table.split),
        share=share,
    )


def _rate(model: TabularModel, table: TableArrays, settings: TuneSettings) -> float:
    """The learning rate where none is given, by what the model comes from."""
    made = model.blueprint.provenance
    if made.get("data", ...) is not None:
        return DEFAULT_LR
    if not is_shipped(made.get("generator")) and _beats_shares(model, table):
        return CAREFUL_LR
    steps = settings.epochs * len(table.y) / (settings.batch_size or BATCH)
    return WORDS_LR[0] if steps <= FEW_STEPS else WORDS_LR[1]


def _beats_shares(model: TabularModel, table: TableArrays) -> bool:
    """Whether a classifier says more of the rows than the classes' shares do."""
    rows = np.arange(len(table.y))[:MAX_VALIDATION]
    seen = _encoded(model, table, rows, "cpu")
    loss = row_losses(_outputs(model, seen), seen.labels, table.n_classes).mean()
    shares = np.bincount(table.y[rows], minlength=table.n_classes) / len(rows)
    return bool(float(loss) < -np.log(shares[table.y[rows]]).mean())


def _rounds(table: TableArrays, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows to learn from and those held out, int64 each, of every fold that counts."""
    judged, _ = held_out_rows(table.synthetic, MIN_ROWS)
    folds = make_folds(table.y, table.n_classes, FOLDS, rng, judged, table.split)
    pairs = [(np.flatnonzero(used), np.flatnonzero(held)) for used, held in folds.parts() if used.any()]
    if table.split is not None and table.split.kind == TIME:
        pairs = pairs[-1:]  # what comes last is what is asked
    elif len(table.y) > CROSS_ROWS:
        pairs = pairs[:1]
    for train, held_out in pairs:
        yield train, held_out[:MAX_VALIDATION]


def _try(
    start: TabularModel,
    table: TableArrays,
    train: np.ndarray,
    held_out: np.ndarray,
    settings: TuneSettings,
    rng: np.random.Generator,
) -> _Trial:
    """Tune one round's network, in place, and predict what is held out before and at each share of the way."""
    unseen = _encoded(start, table, held_out, settings.device)
    before = _parameters(start)
    outputs = [_outputs(start.to(settings.device), unseen)]
    _finetune(start, table, train, settings, rng, 1.0)
    after = _parameters(start)
    start.to(settings.device)
    for share in SHARES:
        _set(start, before, after, share)
        outputs.append(_outputs(start, unseen))
    return _Trial(held_out, torch.stack(outputs))


def _finetune(
    model: TabularModel,
    table: TableArrays,
    rows: np.ndarray,
    settings: TuneSettings,
    rng: np.random.Generator,
    share: float,
) -> None:
    """Tune a model in place, and go back to so much of the way."""
    model.to(settings.device)
    before = _parameters(model)
    _train(model, table, rows, settings, rng)
    model.to("cpu")
    _set(model, before, _parameters(model), share)


def _parameters(model: TabularModel) -> dict[str, Tensor]:
    return {name: model.weight(name).detach().cpu().clone() for name in PARAMETERS}


def _set(model: TabularModel, before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> None:
    """Put a model's parameters between two states."""
    with torch.no_grad():
        for name in PARAMETERS:
            model.weight(name).copy_(after[name] if share == 1 else torch.lerp(before[name], after[name], share))


def _train(
    model: TabularModel,
    table: TableArrays,
    rows: np.ndarray,
    settings: TuneSettings,
    rng: np.random.Generator,
) -> None:
    assert settings.lr is not None
    epochs, lr, device = settings.epochs, settings.lr, settings.device
    batch_size = settings.batch_size or BATCH
    weight = network_weight(model)
    if not weight:  # of some of the rows alone, the network may add nothing to the trees
        return
    seen = _encoded(model, table, rows, device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=settings.decay(WEIGHT_DECAY), fused=device != "mps"
    )
    steps = epochs * -(-len(rows) // batch_size)
    with tqdm(total=steps, desc="tune", disable=hidden()) as bar:
        for step, index in enumerate(_shuffled(len(rows), batch_size, epochs, rng)):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / steps)
            optimizer.zero_grad(set_to_none=True)
            alone = model.standard(seen.first[index], seen.linear[index]) / weight
            _loss(alone, seen.labels[index], table.n_classes).backward()
            optimizer.step()
            bar.update()


def _shuffled(n: int, batch_size: int, epochs: int, rng: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(n))
        yield from order.split(batch_size)


def _loss(outputs: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    return F.cross_entropy(outputs, labels) if n_classes else F.mse_loss(outputs[:, 0], labels)


def network_weight(model: TabularModel) -> float:
    """Return what a model's network was multiplied by when it was mixed with kernel and trees; 1 if there are none."""
    made = model.blueprint.provenance
    parts = {"kernel": model.kernel, "forest": model.trees, "trees": model.trees}
    found = [made.get(name, {}).get("network", 1.0) for name, part in parts.items() if part is not None]
    return float(np.prod(found))


@torch.no_grad()
def _encoded(model: TabularModel, table: TableArrays, rows: np.ndarray, device: str) -> _Rows:
    x, codes = torch.from_numpy(table.x[rows]), torch.from_numpy(table.codes[rows])
    first, linear = model.encode(x, codes)
    labels = table.y[rows]
    if not table.n_classes:
        labels = model.standardised(labels).astype(np.float32)
    found = first, linear, model.beside(x, codes, linear), torch.from_numpy(labels)
    return _Rows(*(tensor.to(device) for tensor in found))


@torch.no_grad()
def _outputs(model: TabularModel, rows: _Rows) -> Tensor:
    """Logits (N, C), or numbers in the target's own unit (N, 1)."""
    parts = zip(rows.first.split(8192), rows.linear.split(8192), strict=True)
    out = (torch.cat([model.standard(first, linear) for first, linear in parts]) + rows.beside).cpu()
    if model.blueprint.task == "classification":
        return out
    return model.own_unit(out.double())


def _scores(outputs: Tensor, table: TableArrays, rows: np.ndarray) -> dict[str, float]:
    """Metrics of outputs (N, C) for rows of the table."""
    if table.n_classes:
        return class_scores(outputs.softmax(1).numpy(), table.y[rows])
    return regression_scores(outputs[:, 0].numpy(), table.y[rows])


def _renew_interval(model: TabularModel, table: TableArrays, outputs: Tensor, rows: np.ndarray) -> None:
    """Give a tuned model the interval that its errors on rows held out from the tuning ask for."""
    transform = model.transform
    residuals = transform.forward(table.y[rows]) - transform.forward(outputs[:, 0].numpy()) + transform.shift
    checked = CrossValidation(rows=len(rows), residuals=residuals, index=rows)
    if note := add_interval(model, table, checked, model.blueprint.interval["coverage"]):
        log.warning(note)


def read_table(model: TabularModel, data: Data, settings: TuneSettings) -> tuple[TableArrays, bool]:
    """The labelled rows, in the model's own columns and classes, and what ties them together, as a build has it.

    With whether the model was built from these very rows.
    """
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
    if (b.provenance.get("data") or {}).get("fingerprint") != dataset.fingerprint:
        return table, False
    if b.provenance.get("tuned", {}).get("kept") == "after":
        log.warning(
            "This model was tuned before, and built from these rows: before is judged as if it had not been. "
            "Tune the model from before that, with more --epochs, to be sure."
        )
    return refit_rows(model.preprocessor, table), True
