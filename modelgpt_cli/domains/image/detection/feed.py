"""Detection at work: image files to the inputs of a graph, and boxes to compare with. Follows `runtime.feed.Feeds`.

Imports neither torch nor pandas. Shapes: N images, H, W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image.annotations.given import annotations_at, find_given, marked_files
from modelgpt_cli.domains.image.annotations.objects import Annotations, MarkedImage
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.files import ImageFile, decoded, in_memory, report_unreadable
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
FILES = True
IMAGE = "image"
"""The graph's input, and the column that holds the images."""
BOXES, SCORES, LABELS = "boxes", "scores", "labels"
"""The graph's outputs."""


class BoxFeed:
    """Turns decoded images into the input of a graph, one at a time: of each another number of boxes is found."""

    graph_inputs: Mapping[str, str] = {IMAGE: "tensor(uint8)"}

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers, one each, and the graph's input."""
        for row, image in enumerate(columns.get(IMAGE, ())):
            yield np.array([row]), {IMAGE: np.asarray(image)[None]}

    def report(self) -> None:
        """Nothing is cut."""


class BoxImages:
    """Images in which a model finds boxes, with the true ones where these are wanted. Follows `runtime.feed.Source`.

    Parameters
    ----------
    files : sequence of ImageFile
    marked : sequence of MarkedImage, optional
        What is to be found in each, where it is wanted.
    """

    target = "boxes"

    def __init__(self, name: str, files: Sequence[ImageFile], marked: Sequence[MarkedImage] | None = None) -> None:
        self.name, self.files, self.total = name, files, len(files)
        self._marked = None if marked is None else dict(zip((file.name for file in files), marked, strict=True))
        self._broken: list[tuple[str, str]] = []
        self.findings = Findings()

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the images in portions that fit into memory, whatever `rows` allows."""
        for part in decoded(self.files):
            images = [image for image in part.images if not isinstance(image, ImageError)]
            good = [not isinstance(image, ImageError) for image in part.images]
            for file, image in zip(part.files, part.images, strict=True):
                if isinstance(image, ImageError):
                    self._broken.append((file.name, image.reason))
            truth = None
            if self._marked is not None:
                wanted = [self._marked[file.name] for file, read in zip(part.files, good, strict=True) if read]
                truth = np.empty(len(wanted), dtype=object)
                truth[:] = wanted
            yield Chunk(
                len(part.files),
                {IMAGE: images},
                truth=truth,
                names=[file.name for file in part.files],
                readable=np.array(good),
            )

    def report(self) -> None:
        """Warn of files that can't be read; an error if none could be."""
        consequence = "are left out" if self._marked is not None else "have no boxes"
        report_unreadable(self._broken, self.files, consequence)


def make_feed(model: Model) -> BoxFeed:
    """Make the feed of a model."""
    return BoxFeed()


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> BoxImages:
    """Find images, with what is marked in them where it is `labelled`: of a folder with a part to test on, that part.

    Raises
    ------
    UsageError
        There are no such files, or boxes are wanted and there are none.
    ModelGPTError
        The annotations can't be used, or have a class that the model doesn't know.
    """
    need_pillow()
    name = ", ".join(str(one) for one in data)
    if labelled:
        return _labelled(model, data[0], name)
    return BoxImages(name, image_files(data))


def image_files(data: Sequence[Any]) -> list[ImageFile]:
    """Find images, whatever is marked in them.

    Raises
    ------
    UsageError
        There are no such files.
    """
    return [file for one in data for file in find_given(one)]


def open_bytes(model: Model, files: Sequence[tuple[str, bytes]]) -> BoxImages:
    """Open images that are held in memory; see `runtime.feed.OpensBytes`."""
    need_pillow()
    return BoxImages(", ".join(name for name, _ in files), in_memory(files))


def _labelled(model: Model, one: Any, name: str) -> BoxImages:
    known = annotations_at(one)
    if known is None or not any(thing.box is not None for image in known.images for thing in image.objects):
        raise UsageError(
            f"{name} holds no images with boxes to compare with.",
            "Looked for images with annotations beside them.",
            "Give a folder of images with annotations, or a zip of it.",
        )
    tested: Sequence[MarkedImage] = known.part("test")
    if tested and len(tested) < len(known.images):
        logger.info("%s: measured on its part to test on alone, %s images.", name, f"{len(tested):,}")
    else:
        tested = known.images
    for note in known.notes:
        logger.warning("%s", note)
    return BoxImages(name, marked_files(known, tested, one), _renamed(model, known, tested))


def _renamed(model: Model, known: Annotations, images: Sequence[MarkedImage]) -> list[MarkedImage]:
    """Images whose objects have the model's classes.

    Raises
    ------
    ModelGPTError
        An object is of a class that the model doesn't know.
    """
    places = {label: k for k, label in enumerate(model.labels)}
    foreign = {one.label for image in images for one in image.objects if known.classes[one.label] not in places}
    if foreign:
        names = sorted(known.classes[k] for k in foreign)
        raise ModelGPTError(
            f"{known.name} has boxes of {', '.join(map(repr, names[:5]))}, which the model doesn't know.",
            f"It knows {', '.join(map(repr, model.labels[:20]))}.",
            "Give boxes of its classes, or build a model from these.",
        )
    return [
        replace(
            image, objects=tuple(replace(one, label=places[known.classes[one.label]]) for one in image.objects)
        )
        for image in images
    ]  # fmt: skip


def reads(card: Mapping[str, Any]) -> str:
    """Say how large images are made."""
    return (
        f"one image of any size: the longer side resized to {card['image']['size']} pixels; boxes are in the image's "
        "own pixels"
    )
