"""A segmentation head solved: ridge of each place on the shares that the classes have of it, in closed form, or, where
held-out images are better for it, logistic regression on them; see `logistic`.

Of each image some places are drawn, as neighbours say nearly the same, and products of their head inputs are summed:
memory doesn't grow with the number of images. The sums are kept by folds of images, so that a fold's head is solved
from those of the others, and measured on the held-out images.
Shapes: n places, P head inputs, C classes, h, w places of an image.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.progress import Advance, progress
from modelgpt_cli.domains.image.dense.logistic import PRECISION, Components, KeptPlaces
from modelgpt_cli.domains.image.dense.maps import NamePrior, inputs_at, resized_maps, scores_of
from modelgpt_cli.domains.image.dense.masks import IGNORE
from modelgpt_cli.domains.image.dense.model import fine_scores, mask_of
from modelgpt_cli.domains.image.dense.ridge import Standardised, Sums
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores

log = logging.getLogger("modelgpt")
PLACES = 500
"""Drawn from an image: on street scenes 800 of 2,640 were as good as all of them (mIoU .448, .449)."""
PRECISIONS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the prior, as shares of the mean diagonal: what held-out images choose from, and where there are none the third
serves. On street scenes 1 was best with 20 images (.01: .40, .1: .45, .3: .47, 1: .48), 3 or more with 10."""
FIRST = 2
BALANCE = 0.5
"""A place counts as its classes' shares of all pixels to minus this power say: rare classes count more. On 40 street
scenes the mIoU of held-out images was .487 without, .496 with .5."""
EXPONENTS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""A class's scores are divided by its share of the pixels to this power: rare classes are given more often. Held-out
images choose; where there are none the third serves."""
STRENGTHS = (0.0, 0.5, 1.0, 2.0)
"""What the names of classes tell is the prior mean of their shares so many times over, where the network knows them;
held-out images choose, and where there are none the third serves."""
MARGIN = 0.05
"""By so much names have to raise the mIoU of held-out images: the heads that are held against these have seen fewer
images, to which names are worth more. Of five street scenes (320 pixels) they raised it by .04, and lowered that of 23
other images by .03; of ten scenes with things pasted they raised it by .06, and that of 24 others by .04."""
LEAST_IMAGES = 8
"""Of fewer images ridge is all that there is."""
RIDGE_MARGIN = 0.01
"""By so much ridge has to be better on held-out images: the heads that are compared have seen fewer images than the one
that is kept, and of fewer ridge makes more. In three draws of ten street scenes ridge was .005, .000 and -.003 better
there, on 30 other images worse in the one that was looked at (.439 against .464)."""
REDUCED = 48
"""Principal components are those of the first images, which are drawn evenly; up to then their places are kept whole,
in 3 MB each."""
FOLDS = 4
FINE_SIDE = 240
"""Held-out masks are compared at every so manieth pixel of a line where heads are only chosen by them."""
LEAST_SHARE = 1e-4
NEVER = -100.0
"""The score of a class that no pixel has."""
BASELINE, MODEL = "most frequent class", "model"


@dataclass
class Held:
    """An image that may be held out.

    Attributes
    ----------
    maps : list of float16 (1, c, h, w)
        Rooted.
    mask : uint8 (H, W)
    fold : int
    prior : float32 (1, C, h, w), optional
        What names tell of its places.
    """

    maps: list[Tensor]
    mask: np.ndarray
    fold: int
    prior: Tensor | None = None


Head = tuple[Tensor, Tensor]
"""Weight (P, C) and bias (C,); where names tell of places (P, 2 C) and (2 C,), the second half for what they tell."""


@dataclass(frozen=True)
class Chosen:
    """What held-out images choose; see `PRECISIONS`, `EXPONENTS` and `STRENGTHS`, and `logistic`."""

    precision: float
    exponent: float
    strength: float
    logistic: bool = False


@dataclass
class SegmentationFit:
    """The solved head.

    Attributes
    ----------
    weight : float32 (P, C)
    bias : float32 (C,)
    strength : float32 (C,), optional
        How many times what names tell is added; None where it isn't.
    """

    weight: Tensor
    bias: Tensor
    strength: Tensor | None
    chosen: Chosen
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


def folds_of(n_images: int) -> np.ndarray:
    """The fold of each image, in the order of their names, int64 (N,): whole runs, as these may be frames of a film."""
    return np.arange(n_images) * min(FOLDS, n_images) // max(1, n_images)


def shares_of(mask: np.ndarray, height: int, width: int, classes: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """What share each class has of the pixels that a place covers.

    Parameters
    ----------
    mask : uint8 (H, W)
    height, width : int
        Places.
    stride : int
        Pixels a side that are looked at of each place.

    Returns
    -------
    float32 (h w, C)
        Of the pixels that have a class.
    float32 (h w,)
        The share of those.
    """
    rows, columns = (
        np.floor((np.arange(places * stride) + 0.5) * side / (places * stride)).astype(np.int64)
        for places, side in zip((height, width), mask.shape, strict=True)
    )
    seen = mask[rows][:, columns].astype(np.int64)
    seen[seen == IGNORE] = classes
    place = (np.arange(height * stride)[:, None] // stride) * width + np.arange(width * stride)[None] // stride
    counts = np.bincount((place * (classes + 1) + seen).reshape(-1), minlength=height * width * (classes + 1))
    counts = counts.reshape(height * width, classes + 1).astype(np.float32)
    labelled = counts[:, :classes].sum(1)
    return counts[:, :classes] / np.maximum(labelled, 1)[:, None], labelled / stride**2


class SegmentationSums:
    """Sums of images by fold, and the images that are kept to be held out.

    Parameters
    ----------
    class_pixels : (C,)
        How many pixels each class has in all masks.
    folds : int
    prior : NamePrior, optional
        What names tell of places: the head is solved for it, too, so that its strength can be chosen afterwards.
    views : int, optional
        How many images will be added, those in the mirror counted; 0 where ridge is all that is wanted.
    """

    def __init__(
        self, class_pixels: np.ndarray, folds: int, seed: int, prior: NamePrior | None = None, views: int = 0
    ) -> None:
        self.classes, self.held, self.prior = len(class_pixels), list[Held](), prior
        self.frequency = class_pixels / max(1, class_pixels.sum())
        rarity = np.maximum(self.frequency, LEAST_SHARE) ** -BALANCE
        self._counts = rarity / (self.frequency @ rarity)  # 1 in the mean of all pixels
        self._rng = np.random.default_rng([seed, 43])
        self._sums: list[Sums | None] = [None] * folds
        self._shift: np.ndarray | None = None
        self._places = KeptPlaces(views, folds, seed) if views and prior is None else None
        self._added = 0

    def add(
        self,
        maps: Sequence[Tensor],
        mask: np.ndarray,
        fold: int,
        stride: int,
        *,
        held: bool = False,
        ridge: bool = True,
    ) -> None:
        """Add an image: rooted maps (1, c, h, w), mask (H, W). Places of which half has no class are left out.

        Parameters
        ----------
        held : bool
            Whether it is kept to be held out.
        ridge : bool
            Whether ridge learns from it, and not logistic regression alone.
        """
        height, width = maps[0].shape[2:]
        prior = None
        if self.prior is not None:
            prior = resized_maps(self.prior.shares(maps[2].square()), (height, width))
        if held:
            self.held.append(Held([one.half() for one in maps], mask, fold, prior))
        shares, labelled = shares_of(mask, height, width, self.classes, stride)
        rows = np.flatnonzero(labelled > 0.5)
        if len(rows) == 0:
            return
        if len(rows) > PLACES:
            rows = np.sort(self._rng.choice(rows, PLACES, replace=False))
        inputs, shares = inputs_at(maps, rows), shares[rows]
        counts = shares @ self._counts
        if self._places is not None:
            self._places.add(inputs, shares, counts, fold)
        if not ridge:
            return
        if prior is not None:
            shares = np.concatenate([shares, prior[0].flatten(1).T.numpy()[rows]], 1)  # (n, 2 C)
        if self._shift is None:  # sums of what lies around 0 lose no digits when the mean is taken out
            self._shift = inputs.mean(0)
        if (sums := self._sums[fold]) is None:
            sums = self._sums[fold] = Sums.empty(inputs.shape[1], shares.shape[1])
        sums.add(inputs - self._shift, shares, counts)
        self._added += 1
        if self._added == REDUCED:
            self._reduce()

    def _reduce(self) -> None:
        """From now on keep places as principal components."""
        if self._places is not None and not self._places.reduced and (solver := self.solver()) is not None:
            self._places.reduce(Components.of(solver.gram / solver.n, solver.scale, solver.mean))

    def logistic(self, *without: int) -> Head | None:
        """Solve the head by logistic regression, from all folds, or all but some; None where it isn't wanted."""
        self._reduce()
        return None if self._places is None else self._places.solve(*without)

    def solver(self, *without: int) -> Standardised | None:
        """Return what solves the head from all folds, or all but some; None where there is nothing to solve from."""
        kept = [s for k, s in enumerate(self._sums) if s is not None and k not in without]
        if not kept:
            return None
        assert self._shift is not None
        return Standardised(kept[0].plus(kept[1:]), self._shift)

    def absent(self, strength: float) -> np.ndarray:
        """Which classes are never given, bool (C,): no pixel has them, nor do names count that tell of them."""
        none: np.ndarray = self.frequency == 0
        return none & ~self.prior.classes.numpy() if self.prior is not None and strength else none


