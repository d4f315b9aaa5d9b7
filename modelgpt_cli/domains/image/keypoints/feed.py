"""Key points at work: image files to the inputs of a graph, and points to compare with. Follows `runtime.feed.Feeds`.

Imports neither torch nor pandas. Shapes: N images, H, W pixels, K points.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.annotations.given import annotations_at, find_given, marked_files
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.files import ImageFile, by_size, decoded, in_memory, report_unreadable
from modelgpt_cli.domains.image.keypoints.poses import Pose, take_poses
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
FILES = True
IMAGE = "image"
"""The graph's input, and the column that holds the images."""
_PIXELS_PER_RUN = 1 << 20
_MOST_PER_RUN = 8
"""Of several images at a time: of small ones the maps take far more memory than their pixels."""


class SubjectFeed:
    """Turns decoded images into the input of a graph."""

    graph_inputs: Mapping[str, str] = {IMAGE: "tensor(uint8)"}

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's input, images of one size together."""
        for rows, batch in by_size(columns.get(IMAGE, ())):
            together = min(_MOST_PER_RUN, max(1, _PIXELS_PER_RUN // max(1, batch.shape[1] * batch.shape[2])))
            for start in range(0, len(rows), together):
                end = start + together
                yield np.array(rows[start:end]), {IMAGE: batch[start:end]}

    def report(self) -> None:
        """Nothing is cut."""


class SubjectImages:
    """Images as a model finds points in them, with the true ones where these are wanted. Follows `runtime.feed.Source`.

    Parameters
    ----------
    files : sequence of ImageFile
        The label is the image's place.
    poses : mapping of str to Pose, optional
        Place → the true points, where they are wanted.
    """

    target = "points"

    def __init__(self, name: str, files: Sequence[ImageFile], poses: Mapping[str, Pose] | None = None) -> None:
        self.name, self.files, self.total = name, files, len(files)
        self._poses = poses
        self._broken: list[tuple[str, str]] = []
        self.findings = Findings()

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the images in portions that fit into memory, whatever `rows` allows."""
        for part in decoded(self.files):
            images: list[np.ndarray] = []
            poses: list[Pose] = []
            good = []
            for file, image in zip(part.files, part.images, strict=True):
                good.append(not isinstance(image, ImageError))
                if isinstance(image, ImageError):
                    self._broken.append((file.name, image.reason))
                    continue
                images.append(image)
                if self._poses is not None:
                    poses.append(self._poses[str(file.label)])
            truth = np.empty(len(poses), dtype=object)
            truth[:] = poses
            yield Chunk(
                len(part.files),
                {IMAGE: images},
                truth=truth if self._poses is not None else None,
                names=[file.name for file in part.files],
                readable=np.array(good),
            )

    def report(self) -> None:
        """Warn of files that can't be read; an error if none could be."""
        consequence = "are left out" if self._poses is not None else "have no points"
        report_unreadable(self._broken, self.files, consequence)


def make_feed(model: Model) -> SubjectFeed:
    """Make the feed of a model."""
    return SubjectFeed()


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> SubjectImages:
    """Find images, with their points where it is `labelled`: of a folder with a part to test on, that part.

    Raises
    ------
    UsageError
        There are no such files, or points are wanted and there are none.
    """
    need_pillow()
    name = ", ".join(str(one) for one in data)
    if labelled:
        return _labelled(model, data, name)
    return SubjectImages(name, image_files(data))


def image_files(data: Sequence[Any]) -> list[ImageFile]:
    """Find images, whatever is marked in them.

    Raises
    ------
    UsageError
        There are no such files.
    """
    return [file for one in data for file in find_given(one)]


def open_bytes(model: Model, files: Sequence[tuple[str, bytes]]) -> SubjectImages:
    """Open images that are held in memory; see `runtime.feed.OpensBytes`."""
    need_pillow()
    return SubjectImages(", ".join(name for name, _ in files), in_memory(files))


def _labelled(model: Model, data: Sequence[Any], name: str) -> SubjectImages:
    one = data[0]
    found = annotations_at(one)
    if found is None or found.points is None:
        raise UsageError(
            f"{name} holds no images with key points to compare with.",
            "Looked for annotations beside images, such as COCO JSON.",
            "Give a folder of images with their annotations, or a zip of it.",
        )
    _check_names(model, found)
    tested = found.part("test")
    if tested and len(tested) < len(found.images):
        logger.info("%s: measured on its part to test on alone, %s images.", name, f"{len(tested):,}")
    for note in found.notes:
        logger.warning("%s", note)
    images = tested or found.images
    poses = take_poses(images, len(model.labels))
    if poses.bare:
        logger.warning("%s of %s images have no labelled point: left out.", f"{len(poses.bare):,}", f"{len(images):,}")
    if poses.crowded:
        logger.warning(
            "%s of %s images have several objects with points: the largest of each is measured.",
            f"{len(poses.crowded):,}",
            f"{len(images):,}",
        )
    if not poses.kept:
        raise UsageError(f"None of the images of {name} has a labelled point.", "", "Give labelled images.")
    of_place = {pose.place: pose for pose in poses.kept}
    files = marked_files(found, [image for image in images if image.place in of_place], one)
    return SubjectImages(name, files, of_place)


def _check_names(model: Model, found: Annotations) -> None:
    """Make sure that annotations have the model's points, in its order.

    Raises
    ------
    UsageError
        They don't.
    """
    assert found.points is not None
    names = found.points.names
    if names == model.labels or (len(names) == len(model.labels) and all(n.startswith("point ") for n in names)):
        return
    raise UsageError(
        f"{found.name} has the key points {', '.join(names[:10])}, and the model has {', '.join(model.labels[:10])}.",
        "",
        "Give images with the model's key points, in its order.",
    )


def reads(card: Mapping[str, Any]) -> str:
    """Say how large images are made."""
    return (
        f"images of any size, each of one object: the longer side resized to {card['image']['size']} pixels; points "
        "are in the image's own"
    )
