"""Images from files, folders, globs, zips or tables of paths, decoded ahead of the graph.

Between the user's files and `runtime.session`.
Shapes: N images, H, W pixels.
"""

from __future__ import annotations

import glob
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.paths import expand
from modelgpt_cli.data.address import without_place
from modelgpt_cli.data.folder_names import TABLE_SUFFIXES
from modelgpt_cli.domains.image.decode import ImageError, decode_image
from modelgpt_cli.domains.image.layout import (
    IMAGE_SUFFIXES,
    arrange,
    find_split,
    is_image_name,
    list_folder,
    printable,
)
from modelgpt_cli.domains.image.source import FolderImages, ImageSource, ZipImages, shown_reasons
from modelgpt_cli.domains.image.zip_archive import not_a_zip, open_zip, split_zip, zip_members

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

logger = logging.getLogger("modelgpt")
_AHEAD = 6
_THREADS = 2
_MOST_TOGETHER = 32
_BYTES_TOGETHER = 64 << 20
_SHOWN = 20


@dataclass(frozen=True)
class ImageFile:
    """An image that is to be read.

    Attributes
    ----------
    name : str
        As the user would find it: a path, or of a zip the path inside.
    label : str or None
        The true class, where it was asked for and is there.
    read : callable
        Gives the file's bytes.
    """

    name: str
    label: str | None
    read: Callable[[], bytes]


@dataclass
class Decoded:
    """Some images in the order of their files: uint8 (H, W, 3) each, or why there is none."""

    files: list[ImageFile]
    images: list[np.ndarray | ImageError]


@dataclass(frozen=True)
class Truth:
    """How the true class of an image is found, where it is wanted.

    Attributes
    ----------
    labels : tuple of str
        The model's classes: the level of folders that has most of them is the classes'.
    columns : tuple of str
        What a table's column of classes may be called; the first that is there counts.
    """

    labels: tuple[str, ...]
    columns: tuple[str, ...]


def find_images(sources: Sequence[Any], truth: Truth | None = None) -> list[ImageFile]:
    """The images of some files, folders, globs, zips and tables, in their order.

    Parameters
    ----------
    truth : Truth, optional
        Where the true classes are wanted: of a folder with ``train/`` and ``test/`` in it only the test part is taken,
        and its folders have to be in an order that a model could be built from. Else all images are taken.

    Raises
    ------
    UsageError
        There is no such file, or no image at all.
    ModelGPTError
        A table or archive can't be read; or the true classes are wanted, and can't be told.
    """
    found: list[ImageFile] = []
    for source in sources:
        if not isinstance(source, (str, os.PathLike)):
            found += _in_table(source, truth)
            continue
        text = without_place(os.fspath(source))
        place = os.fspath(source)[len(text) :]
        path = expand(text)
        if not path.exists() and split_zip(path) is None and glob.has_magic(text):
            matches = sorted(glob.glob(os.path.expanduser(text), recursive=True))
            if not matches:
                raise UsageError(f"No file is named like {text}.", hint="Name images, or a folder of them.")
            for match in matches:
                found += _of(Path(match), truth, place)
        else:
            found += _of(path, truth, place)
    if not found:
        raise UsageError(
            f"There are no images in {printable(', '.join(map(str, sources)))}.",
            f"Images are files that end in {', '.join(sorted(IMAGE_SUFFIXES))}.",
            "Name the files themselves if they are called otherwise.",
        )
    return found


def decoded(files: Sequence[ImageFile], *, least: int = 0) -> Iterator[Decoded]:
    """Read images some ahead in threads of their own, and hand them on in portions that fit into memory."""
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        waiting: deque[Future[np.ndarray | ImageError]] = deque()
        upcoming = iter(files)
        portion, size = Decoded([], []), 0
        for file in files:
            while len(waiting) < _AHEAD and (following := next(upcoming, None)) is not None:
                waiting.append(pool.submit(_decode, following, least))
            image = waiting.popleft().result()
            portion.files.append(file)
            portion.images.append(image)
            size += 0 if isinstance(image, ImageError) else image.nbytes
            if len(portion.files) == _MOST_TOGETHER or size > _BYTES_TOGETHER:
                yield portion
                portion, size = Decoded([], []), 0
        if portion.files:
            yield portion