@torch.inference_mode()
def fit_segmentation(sums: SegmentationSums, labels: Sequence[str], *without: int) -> SegmentationFit:
    """Choose by held-out images, where there are some, what `Chosen` has; solve the head on all folds, or but some."""
    chosen = Chosen(PRECISIONS[FIRST], EXPONENTS[2], 0.0 if sums.prior is None else STRENGTHS[2])
    metrics: dict[str, dict[str, float]] = {}
    folds = sorted({held.fold for held in sums.held})
    solvers = {fold: solver for fold in folds if (solver := sums.solver(fold))}
    if solvers:
        with progress("cross-validate", (len(PRECISIONS) + 1) * len(solvers), "folds") as advance:
            ridge, logistic = _best_ridge(sums, solvers, advance), _best_logistic(sums, list(solvers), advance)
        kept = ridge
        if logistic[0] and max(logistic[0].values()) > max(ridge[0].values()) - RIDGE_MARGIN:
            kept = logistic
        values, heads = kept
        chosen = max(values, key=lambda one: values[one])
        counts = np.zeros((len(labels), len(labels)), np.int64)
        for held in sums.held:
            if held.fold in heads:
                weight, bias, strength = weighed(sums, heads[held.fold], chosen)
                scores = scores_of([one.float() for one in held.maps], weight, bias)
                if strength is not None and held.prior is not None:
                    scores = scores + held.prior * strength[:, None, None]
                counts += count_pairs(held.mask, mask_of(scores, *held.mask.shape)[0], len(labels))
        metrics = {MODEL: _figures(counts, labels), BASELINE: _figures(_most_frequent(counts), labels)}
    if chosen.logistic:
        head = sums.logistic(*without)
    else:
        head = None if (whole := sums.solver(*without)) is None else whole.solve(chosen.precision)
    assert head is not None, "there are labelled pixels"
    return SegmentationFit(*weighed(sums, head, chosen), chosen, metrics)


