"""A build from images with key points: requirement and labelled images in, a target model out.

Called by `model_generator.builders`. Shapes: R rows (images and copies of them), H, W pixels, K points.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.progress import progress
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.dense.build import shared_map_trunk
from modelgpt_cli.domains.image.dense.fit import runs
from modelgpt_cli.domains.image.dense.maps import MapTrunk, normalised, rooted, seen_pixels
from modelgpt_cli.domains.image.dense.seam import MapBuild
from modelgpt_cli.domains.image.keypoints import DOMAIN
from modelgpt_cli.domains.image.keypoints.architectures import NETWORK, cut_size, encoder_config, n_directions, size_of
from modelgpt_cli.domains.image.keypoints.cascade import Linear, in_pixels, projected
from modelgpt_cli.domains.image.keypoints.copies import mirror, moved
from modelgpt_cli.domains.image.keypoints.fit import MODEL, PointFit, Row, Rows, fit_points, make_row, principal
from modelgpt_cli.domains.image.keypoints.frame import (
    Frames,
    SecondLook,
    cut_out,
    find_frames,
    in_frame,
    mean_shape,
)
from modelgpt_cli.domains.image.keypoints.model import SUBJECT_COLUMN, PointModel
from modelgpt_cli.domains.image.keypoints.poses import Pose, normaliser, normaliser_words
from modelgpt_cli.domains.image.keypoints.read import IMAGE, ReadPoses
from modelgpt_cli.domains.image.keypoints.requirement import require
from modelgpt_cli.domains.image.source import shown_reasons
from modelgpt_cli.domains.image.trunks import folded, trunk_tensors
from modelgpt_cli.domains.shared.build import contract, first_notes, provenance
from modelgpt_cli.model_generator.cards import ArchitectureCard

log = logging.getLogger("modelgpt")
COPIES = ((60, 4), (500, 3), (1000, 2))
"""Of no more images than so many, each is learned from so many times, changed a little but the first time."""
MOST_IMAGES = 3000
"""More are drawn from evenly: the maps of each take some 0.2 MB."""
PROJECTED = 40
"""Images whose maps the principal directions are found from."""
SHOWN = 8
LOOK_AGAIN = 0.97
"""The second look, which takes as long again, is kept where held-out images have so much of the first one's error."""


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], PointBuild]:
    """Return what gives the build of a card."""
    return lambda card: PointBuild(requirement, options, card.name, encoder_config(size_of(card.name)))


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is: images are read where the steps are solved."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return none."""
    return {}


