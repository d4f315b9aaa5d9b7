"""ModelGPT-F for segmentation: the network and its head are trained together, from the head that was solved.

See `joint` for the training. Shapes: N images, H, W pixels, h, w places, P head inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense.build import MOST_HELD, SegmentationBuild, prior_tensors
from modelgpt_cli.domains.image.dense.dataset import IMAGE, MASK, ReadScenes
from modelgpt_cli.domains.image.dense.finetune import JUDGE, VALIDATED, MapTuning, build_like, load_marked, unreadable
from modelgpt_cli.domains.image.dense.fit import LEAST_SHARE, MODEL, SegmentationFit, fit_segmentation, runs
from modelgpt_cli.domains.image.dense.joint import Crops, JointTuning
from modelgpt_cli.domains.image.dense.maps import MapTrunk, rooted, scores_of, seen_pixels
from modelgpt_cli.domains.image.dense.model import SegmentationModel, mask_of
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.training.tune import Tuned, TuneSettings

SHARES = (0.7, 1.0)
"""How far network and head may go from before to what training ends with (Wortsman et al., arXiv 2109.01903): on other
street scenes .6 and .8 of the way were better than all of it in three of three tunings, by .002 to .005 of mIoU."""
SHARPNESS = 8.0
"""What a ridge head's scores, which are shares of a place, are multiplied by to be logits."""
RARITY = 0.2
"""A pixel counts as its class's share of all to minus this power says: with 123 street scenes the mIoU of others was
.571 with .2, .570 with .5, which costs a point of pixel accuracy; with ten little was to be told from chance."""
TRAINED = "trained"
"""Entry of a head's provenance where it was trained with the network."""


@dataclass
class _Solved:
    """The head that is solved on the network as it is, without the images that judge.

    Attributes
    ----------
    head : Tensor (P, C), Tensor (C,)
        Whose scores are logits.
    spread : Tensor (P,)
        Of its inputs.
    metrics : dict of dict
        Of the images that judge, by that head and by the most frequent class.
    whole : callable
        Solves it from all images.
    """

    head: tuple[Tensor, Tensor]
    spread: Tensor
    metrics: dict[str, dict[str, float]]
    whole: Callable[[], SegmentationFit]


