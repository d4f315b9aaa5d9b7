"""A cascade solved: each step by ridge from where the steps before it end on held-out images, in closed form.

A step must learn from errors such as it will meet. So those of the steps before are taken from heads that were solved
without the image (folds of images), and put to other images, too: each image is learned from with several starts.
Shapes: R rows (images and copies of them), K points, P inputs of a step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.progress import Advance, progress
from modelgpt_cli.domains.image.dense.fit import folds_of
from modelgpt_cli.domains.image.keypoints.architectures import STEPS
from modelgpt_cli.domains.image.keypoints.cascade import Cascade, Linear, Locator, at_points, in_units, overview
from modelgpt_cli.domains.image.keypoints.locate import fit_locator
from modelgpt_cli.domains.image.keypoints.scores import NEAR
from modelgpt_cli.domains.image.keypoints.step import Step, log_odds

log = logging.getLogger("modelgpt")
STARTS, MOST_ROWS = 6, 8000
"""Of each row at most so many starts, of all rows about so many."""
WORSE = 1.1
"""A step after which held-out images have so many times the error moves nothing; where all steps end no nearer than the
mean shape, that is what is given."""
PLACES = 200
"""Drawn from each image for the principal directions."""
BASELINE, MODEL = "mean shape", "model"


@dataclass
class Row:
    """An image, or a copy of one.

    Attributes
    ----------
    overview : float32 (P,)
    maps : list of float16 (1, d, h, w)
        Projected.
    size : (int, int)
        Height and width.
    points : float32 (K, 2)
        In units.
    labelled : bool (K,)
    length : float
        What errors are divided by, in units; NaN where there is none.
    image : int
        Which one it is or copies, in the order of their names.
    original : bool
    """

    overview: Tensor
    maps: list[Tensor]
    size: tuple[int, int]
    points: np.ndarray
    labelled: np.ndarray
    length: float
    image: int
    original: bool


@dataclass
class PointFit:
    """What was solved, and how good it is on held-out images."""

    cascade: Cascade
    precisions: list[float]
    held: np.ndarray
    """Points of each row by what the other folds say, (R, K, 2), in units."""
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    apart: dict[int, list[Linear]] = field(default_factory=dict)
    """Where one fold judges, of each other fold the stages that were solved without both."""


def principal(maps: Sequence[Sequence[Tensor]], directions: Sequence[int], seed: int) -> tuple[Linear, ...]:
    """Find the principal directions of maps.

    Parameters
    ----------
    maps : sequence of sequence of Tensor
        Of some images the rooted maps, (1, c, h, w).
    directions : sequence of int
        How many of each map.

    Returns
    -------
    tuple of Linear
        What comes out has the mean 0 and, over all directions, the mean variance 1.
    """
    rng = np.random.default_rng([seed, 47])
    found = []
    for level, n in enumerate(directions):
        drawn = []
        for one in maps:
            lines = one[level][0].flatten(1).T
            rows = rng.choice(len(lines), min(PLACES, len(lines)), replace=False)
            drawn.append(lines[torch.from_numpy(rows)].float())
        places = torch.cat(drawn)
        mean = places.mean(0)
        values, vectors = _directions((places - mean).double().numpy(), n)
        scale = np.sqrt(np.maximum(values, 0)).mean()
        weight = torch.from_numpy((vectors / max(scale, 1e-6)).astype(np.float32))
        found.append(Linear(weight.contiguous(), -(mean @ weight)))
    return tuple(found)


def _directions(centred: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances and directions (c, n) of places (m, c), the largest first; directions of no variance are 0."""
    m, channels = centred.shape
    if m < channels:  # fewer products of places than of channels
        values, rows = np.linalg.eigh(centred @ centred.T / m)
        vectors = centred.T @ rows / np.sqrt(np.maximum(m * values, 1e-12))
        vectors[:, values < 1e-9 * values[-1]] = 0
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred / m)
    kept = slice(None, -n - 1, -1)
    found = np.zeros((channels, n))
    found[:, : min(n, m)] = vectors[:, kept]
    return np.pad(values[kept], (0, max(0, n - m))), found


def make_row(
    seen: Sequence[Tensor], points: np.ndarray, length: float, size: tuple[int, int], image: int, original: bool
) -> Row:
    """Make a row of projected maps (1, d, h, w) and points in pixels, (K, 3)."""
    return Row(
        overview(seen)[0],
        [one.half() for one in seen],
        size,
        in_units(points[:, :2], *size),
        points[:, 2] > 0,
        length / max(size),
        image,
        original,
    )


