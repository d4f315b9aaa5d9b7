"""A build from images with boxes: requirement and labelled images in, a target model out.

Called by `model_generator.builders`. Shapes: N images, H, W pixels, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.progress import progress
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense.build import shared_map_trunk
from modelgpt_cli.domains.image.dense.fit import runs
from modelgpt_cli.domains.image.dense.maps import STRIDE, MapTrunk, View, rooted, seen_pixels
from modelgpt_cli.domains.image.dense.seam import MapBuild
from modelgpt_cli.domains.image.detection import DOMAIN
from modelgpt_cli.domains.image.detection.architectures import NETWORK, encoder_config, size_of
from modelgpt_cli.domains.image.detection.boxes import areas, iou
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.fit import (
    PROJECTED,
    TINY,
    DetectionFit,
    DetectionSums,
    Held,
    fit_detection,
    folds_of,
)
from modelgpt_cli.domains.image.detection.model import VIEW_COLUMN, DetectionModel
from modelgpt_cli.domains.image.detection.places import Truth
from modelgpt_cli.domains.image.detection.read import ReadBoxes
from modelgpt_cli.domains.image.detection.requirement import require
from modelgpt_cli.domains.image.source import shown_reasons
from modelgpt_cli.domains.image.trunks import folded, trunk_tensors
from modelgpt_cli.domains.shared.build import contract, first_notes, provenance
from modelgpt_cli.model_generator.cards import ArchitectureCard

log = logging.getLogger("modelgpt")
FLIPPED = 20
"""Of no more images than so many, each is learned from as in a mirror too: from 10 blood cell images the mAP of others
was .851 with it and .836 without."""
MOST_HELD = 64
"""Images that are held out, at most: the maps of each take some 5 MB."""
SHOWN = 8
TOLD = 0.02
"""Of so large a share of the boxes it is told that they are tiny, or hidden by others."""


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], DetectionBuild]:
    """Return what gives the build of a card."""
    return lambda card: DetectionBuild(requirement, options, card.name, encoder_config(size_of(card.name)))


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is: images are read where the heads are solved."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return none."""
    return {}