def weighed(sums: SegmentationSums, head: Head, chosen: Chosen) -> tuple[Tensor, Tensor, Tensor | None]:
    """Make of what is solved what a model has.

    What names tell is the prior mean: the head is solved on what it leaves, and it is added to the scores.
    These are evened by the classes' shares of the pixels; classes that no pixel has never win, unless
    names tell of them.

    Returns
    -------
    Tensor (P, C), Tensor (C,)
        Weight and bias.
    Tensor (C,) or None
        How many times what names tell is added; None where it isn't.
    """
    n = sums.classes
    weight, bias = (one[..., :n] - chosen.strength * one[..., n:] if chosen.strength else one[..., :n] for one in head)
    factor, shift = _evening(sums.frequency, chosen)
    absent = torch.from_numpy(sums.absent(chosen.strength))
    weight, bias = weight * factor, bias * factor + shift
    weight[:, absent], bias[absent] = 0.0, NEVER
    return weight, bias, chosen.strength * factor if chosen.strength else None


def _evening(shares: np.ndarray, chosen: Chosen) -> tuple[Tensor, Tensor]:
    """What each class's scores are multiplied by, and what is added, so that rare ones win more often, (C,) each.

    Logits are raised by as much as shares are multiplied.
    """
    relative = np.maximum(shares / shares.max(), LEAST_SHARE)
    factor = torch.from_numpy(np.where(shares > 0, relative**-chosen.exponent, 1.0).astype(np.float32))
    if chosen.logistic:
        return torch.ones_like(factor), factor.log()
    return factor, torch.zeros_like(factor)


