"""The generated head where a backbone gives its inputs: solved on labelled rows, and judged by cross-validation.

The LoRA factors come from words alone, so the rows' head inputs are the same whatever rows are held out:
cross-validation generates and solves the head anew for each fold, on inputs that no label has touched.
Shapes: N rows, P head inputs, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.core.label_metrics import label_scores
from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.shared.calibration import fit_temperature
from modelgpt_cli.domains.shared.folds import Folds, Split, make_folds
from modelgpt_cli.domains.shared.held_out import held_out_rows
from modelgpt_cli.domains.shared.thresholds import DEFAULT, crossed_decisions, fit_thresholds
from modelgpt_cli.parameter_generator.adapter import (
    PRECISION,
    AdapterGenerator,
    HeadPrior,
    Words,
    class_evidence,
)
from modelgpt_cli.parameter_generator.logistic import MOST_STEPS, posterior, posterior_rows
from modelgpt_cli.parameter_generator.logistic_sparse import CHOICE_STEPS, LBFGS_STEPS, SparseInputs, posterior_beside

FOLDS = 5
MANY_ROWS = 2000
"""Above so many rows, three folds say as much."""
LEAST_ROWS = 8
"""With fewer rows nothing is held out: the scores would say nothing."""
STRENGTHS = (1.0, 0.25, 4.0, 16.0, 64.0)
"""Multiples of the generated precision that cross-validation chooses from, where there are rows enough to tell."""
CHOICE_ROWS = 32
SPARSE_PRECISIONS = (0.2, 0.05, 0.0125, 0.003)
"""Prior precisions of sparse inputs that cross-validation chooses from, where there are rows enough to tell."""
MORE_PRECISIONS = (0.5, 0.125, 0.03, 0.008)
"""The same of further dense inputs, of length 1."""
CLEARLY = 2.0
"""Standard errors by which further inputs must do better on held-out rows, of which there may be eight: with one, a
set of tweets with 4 rows a class loses 4 points of accuracy, with two none of eight sets does."""
OURS, PRIOR_ONLY, DENSE_ONLY, NARROW_ONLY = "model", "requirement only", "encoder only", "last layer only"
"""Names of models that a build compares."""


@dataclass(kw_only=True)
class HeadSource:
    """What the head is generated from.

    Attributes
    ----------
    generator : AdapterGenerator, optional
        None for a backbone that none was trained for: the head starts from nothing.
    tokens : Tensor (1 + C, D), optional
    named : Tensor (C, P), optional
        Class names as the adapted backbone sees them, where it can.
    strengths : tuple of float
        What cross-validation chooses from; the first is the one without it.
    name_scale : float
        Without a generator, the head starts from the class names: logits per unit of likeness to `named`.
    more : int
        Inputs behind those that the generator knows: the head starts from zero there.
    more_precision : float
        Their prior precision.
    multi_label : bool
        Whether a row has any number of the classes: then each has a probability of its own.
    """

    words: Words
    generator: AdapterGenerator | None = None
    tokens: Tensor | None = None
    named: Tensor | None = None
    strengths: tuple[float, ...] = STRENGTHS
    multi_label: bool = False
    name_scale: float = 0.0
    more: int = 0
    more_precision: float = PRECISION

    @property
    def has_prior(self) -> bool:
        """Whether the head starts from anything."""
        return self.generator is not None or (self.named is not None and self.name_scale > 0)

    @torch.inference_mode()
    def prior(self, phi: Tensor | None, target: Tensor | None, n_inputs: int) -> HeadPrior:
        """The generated head, with the labelled rows in view or without any.

        Of labels that don't exclude each other, the columns are the same, and the bias is what it takes to give one of
        C labels where nothing is known.
        """
        known = n_inputs - self.more
        found = self._generated(None if phi is None else phi[:, :known], target, known)
        if self.more:
            found = self._beyond(found)
        if self.multi_label:
            found.weight[-1] -= math.log(max(found.weight.shape[1] - 1, 1))
        return found

    def _generated(self, phi: Tensor | None, target: Tensor | None, n_inputs: int) -> HeadPrior:
        if self.generator is None or self.tokens is None:
            shape = (n_inputs + 1, len(self.words.names))
            start = HeadPrior(torch.zeros(shape), torch.full((n_inputs + 1,), PRECISION))
            if self.named is not None:
                start.weight[:-1] = self.name_scale * (self.named - self.named.mean(0)).T
            return start
        regression = self.words.regression
        alone = self.generator.head(self.tokens, self.words, self.named, None)
        if phi is None or target is None:
            return alone
        evidence = class_evidence(phi, target, regression, alone)
        return self.generator.head(self.tokens, self.words, self.named, evidence)

    def _beyond(self, found: HeadPrior) -> HeadPrior:
        """The head with further inputs, before the bias."""
        weight = found.weight.new_zeros(self.more, found.weight.shape[1])
        precision = found.precision.new_full((self.more,), self.more_precision)
        return HeadPrior(
            torch.cat([found.weight[:-1], weight, found.weight[-1:]]),
            torch.cat([found.precision[:-1], precision, found.precision[-1:]]),
        )

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) of logits."""
        scores = torch.from_numpy(logits)
        found: np.ndarray = (scores.sigmoid() if self.multi_label else scores.softmax(1)).numpy()
        return found


