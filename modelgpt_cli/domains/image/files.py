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
from modelgpt_cli.domains.image.formats import advice
from modelgpt_cli.domains.image.label_names import known_labels
from modelgpt_cli.domains.image.layout import arrange, find_split, printable
from modelgpt_cli.domains.image.listing import Listing
from modelgpt_cli.domains.image.source import FolderImages, Unread, image_places, shown_reasons
from modelgpt_cli.domains.image.zip_archive import not_a_zip, split_zip

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data
    from modelgpt_cli.data.readers import Table

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
    separator: str | None = None
    """Of images with any number of classes: what stands between them in a table's cell."""


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
            for match in _wanted(matches):
                found += _of(Path(match), truth, place)
        else:
            found += _of(path, truth, place)
    if not found:
        raise UsageError(
            f"There are no images in {printable(', '.join(map(str, sources)))}.",
            "Neither by name (.jpg, .png, .webp, …) nor by content.",
            "Name images, or a folder, archive or table of them.",
        )
    return found


def in_memory(files: Sequence[tuple[str, bytes]]) -> list[ImageFile]:
    """Return images that are held in memory, each a name and its content."""
    return [ImageFile(name, None, partial(bytes, content)) for name, content in files]


def open_named(files: Sequence[ImageFile], name: str) -> bytes:
    """Return the bytes of an image by its name; see `runtime.feed.HasFiles`."""
    try:
        return next(file for file in files if file.name == name).read()
    except StopIteration:
        raise FileNotFoundError(name) from None
    except ImageError as error:
        raise OSError(error.reason) from error


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


def report_unreadable(
    broken: Sequence[tuple[str, str]], files: Sequence[ImageFile], consequence: str, *, labelled: bool = False
) -> None:
    """Warn of images that could not be read: names with reasons.

    Parameters
    ----------
    broken : sequence of (str, str)
    files : sequence of ImageFile
        All of them.
    consequence : str
        What becomes of them, such as "are left out".
    labelled : bool
        Whether a class that loses all its images is an error.

    Raises
    ------
    ModelGPTError
        None could be, or none of a class.
    """
    if not broken:
        return
    reasons, total = dict(broken), len(files)
    if len(broken) == total:
        problem = "The image can't be read." if total == 1 else f"None of the {total:,} images can be read."
        shown = shown_reasons([name for name, _ in broken], reasons)
        raise ModelGPTError(problem, f"{shown}.", advice(reasons.values()) or "Check the files.")
    names = [file.name if file.name in reasons else None for file in files]
    unread = Unread.of([file.label for file in files] if labelled else [None] * total, names)
    unread.check_classes(reasons)
    logger.warning("%s", unread.describe(reasons, consequence))


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
    if truth is not None and truth.separator is not None:
        raise UsageError(
            f"{printable(str(path))} is no table, and the model is multi-label.",
            "A folder has one class for each image.",
            "Give a table with a column of paths and their labels.",
        )
    if place and path.exists():
        raise UsageError(f"{printable(str(path))} is no table, so {place!r} names nothing in it.", hint="Leave it out.")
    if files := Listing.of(path):
        inside = split_zip(path)
        return _held(files, path, inside[1] if inside else f"{path}{os.sep}", truth)
    if not os.path.lexists(path):
        raise UsageError(
            f"There is no file or folder {printable(str(path))}.", hint="Name images, or a folder of them."
        )
    if path.suffix.lower() == ".zip":
        raise not_a_zip(path.name)
    label = None
    if truth is not None:
        folder = path.absolute().parent.name
        named = {} if _is_known(folder, truth) else known_labels([path.name], truth.labels)
        label = named.get(path.name) or _known(folder, truth, path)
    return [ImageFile(str(path), label, partial(FolderImages(path.parent).open, path.name))]


def _wanted(matches: Sequence[str]) -> list[str]:
    """What a glob means: folders, and of files the images where it matches some, else all, which may be tables."""
    files = [match for match in matches if not os.path.isdir(match)]
    images = set(image_places(files, FolderImages(Path())))
    others = [match for match in files if match not in images]
    if not images or not others:
        return list(matches)
    more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
    logger.info("Passed over %s%s: no image.", printable(others[0]), more)
    return [match for match in matches if match not in set(others)]


