"""ModelGPT-F for key points: the network is finetuned through the cascade, which is then solved anew; see `finetune`.

Shapes: N images, H, W pixels, K points.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from modelgpt_cli.domains.image.dense.maps import MapTrunk
from modelgpt_cli.domains.image.keypoints.architectures import cut_size
from modelgpt_cli.domains.image.keypoints.build import Looks, PointBuild
from modelgpt_cli.domains.image.keypoints.cascade import Linear, Locator, at_points, in_units, overview, projected
from modelgpt_cli.domains.image.keypoints.copies import mirror, moved
from modelgpt_cli.domains.image.keypoints.fit import MODEL, PointFit
from modelgpt_cli.domains.image.keypoints.frame import cut_out, find_frames, in_frame
from modelgpt_cli.domains.image.keypoints.model import PointModel
from modelgpt_cli.domains.image.keypoints.poses import normaliser
from modelgpt_cli.domains.image.keypoints.read import IMAGE, ReadPoses
from modelgpt_cli.domains.image.keypoints.scores import errors_of, point_scores
from modelgpt_cli.training.tune import Tuned, TuneSettings

NEAR = 0.05
"""Errors in shares of the normaliser below which the loss is quadratic."""
NOISE = 0.03
"""Spread of what points are moved by before each step, in shares of the normaliser."""

JITTER_TURN, JITTER_SIDE, JITTER_MIDDLE = 0.1, 0.1, 0.05
"""Spreads of what a frame is changed by: radians, the logarithm of its side, shares of that."""


@dataclass(frozen=True)
class _Heads:
    """What one look reads the maps by, (1, c, h, w) each.

    Attributes
    ----------
    projections, stages : list of Linear
    locator : Locator, optional
    """

    projections: list[Linear]
    stages: list[Linear]
    locator: Locator | None


@dataclass(frozen=True)
class _Truth:
    """What is marked in an image, or in a frame of one.

    Attributes
    ----------
    look : int
        0, or 1 in a frame.
    points : float32 (K, 2)
        In units.
    labelled : bool (K,)
    length : float
        What errors are divided by, in units.
    """

    points: Tensor
    labelled: Tensor
    length: float
    look: int


class PointTuning(SolvedTuning):
    """The finetuning of a model of key points."""

    figure, falls = "nme", True

    def __init__(self, model: PointModel, dataset: Dataset, settings: TuneSettings) -> None:
        super().__init__(model, dataset, settings)
        self.model: PointModel = model
        self.source = cast(ReadPoses, self.dataset.source)
        self.pair = tuple((model.blueprint.decoding.get("points") or {}).get("normaliser") or ())
        self.build = build_like(PointBuild, model.blueprint, settings.seed)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._shape: Tensor | None = None

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once all has been solved."""
        return self.build.shown

    def example(self, k: int, rng: np.random.Generator) -> Example:
        """The k-th image, mirrored if it may be, turned, resized, moved and lit at random; half of them in a frame."""
        pose = self.source.poses[self.dataset.sample[IMAGE].iloc[k]]
        image, points = decode_image(self.source.files.open(pose.place)), pose.points
        length = normaliser(pose, self.pair)
        exchanged = self.source.names.mirrored
        if any(other != j for j, other in enumerate(exchanged)) and rng.random() < 0.5:
            image, points = mirror(image, points, exchanged)
        image, points, scale = moved(image, points, rng)
        length = normaliser(pose, ()) if np.isnan(length) else length
        look = int(self._shape is not None and bool((points[:, 2] > 0).any()) and rng.random() < 0.5)
        if look:
            image, points, factor = self._in_frame(image, points, rng)
            scale *= factor
        height, width = image.shape[:2]
        truth = _Truth(
            torch.from_numpy(in_units(points[:, :2], height, width)),
            torch.from_numpy(points[:, 2] > 0),
            (1.0 if np.isnan(length) else scale * length) / max(height, width),
            look,
        )
        return Example(relit(image, rng), truth)

    def _in_frame(
        self, image: np.ndarray, points: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """An image as the second look sees it, uint8 (S, S, 3), its points (K, 3) there, and how much it grows."""
        assert self._shape is not None
        kept = points[:, 2] > 0
        places = torch.from_numpy(points[None, kept, :2].astype(np.float32))
        found = find_frames(places, self._shape[torch.from_numpy(kept)], max(image.shape[:2]))
        frame = found.moved(
            rng.normal(0, JITTER_TURN), float(np.exp(rng.normal(0, JITTER_SIDE))), rng.normal(0, JITTER_MIDDLE, 2)
        )
        size = cut_size(self.view.size)
        seen = cut_out(image[None], frame, size)[0].permute(1, 2, 0).round().byte().numpy()
        return np.ascontiguousarray(seen), *in_frame(points, frame, size)

    def loss(self, maps: Sequence[Tensor], example: Example, heads: Sequence[_Heads]) -> Tensor:
        """Smooth L1 of the points after the first guess and each step, each on what it begins from."""
        truth: _Truth = example.truth
        if not truth.labelled.any():
            return maps[0].sum() * 0
        height, width = example.image.shape[:2]
        own = heads[truth.look]
        first, *steps = own.stages
        seen = projected(maps, own.projections)
        inputs, middle = overview(seen), torch.zeros(1, 2)
        if own.locator is not None:  # which is solved, and not tuned for: the place is the true one, or nearly
            kept = truth.points[truth.labelled]
            middle = (kept.amin(0) + kept.amax(0))[None] / 2
            middle = middle + torch.randn(middle.shape, generator=self._generator) * NOISE * truth.length
            inputs = torch.cat([inputs, own.locator.around(seen, middle, height, width)], 1)
        points = middle[:, None] + first(inputs).reshape(1, -1, 2)
        total = self._distance(points, truth)
        for step in steps:
            start = points.detach()
            start = start + torch.randn(start.shape, generator=self._generator) * NOISE * truth.length
            points = start + step(at_points(seen, start, height, width)).reshape(start.shape)
            total = total + self._distance(points, truth)
        return total / (1 + len(steps))

    def _distance(self, points: Tensor, truth: _Truth) -> Tensor:
        kept = truth.labelled
        return F.smooth_l1_loss(points[0, kept] / truth.length, truth.points[kept] / truth.length, beta=NEAR)

    def solve(self, trunk: MapTrunk, folds: np.ndarray) -> Solved:
        """Solve both looks on a network."""
        looks = self.build.solve(self.dataset, trunk, self.pair, [], folds, JUDGE)
        fits = [looks.first] if looks.second is None else [looks.first, looks.second]
        self._shape = looks.shape

        def heads() -> dict[int, list[_Heads]]:
            return {fold: [_apart(fit, fold) for fit in fits] for fold in looks.first.apart}

        return Solved(looks, dict(looks.metrics.get(MODEL, {})), heads)

    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """NME and PCK of the model as it is."""
        poses, found = [], []
        for place in self.dataset.sample[IMAGE].iloc[judged]:
            with suppress(ImageError):
                found.append(self.model.predict([decode_image(self.source.files.open(place))])[0])
                poses.append(self.source.poses[place])
        if not poses:
            return {}
        errors = errors_of(poses, np.stack(found), self.pair)
        metrics = point_scores(errors, self.model.blueprint.labels)[0]
        return {name: value for name, value in metrics.items() if value is not None}

    def install(self, fit: Looks) -> None:
        """Put one look, or two, into the model."""
        self.model.cascade, self.model.second = fit.first.cascade, fit.again
        self.model.blueprint.provenance["head"] = fit.about()


def _apart(fit: PointFit, fold: int) -> _Heads:
    """What was solved without a fold and the one that judges."""
    locator = fit.cascade.locator
    plain = None if locator is None else Locator(locator.linear, locator.window.clone())
    return _Heads(_plain(fit.cascade.projections), _plain(fit.apart[fold]), plain)


def _plain(parts: Sequence[Linear]) -> list[Linear]:
    """Copies that gradients can go through: what is solved in inference mode lets none."""
    return [Linear(one.weight.clone(), one.bias.clone()) for one in parts]


def tune(model: PointModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a model of key points; see `training.tune.Tuner`."""
    return PointTuning(model, load_marked(model.blueprint, data, settings.seed), settings).run()
