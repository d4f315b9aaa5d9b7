"""Images at work: image files to the inputs of a graph. Follows `runtime.feed.Feeds`. Needs Pillow, and no pandas.

Shapes: N images, H, W pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.decode import SHARP, ImageError, need_pillow
from modelgpt_cli.domains.image.files import (
    ImageFile,
    Truth,
    by_size,
    decoded,
    find_images,
    in_memory,
    open_named,
    report_unreadable,
)
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

if TYPE_CHECKING:
    from modelgpt_cli.runtime.session import Model

FILES = True
IMAGE = "image"
"""The graph's input, and the column that holds the images."""
_IMAGES_PER_RUN = 8
"""The network holds many numbers per pixel."""
_LABEL_NAMES = ("label", "class", "target")
"""What a table's column of true classes may be called where it has none of the model's target's name."""


class ImageFeed:
    """Turns decoded images into the input of an image model's graph."""

    graph_inputs: Mapping[str, str] = {IMAGE: "tensor(uint8)"}

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield row numbers and the graph's input, images of one size together."""
        for rows, batch in by_size(columns.get(IMAGE, ())):
            for start in range(0, len(rows), _IMAGES_PER_RUN):
                end = start + _IMAGES_PER_RUN
                yield np.array(rows[start:end]), {IMAGE: batch[start:end]}

    def report(self) -> None:
        """Nothing is cut that the model's card doesn't tell of."""


class Images:
    """The images of some files, folders, globs, zips or tables, as a model scores them.

    Parameters
    ----------
    model : Model
        Of the image domain.
    sources : sequence of path-like, or of tables in memory
    labelled : bool
        Whether the true classes are wanted.
    target : str, optional
        A table's column of true classes.
    files : sequence of ImageFile, optional
        Instead of `sources`: images that are held in memory.

    Raises
    ------
    UsageError
        A source is no path, there is no such file, or no image at all.
    ModelGPTError
        A table or archive can't be read; or the true classes are wanted, and can't be told.
    """

    def __init__(
        self,
        model: Model,
        sources: Sequence[Any],
        *,
        labelled: bool,
        target: str | None,
        files: Sequence[ImageFile] | None = None,
    ) -> None:
        need_pillow()
        for source in sources:
            if not (isinstance(source, (str, os.PathLike, Mapping, list, tuple)) or hasattr(source, "columns")):
                raise UsageError(
                    f"Images can't be read from a {type(source).__name__}.",
                    "Their files are needed.",
                    "Give files, folders, globs, zips or tables of paths (a file, a DataFrame, a dict or records).",
                )
        self.name = ", ".join(str(s) if isinstance(s, (str, os.PathLike)) else "the table" for s in sources)
        self.target = target or model.target
        self._consequence = "are left out" if labelled else "have empty cells"
        columns = (target,) if target else (model.target, *_LABEL_NAMES)
        separator = model.separator if model.multi_label else None
        truth = Truth(model.labels, columns, separator) if labelled else None
        self._files = find_images(sources, truth) if files is None else list(files)
        self.total = len(self._files)
        self._labelled = labelled
        self._least = SHARP * int(model.metadata["image"]["resize"])
        self._broken: list[tuple[str, str]] = []
        self.findings = Findings()

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the images in portions that fit into memory, whatever `rows` allows."""
        for part in decoded(self._files, least=self._least):
            good = np.array([not isinstance(image, ImageError) for image in part.images])
            kept = [file.label for file, there in zip(part.files, good.tolist(), strict=True) if there]
            for file, image in zip(part.files, part.images, strict=True):
                if isinstance(image, ImageError):
                    self._broken.append((file.name, image.reason))
            yield Chunk(
                len(part.files),
                {IMAGE: [image for image in part.images if not isinstance(image, ImageError)]},
                truth=np.array(kept, dtype=object) if self._labelled else None,
                names=[file.name for file in part.files],
                readable=good,
            )

    def open_file(self, name: str) -> bytes:
        """Return the bytes of one of the images; see `runtime.feed.HasFiles`."""
        return open_named(self._files, name)

    def report(self) -> None:
        """Warn of unreadable images; an error if none could be read, or, of a class that is measured, none."""
        report_unreadable(self._broken, self._files, self._consequence, labelled=self._labelled)


def make_feed(model: Model) -> ImageFeed:
    """Make the feed of an image model."""
    return ImageFeed()


def open_source(model: Model, data: Sequence[Any], *, labelled: bool, target: str | None) -> Images:
    """Find images."""
    return Images(model, data, labelled=labelled, target=target)


def open_bytes(model: Model, files: Sequence[tuple[str, bytes]]) -> Images:
    """Open images that are held in memory; see `runtime.feed.OpensBytes`."""
    return Images(model, [name for name, _ in files], labelled=False, target=None, files=in_memory(files))


def reads(card: Mapping[str, Any]) -> str:
    """Say how large images are made."""
    side, resize = card["image"]["size"], card["image"]["resize"]
    return f"images of any size: the short side resized to {resize} pixels, of that the middle {side} x {side}"