class SegmentationTuning(MapTuning):
    """The finetuning of a segmentation."""

    figure = "miou"

    def __init__(self, model: SegmentationModel, dataset: Dataset, settings: TuneSettings) -> None:
        super().__init__(model, dataset, settings)
        self.model: SegmentationModel = model
        b = model.blueprint
        self.source = cast(ReadScenes, self.dataset.source)
        self.build = build_like(SegmentationBuild, b, settings.seed)
        self._prior, self._nearest = self.build.named(dataset)
        pixels = np.array([dataset.class_counts[label] for label in b.labels], dtype=np.float64)
        frequency = np.maximum(pixels / max(1.0, pixels.sum()), LEAST_SHARE)
        counts = torch.from_numpy((frequency**-RARITY).astype(np.float32))
        self.tuning = JointTuning(model.trunk, counts, Crops(self._read, self.view, self.rng), settings)

    @property
    def shown(self) -> Sequence[np.ndarray] | None:
        """Images that a file is verified on, once the head has been solved."""
        return self.build.shown

    def _read(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        row = self.dataset.sample.iloc[k]
        image = decode_image(self.source.open(row[IMAGE]))
        return image, self.source.masks().read(row[MASK], (image.shape[0], image.shape[1]))

    def run(self) -> Tuned:
        """Train the network with its head; keep the better of before and after; see `MapTuning.run`.

        Those that judge do so when most of the steps are made. If they find the model better, the rest is made on all.
        """
        folds, tuning, b = self.folds(), self.tuning, self.model.blueprint
        judged, others = np.flatnonzero(folds == JUDGE), np.flatnonzero(folds != JUDGE)
        judged = judged[list(runs(len(judged), MOST_HELD))]
        if (seconds := tuning.seconds(others)) is None:
            raise unreadable(self.dataset)
        steps = self.settings.epochs * tuning.steps(len(folds))
        self._say(folds, seconds * steps, "a build")
        solved = self._solve(folds, judged)
        untuned = before = solved.metrics.get(MODEL, {})
        tuning.begin(solved.head, solved.spread)
        if not (learned := self._is_of_the_build()):
            before = self.judge(judged)
            if self.model.prior is None and self._better(before, untuned):
                tuning.begin(self._logits(), solved.spread)
        after, share = dict[str, float](), 1.0

        def better() -> bool:
            nonlocal after, share
            for tried in SHARES:
                found = self._measured(self._scores(*tuning.trained(tried)), judged)
                if not after or self._better(found, after):
                    after, share = found, tried
            return self._better(after, before) and (learned or not self._better(untuned, after))

        kept: Literal["before", "after"] = "before"
        if tuning.run(others, np.arange(len(folds)), steps, better):
            kept = "after"
            self._install_trained(share)
        elif self._better(untuned, before):
            kept, after, share = "after", untuned, 1.0
            self.install(solved.whole())
        if kept == "after":
            b.metrics, b.validated = {**solved.metrics, MODEL: after}, VALIDATED
        return Tuned(before, after, kept, len(folds), shown=self.shown, validated=VALIDATED, share=share)

    def _solve(self, folds: np.ndarray, judged: np.ndarray) -> _Solved:
        """Solve the head on the network as it is.

        Raises
        ------
        ModelGPTError
            The others have no labelled pixel.
        """
        labels = self.model.blueprint.labels
        sums = self.build.sums(self.dataset, self.model.trunk, [], folds, judged.tolist(), self._prior)
        if (solver := sums.solver(JUDGE)) is None:
            raise ModelGPTError("Too few images to tune on.", "What the others show makes no model without them.")
        fit = fit_segmentation(sums, labels, JUDGE)
        sharp = 1.0 if fit.chosen.logistic else SHARPNESS
        spread = torch.where(solver.scale.isfinite(), solver.scale, 1.0)
        return _Solved(
            (sharp * fit.weight, sharp * fit.bias), spread, fit.metrics, lambda: fit_segmentation(sums, labels)
        )

    def _logits(self) -> tuple[Tensor, Tensor]:
        """The model's own head, whose scores are logits."""
        made = self.model.blueprint.provenance.get("head") or {}
        sharp = 1.0 if made.get("logistic") or made.get(TRAINED) else SHARPNESS
        return sharp * self.model.head_weight.detach(), sharp * self.model.head_bias.detach()

    def judge(self, judged: np.ndarray) -> dict[str, float]:
        """The mIoU and pixel accuracy of the model as it is."""
        return self._measured(lambda image: self.model.forward(image[None]), judged)

    def _scores(self, trunk: MapTrunk, weight: Tensor, bias: Tensor) -> Callable[[np.ndarray], Tensor]:
        """What a network and a head make of an image: scores (1, C, h, w)."""
        network = folded(trunk)
        return lambda image: scores_of(rooted(network(seen_pixels(image[None], self.view))), weight, bias)

    @torch.inference_mode()
    def _measured(self, scores: Callable[[np.ndarray], Tensor], judged: np.ndarray) -> dict[str, float]:
        n = len(self.model.head_bias)
        counts = np.zeros((n, n), np.int64)
        for k in judged.tolist():
            try:
                image, mask = self._read(k)
            except ImageError:
                continue
            counts += count_pairs(mask, mask_of(scores(image), *mask.shape)[0], n)
        values = mask_scores(counts, self.model.blueprint.labels)[0]
        return {name: float(values[name] or 0.0) for name in ("miou", "pixel_accuracy")}

    def install(self, fit: SegmentationFit) -> None:
        """Put a solved head into the model."""
        self._put(fit.weight, fit.bias, prior_tensors(self._prior, fit))
        self.model.blueprint.nearest = {} if fit.strength is None else self._nearest
        self.model.blueprint.provenance["head"] = asdict(fit.chosen)

    def _install_trained(self, share: float) -> None:
        """Put the trained network and its head into the model."""
        trunk, weight, bias = self.tuning.trained(share)
        self.model.trunk.load_state_dict(trunk.state_dict())
        self._put(weight, bias, {})
        self.model.blueprint.nearest = {}
        self.model.blueprint.provenance["head"] = {TRAINED: True}

    def _put(self, weight: Tensor, bias: Tensor, prior: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.model.head_weight.copy_(weight)
            self.model.head_bias.copy_(bias)
            self.model.set_prior(prior)


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