def by_size(images: Sequence[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Images of one size together: their places, and uint8 (N, H, W, 3)."""
    places: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        places.setdefault(image.shape, []).append(i)
    for rows in places.values():
        yield rows, np.stack([images[i] for i in rows])


def report_unreadable(broken: Sequence[tuple[str, str]], total: int, consequence: str) -> None:
    """Warn of images that could not be read: names with reasons.

    Raises
    ------
    ModelGPTError
        None could be.
    """
    if not broken:
        return
    shown = shown_reasons([name for name, _ in broken], dict(broken))
    if len(broken) == total:
        problem = "The image can't be read." if total == 1 else f"None of the {total:,} images can be read."
        raise ModelGPTError(problem, f"{shown}.", "Check the files.")
    logger.warning("%d of %s images can't be read and %s: %s.", len(broken), f"{total:,}", consequence, shown)


def _decode(file: ImageFile, least: int) -> np.ndarray | ImageError:
    """One image; an unreadable one must not stop the others."""
    try:
        return decode_image(file.read(), least=least)
    except ImageError as error:
        return error


def _of(path: Path, truth: Truth | None, place: str = "") -> list[ImageFile]:
    """The images of one file or folder; `place` says where a table lies within its file."""
    if path.name.lower().removesuffix(".gz").endswith(TABLE_SUFFIXES) and path.is_file():
        return _in_table(f"{path}{place}", truth)
    if place and path.exists():
        raise UsageError(f"{printable(str(path))} is no table, so {place!r} names nothing in it.", hint="Leave it out.")
    if inside := split_zip(path):
        archive, below = inside
        opened = open_zip(archive)
        members = zip_members(opened, archive.name)
        places = sorted(place for place in members if place.startswith(below))
        return _held(places, ZipImages(opened, members), path, "", truth)
    if path.is_dir():
        return _held(list_folder(path), FolderImages(path), path, f"{path}{os.sep}", truth)
    if not os.path.lexists(path):
        raise UsageError(
            f"There is no file or folder {printable(str(path))}.", hint="Name images, or a folder of them."
        )
    if path.suffix.lower() == ".zip":
        raise not_a_zip(path.name)
    label = None if truth is None else _known(path.absolute().parent.name, truth, path)
    return [ImageFile(str(path), label, partial(FolderImages(path.parent).open, path.name))]


def _held(places: Sequence[str], source: ImageSource, path: Path, prefix: str, truth: Truth | None) -> list[ImageFile]:
    """The images of a folder or archive, each with its class where that is wanted."""
    images = [place for place in places if is_image_name(place)]
    if others := len(places) - len(images):
        things = "files of other kinds" if others > 1 else "file of another kind"
        logger.info("%s: passed over %s %s.", printable(str(path)), f"{others:,}", things)
    if truth is None:
        return [ImageFile(prefix + place, None, partial(source.open, place)) for place in images]
    _, test = find_split(images)
    if test is not None:
        logger.info("%s: measured on its folder %s alone.", printable(str(path)), printable(test))
        images = [place for place in images if place.startswith(test)]
    placed = arrange(images, path.name, truth.labels)
    if len(placed) < len(images):
        count = f"{len(images) - len(placed):,}"
        logger.warning("%s: passed over %s images that lie in no class's folder.", printable(str(path)), count)
    alone = "" if all(image.label for image in placed) else _known(path.absolute().name, truth, path)
    return [ImageFile(prefix + p.place, p.label or alone, partial(source.open, p.place)) for p in placed]


def _known(folder: str, truth: Truth, path: Path) -> str:
    """The class of images that lie in a folder with no others beside it: its name.

    Raises
    ------
    ModelGPTError
        The model has no class of that name.
    """
    if printable(folder).casefold() not in {label.casefold() for label in truth.labels}:
        raise ModelGPTError(
            f"{printable(str(path))} holds images, but no classes.",
            "To compare with, each image's true class is needed: the name of the folder that it lies in.",
            "Sort the images into a sub-folder per class, or give a table with a column of paths and one of classes.",
        )
    return printable(folder)


def _in_table(data: Data, truth: Truth | None) -> list[ImageFile]:
    """The images that a table names, in paths of their own or relative to the table's folder; of one in memory, to the
    working directory.
    """
    from modelgpt_cli.data.cells import texts, to_arrow
    from modelgpt_cli.data.readers import open_table
    from modelgpt_cli.domains.image.dataset import column_of_images, places_of

    table = open_table(data)
    lower = {name.lower(): name for name in reversed(table.columns)}
    wanted = truth.columns if truth is not None else ()
    label = next((lower[name.lower()] for name in wanted if name.lower() in lower), None)
    if wanted and label is None:
        raise UsageError(
            f"{table.name} has no column '{wanted[0]}'.",
            f"Its columns: {', '.join(table.columns[:_SHOWN])}{', ...' if len(table.columns) > _SHOWN else ''}.",
            "Name the column of true classes with --target.",
        )
    images = column_of_images(table, label)
    found = []
    for frame in table.frames(16_384, [images.column, *([label] if label else [])]):
        labels = texts(to_arrow(frame[label])).to_pylist() if label else [None] * len(frame)
        for place, true in zip(places_of(frame[images.column]), labels, strict=True):
            found.append(ImageFile(place, true, partial(images.source.open, place)))
    return found