class Rows:
    """All rows as arrays, and the folds that they are held out by.

    Attributes
    ----------
    points : float32 (R, K, 2)
    labelled : bool (R, K)
    folds : int64 (R,)
        Of images; of a single one its copies are held out in turn, which says nothing of other images.
    judged : bool (R,)
        Which rows choose and measure: by default all.

    Parameters
    ----------
    folds : int64 (N,), optional
        Of all images; by default `folds_of`.
    judged : int, optional
        The fold that alone chooses and measures.
    """

    def __init__(self, rows: Sequence[Row], folds: np.ndarray | None = None, judged: int | None = None) -> None:
        self.rows = rows
        self.points = np.stack([row.points for row in rows])
        self.labelled = np.stack([row.labelled for row in rows])
        self.lengths = np.array([row.length for row in rows])
        self.originals = np.array([row.original for row in rows])
        images = np.unique([row.image for row in rows], return_inverse=True)[1]
        self.several = int(images.max()) > 0
        self.folds = folds_of(int(images.max()) + 1)[images] if self.several else folds_of(len(rows))
        if folds is not None:
            self.folds = folds[[row.image for row in rows]]
        self.judge = judged if judged in self.folds else None
        self.judged = np.ones(len(rows), bool) if self.judge is None else self.folds == self.judge

    def overviews(self) -> Tensor:
        """What the first guess reads, (R, P)."""
        return torch.stack([row.overview for row in self.rows])

    def around(self, locator: Locator, middles: np.ndarray) -> Tensor:
        """What the first guess reads around middles (R, 2) in units, (R, P)."""
        return torch.cat(
            [
                locator.around([one.float() for one in row.maps], torch.from_numpy(middle[None]), *row.size)
                for row, middle in zip(self.rows, middles, strict=True)
            ]
        )

    def at(self, points: np.ndarray) -> Tensor:
        """What a step reads at points (R, K, 2) in units, (R, P)."""
        return torch.cat(
            [
                at_points([one.float() for one in row.maps], torch.from_numpy(places[None]), *row.size)
                for row, places in zip(self.rows, points, strict=True)
            ]
        )

    def errors(self, found: np.ndarray) -> np.ndarray:
        """Errors of points (R, K, 2) by the rows' lengths, (R, K); NaN where there is nothing to compare with."""
        distance = np.linalg.norm(found - self.points, axis=2) / self.lengths[:, None]
        return np.where(self.labelled, distance, np.nan)


