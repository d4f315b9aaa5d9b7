"""Cross-validation of a whole build: choose how the head is fitted, and say honestly how good the model is.

In each fold everything is done anew on the fold's training rows: preprocessing, the generator's pass, the head. The
baselines are fitted on the same rows. Shapes: N rows, d features, p head inputs, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.fit import Fitted, HeadChoice, TableArrays, encode_rows, fit_table
from modelgpt_cli.domains.tabular.head import Refiner, temperature
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.parameter_generator.generator import Generator

RIDGE = tuple(HeadChoice(s) for s in (10.0, 1.0, 0.1, 0.01, 0.001))
"""Candidates for regression."""
LOGISTIC = (HeadChoice(1.0), *(HeadChoice(s, refined=True) for s in (1.0, 0.1, 0.01, 0.001)))
"""Candidates for classification, from strong to weak: each refinement starts where the one before it ended."""
NAMES = ("model", "linear", "majority")
MAX_ROWS = 6000
MIN_ROWS = 10
LINEAR_PRECISION = 1.0
"""Prior precision of the linear baseline's weights (on inputs of standard deviation 1/2)."""
AUC_CLASSES = 30
"""Above this many classes, one-vs-one ROC AUC takes too many pairs and is left out."""


@dataclass
class CrossValidation:
    """What the folds said.

    Attributes
    ----------
    choice : HeadChoice
    metrics : dict
        "model", "linear", "majority" → metric → mean over all held-out rows. The temperature and the choice of head
        were made on the same folds, which flatters the model by a little.
    folds, rows : int
    """

    choice: HeadChoice
    metrics: dict[str, dict[str, float]]
    folds: int
    rows: int


def fold_of(y: np.ndarray, n_classes: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each row, stratified by class, int64 (N,)."""
    order = rng.permutation(len(y))
    if n_classes:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.zeros(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % folds
    return fold


def cross_validate(
    generator: Generator,
    table: TableArrays,
    *,
    members: int,
    seed: int = 0,
    texts: TaskTexts | None = None,
    device: str = "cpu",
) -> CrossValidation | None:
    """Cross-validate a build on at most `MAX_ROWS` rows; None for fewer than `MIN_ROWS`."""
    rng = np.random.default_rng([seed, 11])
    if len(table.y) > MAX_ROWS:
        table = table.take(rng.permutation(len(table.y))[:MAX_ROWS])
    N = len(table.y)
    if N < MIN_ROWS:
        return None
    folds = 5 if N <= 2000 else 3
    fold = fold_of(table.y, table.n_classes, folds, rng)
    choices = LOGISTIC if table.n_classes else RIDGE
    C = max(table.n_classes, 1)
    held_out = {choice: torch.zeros(N, C) for choice in choices}
    linear, majority = torch.zeros(N, C), torch.zeros(N, C)
    for k in range(folds):
        test = np.flatnonzero(fold == k)
        train = table.take(np.flatnonzero(fold != k))
        fitted = fit_table(generator, train, members=members, seed=seed + k, texts=texts, device=device)
        for choice, heads in zip(choices, fitted.path(choices, train), strict=True):
            out = fitted.logits(heads, table.x[test], table.codes[test])
            held_out[choice][test] = out * fitted.target_std + fitted.target_mean
        linear[test], majority[test] = _baselines(fitted, train, table.x[test], table.codes[test])
    outputs = {"linear": linear, "majority": majority}
    if table.n_classes:
        choice, outputs["model"] = _choose_logistic(held_out, torch.from_numpy(table.y))
        metrics = {name: class_scores(outputs[name].softmax(1).numpy(), table.y) for name in NAMES}
        if "roc_auc" in metrics["majority"]:
            metrics["majority"]["roc_auc"] = 0.5  # by definition; pooling folds of unlike class shares blurs it
    else:
        y = table.y.astype(np.float64)
        choice = min(held_out, key=lambda c: float(np.square(held_out[c][:, 0].double().numpy() - y).mean()))
        outputs["model"] = held_out[choice]
        metrics = {name: regression_scores(outputs[name][:, 0].double().numpy(), y) for name in NAMES}
    return CrossValidation(choice, metrics, folds, N)


def _choose_logistic(held_out: dict[HeadChoice, Tensor], labels: Tensor) -> tuple[HeadChoice, Tensor]:
    """The head with the least held-out log-loss at its own best temperature, and its held-out logits."""
    scored = {}
    for choice, logits in held_out.items():
        t = temperature(logits, labels)
        scored[choice] = (float(F.cross_entropy(logits / t, labels)), t)
    best = min(scored, key=lambda choice: scored[choice][0])
    t = scored[best][1]
    return replace(best, temperature=t), held_out[best] / t


def _baselines(fitted: Fitted, train: TableArrays, x: np.ndarray, codes: np.ndarray) -> tuple[Tensor, Tensor]:
    """Outputs of a linear model and of the majority class (or the mean) on held-out rows, (n, C) each."""
    linear = encode_rows(fitted.encoder, train.x, train.codes)[1]
    inputs = torch.cat([linear, torch.ones(len(linear), 1)], 1)  # (N, d + 1)
    test = torch.cat([encode_rows(fitted.encoder, x, codes)[1], torch.ones(len(x), 1)], 1)
    d, C = inputs.shape[1], max(train.n_classes, 1)
    precision = torch.full((1, d), LINEAR_PRECISION)
    precision[:, -1] = 1e-4
    if not train.n_classes:
        target = torch.from_numpy((train.y - fitted.target_mean) / fitted.target_std).double()
        gram = (inputs.T @ inputs).double() + torch.diag(precision[0].double())
        weight = torch.linalg.solve(gram, inputs.T.double() @ target).float()
        mean = torch.full((len(x), 1), fitted.target_mean)
        return (test @ weight)[:, None] * fitted.target_std + fitted.target_mean, mean
    zeros = torch.zeros(1, d, C)
    labels = torch.from_numpy(train.y)
    weight = Refiner(inputs[None], labels, start=zeros, prior=zeros, precision=precision)(1.0, steps=50)[0]
    counts = torch.bincount(labels, minlength=C).float() + 1e-3
    return test @ weight, (counts / counts.sum()).log().expand(len(x), C)


def class_scores(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Accuracy, log-loss and (up to `AUC_CLASSES` classes) ROC AUC, one-vs-one where there are more than two."""
    p = np.clip(probabilities[np.arange(len(y)), y], 1e-15, 1)
    scores = {"accuracy": float((probabilities.argmax(1) == y).mean()), "log_loss": float(-np.log(p).mean())}
    classes = np.unique(y)
    if 2 <= len(classes) <= AUC_CLASSES:
        pairs = [(a, b) for i, a in enumerate(classes) for b in classes[i + 1 :]]
        areas = []
        for a, b in pairs:
            of_a, of_b = probabilities[y == a], probabilities[y == b]
            areas += [_auc(of_b[:, b], of_a[:, b]), _auc(of_a[:, a], of_b[:, a])]
        scores["roc_auc"] = float(np.mean(areas))
    return scores


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).mean() / 2 / len(negative))


def regression_scores(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """R², root mean squared error and mean absolute error."""
    error = predicted - y
    spread = float(((y - y.mean()) ** 2).mean())
    return {
        "r2": 1 - float((error**2).mean()) / spread if spread > 0 else 0.0,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }
