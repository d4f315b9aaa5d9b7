"""From arrays of a table to a merged target model: encode, generate, solve the head, refine where that helps.

Shapes: N rows, s numeric sources, c categorical columns, f full and b flat features, d = f + b, K channels, M members,
p head inputs, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.domains.shared.folds import Split
from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.shared.target_scale import target_scale
from modelgpt_cli.domains.tabular.encoder import TableEncoder, fit_encoder
from modelgpt_cli.domains.tabular.features import channels
from modelgpt_cli.domains.tabular.head import (
    CURVATURE,
    REFINE_STEPS,
    WARM_STEPS,
    HeadSums,
    Refiner,
    head_outputs,
    robust_heads,
)
from modelgpt_cli.domains.tabular.members import MAX_SUPPORT, Members, generate_members
from modelgpt_cli.domains.tabular.tasks import TaskTexts, targets
from modelgpt_cli.parameter_generator.generator import Generator

DEFAULT_MEMBERS = 8
REFINE_FLOATS = 50_000_000
"""Head inputs that the refinement may hold; beyond, it sees as many rows as fit."""

FLOOR = 1e4
"""Times this, a hidden unit's precision leaves nothing of it."""

RowStream = Callable[[], Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class HeadChoice:
    """One way of fitting the head, once the members' bodies are there.

    Attributes
    ----------
    strength : float
        Prior precision, as a multiple of the one that the generator decoded.
    refined : bool
        Whether the logistic refinement follows the closed form (classification only).
    floor : bool
        Whether the hidden units are held at the prior, which leaves a linear model (classification only).
    robust : bool
        Whether Huber's loss takes the place of the squares (regression only).
    taught : bool
        Whether it is fitted to a teacher's soft labels instead of the true ones.
    """

    strength: float = 1.0
    refined: bool = False
    floor: bool = False
    robust: bool = False
    taught: bool = False


HeadMix = dict[HeadChoice, float]
"""Heads of several choices, added up with these weights: logits are linear in the head, so the mix is one head."""
ONE_PASS: HeadMix = {HeadChoice(): 1.0}
"""The posterior head as the generator decoded it."""


@dataclass(frozen=True)
class TableArrays:
    """Labelled rows of a table.

    Attributes
    ----------
    x : float32 (N, s); codes : int64 (N, c)
    y : int64 (N,) class indices, or float64 (N,) targets in their own unit
    n_classes : int
        0 for regression.
    levels : tuple of int (c,)
    stream : callable, optional
        Where the table has more rows than these: gives (x, codes, y) chunks of every row, each time it is called.
    synthetic : bool (N,), optional
        Which rows were generated: they are learned from, and never held out where there are real ones.
    split : Split, optional
        What ties rows together, so that cross-validation must not part them at random.
    """

    x: np.ndarray
    codes: np.ndarray
    y: np.ndarray
    n_classes: int
    levels: tuple[int, ...]
    stream: RowStream | None = None
    synthetic: np.ndarray | None = None
    split: Split | None = None

    def take(self, rows: np.ndarray) -> TableArrays:
        """Some of the rows, without the stream."""
        marks = None if self.synthetic is None else self.synthetic[rows]
        split = None if self.split is None else self.split.take(rows)
        return TableArrays(
            self.x[rows], self.codes[rows], self.y[rows], self.n_classes, self.levels, None, marks, split
        )

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Every row, in chunks."""
        if self.stream is not None:
            yield from self.stream()
        else:
            yield self.x, self.codes, self.y


@dataclass
class Fitted:
    """Bodies with their ridge heads; `heads` turns them into logits by a `HeadChoice`.

    Attributes
    ----------
    encoder : TableEncoder
    members : Members
    sums : HeadSums
        Of every row; gives the posterior heads in scores.
    target_mean, target_std : float
        Of a regression target; 0 and 1 otherwise.
    """

    encoder: TableEncoder
    members: Members
    sums: HeadSums
    target_mean: float = 0.0
    target_std: float = 1.0

    def heads(
        self,
        mix: HeadMix,
        table: TableArrays,
        starts: dict[HeadChoice, Tensor] | None = None,
        taught: tuple[TableArrays, Tensor] | None = None,
    ) -> Tensor:
        """The mix's head in logits (M, p, C).

        The refinement runs on the rows of `table`, from the heads `starts` where they are known; choices that are
        taught learn the rows of another one, with labels (n, C).
        """
        total = torch.zeros_like(self.members.prior)
        for rows, soft in ((table, None), *(() if taught is None else (taught,))):
            chosen = [choice for choice in mix if choice.taught == (soft is not None)]
            solved = [choice for choice in chosen if not choice.refined]
            if not chosen:
                continue
            sums = self.sums if soft is None or not solved else self._sums_of(rows, soft)
            for choice in solved:
                head = self._robust(rows, choice.strength) if choice.robust else sums.solve(choice.strength)
                total += mix[choice] * head * self.members.scale
            if refined := [choice for choice in chosen if choice.refined]:
                known = torch.stack([starts[choice] for choice in refined]) if starts else None
                steps = REFINE_STEPS if known is None else WARM_STEPS
                heads = self._refiner(rows, soft)(self.strengths(refined), steps, known)  # (J, M, p, C)
                total += torch.einsum("j,jmpc->mpc", torch.tensor([mix[choice] for choice in refined]), heads)
        return total

    def _robust(self, table: TableArrays, strength: float) -> Tensor:
        """Heads in scores by Huber's loss, on as many rows as the refinement takes."""
        phi, picked = self._some_phi(table)
        y = standardise_target(table.y[picked], self.target_mean, self.target_std, 0)
        share = phi.shape[1] / max(len(table.y), 1)
        return robust_heads(self.members, phi, torch.from_numpy(y)[:, None], strength, share=share)

    def _some_phi(self, table: TableArrays) -> tuple[Tensor, np.ndarray | slice]:
        """Head inputs (M, n, p) of as many rows as may be held at once, and which these are."""
        M, p, _ = self.members.prior.shape
        rows = min(len(table.y), max(1000, REFINE_FLOATS // (M * p)))
        picked = np.random.default_rng(0).permutation(len(table.y))[:rows] if rows < len(table.y) else slice(None)
        first, linear = encode_rows(self.encoder, table.x[picked], table.codes[picked])
        with torch.no_grad():
            return self.members.phi(first, linear), picked

    def _sums_of(self, table: TableArrays, labels: Tensor) -> HeadSums:
        """Sums of a table's rows with other targets, (N, C)."""
        sums = HeadSums(self.members, labels.shape[1])
        for start in range(0, len(labels), sums.chunk):
            part = slice(start, start + sums.chunk)
            sums.add(*encode_rows(self.encoder, table.x[part], table.codes[part]), labels[part])
        return sums

    def strengths(self, choices: Sequence[HeadChoice]) -> Tensor:
        """What multiplies the prior precision of each head input, (J, p)."""
        strengths = torch.tensor([[choice.strength] for choice in choices]).repeat(1, self.members.prior.shape[1])
        for row, choice in zip(strengths, choices, strict=True):
            if choice.floor:
                row[: 2 * self.members.weight1.shape[-1]] *= FLOOR
        return strengths

    def _refiner(self, table: TableArrays, soft: Tensor | None) -> Refiner:
        phi, picked = self._some_phi(table)
        scale = self.members.scale
        return Refiner(
            phi,
            torch.from_numpy(table.y[picked]) if soft is None else soft[None, picked],
            start=self.sums.solve() * scale,
            prior=self.members.prior * scale,
            precision=self.members.precision * CURVATURE * phi.shape[1] / max(len(table.y), 1),
        )

    def logits(self, heads: Tensor, x: np.ndarray, codes: np.ndarray, chunk: int = 8192) -> Tensor:
        """Mean over members of the heads' outputs, (N, C); regression: the standardised target."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(x), chunk):
                first, linear = encode_rows(self.encoder, x[start : start + chunk], codes[start : start + chunk])
                phi = self.members.phi(first, linear)
                parts.append(head_outputs(phi, heads.transpose(1, 2)).mean(0))
        return torch.cat(parts)

    def state(self, heads: Tensor) -> dict[str, Tensor]:
        """The state of the merged `TabularModel`."""
        constants = {CONSTANTS + k: v for k, v in self.encoder.state().items()}
        constants[CONSTANTS + "target"] = target_scale(self.target_mean, self.target_std)
        return constants | self.members.merged(heads)


def encode_rows(encoder: TableEncoder, x: np.ndarray, codes: np.ndarray) -> tuple[Tensor, Tensor]:
    """Raw rows to first-layer inputs (N, f K + b) and linear inputs (N, d)."""
    z, u, flat = encoder.apply(x, codes)
    full = channels(z, u)  # (N, f, K)
    return torch.cat([full.flatten(1), flat], 1), torch.cat([full[..., 0], flat], 1)


def fit_table(
    generator: Generator,
    table: TableArrays,
    *,
    members: int = DEFAULT_MEMBERS,
    seed: int = 0,
    texts: TaskTexts | None = None,
    device: str = "cpu",
    max_support: int = MAX_SUPPORT,
    left_out: Sequence[np.ndarray] | None = None,
) -> Fitted:
    """One pass of the generator, and the closed-form head over every row.

    Parameters
    ----------
    table : TableArrays
        Preprocessing is fitted on its rows; the support is drawn from them; the head sees `table.chunks()`.
    members : int
        M.
    texts : TaskTexts, optional
        Embedded words of the task.
    left_out : M arrays of row indices, optional
        Rows of `table` that must not be in a member's support.
    """
    encoder = fit_encoder(table.x, table.codes, table.levels)
    mean, std = 0.0, 1.0
    if not table.n_classes:
        exact = table.y.astype(np.float64)
        mean, std = float(exact.mean()), float(max(exact.std(), 1e-30))
    n_outputs = max(table.n_classes, 1)
    written = generate_members(
        generator,
        encoder,
        table.x,
        table.codes,
        standardise_target(table.y, mean, std, table.n_classes),
        n_classes=table.n_classes,
        members=members,
        seed=seed,
        texts=texts,
        device=device,
        max_support=max_support,
        left_out=left_out,
    )
    sums = HeadSums(written, n_outputs)
    for x, codes, y in table.chunks():
        for start in range(0, len(y), sums.chunk):
            part = slice(start, start + sums.chunk)
            first, linear = encode_rows(encoder, x[part], codes[part])
            labels = torch.from_numpy(standardise_target(y[part], mean, std, table.n_classes))
            sums.add(first, linear, targets(labels, n_outputs, not table.n_classes))
    return Fitted(encoder, written, sums, mean, std)


def standardise_target(y: np.ndarray, mean: float, std: float, n_classes: int) -> np.ndarray:
    """The standardised target of regression, within what single rows may weigh; class indices as they are."""
    if n_classes:
        return y
    return np.clip((y.astype(np.float64) - mean) / std, -20, 20).astype(np.float32)