def _best_ridge(
    sums: SegmentationSums, solvers: dict[int, Standardised], advance: Advance
) -> tuple[dict[Chosen, float], dict[int, Head]]:
    """The mIoU of held-out images by the ridge heads with the best precision, and these of each fold.

    Precisions from the third on, as long as it gets better: first upwards, then downwards.
    """
    tried: dict[int, tuple[dict[Chosen, float], dict[int, Head]]] = {}

    def best(k: int) -> float:
        if k not in range(len(PRECISIONS)):
            return -1.0
        if k not in tried:
            heads = {fold: solver.solve(PRECISIONS[k]) for fold, solver in solvers.items()}
            tried[k] = _held_out(sums, heads, PRECISIONS[k]), heads
            advance(len(solvers))
        return max(tried[k][0].values())

    place = FIRST
    for step in (1, -1):
        while best(place + step) > best(place):
            place += step
    return tried[place]


def _best_logistic(
    sums: SegmentationSums, folds: Sequence[int], advance: Advance
) -> tuple[dict[Chosen, float], dict[int, Head]]:
    """The same by logistic regression; nothing where it isn't wanted."""
    heads = {fold: head for fold in folds if (head := sums.logistic(fold)) is not None}
    values = _held_out(sums, heads, PRECISION, logistic=True) if heads else {}
    advance(len(folds))
    return values, heads


def _held_out(
    sums: SegmentationSums, heads: dict[int, Head], precision: float, *, logistic: bool = False
) -> dict[Chosen, float]:
    """The mIoU of held-out images, at some of their pixels, less `MARGIN` where names count."""
    n = sums.classes
    strengths = (0.0,) if sums.prior is None else STRENGTHS
    tried = [Chosen(precision, exponent, strength, logistic) for strength in strengths for exponent in EXPONENTS]
    counts = {one: np.zeros((n, n), np.int64) for one in tried}
    evening = {one: [part[:, None, None] for part in _evening(sums.frequency, one)] for one in tried}
    for one in sums.held:
        if one.fold not in heads:
            continue
        step = max(1, round(max(one.mask.shape) / FINE_SIDE))
        mask = one.mask[step // 2 :: step, step // 2 :: step]
        fine = fine_scores(scores_of([m.float() for m in one.maps], *heads[one.fold]), *mask.shape)[0]
        beyond = None if one.prior is None else fine_scores(one.prior, *mask.shape)[0] - fine[n:]
        for strength in strengths:
            scores = fine[:n].clone() if beyond is None else fine[:n] + strength * beyond
            scores[torch.from_numpy(sums.absent(strength))] = NEVER
            for chosen in (kind for kind in tried if kind.strength == strength):
                factor, shift = evening[chosen]
                counts[chosen] += count_pairs(mask, (scores * factor + shift).argmax(0).numpy(), n)
    labels = [str(k) for k in range(n)]
    return {
        one: (mask_scores(found, labels)[0]["miou"] or 0.0) - (MARGIN if one.strength else 0.0)
        for one, found in counts.items()
    }


def _figures(counts: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    values = mask_scores(counts, labels)[0]
    return {key: float(values[key] or 0.0) for key in ("miou", "pixel_accuracy")}


def _most_frequent(counts: np.ndarray) -> np.ndarray:
    """Counts of answers that are always the most frequent class."""
    found = np.zeros_like(counts)
    found[:, counts.sum(1).argmax()] = counts.sum(1)
    return found


def runs(n_images: int, most: int) -> Iterator[int]:
    """Yield which of some images are kept to be held out: all, or about so many, evenly drawn."""
    step = max(1, -(-n_images // most))
    yield from range(0, n_images, step)