def with_bias(phi: Tensor) -> Tensor:
    """Head inputs with a constant one, (N, P + 1)."""
    return F.pad(phi, (0, 1), value=1.0)


def solve(phi: Tensor, target: Tensor, prior: HeadPrior, regression: bool) -> Tensor:
    """The posterior head (P + 1, C) of few rows `phi` (s, P)."""
    return posterior_rows(with_bias(phi), target, prior.weight, prior.precision, regression=regression)


def episode_loss(logits: Tensor, answer: Tensor, regression: bool) -> Tensor:
    """Mean loss over the queries: about 1 for a model that knows nothing, 0 for a perfect one."""
    if regression:
        return F.huber_loss(logits[:, 0], answer, delta=2.0) * 2
    return F.cross_entropy(logits, answer) / torch.log(torch.tensor(float(logits.shape[1])))


@dataclass
class HeadFit:
    """A solved head.

    Attributes
    ----------
    weight : float32 (P, C)
    bias : float32 (C,)
    strength : float
        Chosen multiple of the generated precision.
    metrics : dict
        Name of a model → metric → value, on held-out rows; empty where there were too few.
    held_out : float32 (N, C), optional
        Cross-validated probabilities or predictions (standardised).
    thresholds : (C,), optional
        Of a multi-label task: from which probability on a label is given.
    folds : Folds, optional
        In which each row was held out. None where there are no metrics.
    calibration : dict
        As the blueprint has it; the temperature is in weight and bias, and in `held_out`.
    beside : float32 (F, C), optional
        Weights of sparse inputs, where there are any and they are worth it.
    sparse_precision : float, optional
        Their prior precision.
    more_precision : float, optional
        That of further dense inputs, where these are worth it: then weight has P + Q rows, theirs last.
    """

    weight: Tensor
    bias: Tensor
    strength: float = 1.0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    held_out: np.ndarray | None = None
    folds: Folds | None = None
    calibration: dict[str, Any] = field(default_factory=dict)
    thresholds: np.ndarray | None = None
    beside: Tensor | None = None
    sparse_precision: float | None = None
    more_precision: float | None = None

    @property
    def scored(self) -> np.ndarray:
        """Positions of the rows that the metrics are of; none where there are no metrics."""
        return np.zeros(0, np.int64) if self.folds is None else np.flatnonzero(self.folds.fold >= 0)


