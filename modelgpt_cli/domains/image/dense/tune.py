"""ModelGPT-F for segmentation: the network is finetuned through its head, which is then solved anew; see `finetune`.

Shapes: N images, H, W pixels, h, w places, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense.build import SegmentationBuild, prior_tensors
from modelgpt_cli.domains.image.dense.dataset import IMAGE, MASK, ReadScenes
from modelgpt_cli.domains.image.dense.finetune import (
    JUDGE,
    Example,
    MapTuning,
    Solved,
    build_like,
    load_marked,
)
from modelgpt_cli.domains.image.dense.fit import (
    BALANCE,
    LEAST_SHARE,
    MODEL,
    SegmentationFit,
    fit_segmentation,
    shares_of,
)
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import STRIDE, MapTrunk, scores_of
from modelgpt_cli.domains.image.dense.model import SegmentationModel, mask_of
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores
from modelgpt_cli.training.tune import Tuned, TuneSettings

SHARPNESS = 8.0
"""What a ridge head's scores, which are shares of a place, are multiplied by to be logits."""


class SegmentationTuning(MapTuning):
    """The finetuning of a segmentation."""

    figure = "miou"

    def __init__(self, model: SegmentationModel, dataset: Dataset, settings: TuneSettings) -> None:
        super().__init__(model, dataset, settings)
        self.model: SegmentationModel = model
        b = model.blueprint
        self.source = cast(ReadScenes, self.dataset.source)
        self.build = build_like(SegmentationBuild, model.blueprint, settings.seed)
        self._prior, self._nearest = self.build.named(dataset)
        pixels = np.array([dataset.class_counts[label] for label in b.labels], dtype=np.float64)
        frequency = pixels / max(1.0, pixels.sum())
        self._counts = torch.from_numpy((np.maximum(frequency, LEAST_SHARE) ** -BALANCE).astype(np.float32))

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once the head has been solved."""
        return self.build.shown

    def _read(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        row = self.dataset.sample.iloc[k]
        image = decode_image(self.source.open(row[IMAGE]))
        return image, self.source.masks().read(row[MASK], (image.shape[0], image.shape[1]))

    def example(self, k: int, rng: np.random.Generator) -> Example:
        """The k-th image, mirrored or not, and lit at random."""
        image, mask = self._read(k)
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        return Example(relit(np.ascontiguousarray(image), rng), np.ascontiguousarray(mask))

    def loss(self, maps: Sequence[Tensor], example: Example, heads: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of the places' shares of the classes; places of rare classes count more."""
        height, width = maps[0].shape[2:]
        found, labelled = shares_of(example.truth, height, width, len(self._counts), STRIDE)
        shares = torch.from_numpy(found)  # (h w, C)
        counts = (shares @ self._counts) * torch.from_numpy(labelled)
        logits = SHARPNESS * scores_of(maps, *heads)[0].flatten(1).T
        lost = -(shares * F.log_softmax(logits, 1)).sum(1)
        return (lost * counts).sum() / counts.sum().clamp(min=1e-6)

    def solve(self, trunk: MapTrunk, folds: np.ndarray) -> Solved:
        """Solve the head on a network."""
        judged = np.flatnonzero(folds == JUDGE).tolist()
        sums = self.build.sums(self.dataset, trunk, [], folds, judged, self._prior)
        fit = fit_segmentation(sums, self.model.blueprint.labels)

        def heads() -> dict[int, tuple[Tensor, Tensor]]:
            found: dict[int, tuple[Tensor, Tensor]] = {}
            n = sums.classes  # the network is taught by heads around nothing
            for fold in np.unique(folds[folds != JUDGE]).tolist():
                if fit.chosen.logistic:
                    if (head := sums.logistic(fold, JUDGE)) is not None:
                        found[fold] = head[0] / SHARPNESS, head[1] / SHARPNESS
                elif (solver := sums.solver(fold, JUDGE)) is not None:
                    weight, bias = solver.solve(fit.chosen.precision)
                    found[fold] = weight[:, :n], bias[:n]
            return found

        return Solved(fit, dict(fit.metrics.get(MODEL, {})), heads)

    @torch.inference_mode()
    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """The mIoU and pixel accuracy of the model as it is."""
        n = len(self.model.head_bias)
        counts = np.zeros((n, n), np.int64)
        for k in judged.tolist():
            try:
                image, mask = self._read(k)
            except ImageError:
                continue
            counts += count_pairs(mask, mask_of(self.model.forward(image[None]), *mask.shape)[0], n)
        values = mask_scores(counts, self.model.blueprint.labels)[0]
        return {name: float(values[name] or 0.0) for name in ("miou", "pixel_accuracy")}

    def install(self, fit: SegmentationFit) -> None:
        """Put a head into the model."""
        with torch.no_grad():
            self.model.head_weight.copy_(fit.weight)
            self.model.head_bias.copy_(fit.bias)
            self.model.set_prior(prior_tensors(self._prior, fit))
        self.model.blueprint.nearest = {} if fit.strength is None else self._nearest
        self.model.blueprint.provenance["head"] = asdict(fit.chosen)


def tune(model: SegmentationModel, data: Data, settings: TuneSettings) -> Tuned:
    """Finetune a segmentation; see `training.tune.Tuner`.

    Raises
    ------
    UsageError
        It is from words alone, and has no head on the network's maps.
    """
    if model.named is not None:
        raise UsageError(
            "A segmentation from words alone can't be tuned.",
            "",
            "Build a model from the images with masks, and tune it.",
        )
    return SegmentationTuning(model, load_marked(model.blueprint, data, settings.seed), settings).run()
