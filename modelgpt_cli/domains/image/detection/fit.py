"""A detector's two looks solved, each by two ridge regressions in closed form.

First look: of each place how much it is the centre of a thing of each class, and at centres how far the edges are.
Second look: of boxes, drawn around the true ones and anywhere, how right they are as a thing of each class, and how
those that are nearly right are to be moved. Sums are kept by folds of images, so that memory doesn't grow with their
number. Held-out images give the second look the boxes that the first one really proposes, and choose what of both
looks' scores is told: how likely a box is right.
Shapes: P head inputs of a place, R of a box, C classes, K candidates of an image, n places or boxes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.progress import Advance, progress
from modelgpt_cli.domains.image.dense.maps import GROUPS, STRIDE, inputs_at
from modelgpt_cli.domains.image.dense.ridge import Standardised, Sums
from modelgpt_cli.domains.image.detection.boxes import areas, iou, matched
from modelgpt_cli.domains.image.detection.model import (
    Decoding,
    Heads,
    certain,
    first_boxes,
    first_look,
    kept_rows,
    peaks,
    second_look,
)
from modelgpt_cli.domains.image.detection.places import (
    BOX_CENTRE,
    LEAST_CENTRE,
    MOVED,
    Truth,
    centres_of,
    distances,
    drawn_boxes,
    rightness,
)
from modelgpt_cli.domains.image.detection.regions import CHANNELS, inside, moves_to, projected, region_inputs
from modelgpt_cli.domains.image.detection.scores import Found, Wanted, box_scores, quick_map50

log = logging.getLogger("modelgpt")
GROUND, CENTRES = 300, 150
"""Places drawn from an image that are no centre, and that are one, at most."""
BALANCE = 0.5
"""What a thing counts is its class's share to minus this power: rare classes count more."""
PLACE, EDGES, SCORE, MOVE = 0.3, 3.0, 1.0, 3.0
"""Precisions of the priors of both looks' regressions, per place or box. With 40 blood cell images .3 to 1 were alike
for classes and scores; for moves 3 was better than 1 (at IoU .75 .47 against .42) and than 10 (.55 against .47)."""
FOLDS = 4
TOGETHER = 1500
"""Rows that are summed at once."""
LEADING = (240, 256, 256)
"""Principal components of the maps at strides of 8, 16 and 32 that the first look is solved in. Of 40 held-out blood
cell images the mAP was .888 with them and .881 in all 2,864 inputs with 40 learned from, .836 and .781 with 10."""
THINNED = (4, 2, 1)
"""Every so manieth place of a map is taken for them."""
LEAST_SCALE = 1e-2
PROJECTED = 8
"""Images that the principal components are of."""
LEAST_CANDIDATES, MOST_CANDIDATES, PER_THING = 100, 1500, 2
"""Candidates of an image: so many times as it has things, of the image that has most."""
OVERLAPS = (0.3, 0.4, 0.5, 0.6)
OVERLAP = 0.5
"""IoU: of two boxes of a class that overlap by more, the better one is kept. Held-out images choose; else this."""
LEAST = 0.01
SHOWN = 0.4
CERTAINTY = (6.0, 3.0, -4.0)
"""Weights of the second and the first look's score, and the rest, where no image is held out: about as held-out
blood cells had them."""
PRIOR = 0.02
"""Precision of the prior of the logistic regression's weights; what a class has of its own has 1 more."""
STEPS, MOST_STEP = 30, 3.0
TINY = 16
"""Pixels a side, as the network sees a thing: two places."""
MODEL = "model"


@dataclass
class Held:
    """An image that is held out of the folds.

    Attributes
    ----------
    maps : list of float16 (1, c, h, w)
        Rooted.
    truth : Truth
        In places.
    fold : int
    judged : bool
        Whether it measures; else it only says what first looks propose.
    """

    maps: list[Tensor]
    truth: Truth
    fold: int
    judged: bool = True

    def read(self) -> list[Tensor]:
        """Its maps, to be computed with."""
        return [one.float() for one in self.maps]


@dataclass
class DetectionFit:
    """The solved detector, and how good it was on held-out images."""

    heads: Heads
    decoding: Decoding
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    classes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    tiny_found: float | None = None
    """The share of held-out things that are found and shown, of those below `TINY`; None where there are none."""