def _held(files: Listing, path: Path, prefix: str, truth: Truth | None) -> list[ImageFile]:
    """The images of a folder or archive, each with its class where that is wanted."""
    images, source = files.images, files.source
    if truth is not None and (table := _label_table(path, images, truth)) is not None:
        return _in_table(table, truth)
    if others := len(files.places) - len(images):
        things = "files of other kinds" if others > 1 else "file of another kind"
        logger.info("%s: passed over %s %s.", printable(str(path)), f"{others:,}", things)
    if truth is None:
        return [ImageFile(prefix + place, None, partial(source.open, place)) for place in images]
    train, test = find_split(images)
    part = test if test is not None else ("" if _in_known_folders(images, truth) else train)
    if part:
        logger.info("%s: measured on its folder %s alone.", printable(str(path)), printable(part))
        images = [place for place in images if place.startswith(part)]
    placed = arrange(images, path.name, truth.labels)
    if len(placed) < len(images):
        count = f"{len(images) - len(placed):,}"
        logger.warning("%s: passed over %s images that lie in no class's folder.", printable(str(path)), count)
    alone = "" if all(image.label for image in placed) else _known(path.absolute().name, truth, path)
    return [ImageFile(prefix + p.place, p.label or alone, partial(source.open, p.place)) for p in placed]


def _label_table(path: Path, images: Sequence[str], truth: Truth) -> Table | None:
    """The table that a build would take the classes from; None where folders or names are the classes'."""
    if _is_known(path.absolute().name, truth) or known_labels(images, truth.labels) or _in_known_folders(images, truth):
        return None
    from modelgpt_cli.data.readers import open_table

    try:
        table = open_table(path)
    except ModelGPTError:  # what is odd about the images is told of where their order is looked at
        return None
    if table.domain:
        return None
    tested = open_table(table.test_path) if table.test_path is not None else table
    if tested is not table and {name.lower() for name in truth.columns} & {name.lower() for name in tested.columns}:
        logger.info("%s: measured on %s.", printable(str(path)), tested.name)
        return tested
    return table


def _in_known_folders(images: Sequence[str], truth: Truth) -> bool:
    """Whether some images lie in a folder that is called like a class."""
    return any(_is_known(part, truth) for part in {part for place in images for part in place.split("/")[:-1]})


def _is_known(folder: str, truth: Truth) -> bool:
    """Whether a folder is called like a class of the model."""
    return printable(folder).casefold() in {label.casefold() for label in truth.labels}


def _known(folder: str, truth: Truth, path: Path) -> str:
    """The class of images that lie in a folder with no others beside it: its name.

    Raises
    ------
    ModelGPTError
        The model has no class of that name.
    """
    if not _is_known(folder, truth):
        raise ModelGPTError(
            f"{printable(str(path))} holds images, but no classes.",
            "To compare with, each image's true class is needed: the name of the folder that it lies in.",
            "Sort the images into a sub-folder per class, or give a table with a column of paths and one of classes.",
        )
    return printable(folder)


def _in_table(data: Data | Table, truth: Truth | None) -> list[ImageFile]:
    """The images that a table names, in paths of their own or relative to the table's folder; of one in memory, to the
    working directory.
    """
    from modelgpt_cli.data.cells import texts, to_arrow
    from modelgpt_cli.data.label_cells import known_label_table
    from modelgpt_cli.data.readers import open_table
    from modelgpt_cli.domains.image.named import NamedImages
    from modelgpt_cli.domains.image.path_column import column_of_images, places_of

    table = open_table(data)
    lower = {name.lower(): name for name in reversed(table.columns)}
    if truth is not None and truth.separator is not None:
        named = next((lower[name.lower()] for name in truth.columns if name.lower() in lower), truth.columns[0])
        table = known_label_table(table, named, truth.labels, truth.separator)
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
    if isinstance(images.source, NamedImages):
        logger.info(
            "%s: column %s names the images in %s.", table.name, images.column, printable(images.source.where())
        )
    found = []
    for frame in table.frames(16_384, [images.column, *([label] if label else [])]):
        labels = texts(to_arrow(frame[label])).to_pylist() if label else [None] * len(frame)
        for place, true in zip(places_of(frame[images.column]), labels, strict=True):
            found.append(ImageFile(place, true, partial(images.source.open, place)))
    return found
