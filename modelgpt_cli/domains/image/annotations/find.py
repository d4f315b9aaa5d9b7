"""Whether a folder or archive holds images with marked objects, in whatever format, and which task they are for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from modelgpt_cli.domains.image.annotations import DETECTION, KEYPOINTS, SEGMENTATION
from modelgpt_cli.domains.image.annotations.coco import find_coco, may_be_coco
from modelgpt_cli.domains.image.annotations.cvat import find_cvat, may_be_cvat
from modelgpt_cli.domains.image.annotations.label_studio import find_label_studio, may_be_label_studio
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.annotations.voc import find_voc
from modelgpt_cli.domains.image.annotations.yolo import find_yolo
from modelgpt_cli.domains.image.decode import need_pillow
from modelgpt_cli.domains.image.formats import is_image_name
from modelgpt_cli.domains.image.layout import is_hidden
from modelgpt_cli.domains.image.listing import Listing
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip

Finder: TypeAlias = Callable[[str, Listing, str | None], Annotations | None]
_FINDERS: tuple[Finder, ...] = (find_coco, find_cvat, find_voc, find_label_studio, find_yolo)
"""One for each format; the first that finds some of its files has the say."""
_SIGNS = {".json": (may_be_coco, may_be_label_studio), ".xml": (may_be_cvat,)}
"""How files end that may be given by themselves, and whether they may be of a format."""
_SUFFIXES = (*_SIGNS, ".txt")
_START = 1 << 16
_WORDS = (
    b'"images"', b'"annotations"', b'"categories"', b'"file_name"', b'"image_id"', b'"category_id"', b'"completions"',
    b'labels"', b"<annotations",
)  # fmt: skip
"""Of these the beginning of any file of annotations has one, wherever its lists stand."""
_BESIDE = ("annotations", "annotation", "labels")
"""A file of annotations in a folder called so speaks of images beside that folder."""
_DEEPEST = 5
"""Folders are looked for files of annotations so far down."""


def find_annotations(path: Path) -> Annotations | None:
    """Return the marked objects of a folder or archive of images, or of a folder inside one; None where it holds none.

    Parameters
    ----------
    path : Path
        Of a file of annotations, the images that it names are meant.

    Raises
    ------
    ModelGPTError
        There are some, and what they say can't be used; or the archive can't be read.
    """
    only = None
    if (signs := _SIGNS.get(path.suffix.lower())) and not path.is_dir():
        if not (_may_be(path, signs) if path.is_file() else split_zip(path)):
            return None
        folder = folder_of(path)
        only, path = path.relative_to(folder).as_posix(), folder
    if not _may_hold(path):
        return None
    need_pillow()
    if (known := _last.get(path, only)) is not None:
        return known[0]
    listing = Listing.of(path)
    if listing is None or (only is not None and only not in listing.places):
        return None
    name = os.path.basename(os.path.abspath(path))
    annotations = next((found for find in _FINDERS if (found := find(name, listing, only)) is not None), None)
    _last.keep(path, only, annotations)
    return annotations


def folder_of(file: Path) -> Path:
    """Return the folder that a file of annotations speaks of: its own, or the one beside which that lies."""
    folder = file.parent
    return folder.parent if folder.name.lower() in _BESIDE else folder


def task_of(annotations: Annotations) -> str:
    """Return the task that annotations are for, where nobody asks for another.

    Returns
    -------
    str
        `KEYPOINTS` where objects have some; `DETECTION` where there are boxes; else `SEGMENTATION`.
    """
    objects = [one for image in annotations.images for one in image.objects]
    if any(one.points is not None for one in objects):
        return KEYPOINTS
    if (annotations.own_boxes and any(one.box is not None for one in objects)) or not objects:
        return DETECTION
    return SEGMENTATION


class _Last:
    """What was found last: each domain asks in turn. Files that have changed since are looked at anew."""

    def __init__(self) -> None:
        self._asked: object = None
        self._state: object = None
        self._found: Annotations | None = None

    def get(self, path: Path, only: str | None) -> tuple[Annotations | None] | None:
        """What was found at a path, of one file there or of all; None where that isn't known."""
        asked = (path.absolute(), only)
        return (self._found,) if self._asked == asked and self._state == _state(path) else None

    def keep(self, path: Path, only: str | None, found: Annotations | None) -> None:
        """Keep what was found."""
        self._asked, self._state, self._found = (path.absolute(), only), _state(path), found


_last = _Last()


def _state(path: Path) -> object:
    """What changes when a file below a path does: names, sizes and times."""
    inside = split_zip(path)
    if inside is not None:
        about = inside[0].stat()
        return about.st_size, about.st_mtime_ns, about.st_ino
    return hash(tuple(sorted(_entries(path, ""))))


def _entries(folder: str | Path, prefix: str, depth: int = 0) -> list[tuple[str, int, int]]:
    """Place, size and time of each file of a folder."""
    found = []
    try:
        entries = [entry for entry in os.scandir(folder) if not is_hidden(entry.name)]
    except OSError:
        return []
    for entry in entries:
        try:
            if entry.is_file():
                about = entry.stat()
                found.append((prefix + entry.name, about.st_size, about.st_mtime_ns))
            elif depth < _DEEPEST and entry.is_dir():
                found += _entries(entry.path, f"{prefix}{entry.name}/", depth + 1)
        except OSError:  # a link to itself
            continue
    return found


def _may_be(file: Path, signs: Sequence[Callable[[bytes], bool]]) -> bool:
    """Whether a file is of a format, as far as its words say. Of a large table the beginning alone is read."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_START)
            if not any(word in start for word in _WORDS):
                return False
            content = start + opened.read()
    except OSError:
        return False
    return any(may_be(content) for may_be in signs)


def _may_hold(path: Path) -> bool:
    """Whether there are images, and files of annotations, by their names."""
    inside = split_zip(path)
    if inside is not None:
        with open_zip(inside[0]) as opened:
            names = [name for name in opened.namelist() if name.startswith(inside[1])]
    elif path.is_dir():
        names = [place for place, _, _ in _entries(path, "")]
    else:
        return False
    return any(name.lower().endswith(_SUFFIXES) for name in names) and any(map(is_image_name, names))