@torch.inference_mode()
def fit_head(
    source: HeadSource,
    phi: Tensor,
    target: Tensor,
    *,
    seed: int,
    scale: tuple[float, float],
    synthetic: np.ndarray | None = None,
    split: Split | None = None,
    sparse: SparseInputs | None = None,
    more: Tensor | None = None,
) -> HeadFit:
    """Solve the head on labelled rows, find out by cross-validation how good it is, and calibrate its probabilities.

    Parameters
    ----------
    phi : (N, P)
    target : (N, C)
        One-hot, or standardised.
    scale : (float, float)
        Regression: mean and standard deviation of the target.
    synthetic : bool (N,), optional
        Which rows were generated: they are learned from, and never held out where there are real ones.
    split : Split, optional
        What ties rows together, so that cross-validation must not part them at random.
    sparse : SparseInputs, optional
        Of the same rows, to stand beside `phi` with a prior of zero, where held-out rows say that they help.
    more : (N, Q), optional
        Further inputs of the same rows, to stand behind `phi` in the same way.
    """
    regression = source.words.regression
    judged, told = held_out_rows(synthetic, LEAST_ROWS)
    folds = head_folds(target, regression, seed, judged, split)
    metrics: dict[str, dict[str, float]] = {}
    strength, held_out = 1.0, None
    precision: float | None = None
    calibration: dict[str, Any] = {}
    thresholds = np.full(target.shape[1], DEFAULT) if source.multi_label else None
    if folds is not None:
        strength, held_out = narrow = dense_only = _cross_validate(source, phi, target, folds)
        scored = folds.fold >= 0
        if more is not None:
            wide, found = _choose_more(source, phi, more, target, folds, strength, held_out)
            if wide is not source:
                source, phi, held_out = wide, torch.cat([phi, more], 1), found
                dense_only = strength, held_out
        if sparse is not None and len(phi) >= CHOICE_ROWS:
            precision, held_out = _choose_precision(source, phi, target, folds, *dense_only, sparse)
        if not regression:
            calibration = calibrated(source, held_out[scored], target.numpy()[scored])
            held_out = source.probabilities(held_out / calibration.get("temperature", 1.0))
        if source.multi_label:
            thresholds = fit_thresholds(held_out[scored], target.numpy()[scored])
        if told:
            metrics = _metrics(source, phi, target, held_out, folds, scale)
            if source.more and not source.multi_label:
                metrics[NARROW_ONLY] = _dense_scores(source, narrow[1][scored], target.numpy()[scored], scale)
            if precision is not None and not source.multi_label:
                metrics[DENSE_ONLY] = _dense_scores(source, dense_only[1][scored], target.numpy()[scored], scale)
    prior = source.prior(phi, target, phi.shape[1])
    temperature = calibration.get("temperature", 1.0)
    weight, beside = _solve_beside(source, prior, phi, target, strength, sparse, precision)
    weight = weight / temperature
    told_folds = folds if told else None
    fit = HeadFit(weight[:-1], weight[-1], strength, metrics, held_out, told_folds, calibration, thresholds)
    if beside is not None:
        fit.beside, fit.sparse_precision = beside / temperature, precision
    fit.more_precision = source.more_precision * strength if source.more else None
    return fit


def _choose_more(
    source: HeadSource,
    phi: Tensor,
    more: Tensor,
    target: Tensor,
    folds: Folds,
    strength: float,
    held_out: np.ndarray,
) -> tuple[HeadSource, np.ndarray]:
    """The source with further inputs of the prior precision that does best on held-out rows, and the logits there.

    The source as it is, and its logits (N, C), where they are not clearly better.
    """
    full = with_bias(torch.cat([phi, more], 1))

    def wide(precision: float) -> HeadSource:
        # By the strength all precisions are multiplied; it was chosen for the others.
        return replace(source, more=more.shape[1], more_precision=precision / strength)

    def logits(precision: float) -> np.ndarray:
        found = np.zeros_like(held_out)
        for used, held in folds.parts():
            rows, out = torch.from_numpy(used), torch.from_numpy(held)
            learned, answer = full[rows, :-1], target[rows]
            prior = wide(precision).prior(learned, answer, learned.shape[1])
            found[held] = (full[out] @ _solve(source, prior, learned, answer, strength, steps=CHOICE_STEPS)).numpy()
        return found

    chosen, answers = _descend(source, target, folds, held_out, MORE_PRECISIONS, logits, CLEARLY)
    return (source if chosen is None else wide(chosen)), answers


def _descend(
    source: HeadSource,
    target: Tensor,
    folds: Folds,
    held_out: np.ndarray,
    precisions: Sequence[float],
    logits: Callable[[float], np.ndarray],
    errors: float = 1.0,
) -> tuple[float | None, np.ndarray]:
    """The prior precision of inputs that does best on held-out rows, and its logits or numbers there (N, C).

    None, and those without such inputs, where these are not better by so many standard errors. Weaker priors are tried
    as long as they help.
    """
    truth, scored = target.numpy(), folds.fold >= 0
    without = best = _loss(source, held_out[scored], truth[scored])
    chosen: float | None = None
    for precision in precisions:
        found = logits(precision)
        loss = _loss(source, found[scored], truth[scored])
        if loss.mean() >= best.mean():
            break
        gain = without - loss
        best = loss
        if gain.mean() >= errors * gain.std() / len(gain) ** 0.5:
            chosen, held_out = precision, found
    return chosen, held_out


def _dense_scores(
    source: HeadSource, found: np.ndarray, target: np.ndarray, scale: tuple[float, float]
) -> dict[str, float]:
    """Metrics of the head without sparse inputs, calibrated as the one with them is."""
    if not source.words.regression:
        found = source.probabilities(found / calibrated(source, found, target).get("temperature", 1.0))
    return head_scores(found, torch.from_numpy(target), source.words.regression, scale)