def folds_of(n_images: int) -> np.ndarray:
    """The fold of each image, in the order of their names, int64 (N,): whole runs, as these may be frames of a film."""
    return np.arange(n_images) * min(FOLDS, n_images) // max(1, n_images)


class _Ridge:
    """Sums of one regression by fold. Rows are gathered first: products of few cost nearly as much as of many."""

    def __init__(self, folds: int, outputs: int, *, scaled: bool) -> None:
        self._scaled = scaled
        self._sums: list[Sums | None] = [None] * folds
        self._waiting: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in range(folds)]
        self._outputs = outputs

    def add(self, fold: int, inputs: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> None:
        self._waiting[fold].append((inputs, targets, counts))
        if sum(len(part) for part, _, _ in self._waiting[fold]) >= TOGETHER:
            self._sum_up(fold)

    def _sum_up(self, fold: int) -> None:
        rows = [np.concatenate(parts) for parts in zip(*self._waiting[fold], strict=True)]
        self._waiting[fold] = []
        if not rows or not len(rows[0]):
            return
        if (sums := self._sums[fold]) is None:
            sums = self._sums[fold] = Sums.empty(rows[0].shape[1], self._outputs)
        sums.add(*rows)

    def solver(self, shift: np.ndarray, without: Sequence[int]) -> Standardised | None:
        for fold in range(len(self._sums)):
            self._sum_up(fold)
        found = [s for k, s in enumerate(self._sums) if s is not None and k not in without]
        return Standardised(found[0].plus(found[1:]), shift, scaled=self._scaled) if found else None


class DetectionSums:
    """Sums of images by fold, and the images that are kept to be held out.

    Parameters
    ----------
    counts : int64 (C,)
        How many things of each class there are.
    sizes : float64 (C, 2)
        Their usual width and height, in places.
    """

    def __init__(self, counts: np.ndarray, sizes: np.ndarray, folds: int, seed: int) -> None:
        self.classes, self.sizes, self.held = len(counts), sizes, list[Held]()
        shares = np.maximum(counts, 1) / max(1, counts.sum())
        self._rarity = shares**-BALANCE
        surface = np.maximum(counts, 1) * sizes.prod(1)
        self._rarity_of_places = (surface / surface.sum()) ** -BALANCE
        self._rng = np.random.default_rng([seed, 47])
        self._places, self._edges = _Ridge(folds, self.classes, scaled=False), _Ridge(folds, 4, scaled=False)
        self._scores, self._moves = _Ridge(folds, self.classes, scaled=True), _Ridge(folds, 4, scaled=True)
        self._reduced: list[Tensor] = []
        self._shift: np.ndarray | None = None
        self._box_shift: np.ndarray | None = None
        self.components: list[tuple[Tensor, Tensor]] = []

    def project(self, maps: Sequence[Sequence[Tensor]]) -> None:
        """Find principal components of the maps of some images, each channel in its own scale.

        The first look is solved in the leading ones, which costs a twentieth; the second look reads a few of them.
        """
        for k, one_map in enumerate(zip(*maps, strict=True)):
            lines = torch.cat([one[0].flatten(1).T[:: THINNED[k]] for one in one_map])
            mean, scale = lines.mean(0), lines.std(0).clamp(min=LEAST_SCALE)
            vectors = _directions((lines - mean) / scale, LEADING[k]) / scale[:, None]
            self._reduced.append(vectors.contiguous())
            if k < len(CHANNELS):
                vectors = _directions(lines - mean, CHANNELS[k])
                vectors = vectors / (lines @ vectors).std(0).clamp(min=LEAST_SCALE)
                self.components.append((vectors.contiguous(), -mean @ vectors))

    def _read(self, maps: Sequence[Tensor], places: np.ndarray) -> np.ndarray:
        """Head inputs of places in principal components, (n, Q)."""
        parts = torch.from_numpy(inputs_at(maps, places)).split(GROUPS, 1)
        near, middle, far = self._reduced
        return torch.cat([x @ v for x, v in zip(parts, (near, middle, middle, far), strict=True)], 1).numpy()

    def _full(self, weight: Tensor) -> Tensor:
        """A head on principal components, (Q, m), as one on head inputs, (P, m)."""
        near, middle, far = self._reduced
        blocks = (near, middle, middle, far)
        parts = weight.split([block.shape[1] for block in blocks])
        return torch.cat([block @ part for block, part in zip(blocks, parts, strict=True)])

    def add(self, maps: Sequence[Tensor], truth: Truth, fold: int) -> None:
        """Add an image: rooted maps (1, c, h, w), and its things in places."""
        self._add_places(maps, truth, fold)
        height, width = maps[0].shape[2:]
        self.add_boxes(maps, truth, fold, drawn_boxes(truth, height, width, self.sizes, self._rng))

    def _add_places(self, maps: Sequence[Tensor], truth: Truth, fold: int) -> None:
        height, width = maps[0].shape[2:]
        centres = centres_of(truth, height, width, self.classes)
        there = centres.strength > LEAST_CENTRE
        rows, counts = [], []
        for among, most in ((there, CENTRES), (~there & ~centres.ignored, GROUND)):
            some = np.flatnonzero(among)
            drawn = self._rng.choice(some, most, replace=False) if len(some) > most else some
            rows.append(drawn)
            counts.append(np.full(len(drawn), len(some) / max(1, len(drawn))))
        places, counted = np.concatenate(rows), np.concatenate(counts)
        inputs = self._read(maps, places)
        if self._shift is None:  # sums of what lies around 0 lose no digits when the mean is taken out
            self._shift = inputs.mean(0)
        inputs = inputs - self._shift
        heat = centres.heat[places]
        self._places.add(fold, inputs, heat, counted * (1 + heat @ self._rarity_of_places))
        central = np.flatnonzero(centres.strength[places] > BOX_CENTRE)
        if len(central):
            things = centres.nearest[places[central]]
            labels = truth.labels[things]
            targets = distances(truth.boxes[things], places[central], width, self.sizes[labels])
            each = self._rarity_of_places[labels] / np.bincount(things)[things]  # a thing counts once
            self._edges.add(fold, inputs[central], targets, each)

    def add_boxes(self, maps: Sequence[Tensor], truth: Truth, fold: int, boxes: np.ndarray) -> None:
        """Add boxes (n, 4) of an image to what the second look learns."""
        boxes = boxes[~truth.crowded(boxes)]
        if not len(boxes):
            return
        cut = inside(torch.from_numpy(boxes).float(), *maps[0].shape[2:])
        right, overlap, thing = rightness(cut.numpy().astype(np.float64), truth, self.classes)
        weights, biases = zip(*self.components, strict=True)
        inputs = region_inputs(projected(maps, weights, biases), cut).numpy()
        if self._box_shift is None:
            self._box_shift = inputs.mean(0)
        inputs -= self._box_shift
        self._scores.add(fold, inputs, right, 1 + right @ self._rarity)
        near = np.flatnonzero(overlap > MOVED)
        if len(near):
            true = torch.from_numpy(truth.boxes[thing[near]]).float()
            moves = moves_to(cut[torch.from_numpy(near)], true).numpy()
            self._moves.add(fold, inputs[near], moves, self._rarity[truth.labels[thing[near]]])

    def solve_first(self, *without: int) -> tuple[Tensor, Tensor] | None:
        """The first look's head, from all folds or all but some; None where those have no thing."""
        assert self._shift is not None
        places, edges = (ridge.solver(self._shift, without) for ridge in (self._places, self._edges))
        if places is None or edges is None:
            return None
        parts = places.solve(PLACE), edges.solve(EDGES)
        return self._full(torch.cat([w for w, _ in parts], 1)), torch.cat([b for _, b in parts])

    def solve_second(self, *without: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
        """The second look's heads, as the first's: moves, and scores."""
        assert self._box_shift is not None
        moves, scores = (ridge.solver(self._box_shift, without) for ridge in (self._moves, self._scores))
        if moves is None or scores is None:
            return None
        return moves.solve(MOVE), scores.solve(SCORE)

    def heads(self, place: tuple[Tensor, Tensor]) -> Heads:
        """Heads of which the first look is solved."""
        none = torch.empty(0)
        sizes = torch.from_numpy(self.sizes).float()
        near, far = self.components
        return Heads(place, near, far, (none, none), (none, none), sizes, default_certainty(self.classes))


def _directions(lines: Tensor, most: int) -> Tensor:
    """The leading principal directions (c, most) of centred lines (n, c)."""
    # Of few places many eigenvalues are 0, on which float32's solver gives up.
    products = (lines.T @ lines / len(lines)).double()
    found: Tensor = torch.linalg.eigh(products).eigenvectors.flip(1)[:, :most].float()
    return found


def default_certainty(classes: int) -> Tensor:
    """`CERTAINTY` of each class, (C, 3)."""
    return torch.tensor(CERTAINTY).repeat(classes, 1)


def candidates_for(most_things: int) -> int:
    """How many places of an image are looked at twice, by the number of things in the image that has most."""
    return int(np.clip(PER_THING * most_things, LEAST_CANDIDATES, MOST_CANDIDATES))


@dataclass
class _Looked:
    """Candidates of a held-out image.

    Attributes
    ----------
    boxes : float32 (K, 4)
        In places, moved.
    first, second : float32 (K, C)
        Scores of both looks.
    truth : Truth
    judged : bool
    """

    boxes: np.ndarray
    first: Tensor
    second: Tensor
    truth: Truth
    judged: bool = True


@torch.inference_mode()
def fit_detection(sums: DetectionSums, most_things: int, labels: Sequence[str]) -> DetectionFit:
    """Solve both looks, with what held-out images tell where there are some."""
    most = candidates_for(most_things)
    decoding = Decoding(most, OVERLAP, LEAST, SHOWN)
    folds = sorted({held.fold for held in sums.held})
    looked: list[_Looked] = []
    if len(folds) > 1:
        with progress("cross-validate", 2 * len(folds), "folds") as advance:
            looked = [one for one in _look_at_held(sums, folds, most, advance) if one.judged]
    place, second = sums.solve_first(), sums.solve_second()
    assert place is not None, "there is a thing to learn"
    assert second is not None
    heads = sums.heads(place)
    heads.move, heads.score = second
    metrics: dict[str, dict[str, float]] = {}
    classes: dict[str, dict[str, float | None]] = {}
    tiny: float | None = None
    if any(len(one.truth.labels) for one in looked):
        heads.certainty = _certainty(looked, decoding)
        decoding, values, classes, tiny = _decoding(looked, heads.certainty, decoding, labels)
        metrics = {MODEL: {key: float(values[key] or 0.0) for key in ("map50", "map", "precision", "recall")}}
    return DetectionFit(heads, decoding, metrics, classes, tiny)


def _look_at_held(sums: DetectionSums, folds: Sequence[int], most: int, advance: Advance) -> list[_Looked]:
    """Let each fold's images be looked at by heads of the others; what the first look proposes, the second learns."""
    proposed: dict[int, tuple[Heads, Tensor, Tensor]] = {}
    for fold in folds:
        place = sums.solve_first(fold)
        for k, held in enumerate(sums.held):
            if held.fold == fold and place is not None:
                heads = sums.heads(place)
                scores = first_look(held.read(), heads)
                boxes, first = first_boxes(scores, peaks(scores, sums.classes, most), heads)
                proposed[k] = heads, boxes, first
        advance(1)
    for k, (_, boxes, _) in proposed.items():
        sums.add_boxes(sums.held[k].read(), sums.held[k].truth, sums.held[k].fold, boxes.numpy().astype(np.float64))
    found = []
    for fold in folds:
        second = sums.solve_second(fold)
        for k, (heads, boxes, first) in proposed.items():
            held = sums.held[k]
            if held.fold == fold and second is not None:
                heads.move, heads.score = second
                moved_boxes, again = second_look(held.read(), boxes, heads)
                found.append(_Looked(moved_boxes.numpy(), first, again, held.truth, held.judged))
        advance(1)
    return found


def _certainty(looked: Sequence[_Looked], decoding: Decoding) -> Tensor:
    """How likely boxes are right by both looks' scores, from held-out ones that no better one of their class covers."""
    classes = looked[0].first.shape[1]
    usual = default_certainty(classes)
    rows, labels, right = [], [], []
    for one in looked:
        its_found, places = _found(one, usual, Decoding(decoding.candidates, OVERLAP, 0.0, 0.0))
        for k in range(classes):
            its = its_found.labels == k
            hit = matched(its_found.boxes[its], one.truth.boxes[one.truth.labels == k])
            free = hit | ~one.truth.crowded(its_found.boxes[its])
            both = one.second[places[its], k], one.first[places[its], k]
            rows.append(torch.stack(both, 1).numpy()[free])
            labels.append(np.full(int(free.sum()), k))
            right.append(hit[free])
    scores, label, hits = np.concatenate(rows), np.concatenate(labels), np.concatenate(right)
    if hits.all() or not hits.any():
        return usual
    inputs = np.concatenate([scores, np.ones((len(scores), 1)), np.eye(classes)[label]], 1)
    weights = _logistic(inputs, hits.astype(np.float64), np.array([0.0, 0.0, 0.0, *[1.0] * classes]) + PRIOR)
    found = [[max(weights[0], 0.0), max(weights[1], 0.0), weights[2] + weights[3 + k]] for k in range(classes)]
    return torch.tensor(found, dtype=torch.float32)


def _logistic(inputs: np.ndarray, right: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Weights (d,) of a logistic regression with a prior of mean 0, by Newton's steps; inputs (n, d), right (n,)."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        told = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (told - right) + precision * weights
        curve = (inputs * (told * (1 - told))[:, None]).T @ inputs + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, MOST_STEP / max(float(np.abs(step).max()), 1e-9))
    return weights


def _found(one: _Looked, certainty: Tensor, decoding: Decoding) -> tuple[Found, np.ndarray]:
    """What is kept of candidates, and which of them these are."""
    scores = certain(one.first, one.second, certainty).numpy()
    rows, labels = kept_rows(one.boxes, scores, decoding)
    return Found(one.boxes[rows], scores[rows, labels], labels), rows


def _decoding(
    looked: Sequence[_Looked], certainty: Tensor, decoding: Decoding, labels: Sequence[str]
) -> tuple[Decoding, dict[str, float | None], dict[str, dict[str, float | None]], float | None]:
    """The overlap with the highest mAP, the score with the highest F1, and what they give on held-out images."""
    wanted = [Wanted(o.truth.boxes, o.truth.labels, o.truth.crowds, o.truth.crowd_labels) for o in looked]
    best: tuple[float, Decoding, list[Found]] | None = None
    for overlap in OVERLAPS:
        tried = Decoding(decoding.candidates, overlap, decoding.least, 0.0)
        found = [_found(one, certainty, tried)[0] for one in looked]
        value = quick_map50(wanted, found, len(labels))
        if best is None or value > best[0]:
            best = value, tried, found
    assert best is not None
    shown = _best_threshold(wanted, best[2])
    chosen = Decoding(decoding.candidates, best[1].overlap, decoding.least, shown)
    return chosen, *box_scores(wanted, best[2], labels, shown), _tiny_found(wanted, best[2], shown)


def _tiny_found(wanted: Sequence[Wanted], found: Sequence[Found], shown: float) -> float | None:
    """The share of tiny things that a box of their class is shown for; None where there are none."""
    hits: list[bool] = []
    for one, its in zip(wanted, found, strict=True):
        for k in np.flatnonzero(areas(one.boxes) < (TINY / STRIDE) ** 2):
            rows = (its.labels == one.labels[k]) & (its.scores >= shown)
            hits.append(bool((iou(its.boxes[rows], one.boxes[k : k + 1]) >= 0.5).any()))
    return float(np.mean(hits)) if hits else None


def _best_threshold(wanted: Sequence[Wanted], found: Sequence[Found]) -> float:
    """The score from which boxes are shown: where the F1 of all is highest."""
    scores, right = [], []
    for one, its in zip(wanted, found, strict=True):
        for label in np.unique(its.labels):
            rows = its.labels == label
            scores.append(its.scores[rows])
            right.append(matched(its.boxes[rows], one.boxes[one.labels == label]))
    if not scores:
        return SHOWN
    order = np.argsort(-np.concatenate(scores))
    hits = np.concatenate(right)[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + sum(len(one.labels) for one in wanted))
    return float(np.clip(np.concatenate(scores)[order][f1.argmax()], 0.1, 0.7))