@torch.inference_mode()
def fit_points(projections: tuple[Linear, ...], rows: Rows, seed: int, *, locate: bool = False) -> PointFit:
    """Solve the first guess, the steps and the score, one after the other.

    Parameters
    ----------
    locate : bool
        Whether objects may lie anywhere, so that the first guess is made around where one is found. A single image
        doesn't tell.
    """
    rng = np.random.default_rng([seed, 53])
    times = int(np.clip(MOST_ROWS // len(rows.rows), 1, STARTS))
    with progress("solve steps", STEPS + 2, "steps") as advance:
        locator, middles, inputs = _located(rows) if locate and rows.several else (None, _NO_MIDDLE, rows.overviews())
        step = Step(inputs, rows.folds, rows.judge)
        starts = np.zeros_like(rows.points) + middles
        moves = step.solve(_targets(rows, starts), rows.labelled)
        held, mean = starts + _shaped(moves, rows), _mean_shape(rows)
        stages, precisions = [step.linear], [step.precision]
        apart = {fold: [linear] for fold, linear in step.apart.items()}
        advance(1)
        for _ in range(STEPS):
            several = [held, *(_start(rows, held, rng) for _ in range(times - 1))]
            step = Step(torch.cat([rows.at(start) for start in several]), np.tile(rows.folds, times), rows.judge)
            targets = np.concatenate([_targets(rows, start) for start in several])
            moves = step.solve(targets, np.tile(rows.labelled, (times, 1)))
            better = held + _shaped(moves[: len(held)], rows)
            helps = not rows.several or _error(rows, better) < WORSE * _error(rows, held)
            held = better if helps else held
            stages.append(step.linear if helps else _constant(step.linear, np.zeros(len(step.linear.bias))))
            precisions.append(step.precision)
            for fold, linear in step.apart.items():
                apart[fold].append(linear if helps else _constant(linear, np.zeros(len(linear.bias))))
            advance(1)
        if rows.several and not _error(rows, held) < _error(rows, mean):  # what is seen says nothing
            held, shape, locator = mean, _shape_of_all(rows), None
            stages[0] = Linear(stages[0].weight[: len(rows.rows[0].overview)], stages[0].bias)
            stages = [_constant(one, shape if k == 0 else np.zeros_like(shape)) for k, one in enumerate(stages)]
        score = _fit_score(rows, held, advance)
    metrics = {}
    if rows.several and (figures := _figures(rows, held)):
        metrics = {MODEL: figures, BASELINE: _figures(rows, mean)}
    return PointFit(Cascade(projections, tuple(stages), score, locator), precisions, held, metrics, apart)


_NO_MIDDLE = np.zeros((1, 1, 2), np.float32)


def _located(rows: Rows) -> tuple[Locator | None, np.ndarray, Tensor]:
    """Middles, (R, 1, 2), or (1, 1, 2) where they say nothing, and what the first guess reads, (R, P)."""
    maps, sizes = [row.maps for row in rows.rows], [row.size for row in rows.rows]
    found = fit_locator(maps, sizes, rows.points, rows.labelled, rows.folds, rows.originals & rows.judged)
    if found is None:
        return None, _NO_MIDDLE, rows.overviews()
    locator, middles = found
    return locator, middles[:, None], torch.cat([rows.overviews(), rows.around(locator, middles)], 1)


def _targets(rows: Rows, starts: np.ndarray) -> np.ndarray:
    """How far it is from starts (R, K, 2) to the points; 0 where these aren't labelled."""
    return np.where(rows.labelled[:, :, None], rows.points - starts, 0).reshape(len(starts), -1)


def _shaped(flat: np.ndarray, rows: Rows) -> np.ndarray:
    return flat.reshape(rows.points.shape)


def _start(rows: Rows, held: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points as far from the true ones as those of another row are, (R, K, 2)."""
    errors = np.where(rows.labelled[:, :, None], held - rows.points, np.nan)
    there = rows.labelled.any(1)
    common = np.zeros((len(held), 1, 2), np.float32)
    common[there] = np.nanmean(errors[there], axis=1, keepdims=True)
    errors = np.where(np.isnan(errors), common, errors)  # of a point that isn't labelled as of the others
    true = np.where(rows.labelled[:, :, None], rows.points, held)
    others = rng.permutation(len(held))
    if rows.judge is not None:  # a network that was tuned on the other rows errs less on them
        others = rng.choice(np.flatnonzero(rows.judged), len(held))
    found: np.ndarray = (true + errors[others]).astype(np.float32)
    return found


def _mean_shape(rows: Rows) -> np.ndarray:
    """The mean of each point over the images of the other folds, (R, K, 2)."""
    found = np.zeros_like(rows.points)
    for fold in np.unique(rows.folds):
        kept = rows.labelled & (rows.folds != fold)[:, None] & rows.originals[:, None]
        mean = np.where(kept[:, :, None], rows.points, 0).sum(0) / np.maximum(kept.sum(0), 1)[:, None]
        found[rows.folds == fold] = mean
    return found


def _shape_of_all(rows: Rows) -> np.ndarray:
    """The mean of each point over all images, (2 K,)."""
    kept = rows.labelled & rows.originals[:, None]
    total: np.ndarray = np.where(kept[:, :, None], rows.points, 0).sum(0)
    mean: np.ndarray = total / np.maximum(kept.sum(0), 1)[:, None]
    return mean.reshape(-1)


def _constant(linear: Linear, values: np.ndarray) -> Linear:
    """A linear map of the same shapes that gives the same values whatever it reads."""
    return Linear(torch.zeros_like(linear.weight), torch.from_numpy(values.astype(np.float32)))


def _error(rows: Rows, found: np.ndarray) -> float:
    """The mean distance of held-out points from the labelled ones, in units, of images as they are."""
    kept = rows.labelled & (rows.originals & rows.judged)[:, None]
    return float(np.linalg.norm(found - rows.points, axis=2)[kept].mean())


def _figures(rows: Rows, found: np.ndarray) -> dict[str, float]:
    errors = rows.errors(found)[rows.originals & rows.judged]
    errors = errors[~np.isnan(errors).all(1)]
    if not len(errors):
        return {}
    return {
        "nme": float(np.nanmean(errors, axis=1).mean()),
        "pck": float((errors[~np.isnan(errors)] < NEAR).mean()),
    }


def _fit_score(rows: Rows, held: np.ndarray, advance: Advance) -> Linear:
    """Solve what says how likely a point is there and near: ridge on whether it was, then its log odds."""
    errors = rows.errors(held)
    near = np.where(np.isnan(errors), False, errors < NEAR)
    known = np.isfinite(rows.lengths)
    step = Step(rows.at(held), rows.folds, rows.judge)
    answers = step.solve(near.astype(np.float32), np.repeat(known[:, None], near.shape[1], 1), width=1)
    counted = np.repeat((known & rows.originals & rows.judged)[:, None], near.shape[1], 1)
    if not rows.several or not counted.any():
        counted = np.ones_like(near)
    slope, offset = log_odds(answers[counted], near[counted])
    advance(1)
    return Linear(step.linear.weight * slope, step.linear.bias * slope + offset)
