"""A build from images with masks: requirement and labelled images in, a target model out.

Called by `model_generator.builders`. Shapes: N images, H, W pixels, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
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
from modelgpt_cli.domains.image.backbone import read_weights
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.architectures import NETWORK, card_name, encoder_config, size_of
from modelgpt_cli.domains.image.dense.dataset import IMAGE, MASK, ReadScenes
from modelgpt_cli.domains.image.dense.fit import (
    LEAST_IMAGES,
    REDUCED,
    SegmentationFit,
    SegmentationSums,
    fit_segmentation,
    folds_of,
    runs,
)
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.maps import (
    STRIDE,
    MapTrunk,
    NamePrior,
    View,
    make_map_trunk,
    rooted,
    seen_pixels,
)
from modelgpt_cli.domains.image.dense.masks import INDEX, Coding
from modelgpt_cli.domains.image.dense.model import (
    NAMED_BIAS,
    NAMED_WEIGHT,
    PRIOR,
    PRIOR_STRENGTH,
    SCENE_COLUMN,
    SegmentationModel,
)
from modelgpt_cli.domains.image.dense.requirement import NEEDED, require
from modelgpt_cli.domains.image.dense.seam import MapBuild
from modelgpt_cli.domains.image.dense.words import PIXELS, known_words, name_prior, named, taken_for
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.domains.image.source import shown_reasons
from modelgpt_cli.domains.image.trunks import HEADS, folded, trunk_tensors
from modelgpt_cli.domains.shared.backbone_build import NO_DATA
from modelgpt_cli.domains.shared.build import contract, first_notes, provenance
from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.parameter_generator.shared import read_once

log = logging.getLogger("modelgpt")
NAMED_IMAGES = 2
"""Up to so many names count. With five, held-out images still choose them, as each misses what the others show: of four
things the mIoU of other images went from .568 to .434, of four others from .546 to .562."""
FLIPPED = 40
"""Of no more images than so many, each is learned from as in a mirror too: to ridge half a point to a point of mIoU, at
twice the time, which many images don't need."""
LIT = 200
"""Up to so many are learned from in the mirror and in other light, by logistic regression alone: the mIoU of 61 street
scenes by 123 others was .547 with that, .540 without."""
MOST_HELD = 64
"""Images that held-out measures are of, at most: the maps of each take some 2.6 MB."""
SHOWN = 8
GUESS = (
    "From words alone masks are a first guess: of things pasted onto landscapes a quarter to a half of the pixels were "
    "found, and three quarters of what was found was right. Ten images with masks (--data) do far better."
)
"""As scripts.benchmarks "dense words" measured it; see docs/segmentation.md."""


def _load(network: str) -> MapTrunk:
    state = read_weights(PACKAGES[network].path())
    return make_map_trunk(network, {name: value for name, value in state.items() if not name.startswith(HEADS)})


shared_map_trunk = read_once(_load, lambda network: network)
"""A card's network with the weights of its package; read once in a process, for those who only run it."""


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], SegmentationBuild]:
    """Return what gives the build of a card."""
    return lambda card: SegmentationBuild(requirement, options, card.name, encoder_config(size_of(card.name)))


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is: images are read where the head is solved."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return none."""
    return {}


