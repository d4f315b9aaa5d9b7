"""Dense vision at work: image files to the inputs of a graph, and masks to compare with. Follows `runtime.feed.Feeds`.

Imports neither torch nor pandas. Shapes: N images, H, W pixels.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.paths import expand
from modelgpt_cli.domains.image.annotations.given import annotations_at, find_given, marked_files
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.decode import ImageError, need_pillow
from modelgpt_cli.domains.image.dense.drawn import DrawnMasks
from modelgpt_cli.domains.image.dense.layout import Pairs
from modelgpt_cli.domains.image.dense.masks import Coding, MaskReader, fitting, read_mask
from modelgpt_cli.domains.image.dense.scenes import Scenes, find_scenes
from modelgpt_cli.domains.image.files import (
    ImageFile,
    by_size,
    decoded,
    in_memory,
    report_unreadable,
)
from modelgpt_cli.domains.image.zip_archive import split_zip
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
FILES = True
IMAGE = "image"
"""The graph's input, and the column that holds the images."""
_PIXELS_PER_RUN = 1 << 20
"""Of several images at a time: scores take some numbers of each."""


class SceneFeed:
    """Turns decoded images into the input of a graph."""

    graph_inputs: Mapping[str, str] = {IMAGE: "tensor(uint8)"}

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's input, images of one size together."""
        for rows, batch in by_size(columns.get(IMAGE, ())):
            together = max(1, _PIXELS_PER_RUN // max(1, batch.shape[1] * batch.shape[2]))
            for start in range(0, len(rows), together):
                end = start + together
                yield np.array(rows[start:end]), {IMAGE: batch[start:end]}

    def report(self) -> None:
        """Nothing is cut."""


class SceneImages:
    """Images as a model segments them, with their masks where these are wanted. Follows `runtime.feed.Source`.

    Parameters
    ----------
    files : sequence of ImageFile
        The label is the mask's place.
    reader : MaskReader or DrawnMasks, optional
        Reads masks, where they are wanted.
    """

    target = "mask"

    def __init__(self, name: str, files: Sequence[ImageFile], reader: MaskReader | DrawnMasks | None = None) -> None:
        self.name, self.files, self.total = name, files, len(files)
        self._reader = reader
        self._broken: list[tuple[str, str]] = []
        self.findings = Findings()

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the images in portions that fit into memory, whatever `rows` allows."""
        for part in decoded(self.files):
            images: list[np.ndarray] = []
            masks: list[np.ndarray] = []
            good = []
            for file, image in zip(part.files, part.images, strict=True):
                try:
                    if isinstance(image, ImageError):
                        raise image
                    if self._reader is not None:
                        masks.append(self._reader.read(str(file.label), (image.shape[0], image.shape[1])))
                    images.append(image)
                    good.append(True)
                except ImageError as error:
                    self._broken.append((file.name, error.reason))
                    good.append(False)
            truth = np.empty(len(masks), dtype=object)
            truth[:] = masks
            yield Chunk(
                len(part.files),
                {IMAGE: images},
                truth=truth if self._reader is not None else None,
                names=[file.name for file in part.files],
                readable=np.array(good),
            )

    def report(self) -> None:
        """Warn of files that can't be read; an error if none could be."""
        consequence = "are left out" if self._reader is not None else "have no mask"
        report_unreadable(self._broken, self.files, consequence)


def make_feed(model: Model) -> SceneFeed:
    """Make the feed of a model."""
    return SceneFeed()


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> SceneImages:
    """Find images, with their masks where it is `labelled`: of a folder with a part to test on, that part.

    Raises
    ------
    UsageError
        There are no such files, or masks are wanted and there are none.
    """
    need_pillow()
    name = ", ".join(str(one) for one in data)
    if labelled:
        return _labelled(model, data, name)
    return SceneImages(name, image_files(data))


def image_files(data: Sequence[Any]) -> list[ImageFile]:
    """Find images without their masks.

    Raises
    ------
    UsageError
        There are no such files.
    """
    files: list[ImageFile] = []
    for one in data:
        scenes = find_scenes(expand(os.fspath(one))) if isinstance(one, (str, os.PathLike)) else None
        if scenes is None:
            files += find_given(one)
        else:
            logger.info("%s: its masks are left out.", scenes.name)
            files += _files(scenes, scenes.pairs, Path(one))
    return files


def _labelled(model: Model, data: Sequence[Any], name: str) -> SceneImages:
    one = data[0]
    scenes = find_scenes(expand(os.fspath(one))) if isinstance(one, (str, os.PathLike)) else None
    if scenes is None:
        if (found := annotations_at(one)) is not None:
            return _drawn(model, found, name, one)
        raise UsageError(
            f"{name} holds no images with masks to compare with.",
            "Looked for images/ and masks/ with files of the same names, and for x.jpg beside x_mask.png.",
            "Give such a folder, or a zip of it.",
        )
    tested = scenes.pairs.part("test")
    if tested.pairs and len(tested.pairs) < len(scenes.pairs.pairs):
        logger.info("%s: measured on its part to test on alone, %s images.", name, f"{len(tested.pairs):,}")
    else:
        tested = scenes.pairs
    bare = [pair.image for pair in tested.pairs if not pair.mask]
    kept = Pairs([pair for pair in tested.pairs if pair.mask], tested.strays)
    if bare:
        logger.warning("%s of %s images have no mask: left out.", f"{len(bare):,}", f"{len(tested.pairs):,}")
    if tested.strays:
        logger.warning("%s masks have no image, such as %s: left out.", f"{len(tested.strays):,}", tested.strays[0])
    if not kept.pairs:
        raise UsageError(f"None of the images of {name} has a mask.", "", "Give labelled images.")
    coding = fitting(Coding.from_dict(model.metadata["decoding"]["coding"]), _masks(scenes, kept))
    return SceneImages(name, _files(scenes, kept, Path(one)), MaskReader(scenes.files.open, coding))


def _masks(scenes: Scenes, pairs: Pairs) -> Iterator[np.ndarray]:
    """The values of each mask that can be read."""
    for pair in pairs.pairs:
        with suppress(ImageError):
            yield read_mask(scenes.files.open(pair.mask))[0]


def _drawn(model: Model, annotations: Annotations, name: str, given: str | os.PathLike[str]) -> SceneImages:
    """Annotated images, of the part to test on where there is one, with masks that are drawn."""
    tested = annotations.part("test")
    if tested and len(tested) < len(annotations.images):
        logger.info("%s: measured on its part to test on alone, %s images.", name, f"{len(tested):,}")
    images = tested or annotations.images
    if not any(one.outline is not None for image in images for one in image.objects):
        raise UsageError(
            f"{name} ({annotations.format}) holds no outlines to compare masks with.",
            "",
            "Give images with masks, or with outlines of all objects.",
        )
    for note in annotations.notes:
        logger.warning("%s", note)
    files = marked_files(annotations, images, given)
    return SceneImages(name, files, DrawnMasks(annotations, model.labels))


def _files(scenes: Scenes, pairs: Pairs, path: Path) -> list[ImageFile]:
    inside = split_zip(expand(path))
    prefix = inside[1] if inside else f"{path}{os.sep}"
    return [ImageFile(prefix + p.image, p.mask, partial(scenes.files.open, p.image)) for p in pairs.pairs]


def open_bytes(model: Model, files: Sequence[tuple[str, bytes]]) -> SceneImages:
    """Open images that are held in memory; see `runtime.feed.OpensBytes`."""
    need_pillow()
    return SceneImages(", ".join(name for name, _ in files), in_memory(files))


def reads(card: Mapping[str, Any]) -> str:
    """Say how large images are made."""
    return (
        f"images of any size: the longer side resized to {card['image']['size']} pixels; the mask has the image's size"
    )
