"""Cross-fitting: one set of members serves both to choose how the head is fitted and as the model itself.

Each member is generated without one fold of the rows, so what it predicts there is held out, body and head; the heads
that ship are then fitted on every row (cross-fitting, Chernozhukov et al. 2018). The baselines are fitted on the same
folds. Shapes: M members, K folds, N rows, d features, p head inputs, C outputs, J candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.domains.shared.baselines import MAJORITY, MEAN
from modelgpt_cli.domains.shared.folds import Folds, make_folds
from modelgpt_cli.domains.shared.held_out import held_out_rows
from modelgpt_cli.domains.tabular.fit import (
    ONE_PASS,
    Fitted,
    HeadChoice,
    HeadMix,
    TableArrays,
    encode_rows,
    fit_table,
    standardise_target,
)
from modelgpt_cli.domains.tabular.head import CURVATURE, MEDIAN_TO_STD, Refiner, head_outputs, robust_heads
from modelgpt_cli.domains.tabular.kernel_model import Kernel
from modelgpt_cli.domains.tabular.stack import stack_logits, stack_numbers
from modelgpt_cli.domains.tabular.tasks import TaskTexts, targets
from modelgpt_cli.domains.tabular.tree_model import Trees
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.parameter_generator.posterior import leave_one_out, solve_head

RIDGE = tuple(HeadChoice(s) for s in (10.0, 1.0, 0.1, 0.01, 0.001))
"""Candidates for regression."""
ROBUST = tuple(HeadChoice(s, robust=True) for s in (1.0, 0.1))
"""Further ones, where residuals have heavy tails."""
HEAVY_TAILS = 2.0
"""Standard deviation of held-out residuals over that of normal ones with the same median: 1 of normal ones, 1.4 of
Laplace's, 1.5 of Student's with 3 degrees of freedom. Below, robust heads are not worth their time."""
LOGISTIC = (
    HeadChoice(1.0),
    HeadChoice(1.0, refined=True, floor=True),
    *(HeadChoice(s, refined=True) for s in (10.0, 1.0, 0.1, 0.01, 0.001)),
)
"""Candidates for classification."""
FOLDS = 4
MAX_ROWS = 6000
MIN_ROWS = 10
LOO_ROWS = 2000
"""Rows that a leave-one-out temperature is taken from."""
LINEAR_PRECISION = 1.0
"""Prior precision of the linear baseline's weights (on inputs of standard deviation 1/2)."""