class SegmentationBuild(MapBuild):
    """One build; see `model_generator.builders.Builder`."""

    def from_words(self) -> tuple[SegmentationModel, dict[str, dict[str, float]], int]:
        """From the names of classes alone, if the network knows them; see `words`."""
        found = named(require(self.requirement), NETWORK, NEEDED)
        if self.options.card is None:
            self.card = self.built = card_name(PIXELS)
            self.view = View.of(encoder_config(PIXELS))
        notes = [NO_DATA, GUESS, *filter(None, [taken_for(found.nearest)])]
        for note in notes:
            log.warning(note)
        blueprint = Blueprint(
            task=DOMAIN.task,
            target=MASK,
            labels=found.labels,
            columns=(SCENE_COLUMN,),
            requirement=self.requirement.sentence,
            architecture=Architecture(self.card, hidden=0, members=1, encoder=encoder_config(self.view.size)),
            domain=DOMAIN.name,
            **contract(self.requirement),
            notes=notes,
            provenance=provenance(
                self.requirement, None, self.options.seed, generator=dict(found.generator), encoder=found.encoder
            ),
        )
        blueprint.decoding = {"coding": Coding(INDEX, tuple(range(len(found.labels)))).to_dict()}
        blueprint.nearest = found.nearest
        head = {HEAD_WEIGHT: found.share, HEAD_BIAS: found.shift}
        state = trunk_tensors(shared_map_trunk(NETWORK)) | head | {NAMED_WEIGHT: found.weight, NAMED_BIAS: found.bias}
        return SegmentationModel(blueprint, state), {}, 0

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[SegmentationModel, dict[str, dict[str, float]], int]:
        """Read each image once, sum over its places, cross-validate, and solve the head on all."""
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        trunk = shared_map_trunk(NETWORK)
        prior, nearest = self.named(dataset)
        fit = fit_segmentation(self.sums(dataset, trunk, notes, prior=prior), dataset.schema.classes)
        if not fit.metrics:
            notes.append("Too few images to hold some out: nothing is known of how good this model is.")
            log.warning(notes[-1])
        if fit.strength is not None:
            notes.append(known_words(nearest, fit.chosen.strength))
            log.info(notes[-1])
        blueprint = self._blueprint(dataset, fit, notes)
        blueprint.nearest = {} if fit.strength is None else nearest
        state = trunk_tensors(trunk) | {HEAD_WEIGHT: fit.weight, HEAD_BIAS: fit.bias} | prior_tensors(prior, fit)
        return SegmentationModel(blueprint, state), fit.metrics, dataset.n_rows

    def named(self, dataset: Dataset) -> tuple[NamePrior | None, dict[str, dict[str, Any]]]:
        """What names tell, and what they are taken for; nothing of more than `NAMED_IMAGES`, or where limits say how
        large a model may be."""
        if dataset.n_rows > NAMED_IMAGES or self.requirement.limits.to_mapping():
            return None, {}
        return name_prior(dataset.schema.classes, NETWORK) or (None, {})

    @torch.inference_mode()
    def sums(
        self,
        dataset: Dataset,
        trunk: MapTrunk,
        notes: list[str],
        folds: np.ndarray | None = None,
        judged: Sequence[int] | None = None,
        prior: NamePrior | None = None,
    ) -> SegmentationSums:
        """Sum over all images on a network.

        Parameters
        ----------
        folds : int64 (N,), optional
            Of the images; by default `folds_of`.
        judged : sequence of int, optional
            Images that measure, by default all or evenly drawn ones.
        prior : NamePrior, optional
            What names tell of places.
        """
        n, network = len(dataset.sample), folded(trunk)
        folds = folds_of(n) if folds is None else folds
        pixels = np.array([dataset.class_counts[label] for label in dataset.schema.classes], dtype=np.float64)
        flips, lit, measuring = n <= FLIPPED, FLIPPED < n <= LIT, range(n) if judged is None else judged
        views = (n + n * (flips or lit)) if n >= LEAST_IMAGES else 0
        sums = SegmentationSums(pixels, int(folds.max()) + 1, self.options.seed, prior, views)
        rng = np.random.default_rng([self.options.seed, 45])
        kept = {measuring[k] for k in runs(len(measuring), MOST_HELD)}
        shown: list[np.ndarray] = []
        reasons: dict[str, str] = {}
        with progress("learn images", n, "images") as advance:
            for i, image, mask in _labelled(dataset, reasons):
                if image is not None and mask is not None:
                    maps = self._maps(network, image)
                    sums.add(maps, mask, int(folds[i]), STRIDE, held=i in kept)
                    if flips or lit:
                        mirrored = np.ascontiguousarray(image[:, ::-1])
                        maps = self._maps(network, relit(mirrored, rng) if lit else mirrored)
                        sums.add(maps, mask[:, ::-1], int(folds[i]), STRIDE, ridge=flips)
                    if len(shown) < SHOWN:
                        shown.append(image)
                advance(1)
        self.shown = shown
        if reasons:
            notes.append(
                f"Skipped {len(reasons):,} images that can't be read: {shown_reasons(list(reasons), reasons)}."
            )
            log.warning(notes[-1])
        if not shown:
            raise ModelGPTError(f"None of the {n:,} images of {dataset.name} can be read.", "", "Look at the files.")
        return sums

    def _maps(self, trunk: torch.nn.Module, image: np.ndarray) -> list[Tensor]:
        values = seen_pixels(image[None], self.view).contiguous(memory_format=torch.channels_last)
        return rooted(trunk(values))

    def _blueprint(self, dataset: Dataset, fit: SegmentationFit, notes: list[str]) -> Blueprint:
        schema, source = dataset.schema, cast(ReadScenes, dataset.source)
        made = Blueprint(
            task=schema.task,
            target=schema.target,
            labels=schema.classes,
            columns=(SCENE_COLUMN,),
            requirement=self.requirement.sentence,
            architecture=Architecture(self.card, hidden=0, members=1, encoder=encoder_config(self.view.size)),
            domain=DOMAIN.name,
            **contract(self.requirement),
            metrics=fit.metrics,
            notes=notes,
            provenance=provenance(self.requirement, dataset, self.options.seed, generator=None, encoder=None),
        )
        made.decoding = {"coding": source.coding.to_dict()}
        made.provenance["head"] = asdict(fit.chosen)
        if fit.metrics:
            made.validated = "by runs of images"
        return made


def prior_tensors(prior: NamePrior | None, fit: SegmentationFit) -> dict[str, Tensor]:
    """A model's tensors of what names tell; empty where nothing of it is added."""
    if prior is None or fit.strength is None:
        return {}
    return {f"{PRIOR}{name}": value for name, value in vars(prior).items()} | {PRIOR_STRENGTH: fit.strength}


def _labelled(dataset: Dataset, reasons: dict[str, str]) -> Iterator[tuple[int, np.ndarray | None, np.ndarray | None]]:
    """Yield the numbers of images, these, uint8 (H, W, 3), and masks uint8 (H, W); None for those that can't be read.

    They begin with some that are drawn evenly; see `fit.REDUCED`.
    """
    source = cast(ReadScenes, dataset.source)
    reader = source.masks()
    n = len(dataset.sample)
    step = max(1, -(-2 * n // REDUCED))  # each may be added twice
    for i in (k for start in range(step) for k in range(start, n, step)):
        place, mask = dataset.sample[IMAGE].iloc[i], dataset.sample[MASK].iloc[i]
        try:
            image = decode_image(source.open(place))
            yield i, image, reader.read(mask, (image.shape[0], image.shape[1]))
        except ImageError as error:
            reasons[place] = error.reason
            yield i, None, None