class PointBuild(MapBuild):
    """One build; see `model_generator.builders.Builder`."""

    def from_words(self) -> tuple[PointModel, dict[str, dict[str, float]], int]:
        """Refuse; see `require`."""
        require(self.requirement)
        raise AssertionError("names alone make no such model")

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[PointModel, dict[str, dict[str, float]], int]:
        """Read each image once, with copies of it, and solve step by step."""
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        source = cast(ReadPoses, dataset.source)
        pair = find_pair(getattr(self.options, "normalise", None), source.names.names)
        if pair and all(np.isnan(normaliser(pose, pair)) for pose in source.poses.values()):
            raise UsageError(
                f"--normalise can't be {getattr(self.options, 'normalise', None)!r}.",
                "No image has both points labelled, apart from each other.",
                "Name two others, or leave it out.",
            )
        trunk = shared_map_trunk(NETWORK)
        fit = self.solve(dataset, trunk, pair, notes)
        if not fit.metrics:
            notes.append("Too few images to hold some out: nothing is known of how good this model is.")
            log.warning(notes[-1])
        blueprint = self._blueprint(dataset, fit, pair, notes)
        return PointModel(blueprint, trunk_tensors(trunk) | fit.state()), fit.metrics, dataset.n_rows

    def solve(
        self,
        dataset: Dataset,
        trunk: MapTrunk,
        pair: Sequence[int],
        notes: list[str],
        folds: np.ndarray | None = None,
        judged: int | None = None,
    ) -> Looks:
        """Solve the first look, and a second one at the frames that it finds in images held out, where that helps.

        Parameters
        ----------
        folds, judged
            See `Rows`.
        """
        projections, rows = self.rows(dataset, trunk, pair, notes, folds, judged)
        first = fit_points(projections, rows, self.options.seed, locate=True)
        originals = [row for row in rows.rows if row.original]
        shape = mean_shape([row.points for row in originals], [row.labelled for row in originals])
        if shape is None or not first.metrics:
            return Looks(first)
        frames = [
            find_frames(in_pixels(torch.from_numpy(points[None]), *row.size), torch.from_numpy(shape), max(row.size))
            for row, points in zip(rows.rows, first.held, strict=True)
        ]
        del rows, originals
        second = fit_points(*self.rows(dataset, trunk, pair, [], folds, judged, frames), self.options.seed)
        if not second.metrics or second.metrics[MODEL]["nme"] > LOOK_AGAIN * first.metrics[MODEL]["nme"]:
            return Looks(first)
        return Looks(first, second, torch.from_numpy(shape))

    @torch.inference_mode()
    def rows(
        self,
        dataset: Dataset,
        trunk: MapTrunk,
        pair: Sequence[int],
        notes: list[str],
        folds: np.ndarray | None = None,
        judged: int | None = None,
        frames: Sequence[Frames] | None = None,
    ) -> tuple[tuple[Linear, ...], Rows]:
        """Find the principal directions of some images' maps, and what all images and their copies show in them.

        Parameters
        ----------
        folds, judged
            See `Rows`.
        frames : sequence of Frames, optional
            Of each row what of the image is seen; all of it by default.
        """
        network, again = folded(trunk), frames is not None
        source, places = cast(ReadPoses, dataset.source), list(dataset.sample[IMAGE])
        if len(places) > MOST_IMAGES:
            places = [places[k] for k in runs(len(places), MOST_IMAGES)]
            _note(notes, f"Learned from {len(places):,} of {len(dataset.sample):,} images, drawn evenly.", again)
        directions = n_directions(len(source.names.names))
        waiting: list[tuple[list[Tensor], tuple[Any, ...]]] = []
        projections: tuple[Linear, ...] = ()
        rows: list[Row] = []
        reasons: dict[str, str] = {}
        step = max(1, min(len(places), 3 * PROJECTED) // PROJECTED)
        with progress("look again" if again else "learn images", len(places), "images") as advance:
            for k, views in enumerate(self._views(source, places, pair, reasons, frames)):
                advance(1)
                for values, about in views:
                    maps = rooted(network(values.contiguous(memory_format=torch.channels_last)))
                    if projections:
                        rows.append(make_row(projected(maps, projections), *about))
                    else:
                        waiting.append(([one.half() for one in maps], about))
                if not projections and waiting and views and k + 1 >= min(len(places), step * PROJECTED):
                    projections, rows = _caught_up(waiting, directions, self.options.seed)
            if not projections and waiting:
                projections, rows = _caught_up(waiting, directions, self.options.seed)
        if reasons:
            named = shown_reasons(list(reasons), reasons)
            _note(notes, f"Skipped {len(reasons):,} images that can't be read: {named}.", again)
        if not rows:
            raise ModelGPTError(
                f"None of the {len(places):,} images of {dataset.name} can be read.", "", "Look at the files."
            )
        return projections, Rows(rows, folds, judged)

    def _views(
        self,
        source: ReadPoses,
        places: Sequence[str],
        pair: Sequence[int],
        reasons: dict[str, str],
        frames: Sequence[Frames] | None,
    ) -> Iterator[list[tuple[Tensor, tuple[Any, ...]]]]:
        """Yield of each image what the network takes of it and of its copies, and what a row says of each.

        Copies are the same each time.
        """
        copies = next((n for most, n in COPIES if len(places) <= most), 1)
        rng = np.random.default_rng([self.options.seed, 59])
        own: Iterator[Frames | None] = repeat(None) if frames is None else iter(frames)
        self.shown = []
        for k, (pose, image) in enumerate(_images(source, places, reasons)):
            if image is None:
                yield []
                continue
            if len(self.shown) < SHOWN:
                self.shown.append(image)
            found: list[tuple[Tensor, tuple[Any, ...]]] = []
            for j, (copy, points, scale) in enumerate(_copies(image, pose.points, source, copies, rng)):
                values, points, scale, size = self._seen(copy, points, scale, next(own))
                found.append((values, (points, scale * normaliser(pose, pair), size, k, j == 0)))
            yield found

    def _seen(
        self, image: np.ndarray, points: np.ndarray, scale: float, frame: Frames | None
    ) -> tuple[Tensor, np.ndarray, float, tuple[int, int]]:
        """What the network takes of an image, uint8 (H, W, 3), or of a frame in it, with its points, scale and size."""
        if frame is None:
            return seen_pixels(image[None], self.view), points, scale, (image.shape[0], image.shape[1])
        size = cut_size(self.view.size)
        points, factor = in_frame(points, frame, size)
        return normalised(cut_out(image[None], frame, size), self.view), points, scale * factor, (size, size)

    def _blueprint(self, dataset: Dataset, fit: Looks, pair: Sequence[int], notes: list[str]) -> Blueprint:
        schema, names = dataset.schema, cast(ReadPoses, dataset.source).names
        made = Blueprint(
            task=schema.task,
            target=schema.target,
            labels=schema.classes,
            columns=(SUBJECT_COLUMN,),
            requirement=self.requirement.sentence,
            architecture=Architecture(self.card, hidden=0, members=1, encoder=encoder_config(self.view.size)),
            domain=DOMAIN.name,
            **contract(self.requirement),
            metrics=fit.metrics,
            notes=notes,
            provenance=provenance(self.requirement, dataset, self.options.seed, generator=None, encoder=None),
        )
        made.decoding = {
            "points": {
                "mirrored": list(names.mirrored),
                "edges": [list(edge) for edge in names.edges],
                "normaliser": list(pair),
            }
        }
        made.provenance["head"] = fit.about()
        if fit.metrics:
            made.validated = "by runs of images"
            log.info("Errors are divided by %s.", normaliser_words(names.names, pair))
        return made


@dataclass(frozen=True)
class Looks:
    """What was solved of one look, or two.

    Attributes
    ----------
    first : PointFit
    second : PointFit, optional
    shape : Tensor (K, 2), optional
        What frames are found by; see `find_frames`.
    """

    first: PointFit
    second: PointFit | None = None
    shape: Tensor | None = None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Of images held out, by the last look, beside the mean shape's."""
        return self.first.metrics | ({} if self.second is None else {MODEL: self.second.metrics[MODEL]})

    @property
    def again(self) -> SecondLook | None:
        """The second look, as the model has it."""
        if self.second is None or self.shape is None:
            return None
        return SecondLook(self.second.cascade, self.shape)

    def state(self) -> dict[str, Tensor]:
        """Tensors of the model."""
        return self.first.cascade.state() | ({} if self.again is None else self.again.state())

    def about(self) -> dict[str, Any]:
        """What a blueprint tells of it."""
        found: dict[str, Any] = {"precisions": self.first.precisions, "located": self.first.cascade.locator is not None}
        return found if self.second is None else {**found, "second_look": self.second.precisions}


def _note(notes: list[str], text: str, again: bool) -> None:
    """Note something, and warn of it the first time that images are read."""
    notes.append(text)
    if not again:
        log.warning(text)


def find_pair(asked: str | None, names: Sequence[str]) -> tuple[int, ...]:
    """Return the two points that ``--normalise`` names; none where it isn't given.

    Raises
    ------
    UsageError
        They are not two of the points.
    """
    if asked is None:
        return ()
    parts = [part.strip() for part in asked.split(",")]
    if len(parts) != 2 or parts[0] == parts[1] or not set(parts) <= set(names):
        raise UsageError(
            f"--normalise can't be {asked!r}.",
            f"It names two of the points: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}.",
        )
    return names.index(parts[0]), names.index(parts[1])


def _caught_up(
    waiting: list[tuple[list[Tensor], tuple[Any, ...]]], directions: Sequence[int], seed: int
) -> tuple[tuple[Linear, ...], list[Row]]:
    """The principal directions of the maps so far, and the rows that waited for them."""
    originals = [maps for maps, about in waiting if about[-1]]
    found = principal(originals[:: max(1, len(originals) // PROJECTED)], directions, seed)
    rows = [make_row(projected([one.float() for one in maps], found), *about) for maps, about in waiting]
    waiting.clear()
    return found, rows


def _copies(
    image: np.ndarray, points: np.ndarray, source: ReadPoses, n: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield an image with its points as it is, and changed, and the scale; every other time mirrored, if it may."""
    exchanged = source.names.mirrored
    mirrors = any(other != k for k, other in enumerate(exchanged))
    yield image, points, 1.0
    for k in range(1, n):
        one, its = mirror(image, points, exchanged) if mirrors and k % 2 else (image, points)
        yield (one, its, 1.0) if mirrors and k == 1 else moved(one, its, rng)


def _images(
    source: ReadPoses, places: Sequence[str], reasons: dict[str, str]
) -> Iterator[tuple[Pose, np.ndarray | None]]:
    """Yield the points and the image uint8 (H, W, 3) of places; None for one that can't be read."""
    for place in places:
        try:
            yield source.poses[place], decode_image(source.files.open(place))
        except ImageError as error:
            reasons[place] = error.reason
            yield source.poses[place], None