@dataclass
class CrossValidation:
    """What the folds said.

    Attributes
    ----------
    metrics : dict
        "model", "linear", and "majority" (regression: "mean") → metric → value over all held-out rows. The mix of
        heads was made on the same folds, which flatters the model by a little; each prediction is by the few members
        that left its row out, which does the opposite.
    folds, rows : int
    residuals : ndarray (N,), optional
        Held-out target minus prediction, in the target's units (regression).
    index : int64 (N,), optional
        Which rows of the table were held out; all, in their order, where absent.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    folds: int = FOLDS
    rows: int = 0
    residuals: np.ndarray | None = None
    index: np.ndarray | None = None


@dataclass(frozen=True)
class HeldOut:
    """What the mix of heads says of rows that were held out.

    Attributes
    ----------
    rows : int64 (N,)
        Which rows of the table were shown.
    folds : Folds
        Of these rows.
    outputs : float32 (S, C)
        Logits, or the standardised target, of the S rows that have a fold.
    fitted : Fitted, optional
        Whose members left the folds out, in turn.
    """

    rows: np.ndarray
    folds: Folds
    outputs: Tensor
    fitted: Fitted | None = None


@dataclass
class CrossFit:
    """Members with the mix of heads that the folds chose.

    Attributes
    ----------
    checked : CrossValidation or None
        None where rows were too few, or were all needed for one pass.
    starts : dict
        Heads (M, p, C) of the same members on three quarters of the rows, from which those of all rows are close.
    held_out : HeldOut, optional
        What the next part may go on from; see `kernel.mix_kernel`, `forest.mix_forest` and `trees.mix_trees`.
    trees : Trees, optional
        Beside the members: random ones, then boosted ones.
    tried : dict
        What the held-out rows said of boosted trees, as JSON values; empty where none were grown.
    forest_tried : dict
        And of random ones.
    kernel : Kernel, optional
        Beside the members.
    kernel_tried : dict
        What the held-out rows said of it, as JSON values; empty where none was fitted.
    taught : (TableArrays, float32 (n, C)), optional
        The rows, and their labels, that those choices of heads learn which are taught.
    """

    fitted: Fitted
    mix: HeadMix
    checked: CrossValidation | None = None
    starts: dict[HeadChoice, Tensor] = field(default_factory=dict)
    held_out: HeldOut | None = None
    trees: Trees | None = None
    tried: dict[str, Any] = field(default_factory=dict)
    forest_tried: dict[str, Any] = field(default_factory=dict)
    taught: tuple[TableArrays, Tensor] | None = None
    kernel: Kernel | None = None
    kernel_tried: dict[str, Any] = field(default_factory=dict)

    def times(self, weight: float) -> CrossFit:
        """The same with what it says multiplied."""
        mix = {choice: share * weight for choice, share in self.mix.items()}
        kernel = None if self.kernel is None else self.kernel.times(weight)
        return replace(self, mix=mix, kernel=kernel, trees=None if self.trees is None else self.trees.times(weight))

    def words(self) -> tuple[str, str, str]:
        """What is to be said of kernel, forest and boosted trees; "" of what was not tried."""
        return self.kernel_words(), self.forest_words(), self.tree_words()

    def kernel_words(self) -> str:
        """What is to be said of the kernel in the mix; "" where none was fitted."""
        if not self.kernel_tried:
            return ""
        if self.kernel is None:
            return "A kernel machine was tried, and held-out rows gain nothing by it."
        share = self.kernel_tried["share"]
        return f"A kernel machine on {len(self.kernel)} points has {share:.0%} of the mix with the network."

    def tree_words(self) -> str:
        """What is to be said of the trees in the mix; "" where none were grown."""
        if not self.tried:
            return ""
        if "unavailable" in self.tried:
            return f"No boosted trees were tried: LightGBM can't be loaded ({self.tried['unavailable']})."
        others = [*(["kernel"] if self.kernel else []), *(["forest"] if self.forest_tried.get("trees") else [])]
        if not self.tried.get("trees"):
            alone = "" if others else ": the network stands alone"
            return f"Boosted trees were tried, and held-out rows gain nothing by them{alone}."
        names = ", ".join(["the network", *others[:-1]]) + "".join(f" and {name}" for name in others[-1:])
        return f"{self.tried['trees']} boosted trees have {self.tried['share']:.0%} of the mix with {names}."

    def forest_words(self) -> str:
        """What is to be said of the forest in the mix; "" where none was grown."""
        if not self.forest_tried:
            return ""
        if not self.forest_tried.get("trees"):
            return "A forest of random trees was tried, and held-out rows gain nothing by it."
        both = "the network" if self.kernel is None else "network and kernel"
        count, share = self.forest_tried["trees"], self.forest_tried["share"]
        return f"A forest of {count} random trees has {share:.0%} of the mix with {both}."

    def heads(self, table: TableArrays) -> Tensor:
        """The heads that ship, in logits (M, p, C), fitted on every row."""
        return self.fitted.heads(self.mix, table, self.starts, self.taught)


def cross_fit(
    generator: Generator,
    table: TableArrays,
    *,
    members: int,
    seed: int = 0,
    texts: TaskTexts | None = None,
    device: str = "cpu",
) -> CrossFit:
    """Generate M members, choose the mix of heads on rows that they have not seen, and score it there.

    With fewer members than folds the choice is made by K others; and so it is where the folds go forward in time, as
    their members see none of the later rows.
    """
    rng = np.random.default_rng([seed, 11])
    rows = rng.permutation(len(table.y))[:MAX_ROWS] if len(table.y) > MAX_ROWS else np.arange(len(table.y))

    def fit(count: int, left_out: list[np.ndarray] | None = None) -> Fitted:
        return fit_table(generator, table, members=count, seed=seed, texts=texts, device=device, left_out=left_out)

    if len(rows) < MIN_ROWS:
        return CrossFit(fit(members), ONE_PASS, None)
    shown = table.take(rows)
    judged, told = held_out_rows(shown.synthetic, MIN_ROWS)
    folds = make_folds(shown.y, table.n_classes, FOLDS, rng, judged, shown.split)
    count = FOLDS if folds.forward else max(members, FOLDS)
    unseen = [rows[~used] for used in folds.used]
    if table.split is not None:  # a row that is not shown may be tied to one that is held out
        unseen = [np.setdiff1d(np.arange(len(table.y)), rows[used]) for used in folds.used]
    fitted = fit(count, [unseen[m % FOLDS] for m in range(count)])
    mix, checked, starts, outputs = _check(fitted, shown, folds)
    checked.index = rows[folds.fold >= 0]
    held_out = HeldOut(rows, folds, outputs, fitted)
    if members < count or folds.forward:
        fitted, starts = fit(members), {}
    return CrossFit(fitted, mix, checked if told else None, starts, held_out)


def one_pass(
    generator: Generator,
    table: TableArrays,
    *,
    members: int = 1,
    seed: int = 0,
    texts: TaskTexts | None = None,
    device: str = "cpu",
) -> CrossFit:
    """Generate M members once, with the closed-form head: the fastest way. No row is left to judge the model by."""
    fitted = fit_table(generator, table, members=members, seed=seed, texts=texts, device=device)
    return CrossFit(fitted, calibrate(fitted, table))


@torch.no_grad()
def calibrate(fitted: Fitted, table: TableArrays) -> HeadMix:
    """The closed-form head at the temperature that its leave-one-out predictions ask for; free beside a pass.

    The bodies have seen the rows that are left out, the heads have not: enough for a temperature, not for a choice.
    """
    if not table.n_classes or len(table.y) < MIN_ROWS:
        return ONE_PASS
    if len(table.y) > LOO_ROWS:
        table = table.take(np.random.default_rng(0).permutation(len(table.y))[:LOO_ROWS])
    members = fitted.members
    phi = members.phi(*encode_rows(fitted.encoder, table.x, table.codes))  # (M, N, p)
    labels = torch.from_numpy(table.y)
    target = targets(labels, table.n_classes, False).expand(len(phi), -1, -1)
    scores = target - leave_one_out(phi, target, members.precision, members.prior)
    weight = stack_logits((scores * members.scale).mean(0)[None], labels)
    return {HeadChoice(): float(weight)}


@torch.no_grad()
def _check(
    fitted: Fitted, table: TableArrays, folds: Folds
) -> tuple[HeadMix, CrossValidation, dict[HeadChoice, Tensor], Tensor]:
    """The mix of candidates, by predictions of each row from the members that left out its fold; refined heads; and
    the mix's outputs of the rows that are scored, as `HeldOut` has them.

    Rows without a fold (-1) are learned from throughout, and not scored.
    """
    linear = encode_rows(fitted.encoder, table.x, table.codes)[1]
    candidates = LOGISTIC if table.n_classes else RIDGE
    held_out, starts = held_out_outputs(fitted, table, candidates, folds)  # (J, N, C)
    floor, constant = _baselines(fitted, table, linear, folds)
    scored = np.flatnonzero(folds.fold >= 0)
    held_out, floor, constant, y = held_out[:, scored], floor[scored], constant[scored], table.y[scored]
    if table.n_classes:
        weights = stack_logits(held_out, torch.from_numpy(y))
        mixed = torch.einsum("j,jnc->nc", weights, held_out)
        outputs = {"model": mixed, "linear": floor, MAJORITY: constant}
        metrics = {name: class_scores(found.softmax(1).numpy(), y) for name, found in outputs.items()}
        if "roc_auc" in metrics[MAJORITY]:
            metrics[MAJORITY]["roc_auc"] = 0.5  # by definition; pooling folds of unlike class shares blurs it
        residuals = None
    else:
        y = y.astype(np.float64)
        numbers = held_out[..., 0].double()  # standardised
        standard = torch.from_numpy((y - fitted.target_mean) / fitted.target_std)
        weights = stack_numbers(numbers, standard)
        if _tails(standard - weights @ numbers) > HEAVY_TAILS:
            candidates += ROBUST
            more = held_out_outputs(fitted, table, ROBUST, folds)[0]
            numbers = torch.cat([numbers, more[:, scored, 0].double()])
            weights = stack_numbers(numbers, standard)
        mixed = (weights @ numbers)[:, None]
        outputs = {
            "model": mixed[:, 0] * fitted.target_std + fitted.target_mean,
            "linear": floor[:, 0],
            MEAN: constant[:, 0],
        }
        metrics = {name: regression_scores(found.double().numpy(), y) for name, found in outputs.items()}
        residuals = y - outputs["model"].numpy()
    mix = {c: float(w) for c, w in zip(candidates, weights, strict=True) if w > 0}
    return mix, CrossValidation(metrics, FOLDS, len(y), residuals), starts, mixed.float()


@torch.no_grad()
def held_out_outputs(
    fitted: Fitted,
    table: TableArrays,
    candidates: tuple[HeadChoice, ...],
    folds: Folds,
    soft: Tensor | None = None,
) -> tuple[Tensor, dict[HeadChoice, Tensor]]:
    """Each candidate's outputs for rows that neither body nor head has seen, (J, N, C): logits or standardised.

    With the refined heads (M, p, C) that gave them.

    Parameters
    ----------
    soft : float32 (K, N, C), optional
        What the heads learn of each row where a fold is left out, instead of `table.y`.
    """
    members, C = fitted.members, max(table.n_classes, 1)
    phi = members.phi(*encode_rows(fitted.encoder, table.x, table.codes))  # (M, N, p)
    turn = np.arange(len(phi)) % FOLDS
    used, left_out = torch.from_numpy(folds.used[turn]), torch.from_numpy(folds.held_out[turn])  # (M, N) each
    standard = standardise_target(table.y, fitted.target_mean, fitted.target_std, table.n_classes)
    labels = torch.from_numpy(standard) if soft is None else soft[turn]
    target = targets(labels, C, not table.n_classes) if soft is None else labels  # ((M,) N, C)
    kept = phi * used[..., None]
    gram, moment = kept.transpose(1, 2) @ phi, (target.mT @ kept).transpose(1, 2)
    ridge = solve_head(gram, moment, members.prior, members.precision) * members.scale
    refined: dict[HeadChoice, Tensor] = {}
    if choices := [choice for choice in candidates if choice.refined]:
        refiner = Refiner(
            phi,
            labels,
            start=ridge,
            prior=members.prior * members.scale,
            precision=members.precision * CURVATURE,
            used=used,
            gram=gram.double(),
        )
        refined = dict(zip(choices, refiner(fitted.strengths(choices)), strict=True))
    outputs = []
    for choice in candidates:
        if choice.refined:
            heads = refined[choice]
        elif choice.robust:
            heads = robust_heads(members, phi, target, choice.strength, used) * members.scale
        elif choice.strength == 1.0:
            heads = ridge
        else:
            heads = solve_head(gram, moment, members.prior, members.precision * choice.strength) * members.scale
        out = head_outputs(phi, heads.transpose(1, 2))  # (M, N, C)
        # A row that none leaves out gives 0 / 0; nobody looks at it.
        outputs.append((out * left_out[..., None]).sum(0) / left_out.sum(0)[:, None])
    return torch.stack(outputs), refined


def _tails(residuals: Tensor) -> float:
    """Standard deviation over that of normal numbers with the same median of their sizes; 0 where that is 0."""
    middle = float(residuals.abs().median()) * MEDIAN_TO_STD
    return float(residuals.square().mean().sqrt()) / middle if middle > 0 else 0.0


def _baselines(fitted: Fitted, table: TableArrays, linear: Tensor, folds: Folds) -> tuple[Tensor, Tensor]:
    """Held-out outputs of a linear model and of the majority class (or the mean), (N, C) each."""
    N, C = len(table.y), max(table.n_classes, 1)
    inputs = torch.cat([linear, torch.ones(N, 1)], 1)  # (N, d + 1)
    precision = torch.full((1, inputs.shape[1]), LINEAR_PRECISION)
    precision[:, -1] = 1e-4
    fold, used = torch.from_numpy(folds.fold), torch.from_numpy(folds.used)  # (N,), (K, N)
    own = torch.arange(N)
    if not table.n_classes:
        y = torch.from_numpy(table.y).double()
        kept = inputs.double() * used[..., None]  # (K, N, d + 1)
        target = ((y - fitted.target_mean) / fitted.target_std)[:, None]
        gram = kept.transpose(1, 2) @ inputs.double() + torch.diag(precision[0].double())
        weight = torch.linalg.solve(gram, kept.transpose(1, 2) @ target)  # (K, d + 1, 1)
        out = (inputs.double() @ weight)[fold, own] * fitted.target_std + fitted.target_mean
        mean = (used * y).sum(1) / used.sum(1)
        return out, mean[fold, None]
    labels = torch.from_numpy(table.y)
    zeros = torch.zeros(FOLDS, inputs.shape[1], C)
    refine = Refiner(
        inputs.repeat(FOLDS, 1, 1), labels, start=zeros, prior=zeros, precision=precision.repeat(FOLDS, 1), used=used
    )
    out = (inputs @ refine(torch.ones(1, inputs.shape[1]), steps=50)[0])[fold, own]
    counts = used.float() @ torch.nn.functional.one_hot(labels, C).float() + 1e-3  # (K, C)
    return out, (counts / counts.sum(1, keepdim=True)).log()[fold]
