"""ModelGPT-F for detection: the network is finetuned through both looks, which are then solved anew; see `finetune`.

Shapes: N images, H, W pixels, h, w places, n places or boxes, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense.finetune import (
    JUDGE,
    Example,
    Solved,
    SolvedTuning,
    build_like,
    load_marked,
)
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import MapTrunk, scores_of
from modelgpt_cli.domains.image.detection.build import DetectionBuild, class_sizes, truth_in_places
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.fit import BALANCE, MODEL, DetectionFit, fit_detection
from modelgpt_cli.domains.image.detection.model import DetectionModel, Heads
from modelgpt_cli.domains.image.detection.places import BOX_CENTRE, MOVED, Truth, centres_of, drawn_boxes, rightness
from modelgpt_cli.domains.image.detection.read import ReadBoxes
from modelgpt_cli.domains.image.detection.regions import boxes_at, inside, moves_to, projected, region_inputs
from modelgpt_cli.domains.image.detection.scores import Found, Wanted, box_scores
from modelgpt_cli.training.tune import Tuned, TuneSettings

SHARPNESS = 8.0
"""What scores, which are 0 to 1, less a half, are multiplied by to be logits."""
FOCUS = 2.0
"""Places and boxes count by their error to this power (Lin et al., arXiv 1708.02002; of targets between 0 and 1 as Li
et al., arXiv 2006.04388, have it)."""
EDGES, SECOND, MOVES = 1.0, 1.0, 1.0
"""What the losses of the edges, of the second look's scores and of its moves count beside that of the centres."""
NEAR = 0.1
"""Moves whose error is smaller are squared in the loss."""


