"""Ridge on what a step reads, whose precision held-out folds choose, and log odds of an answer. For `fit`.

Shapes: n rows, K points, P inputs of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.image.keypoints.cascade import Linear

PRECISIONS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the prior, as shares of the mean diagonal: what held-out images choose from, step by step."""
CALIBRATION_STEPS = 20


def log_odds(answers: np.ndarray, near: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the log odds of what came true by what was answered (Platt), with a prior of two answers."""
    share = (near.sum() + 1) / (len(near) + 2)
    wanted = np.where(near, (near.sum() + 1) / (near.sum() + 2), 1 / ((~near).sum() + 2))
    design = np.stack([answers, np.ones(len(answers))], 1)
    found = np.array([0.0, np.log(share / (1 - share))])
    for _ in range(CALIBRATION_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + 1e-3 * np.eye(2)
        found = found + np.linalg.solve(curvature, design.T @ (wanted - p) - 1e-3 * found)
    return max(0.0, float(found[0])), float(found[1])


class Step:
    """Ridge of some targets on inputs (n, P); the precision is the one that is best on held-out folds.

    Attributes
    ----------
    linear : Linear
        Once it is solved, from all folds.
    precision : float
    apart : dict of int to Linear
        Where one fold judges, of each other one what is solved without both.
    """

    def __init__(self, inputs: Tensor, folds: np.ndarray, judge: int | None = None) -> None:
        self._inputs, self._folds, self._judge = inputs, folds, judge
        others = [] if judge is None else [k for k in np.unique(folds).tolist() if k != judge]
        self._others = others if len(others) > 1 else []

    def solve(self, targets: np.ndarray, labelled: np.ndarray, width: int = 2) -> np.ndarray:
        """Solve, and return each row's answer by what the other folds say, (n, outputs).

        Parameters
        ----------
        targets : float (n, outputs)
        labelled : bool (n, K)
            Which targets count, `width` each.
        """
        n, outputs = targets.shape
        wanted = torch.from_numpy(targets.astype(np.float32))
        weight, bias = torch.zeros(self._inputs.shape[1], outputs), torch.zeros(outputs)
        self.apart = {k: Linear(torch.zeros_like(weight), torch.zeros(outputs)) for k in self._others}
        patterns, groups = np.unique(labelled, axis=1, return_inverse=True)
        answers = torch.zeros(n, outputs)
        order = np.argsort(-patterns.sum(0))  # most rows first: they choose the precision
        self.precision = PRECISIONS[2]
        for place, group in enumerate(order):
            rows = np.flatnonzero(patterns[:, group])
            columns = np.flatnonzero(np.repeat(groups.reshape(-1) == group, width))
            if not len(rows):
                continue
            tried = PRECISIONS if place == 0 else (self.precision,)
            solver = _Solver(self._inputs, wanted[:, columns], rows, self._folds, self._judge)
            self.precision, found, whole = solver.best(tried)
            answers[:, columns] = found
            weight[:, columns], bias[columns] = whole.weight, whole.bias
            for fold, linear in self.apart.items():
                its = solver.apart(self.precision, fold) or whole
                linear.weight[:, columns], linear.bias[columns] = its.weight, its.bias
        self.linear = Linear(weight, bias)
        result: np.ndarray = answers.numpy()
        return result


class _Solver:
    """Ridge on some rows, held out by folds: by products of inputs, or of rows where these are fewer."""

    def __init__(
        self, inputs: Tensor, wanted: Tensor, rows: np.ndarray, folds: np.ndarray, judge: int | None = None
    ) -> None:
        self._all, self._rows, self._folds = inputs, torch.from_numpy(rows), torch.from_numpy(folds)
        kept = inputs[self._rows]
        self._mean = kept.mean(0)
        self._scale = kept.std(0, correction=0).clamp(min=1e-4)
        self._z = (kept - self._mean) / self._scale
        self._y = wanted[self._rows]
        self._own = self._folds[self._rows]
        judged = self._own == (-1 if judge is None else judge)
        self._judge, self._judged = judge, judged if bool(judged.any()) else torch.ones_like(judged)
        self._products: dict[int, Tensor] = {}
        if len(rows) >= inputs.shape[1]:
            for fold in self._own.unique().tolist():
                part = self._z[self._own == fold]
                self._products[fold] = part.T @ part

    def best(self, precisions: Sequence[float]) -> tuple[float, Tensor, Linear]:
        """Return the best precision, the answers of held-out rows with it (n, outputs), and what all rows solve."""
        if len(self._own.unique()) < 2:
            best = precisions[len(precisions) // 2]
            (whole,) = self._solved([best])
            return best, whole(self._all), whole
        answers = {precision: torch.zeros(len(self._all), self._y.shape[1]) for precision in precisions}
        for fold in self._folds.unique().tolist():
            held = self._folds == fold
            for precision, linear in zip(precisions, self._solved(precisions, fold), strict=True):
                answers[precision][held] = linear(self._all[held])
        errors = {p: float(((found[self._rows] - self._y)[self._judged] ** 2).mean()) for p, found in answers.items()}
        best = min(errors, key=lambda precision: errors[precision])
        (whole,) = self._solved([best])
        return best, answers[best], whole

    def apart(self, precision: float, fold: int) -> Linear | None:
        """Solve without a fold and the one that judges; None where there are no other rows."""
        assert self._judge is not None
        without = (fold, self._judge)
        return self._solved([precision], *without)[0] if set(self._own.tolist()) - {*without} else None

    def _solved(self, precisions: Sequence[float], *without: int) -> list[Linear]:
        """Solve from all rows, or all but some folds', with several precisions."""
        kept = torch.from_numpy(~np.isin(self._own.numpy(), without))
        z, y = self._z[kept], self._y[kept]
        n, centre, mean = len(z), z.mean(0), y.mean(0)
        z = z - centre
        if self._products:
            parts = [part for fold, part in self._products.items() if fold not in without]
            system = torch.stack(parts).sum(0) - n * torch.outer(centre, centre)
            right = z.T @ (y - mean)
        else:
            system, right = z @ z.T, y - mean
        found = []
        for precision in precisions:
            regular = system.clone()
            regular.diagonal().add_(precision * n)
            solved = torch.cholesky_solve(right, torch.linalg.cholesky(regular))
            weight = (solved if self._products else z.T @ solved) / self._scale[:, None]
            found.append(Linear(weight, mean - (self._mean + centre * self._scale) @ weight))
        return found