class DetectionBuild(MapBuild):
    """One build; see `model_generator.builders.Builder`."""

    def from_words(self) -> tuple[DetectionModel, dict[str, dict[str, float]], int]:
        """Refuse; see `require`."""
        require(self.requirement)
        raise AssertionError("names alone make no such model")

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[DetectionModel, dict[str, dict[str, float]], int]:
        """Read each image once, sum over its places and boxes, cross-validate, and solve both looks on all."""
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        trunk = shared_map_trunk(NETWORK)
        fit = fit_detection(*self.sums(dataset, trunk, notes), dataset.schema.classes)
        if not fit.metrics:
            notes.append("Too few images to hold some out: nothing is known of how good this model is.")
            log.warning(notes[-1])
        for note in self._limits(dataset, fit):
            notes.append(note)
            log.warning(note)
        blueprint = self._blueprint(dataset, fit, notes)
        return DetectionModel(blueprint, trunk_tensors(trunk) | fit.heads.state()), fit.metrics, dataset.n_rows

    @torch.inference_mode()
    def sums(
        self,
        dataset: Dataset,
        trunk: MapTrunk,
        notes: list[str],
        folds: np.ndarray | None = None,
        judged: Sequence[int] | None = None,
    ) -> tuple[DetectionSums, int]:
        """Sum over all images on a network; return how many things the image has that has most, too.

        Parameters
        ----------
        folds : int64 (N,), optional
            Of the images; by default `folds_of`.
        judged : sequence of int, optional
            Images that measure, by default all or evenly drawn ones.
        """
        network = folded(trunk)
        source = cast(ReadBoxes, dataset.source)
        places = list(dataset.sample[IMAGE])
        n = len(places)
        folds = folds_of(n) if folds is None else folds
        truths = [truth_in_places(source, place, self.view) for place in places]
        counts, sizes = class_sizes(truths, len(dataset.schema.classes))
        sums = DetectionSums(counts, sizes, int(folds.max()) + 1, self.options.seed)
        flips, kept = n <= FLIPPED, set(runs(n, MOST_HELD))
        measuring = kept if judged is None else {judged[k] for k in runs(len(judged), MOST_HELD)}
        shown: list[np.ndarray] = []
        reasons: dict[str, str] = {}
        first: list[tuple[int, np.ndarray, list[Tensor]]] = []  # the principal components are of these

        def add(i: int, image: np.ndarray, maps: list[Tensor]) -> None:
            width = float(maps[0].shape[3])
            sums.add(maps, truths[i], int(folds[i]))
            if i in kept or i in measuring:
                sums.held.append(Held([one.half() for one in maps], truths[i], int(folds[i]), i in measuring))
            if flips:
                mirrored = self._maps(network, np.ascontiguousarray(image[:, ::-1]))
                sums.add(mirrored, truths[i].mirrored(width), int(folds[i]))

        with progress("learn images", n, "images") as advance:
            for i, image in enumerate(_images(source, places, reasons)):
                if image is not None:
                    maps = self._maps(network, image)
                    if len(shown) < SHOWN:
                        shown.append(image)
                    if sums.components:
                        add(i, image, maps)
                    else:
                        first.append((i, image, maps))
                if first and (len(first) == PROJECTED or i == n - 1):
                    sums.project([maps for _, _, maps in first])
                    for one in first:
                        add(*one)
                    first = []
                advance(1)
        self.shown = shown
        if reasons:
            notes.append(
                f"Skipped {len(reasons):,} images that can't be read: {shown_reasons(list(reasons), reasons)}."
            )
            log.warning(notes[-1])
        if not shown:
            raise ModelGPTError(f"None of the {n:,} images of {dataset.name} can be read.", "", "Look at the files.")
        return sums, max(len(truth.labels) for truth in truths)

    def _maps(self, trunk: torch.nn.Module, image: np.ndarray) -> list[Tensor]:
        values = seen_pixels(image[None], self.view).contiguous(memory_format=torch.channels_last)
        return rooted(trunk(values))

    def _limits(self, dataset: Dataset, fit: DetectionFit) -> Iterator[str]:
        """What the model can't do, as far as the boxes tell that it was built from."""
        source = cast(ReadBoxes, dataset.source)
        truths = [truth_in_places(source, place, self.view) for place in dataset.sample[IMAGE]]
        n = sum(len(truth.labels) for truth in truths)
        tiny = sum(int((areas(truth.boxes) < (TINY / STRIDE) ** 2).sum()) for truth in truths)
        if tiny > TOLD * n:
            known = fit.tiny_found
            found = "many such will be missed" if known is None else f"{known:.0%} of such were found when held out"
            yield (
                f"{tiny / n:.0%} of the boxes have less than {TINY} pixels a side as the network sees them, at "
                f"{self.view.size} pixels of an image's longer side: {found}. Tiles of large images show more."
            )
        hidden = sum(_hidden(truth, fit.decoding.overlap) for truth in truths)
        if hidden > TOLD * n:
            yield (
                f"{hidden / n:.0%} of the boxes overlap another of their class by more than {fit.decoding.overlap:g} "
                "(IoU): of two such one is found."
            )

    def _blueprint(self, dataset: Dataset, fit: DetectionFit, notes: list[str]) -> Blueprint:
        schema = dataset.schema
        made = Blueprint(
            task=schema.task,
            target=schema.target,
            labels=schema.classes,
            columns=(VIEW_COLUMN,),
            requirement=self.requirement.sentence,
            architecture=Architecture(self.card, hidden=0, members=1, encoder=encoder_config(self.view.size)),
            domain=DOMAIN.name,
            **contract(self.requirement),
            metrics=fit.metrics,
            notes=notes,
            provenance=provenance(self.requirement, dataset, self.options.seed, generator=None, encoder=None),
        )
        made.decoding = fit.decoding.to_dict()
        if fit.metrics:
            made.validated = "by runs of images"
            made.provenance["classes"] = fit.classes
        return made


def truth_in_places(source: ReadBoxes, place: str, view: View) -> Truth:
    """The things of an image, in places of the finest map."""
    width, height = source.marked[place].size
    high, wide = view.seen(height, width)
    return source.truth(place).scaled(wide / STRIDE / width, high / STRIDE / height)


def class_sizes(truths: list[Truth], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """How many things of each class there are, int64 (C,), and their usual width and height, (C, 2): geometric means.

    A class without any gets those of all.
    """
    labels = np.concatenate([truth.labels for truth in truths])
    boxes = np.concatenate([truth.boxes for truth in truths])
    sides = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.25))
    usual = [sides[labels == k].mean(0) if (labels == k).any() else sides.mean(0) for k in range(classes)]
    return np.bincount(labels, minlength=classes), np.exp(np.array(usual))


def _hidden(truth: Truth, most: float) -> int:
    """Boxes that overlap an earlier one of their class by more."""
    overlap = np.triu(iou(truth.boxes, truth.boxes), 1)
    return int(((overlap > most) & (truth.labels[:, None] == truth.labels[None])).any(0).sum())


def _images(source: ReadBoxes, places: list[str], reasons: dict[str, str]) -> Iterator[np.ndarray | None]:
    """Yield images uint8 (H, W, 3), in order; None for those that can't be read."""
    for place in places:
        try:
            yield decode_image(source.open(place))
        except ImageError as error:
            reasons[place] = error.reason
            yield None