def _choose_precision(
    source: HeadSource,
    phi: Tensor,
    target: Tensor,
    folds: Folds,
    strength: float,
    held_out: np.ndarray,
    sparse: SparseInputs,
) -> tuple[float | None, np.ndarray]:
    """The prior precision of sparse inputs that does best on held-out rows, and the answers there; see `_descend`."""

    def logits(precision: float) -> np.ndarray:
        found = np.zeros_like(held_out)
        for used, held in folds.parts():
            rows, out = torch.from_numpy(used), torch.from_numpy(held)
            learned, answer = phi[rows], target[rows]
            prior = source.prior(learned, answer, phi.shape[1])
            part = sparse.take(used)
            weight, beside = _solve_beside(
                source, prior, learned, answer, strength, part, precision, steps=CHOICE_STEPS
            )
            assert beside is not None
            scores = with_bias(phi[out]) @ weight + torch.from_numpy(sparse.values[held] @ beside.numpy())
            found[held] = scores.numpy()
        return found

    return _descend(source, target, folds, held_out, SPARSE_PRECISIONS, logits)


def _solve_beside(
    source: HeadSource,
    prior: HeadPrior,
    phi: Tensor,
    target: Tensor,
    strength: float,
    sparse: SparseInputs | None,
    precision: float | None,
    *,
    steps: int = LBFGS_STEPS,
) -> tuple[Tensor, Tensor | None]:
    """As `_solve`, with sparse inputs beside: (P + 1, C), and (F, C) unless they are left out."""
    if sparse is None or precision is None:
        return _solve(source, prior, phi, target, strength), None
    regression = source.words.regression
    given = target.sum(0) > 0 if not regression else torch.ones(1, dtype=torch.bool)
    weight = prior.weight.clone()
    beside = torch.zeros(sparse.values.shape[1], target.shape[1])
    weight[:, given], beside[:, given] = posterior_beside(
        with_bias(phi),
        sparse,
        target[:, given],
        prior.weight[:, given],
        prior.precision * strength,
        precision,
        regression=regression,
        multi_label=source.multi_label,
        steps=steps,
    )
    return weight, beside