class DetectionTuning(SolvedTuning):
    """The finetuning of a detector."""

    figure = "map50"

    def __init__(self, model: DetectionModel, dataset: Dataset, settings: TuneSettings) -> None:
        super().__init__(model, dataset, settings)
        self.model: DetectionModel = model
        self.source = cast(ReadBoxes, self.dataset.source)
        self.build = build_like(DetectionBuild, model.blueprint, settings.seed)
        truths = [truth_in_places(self.source, place, self.view) for place in self.dataset.sample[IMAGE]]
        counts, self._usual = class_sizes(truths, model.classes)
        shares = np.maximum(counts, 1) / max(1, counts.sum())
        rarity = shares**-BALANCE
        self._rarity = torch.from_numpy((rarity / (shares @ rarity)).astype(np.float32))

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once both looks have been solved."""
        return self.build.shown

    def _image(self, k: int) -> np.ndarray:
        return decode_image(self.source.open(self.dataset.sample[IMAGE].iloc[k]))

    def example(self, k: int, rng: np.random.Generator) -> Example:
        """The k-th image, mirrored or not, and lit at random; its boxes in shares of width and height."""
        image = self._image(k)
        height, width = image.shape[:2]
        truth = self.source.truth(self.dataset.sample[IMAGE].iloc[k]).scaled(1 / width, 1 / height)
        if rng.random() < 0.5:
            image, truth = image[:, ::-1], truth.mirrored(1.0)
        return Example(relit(np.ascontiguousarray(image), rng), truth)

    def loss(self, maps: Sequence[Tensor], example: Example, heads: Heads) -> Tensor:
        """Focal loss of centres, GIoU of boxes there; of drawn boxes focal loss of how right they are, and moves."""
        height, width = maps[0].shape[2:]
        truth: Truth = example.truth.scaled(width, height)
        return self._first(maps, truth, heads) + self._second(maps, truth, heads)

    def _first(self, maps: Sequence[Tensor], truth: Truth, heads: Heads) -> Tensor:
        classes = self.model.classes
        height, width = maps[0].shape[2:]
        centres = centres_of(truth, height, width, classes)
        read = scores_of(maps, *heads.place)[0].flatten(1).T  # (h w, C + 4)
        heat, kept = torch.from_numpy(centres.heat), torch.from_numpy(~centres.ignored)
        things = max(1, len(truth.labels))
        total = (_focal(read[:, :classes], heat) * self._rarity)[kept].sum() / things
        central = np.flatnonzero(centres.strength > BOX_CENTRE)
        if not len(central):
            return total
        nearest = centres.nearest[central]
        labels = truth.labels[nearest]
        rows = torch.from_numpy(central)
        boxes = boxes_at(rows // width, rows % width, read[rows, classes:], heads.sizes[labels])
        lost = 1 - _giou(boxes, torch.from_numpy(truth.boxes[nearest]).float())
        each = torch.from_numpy(1 / np.bincount(nearest)[nearest]).float() * self._rarity[labels]
        return total + EDGES * (lost * each).sum() / things

    def _second(self, maps: Sequence[Tensor], truth: Truth, heads: Heads) -> Tensor:
        height, width = maps[0].shape[2:]
        boxes = drawn_boxes(truth, height, width, self._usual, self.rng)
        boxes = boxes[~truth.crowded(boxes)]
        cut = inside(torch.from_numpy(boxes).float(), height, width)
        right, overlap, thing = rightness(cut.numpy().astype(np.float64), truth, self.model.classes)
        components = projected(maps, *zip(heads.near, heads.far, strict=True))
        inputs = region_inputs(components, cut)
        scores = inputs @ heads.score[0] + heads.score[1]
        total = SECOND * (_focal(scores, torch.from_numpy(right)) * self._rarity).sum() / max(1.0, float(right.sum()))
        near = np.flatnonzero(overlap > MOVED)
        if not len(near):
            return total
        rows = torch.from_numpy(near)
        wanted = moves_to(cut[rows], torch.from_numpy(truth.boxes[thing[near]]).float())
        moves = inputs[rows] @ heads.move[0] + heads.move[1]
        lost = F.smooth_l1_loss(moves, wanted, beta=NEAR, reduction="none").sum(1)
        return total + MOVES * (lost * self._rarity[truth.labels[thing[near]]]).mean()

    def solve(self, trunk: MapTrunk, folds: np.ndarray) -> Solved:
        """Solve both looks on a network."""
        sums, most = self.build.sums(self.dataset, trunk, [], folds, np.flatnonzero(folds == JUDGE).tolist())
        fit = fit_detection(sums, most, self.model.blueprint.labels)

        def heads() -> dict[int, Heads]:
            found = {}
            for fold in (k for k in np.unique(folds).tolist() if k != JUDGE):
                place, second = sums.solve_first(fold, JUDGE), sums.solve_second(fold, JUDGE)
                if place is not None and second is not None:
                    found[fold] = _plain(replace(fit.heads, place=place, move=second[0], score=second[1]))
            return found

        return Solved(fit, dict(fit.metrics.get(MODEL, {})), heads)

    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """The mAP of the model as it is, and precision and recall of the boxes that it shows."""
        wanted, found = [], []
        for k in judged.tolist():
            truth = self.source.truth(self.dataset.sample[IMAGE].iloc[k])
            with suppress(ImageError):
                found.append(Found(*self.model.forward(self._image(k))))
                wanted.append(Wanted(truth.boxes, truth.labels, truth.crowds, truth.crowd_labels))
        if not any(len(one.labels) for one in wanted):
            return {}
        values = box_scores(wanted, found, self.model.blueprint.labels, self.model.decoding.shown)[0]
        return {name: float(values[name] or 0.0) for name in ("map50", "map", "precision", "recall")}

    def install(self, fit: DetectionFit) -> None:
        """Put both looks into the model."""
        b = self.model.blueprint
        self.model.heads, self.model.decoding = fit.heads, fit.decoding
        b.decoding = fit.decoding.to_dict()
        b.provenance["classes"] = fit.classes


def _plain(heads: Heads) -> Heads:
    """A copy that gradients can go through: what is solved in inference mode lets none."""
    return Heads.of({name: value.clone() for name, value in heads.state().items()})


def _focal(scores: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of scores and targets, 0 to 1 each, by how far they are apart: of their shape."""
    logits = SHARPNESS * (scores - 0.5)
    apart = (logits.sigmoid() - wanted).abs() ** FOCUS
    return apart * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def _giou(boxes: Tensor, true: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., arXiv 1902.09630) of boxes (n, 4) with their own true ones: (n,)."""

    def area(start: Tensor, end: Tensor) -> Tensor:
        return (end - start).clamp(min=0).prod(1)

    shared = area(torch.maximum(boxes[:, :2], true[:, :2]), torch.minimum(boxes[:, 2:], true[:, 2:]))
    union = area(boxes[:, :2], boxes[:, 2:]) + area(true[:, :2], true[:, 2:]) - shared
    around = area(torch.minimum(boxes[:, :2], true[:, :2]), torch.maximum(boxes[:, 2:], true[:, 2:]))
    return shared / union.clamp(min=1e-6) - (around - union) / around.clamp(min=1e-6)


def tune(model: DetectionModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a detector; see `training.tune.Tuner`."""
    return DetectionTuning(model, load_marked(model.blueprint, data, settings.seed), settings).run()