def calibrated(source: HeadSource, logits: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """What the blueprint says of the temperature that held-out rows ask for; {} where that is 1."""
    temperature = fit_temperature(logits, target, multi_label=source.multi_label)
    if temperature == 1.0:
        return {}
    before, after = (float(_loss(source, logits / t, target).mean()) for t in (1.0, temperature))
    return {"temperature": temperature, "rows": len(target), "before": before, "after": after}


def _metrics(
    source: HeadSource,
    phi: Tensor,
    target: Tensor,
    held_out: np.ndarray,
    folds: Folds,
    scale: tuple[float, float],
) -> dict[str, dict[str, float]]:
    """What the head, and the generated one alone, reach on held-out rows."""
    regression = source.words.regression
    scored = folds.fold >= 0
    if source.multi_label:
        return _label_metrics(source, phi, target.numpy() > 0, held_out, folds)
    truth = target[torch.from_numpy(scored)]
    metrics = {OURS: head_scores(held_out[scored], truth, regression, scale)}
    if source.has_prior and not regression:
        alone = with_bias(phi) @ source.prior(None, None, phi.shape[1]).weight
        metrics[PRIOR_ONLY] = head_scores(alone.softmax(1).numpy()[scored], truth, regression, scale)
    return metrics


def _label_metrics(
    source: HeadSource, phi: Tensor, truth: np.ndarray, held_out: np.ndarray, folds: Folds
) -> dict[str, dict[str, float]]:
    """As `_metrics`, of labels (N, C) of which a row has any number."""
    scored = folds.fold >= 0
    given = crossed_decisions(held_out, truth, folds)
    metrics = {OURS: label_scores(truth[scored], given[scored], held_out[scored])}
    if source.has_prior:
        alone = source.probabilities((with_bias(phi) @ source.prior(None, None, phi.shape[1]).weight).numpy())
        metrics[PRIOR_ONLY] = label_scores(truth[scored], alone[scored] >= DEFAULT, alone[scored])
    return metrics


def _solve(
    source: HeadSource,
    prior: HeadPrior,
    phi: Tensor,
    target: Tensor,
    strength: float,
    *,
    gram: Tensor | None = None,
    steps: int = MOST_STEPS,
) -> Tensor:
    """The posterior head of some rows, (P + 1, C); a class without a row keeps what was generated for it."""
    regression = source.words.regression
    given = target.sum(0) > 0 if not regression else torch.ones(1, dtype=torch.bool)
    weight = prior.weight.clone()
    weight[:, given] = posterior(
        with_bias(phi),
        target[:, given],
        prior.weight[:, given],
        prior.precision * strength,
        regression=regression,
        multi_label=source.multi_label,
        gram=gram,
        steps=steps,
    )
    return weight


@torch.inference_mode()
def solve_rows(source: HeadSource, phi: Tensor, target: Tensor, strength: float) -> Tensor:
    """The posterior head (P + 1, C) of rows `phi` (N, P) and `target` (N, C), around what is generated for them."""
    return _solve(source, source.prior(phi, target, phi.shape[1]), phi, target, strength)


def head_folds(
    target: Tensor, regression: bool, seed: int, rows: np.ndarray | None = None, split: Split | None = None
) -> Folds | None:
    """Divide rows into folds, stratified where nothing ties them; None where there are too few to hold any out.

    Parameters
    ----------
    target : (N, C)
    rows : bool (N,), optional
        Those that may be held out; all by default.
    split : Split, optional
        What ties them together.
    """
    if len(target) < LEAST_ROWS:
        return None
    n = len(target) if rows is None else int(rows.sum())
    y = np.zeros(len(target)) if regression else _strata(target)
    count = FOLDS if n <= MANY_ROWS else 3
    n_classes = 0 if regression else target.shape[1] + 1
    return make_folds(y, n_classes, count, np.random.default_rng([seed, 29]), rows, split)


def _strata(target: Tensor) -> np.ndarray:
    """The class of each row, (N,); of several, the rarest, and C where there is none."""
    counts = target.sum(0)
    found = torch.where(target > 0, counts, torch.inf).argmin(1)
    found[target.sum(1) == 0] = target.shape[1]
    strata: np.ndarray = found.numpy()
    return strata


def _cross_validate(source: HeadSource, phi: Tensor, target: Tensor, folds: Folds) -> tuple[float, np.ndarray]:
    """The multiple of the precision that does best on held-out rows, and its logits or numbers there."""
    strengths = source.strengths if len(phi) >= CHOICE_ROWS else source.strengths[:1]
    answers = {s: np.zeros(target.shape, dtype=np.float32) for s in strengths}
    full = with_bias(phi)
    # Where a fold is held out and nothing else, its Gram matrix is what it leaves of the sum.
    total = full.T @ full if len(phi) > MANY_ROWS and not folds.forward else None
    with progress("cross-validate", len(folds.used) * len(strengths), "heads") as advance:
        for used, held in folds.parts():
            rows, out = torch.from_numpy(used), torch.from_numpy(held)
            gram = None if total is None else total - full[out].T @ full[out]
            learned, answer = phi[rows], target[rows]
            prior = source.prior(learned, answer, phi.shape[1])  # the same for all strengths
            for s in strengths:
                logits = full[out] @ _solve(source, prior, learned, answer, s, gram=gram)
                answers[s][out.numpy()] = logits.numpy()
                advance(1)
    truth = target.numpy()
    scored = folds.fold >= 0
    losses = {s: _loss(source, found[scored], truth[scored]) for s, found in answers.items()}
    best = min(losses, key=lambda s: float(losses[s].mean()))
    # The generated precision stays unless another one is clearly better: by more than the noise of the comparison.
    gain = losses[1.0] - losses[best]
    if gain.mean() < gain.std() / len(gain) ** 0.5:
        best = 1.0
    return best, answers[best]


def _loss(source: HeadSource, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Loss of each row, (N,)."""
    if source.multi_label:
        of_labels: np.ndarray = (np.logaddexp(0, found) - found * truth).mean(1)
        return of_labels
    if source.words.regression:
        squares: np.ndarray = (found - truth)[:, 0] ** 2
        return squares
    loss: np.ndarray = -np.log(np.clip((source.probabilities(found) * truth).sum(1), 1e-7, 1))
    return loss


def head_scores(found: np.ndarray, target: Tensor, regression: bool, scale: tuple[float, float]) -> dict[str, float]:
    """Metrics as a build reports them."""
    if not regression:
        return class_scores(found, target.argmax(1).numpy())
    mean, std = scale
    predicted, y = (x.astype(np.float64) * std + mean for x in (found[:, 0], target[:, 0].numpy()))
    return regression_scores(predicted, y)
